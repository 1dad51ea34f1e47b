//! The path of a request: as routes are matched with it, the route that it finds, and as the upstream gets it.

use super::exchange::{Current, Exchange, Start};
use super::facts::{self, RouterHeaders};
use crate::data_plane::exchange::Connection;
use crate::data_plane::router::{Facts, Scratch, path};

/// Brings the path into the form that routes are matched with.
pub fn normalise(exchange: &mut Exchange) {
    match path::normalise(exchange.head.path(), &mut exchange.path_buffer) {
        Ok(normal) => {
            exchange.path.push_str(normal);
            exchange.start = Start::Unmatched;
        }
        Err(error) if error.status() == 400 => exchange.start = Start::BadPath,
        Err(_) => {}
    }
}

/// Finds the route of a request that has just begun.
pub fn find_route(
    exchange: &mut Exchange,
    current: &mut Current,
    connection: &Connection,
    most_headers: usize,
    scratch: &mut Scratch,
) {
    if !matches!(exchange.start, Start::Unmatched) {
        return;
    }
    let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
    let tls = connection.tls.as_ref();
    let client = &current.client;
    let facts = Facts {
        method: text(exchange.head.method()),
        host: text(facts::raw_host(&exchange.head)),
        path: &exchange.path,
        https: client.https,
        sni: tls.and_then(|tls| tls.sni.as_deref()),
        headers: &RouterHeaders {
            headers: &exchange.head.headers,
            most: most_headers,
        },
        src: (client.address.ip(), client.address.port()),
        dst_port: client.port,
    };
    let Some(matched) = current.snapshot.find_route(&facts, scratch) else {
        return;
    };
    if current.snapshot.misleads(&matched, &facts, scratch) {
        exchange.start = Start::BadPath;
        return;
    }
    current.matched = Some(matched);
    exchange.start = Start::Matched;
}

/// The path that an upstream would have been asked for, had no plugin answered before.
pub fn write_path(exchange: &mut Exchange) {
    write_target(exchange, |_| None);
}

/// Path and query for the upstream.
pub fn write_uri(exchange: &mut Exchange) {
    write_target(exchange, query_of);
}

fn query_of(exchange: &Exchange) -> Option<&[u8]> {
    match &exchange.upstream.query {
        // A query that plugins emptied takes its `?` with it.
        Some(query) => Some(&**query).filter(|query| !query.is_empty()),
        None => exchange.head.query(),
    }
}

fn write_target(exchange: &mut Exchange, query_of: fn(&Exchange) -> Option<&[u8]>) {
    let mut uri = std::mem::take(&mut exchange.uri);
    let query = query_of(exchange);
    if let Some(path) = &exchange.upstream.path {
        uri.extend_from_slice(path);
        if let Some(query) = query {
            uri.push(b'?');
            uri.extend_from_slice(query);
        }
    } else if let Some(current) = &exchange.current
        && let Some(matched) = &current.matched
    {
        let path = &exchange.path;
        current
            .snapshot
            .upstream_uri(matched, path, query, &mut uri);
    }
    exchange.uri = uri;
}
