//! `ngx.var`: what nginx and Kong know of a request, by name.

use super::super::call::Call;
use super::super::native::{Args, Given, Native, maybe, nothing, shown};
use super::super::pdk::{claimed, method, request_host, response_headers};
use super::super::phase::Phase;
use super::req::request_line;
use super::time;
use crate::http::query;
use crate::plugins::Scheme;
use mlua::Lua;

pub const NATIVES: &[Native] = &[
    Native::any("hidden.var_get", |call, lua, args| {
        let name = match args.string(0) {
            Some(name) => String::from_utf8_lossy(&name).to_ascii_lowercase(),
            None => return maybe(lua, None::<&str>),
        };
        maybe(lua, value(call, &name))
    }),
    Native::any("hidden.var_set", set),
];

fn value(call: &Call<'_, '_>, name: &str) -> Option<Vec<u8>> {
    by_prefix(call, name)
        .or_else(|| of_request(call, name))
        .or_else(|| of_connection(call, name))
        .or_else(|| of_response(call, name))
        .or_else(|| of_upstream(call, name))
        .or_else(|| of_time(call, name))
}

fn owned(text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    Some(text.as_ref().to_vec())
}

/// Names that end in the name of a header, a cookie or an argument.
fn by_prefix(call: &Call<'_, '_>, name: &str) -> Option<Vec<u8>> {
    let hyphenated = |name: &str| name.replace('_', "-");
    if let Some(argument) = name.strip_prefix("arg_") {
        let query = call.context.effective_query().unwrap_or_default();
        let mut found = query::arguments(query);
        // As it came: nginx decodes no value.
        let found = found.find(|found| found.name().eq_ignore_ascii_case(argument.as_bytes()))?;
        let at = found.raw.iter().position(|byte| *byte == b'=')?;
        return owned(&found.raw[at + 1..]);
    }
    if let Some(cookie) = name.strip_prefix("cookie_") {
        return cookie_of(call, cookie);
    }
    if let Some(header) = name.strip_prefix("sent_http_") {
        call.context.response.as_ref()?;
        return joined(&response_headers(call), &hyphenated(header));
    }
    if let Some(header) = name.strip_prefix("upstream_http_") {
        call.context
            .response
            .as_ref()
            .filter(|response| response.upstream_status != 0)?;
        return joined(&response_headers(call), &hyphenated(header));
    }
    if let Some(header) = name.strip_prefix("http_") {
        let name = hyphenated(header);
        let values: Vec<&[u8]> = call.context.request_headers(&name).collect();
        return (!values.is_empty()).then(|| values.join(&b", "[..]));
    }
    None
}

fn joined(lines: &[(Vec<u8>, Vec<u8>)], wanted: &str) -> Option<Vec<u8>> {
    let lines = lines.iter();
    let values = lines.filter(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()));
    let values: Vec<&[u8]> = values.map(|(_, value)| &**value).collect();
    (!values.is_empty()).then(|| values.join(&b", "[..]))
}

fn cookie_of(call: &Call<'_, '_>, wanted: &str) -> Option<Vec<u8>> {
    call.context.request_headers("cookie").find_map(|line| {
        line.split(|byte| *byte == b';').find_map(|pair| {
            let pair = pair.trim_ascii();
            let at = pair.iter().position(|byte| *byte == b'=')?;
            let name = &pair[..at];
            name.eq_ignore_ascii_case(wanted.as_bytes())
                .then(|| pair[at + 1..].to_vec())
        })
    })
}

fn of_request(call: &Call<'_, '_>, name: &str) -> Option<Vec<u8>> {
    let context = &call.context;
    let query = context.effective_query().filter(|query| !query.is_empty());
    match name {
        "args" | "query_string" => query.map(<[u8]>::to_vec),
        "is_args" => owned(if query.is_some() { "?" } else { "" }),
        "uri" | "document_uri" => owned(context.path()),
        "request_uri" => owned(context.head.target()),
        "request_method" => Some(method(call)),
        "request" => Some(request_line(call)),
        "host" => Some(request_host(call)),
        "content_length" | "content_type" => {
            let header = name.replace('_', "-");
            context.request_header(&header).map(<[u8]>::to_vec)
        }
        "request_id" | "kong_request_id" => owned(context.request_id),
        "request_length" => owned(request_length(call).to_string()),
        "kong_proxy_mode" => owned("http"),
        "limit_rate" => owned("0"),
        "pipe" => owned("."),
        "hostname" => owned(&*call.instance.node.hostname),
        "pid" => owned(std::process::id().to_string()),
        "nginx_version" => owned("1.25.3.2"),
        _ => None,
    }
}

