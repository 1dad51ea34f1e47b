//! The bodies of the gateway's own answers.
//!
//! Kong has three producers of errors, and clients see the difference: (a) the router, the
//! balancer and most plugins negotiate on Accept and default to JSON; (b) the HTTP engine
//! (refused requests, failed upstreams) also looks at Content-Type and the configured
//! default; (c) some plugins always answer compact JSON without a request id.

use super::negotiation::Format;
use crate::http::{Reply, RequestHead, Version};
use bytes::Bytes;
use std::fmt::Write;

const JSON: &str = "application/json; charset=utf-8";

/// What the negotiation of an error looks at.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub accept: Option<&'a [u8]>,
    pub content_type: Option<&'a [u8]>,
    pub version: Version,
}

impl<'a> Asked<'a> {
    pub fn of(head: &'a RequestHead) -> Asked<'a> {
        Asked {
            accept: head.headers.get("accept"),
            content_type: head.headers.get("content-type"),
            version: head.version,
        }
    }

    /// gRPC needs HTTP/2; over HTTP/1 its content type is one like any other.
    pub fn is_grpc(&self) -> bool {
        self.version == Version::Http2 && is_grpc_type(self.content_type)
    }
}

/// Whether a content type is gRPC's.
pub fn is_grpc_type(content_type: Option<&[u8]>) -> bool {
    content_type.is_some_and(|value| value.starts_with(b"application/grpc"))
}

/// Producer (a): a decision of the gateway.
pub fn negotiated(status: u16, message: &str, asked: &Asked<'_>, request_id: &str) -> Reply {
    if asked.is_grpc() {
        return grpc(status, message);
    }
    let format = asked.accept.map_or(Format::Json, Format::of_accept);
    formatted(status, message, format, request_id)
}

/// Producer (b): the HTTP engine. `default_type` is the setting `error_default_type`.
pub fn engine(status: u16, asked: &Asked<'_>, default_type: &str, request_id: &str) -> Reply {
    engine_with(
        status,
        default_message(status),
        asked,
        default_type,
        request_id,
    )
}

/// Producer (b) with a message that is not the status's own.
pub fn engine_with(
    status: u16,
    message: &str,
    asked: &Asked<'_>,
    default_type: &str,
    request_id: &str,
) -> Reply {
    if asked.is_grpc() {
        return grpc(status, message);
    }
    let wanted = asked.accept.or(asked.content_type);
    let format = Format::of_accept(wanted.unwrap_or(default_type.as_bytes()));
    formatted(status, message, format, request_id)
}

/// Producer (c): a message as compact JSON.
pub fn plain_json(status: u16, message: &str) -> Reply {
    let body = serde_json::json!({ "message": message }).to_string();
    Reply::new(status).with_body(JSON, body)
}

/// The answer to a status that somebody chose without saying anything to it, as nginx and Kong
/// give it: a text in the format that the client accepts, a page, or nothing.
pub fn of_status(status: u16, asked: &Asked<'_>, default_type: &str, request_id: &str) -> Reply {
    match status {
        400 | 404 | 405 | 408 | 411 | 412 | 413 | 414 | 417 | 500 | 502 | 503 | 504 => {
            engine(status, asked, default_type, request_id)
        }
        // nginx's own status for it; clients get 400 with its message.
        494 => {
            let message = default_message(status);
            engine_with(400, message, asked, default_type, request_id)
        }
        _ if page_title(status).is_some() => engine_page(status),
        _ => Reply {
            // Clients go on waiting after an interim status, unless the connection ends.
            close: status < 200,
            ..Reply::new(status)
        },
    }
}

/// The titles of the HTTP engine's pages: of the statuses that have no text of the gateway's.
fn page_title(status: u16) -> Option<&'static str> {
    Some(match status {
        301 => "301 Moved Permanently",
        302 => "302 Found",
        303 => "303 See Other",
        307 => "307 Temporary Redirect",
        308 => "308 Permanent Redirect",
        402 => "402 Payment Required",
        403 => "403 Forbidden",
        406 => "406 Not Acceptable",
        409 => "409 Conflict",
        410 => "410 Gone",
        415 => "415 Unsupported Media Type",
        416 => "416 Requested Range Not Satisfiable",
        421 => "421 Misdirected Request",
        429 => "429 Too Many Requests",
        501 => "501 Not Implemented",
        505 => "505 HTTP Version Not Supported",
        507 => "507 Insufficient Storage",
        _ => return None,
    })
}

/// The page of the HTTP engine for a status without a text of the gateway's.
pub fn engine_page(status: u16) -> Reply {
    let title = page_title(status).unwrap_or("Error");
    let body = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n\
         <center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    );
    Reply::new(status).with_body("text/html", body)
}

fn formatted(status: u16, message: &str, format: Format, request_id: &str) -> Reply {
    let mut body = String::with_capacity(message.len() + 256);
    let content_type = match format {
        Format::Json => {
            let message = serde_json::Value::from(message);
            body.push_str("{\n  \"message\":");
            // Writing to a string cannot fail.
            let _ = write!(body, "{message},\n  \"request_id\":\"{request_id}\"\n}}");
            JSON
        }
        Format::Plain => {
            let _ = write!(body, "{message}\nrequest_id: {request_id}\n");
            "text/plain; charset=utf-8"
        }
        Format::Xml => {
            body.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>");
            push_escaped(&mut body, message);
            let _ = write!(
                body,
                "</message>\n  <requestid>{request_id}</requestid>\n</error>\n"
            );
            "application/xml; charset=utf-8"
        }
        Format::Html => {
            body.push_str(
                "<!doctype html>\n<html>\n  <head>\n    <meta charset=\"utf-8\">\n    \
                 <title>Error</title>\n  </head>\n  <body>\n    <h1>Error</h1>\n    <p>",
            );
            push_escaped(&mut body, message);
            let _ = write!(
                body,
                ".</p>\n    <p>request_id: {request_id}</p>\n  </body>\n</html>\n"
            );
            "text/html; charset=utf-8"
        }
        // A client that asks for gRPC without speaking it gets no body, of no type.
        Format::Empty => "",
    };
    Reply::new(status).with_body(content_type, body)
}

/// A gRPC answer: the HTTP status stays, the message travels in headers.
fn grpc(status: u16, message: &str) -> Reply {
    Reply::new(status)
        .with_header("Content-Type", "application/grpc")
        .with_header("grpc-status", grpc_status(status).to_string())
        .with_header("grpc-message", Bytes::from(message.to_owned()))
}

/// The gRPC status of an HTTP status.
fn grpc_status(status: u16) -> u8 {
    match status {
        401 => 16,
        403 => 7,
        404 => 5,
        409 => 6,
        429 => 8,
        499 => 1,
        501 => 12,
        503 => 14,
        504 => 4,
        500..=599 => 13,
        400..=499 => 3,
        200..=299 => 0,
        _ => 2,
    }
}

/// Text inside XML and HTML elements.
fn push_escaped(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
}

/// The message of a status when the producer gives none.
pub fn default_message(status: u16) -> &'static str {
    crate::http::default_message(status).unwrap_or("An unexpected error occurred")
}

#[cfg(test)]
#[path = "errors_tests.rs"]
mod tests;
