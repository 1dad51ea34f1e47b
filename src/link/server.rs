//! The control plane's end: a request upgraded to a WebSocket.

use super::{Link, LinkError};
use actix_web::{HttpRequest, HttpResponse, web};
use actix_ws::{Message, ProtocolError};
use bytes::Bytes;
use futures_util::{StreamExt, future};

/// Upgrades a request. The answer goes out when the caller returns it; the link is live then.
///
/// # Errors
/// The request is no WebSocket handshake.
pub fn accept(
    request: &HttpRequest,
    body: web::Payload,
    subprotocol: &str,
    max_frame: usize,
) -> Result<(HttpResponse, Link), actix_web::Error> {
    let (response, session, messages) =
        actix_ws::handle_with_protocols(request, body, &[subprotocol])?;
    let sink = futures_util::sink::unfold(session, |mut session, frame: Bytes| async move {
        session.binary(frame).await.map_err(|_| LinkError::Closed)?;
        Ok(session)
    });
    let stream = messages
        .max_frame_size(max_frame)
        .filter_map(|message| future::ready(message_bytes(message)));
    Ok((response, Link::new(sink, stream)))
}

/// What a message means for the link; control frames that mean nothing are skipped.
fn message_bytes(message: Result<Message, ProtocolError>) -> Option<Result<Bytes, LinkError>> {
    match message {
        Ok(Message::Binary(bytes)) => Some(Ok(bytes)),
        // The dialect has heartbeats of its own.
        Ok(Message::Ping(_) | Message::Pong(_) | Message::Nop) => None,
        Ok(Message::Close(_)) => Some(Err(LinkError::Closed)),
        Ok(Message::Text(_) | Message::Continuation(_)) => Some(Err(LinkError::Failed(
            "a frame that is not binary and whole".into(),
        ))),
        Err(err) => Some(Err(LinkError::Failed(err.to_string()))),
    }
}