/// The head, and from the response on the body.
fn request_length(call: &Call<'_, '_>) -> usize {
    let head = call.context.head;
    let lines = head
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len() + 4);
    let head_length = request_line(call).len() + 2 + lines.sum::<usize>() + 2;
    if call.phase.is_coroutine() {
        return head_length;
    }
    let told = head.headers.get("content-length");
    let told = told.and_then(|length| std::str::from_utf8(length).ok()?.parse::<usize>().ok());
    head_length
        + told
            .or(call.context.body.map(<[u8]>::len))
            .unwrap_or_default()
}

fn of_connection(call: &Call<'_, '_>, name: &str) -> Option<Vec<u8>> {
    let peer = &call.context.peer;
    match name {
        "scheme" => owned(if peer.https { "https" } else { "http" }),
        "https" => owned(if peer.https { "on" } else { "" }),
        "remote_addr" => owned(peer.client.to_string()),
        "remote_port" => owned(peer.client_port.to_string()),
        "realip_remote_addr" => owned(peer.peer.ip().to_string()),
        "realip_remote_port" => owned(peer.peer.port().to_string()),
        "server_addr" => owned(peer.local.ip().to_string()),
        "server_port" => owned(peer.local.port().to_string()),
        "server_name" => owned("kong"),
        "server_protocol" => {
            let line = request_line(call);
            line.rsplit(|byte| *byte == b' ').next().map(<[u8]>::to_vec)
        }
        "connection_requests" => owned(peer.connection_request.to_string()),
        "connection" => owned(peer.connection.to_string()),
        "ssl_server_name" => call.context.sni.and_then(owned),
        "ssl_protocol" => call.context.tls_protocol.and_then(owned),
        _ => None,
    }
}

fn of_response(call: &Call<'_, '_>, name: &str) -> Option<Vec<u8>> {
    match name {
        "status" => {
            let response = call.context.response.as_ref();
            owned(response.map_or("000".to_owned(), |response| {
                format!("{:03}", response.status)
            }))
        }
        "request_completion" => owned(match call.log {
            Some(log) if !log.client_closed => "OK",
            _ => "",
        }),
        "body_bytes_sent" | "bytes_sent" => {
            owned(call.log.map_or(0, |log| log.response_bytes).to_string())
        }
        _ => None,
    }
}

fn of_upstream(call: &Call<'_, '_>, name: &str) -> Option<Vec<u8>> {
    let context = &call.context;
    let name = name.strip_prefix("upstream_")?;
    let tries = call.log.map_or(context.tries, |log| log.tries);
    let last = tries.last();
    match name {
        "addr" => return last.and_then(|last| owned(last.address?.to_string())),
        "status" => {
            let status = context.response.as_ref()?.upstream_status;
            return (status != 0).then(|| status.to_string().into_bytes());
        }
        "response_time" | "connect_time" | "header_time" => {
            let took = last.map(|last| last.took_us)?;
            return match call.log {
                Some(_) => owned(format!("{}.{:03}", took / 1_000_000, took / 1000 % 1000)),
                None => owned("-"),
            };
        }
        "uri" | "scheme" | "host" | "via" | "connection" | "x_forwarded_for"
        | "x_forwarded_proto" | "x_forwarded_host" | "x_forwarded_port" | "x_forwarded_path"
        | "x_forwarded_prefix" | "te" | "upgrade" => {}
        _ => return None,
    }
    // These are Kong's own, empty until a route is found.
    let Some(matched) = context.matched.filter(|_| call.phase != Phase::Rewrite) else {
        return owned("");
    };
    let peer = &context.peer;
    match name {
        "uri" => {
            let sent = call
                .log
                .map_or(context.upstream_uri, |log| log.upstream_uri);
            if !sent.is_empty() {
                return owned(sent);
            }
            context
                .upstream
                .path
                .clone()
                .or_else(|| Some(matched.upstream_path(context.path())))
        }
        "scheme" => owned(match context.upstream.scheme {
            Some(Scheme::Http) => "http".to_owned(),
            Some(Scheme::Https) => "https".to_owned(),
            None => {
                let service = matched.service().unwrap_or_default();
                let protocol = service.get("protocol").and_then(|name| name.as_str());
                protocol.unwrap_or("http").to_owned()
            }
        }),
        "host" => owned(context.request_edits.edited("host").unwrap_or_default()),
        "via" => owned(format!("1.1 {}", crate::http::PRODUCT)),
        "connection" => owned("keep-alive"),
        "te" | "upgrade" => owned(""),
        "x_forwarded_for" => match context.head.headers.get("x-forwarded-for") {
            Some(before) if !before.is_empty() => {
                owned([before, peer.peer.ip().to_string().as_bytes()].join(&b", "[..]))
            }
            _ => owned(peer.client.to_string()),
        },
        "x_forwarded_proto" => claimed(call, "x-forwarded-proto")
            .or_else(|| owned(if peer.https { "https" } else { "http" })),
        "x_forwarded_host" => {
            claimed(call, "x-forwarded-host").or_else(|| Some(request_host(call)))
        }
        "x_forwarded_port" => {
            claimed(call, "x-forwarded-port").or_else(|| owned(peer.visible_port.to_string()))
        }
        "x_forwarded_path" => {
            claimed(call, "x-forwarded-path").or_else(|| owned(context.head.path()))
        }
        _ => claimed(call, "x-forwarded-prefix").or_else(|| {
            let stripped = matched.stripped_prefix(context.path());
            stripped.filter(|prefix| *prefix != "/").and_then(owned)
        }),
    }
}

