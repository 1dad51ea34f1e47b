//! Responses that the gateway makes itself.

use super::downstream::{Downstream, Gone};
use super::worker::Worker;
use crate::data_plane::exchange::{Pipeline, Refusal, Reply, Upstreams};
use crate::http::parse::RequestError;
use crate::http::{reason_phrase, write};
use crate::plugins::SentFraming;
use tokio::io::{AsyncRead, AsyncWrite};

/// What the request says about its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyContext {
    /// The request was a HEAD: headers as for a GET, no body.
    pub to_head: bool,
    pub keep_alive: bool,
}

/// Sends a reply in one write.
pub async fn send<P: Pipeline, U: Upstreams, S: AsyncRead + AsyncWrite + Unpin>(
    worker: &Worker<P, U>,
    client: &mut Downstream<S>,
    reply: &Reply,
    context: ReplyContext,
    out: &mut Vec<u8>,
) -> Result<(), Gone> {
    out.clear();
    write::status_line(out, reply.status, reason_phrase(reply.status).as_bytes());
    worker.dates.write(out);
    write::header(out, "Connection", connection(context.keep_alive));
    let bodiless = reply.status < 200 || matches!(reply.status, 204 | 304);
    // A stored answer to HEAD knows the length of a body that nobody has kept.
    let names_length = context.to_head && reply.stored;
    let has_length = !bodiless && !names_length;
    client.framing = SentFraming {
        content_length: has_length.then_some(reply.body.len() as u64),
        chunked: false,
        connection: Some(connection(context.keep_alive)),
    };
    if has_length {
        out.extend_from_slice(b"Content-Length: ");
        write::decimal(out, reply.body.len() as u64);
        out.extend_from_slice(b"\r\n");
    }
    for (name, value) in &reply.headers {
        write::header_name(out, name.as_bytes());
        out.extend_from_slice(b": ");
        write::header_value(out, value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    let body: &[u8] = match bodiless || context.to_head {
        true => b"",
        false => &reply.body,
    };
    client.head = client.sent + out.len() as u64;
    client
        .write([out, body, b""], worker.settings.send_timeout)
        .await
}

/// The value of the Connection header to the client.
pub fn connection(keep_alive: bool) -> &'static str {
    match keep_alive {
        true => "keep-alive",
        false => "close",
    }
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Refusal {
        match error {
            RequestError::Malformed(_) => Refusal::BadRequest,
            RequestError::UriTooLong => Refusal::UriTooLong,
            RequestError::HeaderTooLarge => Refusal::HeaderTooLarge,
            RequestError::VersionNotSupported => Refusal::VersionNotSupported,
            RequestError::MethodNotAllowed => Refusal::MethodNotAllowed,
            RequestError::NotImplemented => Refusal::NotImplemented,
            RequestError::ExpectationFailed => Refusal::ExpectationFailed,
        }
    }
}
