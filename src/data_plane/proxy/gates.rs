//! What a matched route asks of the connection before any plugin runs.

use super::errors::{self, Asked, engine_page, negotiated};
use super::facts::{Client, write_plain_host};
use crate::data_plane::router::{CompiledRoute, CompiledService, Protocol, Protocols};
use crate::http::{HeaderEdits, Reply, RequestHead, Version};
use uuid::Uuid;

fn grpc() -> Protocols {
    Protocols::default()
        .with(Protocol::Grpc)
        .with(Protocol::Grpcs)
}

/// The answer to a request that does not come the way the route wants it.
pub fn check(
    route: &CompiledRoute,
    client: &Client,
    head: &RequestHead,
    request_id: &str,
) -> Option<Reply> {
    let protocols = route.protocols;
    let wants_https = protocols.contains(Protocol::Https) && !protocols.contains(Protocol::Http);
    if !wants_https && !protocols.intersects(grpc()) {
        return None;
    }
    let https = client.effective_scheme(head).eq_ignore_ascii_case(b"https");
    if wants_https && !https {
        return Some(to_https(route, client, head, request_id));
    }
    if !protocols.intersects(grpc()) {
        return None;
    }
    let asked = Asked::of(head);
    if !errors::is_grpc_type(asked.content_type) {
        let message = "Non-gRPC request matched gRPC route";
        return Some(negotiated(415, message, &asked, request_id));
    }
    if head.version != Version::Http2 {
        let reply = negotiated(426, "Please use HTTP2 protocol", &asked, request_id);
        return Some(
            reply
                .with_header("Connection", "Upgrade")
                .with_header("Upgrade", "HTTP/2"),
        );
    }
    if !protocols.contains(Protocol::Grpc) && !https {
        return Some(
            Reply::new(200)
                .with_header("Content-Type", "application/grpc")
                .with_header("grpc-status", "1")
                .with_header("grpc-message", "gRPC request matched gRPCs route"),
        );
    }
    None
}

fn to_https(route: &CompiledRoute, client: &Client, head: &RequestHead, request_id: &str) -> Reply {
    let status = route.https_redirect_status_code;
    if !matches!(status, 301 | 302 | 307 | 308) {
        let message = "Please use HTTPS protocol";
        return negotiated(426, message, &Asked::of(head), request_id)
            .with_header("Connection", "Upgrade")
            .with_header("Upgrade", "TLS/1.2, HTTP/1.1");
    }
    let mut location = b"https://".to_vec();
    match client.claimed(head, "x-forwarded-host") {
        Some(host) => location.extend_from_slice(host),
        None => write_plain_host(head, &mut location),
    }
    location.extend_from_slice(head.target());
    engine_page(status).with_header("Location", location)
}

/// Tells a client that asks with `Kong-Debug` which route and service it met.
pub fn write_debug_headers(
    route: &CompiledRoute,
    service: Option<&CompiledService>,
    edits: &mut HeaderEdits,
) {
    let mut set = |id_header: &str, id: Uuid, name_header: &str, name: Option<&str>| {
        let mut buffer = Uuid::encode_buffer();
        edits.set(id_header, &*id.hyphenated().encode_lower(&mut buffer));
        if let Some(name) = name {
            edits.set(name_header, name);
        }
    };
    let name = route.name.as_deref();
    set("Kong-Route-Id", route.id, "Kong-Route-Name", name);
    if let Some(service) = service {
        let name = service.name.as_deref();
        set("Kong-Service-Id", service.id, "Kong-Service-Name", name);
    }
}
