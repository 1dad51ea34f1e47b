//! The functions under `kong`.

mod client;
mod ctx;
mod headers;
mod log;
mod node;
mod request;
mod request_body;
mod response;
mod service;
mod service_request;
mod service_response;

pub use headers::{headers_table, response_headers};
pub use log::write as write_log;
pub use request::{arguments_table, claimed, host as request_host, method, version};
pub use service_request::encode_arguments;

use super::native::Native;

pub fn natives() -> impl Iterator<Item = Native> {
    [
        request::NATIVES,
        request_body::NATIVES,
        client::NATIVES,
        response::NATIVES,
        service::NATIVES,
        service_request::NATIVES,
        service_response::NATIVES,
        node::NATIVES,
        ctx::NATIVES,
        log::NATIVES,
    ]
    .into_iter()
    .flatten()
    .copied()
}