fn of_time(call: &Call<'_, '_>, name: &str) -> Option<Vec<u8>> {
    let now = time::now();
    let seconds = now.as_secs();
    match name {
        "msec" => owned(format!("{seconds}.{:03}", now.subsec_millis())),
        "time_iso8601" => owned(format!("{}+00:00", time::utc(seconds).replace(' ', "T"))),
        "time_local" => {
            const MONTHS: [&str; 12] = [
                "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
            ];
            let (year, month, day) = time::date((seconds / 86_400) as i64);
            let (hour, minute, second) = time::clock(seconds);
            let month = MONTHS.get(month as usize - 1).copied().unwrap_or_default();
            owned(format!(
                "{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000"
            ))
        }
        "request_time" => {
            let took = (now.as_millis() as u64).saturating_sub(call.context.started.0);
            owned(format!("{}.{:03}", took / 1000, took % 1000))
        }
        _ => None,
    }
}

/// Variables of Kong's that functions may set although it changes nothing here: the gateway
/// writes these headers itself.
const WITHOUT_EFFECT: [&str; 14] = [
    "limit_rate",
    "upstream_connection",
    "upstream_te",
    "upstream_upgrade",
    "upstream_via",
    "upstream_x_forwarded_for",
    "upstream_x_forwarded_host",
    "upstream_x_forwarded_path",
    "upstream_x_forwarded_port",
    "upstream_x_forwarded_prefix",
    "upstream_x_forwarded_proto",
    "ctx_ref",
    "kong_proxy_mode",
    "upstream_keepalive",
];

fn set(call: &mut Call<'_, '_>, _: &Lua, args: &Args) -> Given {
    let name = args.needed(0, "variable name")?;
    let value = shown(args.get(1));
    let early = call.phase.is_coroutine();
    let in_access = call.phase == Phase::Access;
    match name.as_str() {
        "args" if early => call.context.upstream.query = Some(value),
        "upstream_uri" if in_access => call.context.upstream.path = Some(value),
        "upstream_host" if early => call.context.request_edits.set("Host", value),
        "upstream_scheme" if in_access => match value.as_slice() {
            b"http" => call.context.upstream.scheme = Some(Scheme::Http),
            b"https" => call.context.upstream.scheme = Some(Scheme::Https),
            _ => {}
        },
        "args" | "upstream_uri" | "upstream_host" | "upstream_scheme" => {}
        name if WITHOUT_EFFECT.contains(&name) => {}
        name => {
            return Err(format!(
                "variable \"{name}\" not found for writing; maybe it is a built-in variable that \
                 is not changeable or you forgot to use \"set ${name} '';\" in the config file to \
                 define it first"
            ));
        }
    }
    nothing()
}
