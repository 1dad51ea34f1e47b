//! The Admin API: HTTP in, `schema` for validity, `config_store` for truth, Kong's answers out.

mod api;
mod certificates;
mod clustering;
mod collections;
mod config;
mod effect;
mod endpoint;
mod error;
mod handle;
mod info;
mod input;
mod log_level;
mod multipart;
mod openapi;
mod paging;
mod plugins;
mod reply;
mod request;
mod request_sums;
mod revisions;
mod shared;
mod tags;
mod targets;
mod transaction_request;
mod transactions;
mod wait;
mod work;
mod writes;

#[cfg(test)]
mod tests;

pub use api::Api;
pub use info::KONG_VERSION;
pub use log_level::follow as follow_log_level;
pub use openapi::Description;
pub use reply::AnswerHeaders;
pub use shared::{Node, Shared};

use crate::actor::{Guarded, Observe};
use crate::serve::Running;
use actix::prelude::*;
use actix_web::web::{self, ServiceConfig};
use serde_json::json;

/// What the admin listeners serve.
pub fn configure(shared: Shared) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static {
    move |config| {
        config
            .app_data(web::Data::new(shared.clone()))
            .default_service(web::to(handle::handle));
    }
}

/// Owns the admin listeners.
pub struct AdminApi {
    server: Running,
}

impl AdminApi {
    pub fn new(server: Running) -> AdminApi {
        AdminApi { server }
    }
}

impl Actor for AdminApi {
    type Context = Context<Self>;
}

impl Guarded for AdminApi {
    const MAILBOX: usize = 16;
}

impl Handler<Observe> for AdminApi {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        MessageResult(json!({ "addresses": self.server.addresses }))
    }
}

/// Stops the listeners; graceful lets requests in flight finish.
#[derive(Message)]
#[rtype(result = "()")]
pub struct StopListening {
    pub graceful: bool,
}

impl Handler<StopListening> for AdminApi {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, message: StopListening, _: &mut Self::Context) -> Self::Result {
        let server = self.server.clone();
        Box::pin(async move { server.stop(message.graceful).await })
    }
}
