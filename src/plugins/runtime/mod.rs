//! What every plugin is built on: the contract between plugins and the data plane that runs them.
//!
//! A [`Descriptor`] says what a plugin is, a [`Handler`] is one configured instance of it, and a [`Context`] is
//! a request as a phase sees it. [`Factory`] builds instances, with the [`Resources`] of the node.

mod context;
mod custom_fields;
mod datagrams;
mod descriptor;
mod endpoint;
mod factory;
mod flow;
mod handler;
mod header_name;
mod host;
mod http_client;
mod kept_connection;
mod log_fields;
mod log_lines;
mod log_record;
mod measures;
mod names;
mod phases;
mod queue;
mod record_handler;
mod request_log;
mod resources;
mod response_body;
mod severity;
mod shared;
mod upstream_request;

#[cfg(test)]
pub mod testing;

pub use context::{
    Captures, Consumer, Context, Directory, EntityRef, Identity, KeyOwner, Peer, Response,
    RouteView, Timestamp,
};
pub use custom_fields::CustomFields;
pub use datagrams::Datagrams;
pub use descriptor::{Build, BuildError, Built, Descriptor, VERSION, config_of};
pub use endpoint::{Collector, Posting};
pub use factory::{EnabledPlugins, Factory};
pub use flow::{Access, Flow, Refusal};
pub use handler::Handler;
pub use header_name::HeaderName;
pub use host::{Host, queue_name};
pub use http_client::{
    HttpClient, HttpClients, HttpError, HttpOptions, HttpRequest, HttpResponse, ResponseBody,
    tls_config,
};
pub use kept_connection::{KeptConnection, LineServer};
pub use log_fields::{LogFieldMode, LogFields, put_field};
pub use log_lines::{LogLine, LogLines, WantsLogLines};
pub use log_record::log_record;
pub use measures::{
    ConsumerIdentifier, Measure, StatType, packets, service_host, without_dots, write_value,
};
pub use names::{Addresses, Names, ResolveNames};
pub use phases::Phases;
pub use queue::{
    Deliver, Delivery, DeliveryError, DropReason, OldQueueNames, Queue, QueueParameters, QueueState,
};
pub use record_handler::{FramedHandler, RecordHandler, list, milliseconds, without_host};
pub use request_log::{Part, PartTime, RequestLog, ResponseSource, SentFraming, SentHeaders, Try};
pub use resources::{NodeName, NodeSettings, Resources, UntrustedLua};
pub use response_body::{BodyUse, Chunk};
pub use severity::{Severities, Severity};
pub use shared::{Shared, State};
pub use upstream_request::{Scheme, Timeouts, UpstreamRequest};

/// The workspace of every entity. There is but one; Kong gives it this id where no database
/// says otherwise.
pub const WORKSPACE: &str = "0dc6f45b-8f8d-40d2-a504-473544ee190b";

pub const WORKSPACE_NAME: &str = "default";
