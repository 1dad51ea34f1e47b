//! The names that formats use.

/// A value of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    RemoteAddr,
    RemotePort,
    RealipRemoteAddr,
    RealipRemotePort,
    RemoteUser,
    TimeLocal,
    TimeIso8601,
    Msec,
    Request,
    RequestMethod,
    RequestUri,
    Uri,
    Args,
    IsArgs,
    Argument(String),
    Scheme,
    Https,
    Host,
    ServerName,
    ServerAddr,
    ServerPort,
    ServerProtocol,
    Status,
    BytesSent,
    BodyBytesSent,
    RequestLength,
    RequestTime,
    RequestCompletion,
    RequestId,
    /// Names of headers are lower-case words with `_` between them.
    RequestHeader(String),
    Cookie(String),
    ForwardedFor,
    SentHeader(String),
    UpstreamHeader(String),
    UpstreamAddr,
    UpstreamStatus,
    UpstreamResponseTime,
    UpstreamConnectTime,
    UpstreamHeaderTime,
    UpstreamUri,
    UpstreamHost,
    TlsProtocol,
    TlsCipher,
    TlsName,
    Connection,
    ConnectionRequests,
    Pipe,
    Hostname,
    Pid,
    /// What nginx has and this gateway never: compression, caches, resumed handshakes.
    Never,
}

impl Variable {
    /// The variable of this name, without the `$`.
    pub fn parse(name: &str) -> Option<Variable> {
        let name = name.to_ascii_lowercase();
        let named = |prefix: &str| {
            let rest = name.strip_prefix(prefix).filter(|rest| !rest.is_empty());
            rest.map(str::to_owned)
        };
        if let Some(plain) = plain(&name) {
            return Some(plain);
        }
        // The longer prefixes first: `upstream_http_` is no header of the request.
        if let Some(header) = named("upstream_http_") {
            return Some(Variable::UpstreamHeader(header));
        }
        if let Some(header) = named("sent_http_") {
            return Some(Variable::SentHeader(header));
        }
        if let Some(header) = named("http_") {
            return Some(Variable::RequestHeader(header));
        }
        if let Some(cookie) = named("cookie_") {
            return Some(Variable::Cookie(cookie));
        }
        named("arg_").map(Variable::Argument)
    }

    /// Every name that stands for itself, for the documentation.
    #[cfg(test)]
    pub fn names() -> impl Iterator<Item = &'static str> {
        PLAIN.iter().map(|(name, _)| *name)
    }
}

fn plain(name: &str) -> Option<Variable> {
    let found = PLAIN.iter().find(|(known, _)| *known == name);
    found.map(|(_, make)| make())
}

type Make = fn() -> Variable;

#[rustfmt::skip]
static PLAIN: &[(&str, Make)] = &[
    ("remote_addr", || Variable::RemoteAddr),
    ("remote_port", || Variable::RemotePort),
    ("realip_remote_addr", || Variable::RealipRemoteAddr),
    ("realip_remote_port", || Variable::RealipRemotePort),
    ("remote_user", || Variable::RemoteUser),
    ("time_local", || Variable::TimeLocal),
    ("time_iso8601", || Variable::TimeIso8601),
    ("msec", || Variable::Msec),
    ("request", || Variable::Request),
    ("request_method", || Variable::RequestMethod),
    ("request_uri", || Variable::RequestUri),
    ("uri", || Variable::Uri),
    ("document_uri", || Variable::Uri),
    ("args", || Variable::Args),
    ("query_string", || Variable::Args),
    ("is_args", || Variable::IsArgs),
    ("scheme", || Variable::Scheme),
    ("https", || Variable::Https),
    ("host", || Variable::Host),
    ("server_name", || Variable::ServerName),
    ("server_addr", || Variable::ServerAddr),
    ("server_port", || Variable::ServerPort),
    ("server_protocol", || Variable::ServerProtocol),
    ("status", || Variable::Status),
    ("bytes_sent", || Variable::BytesSent),
    ("body_bytes_sent", || Variable::BodyBytesSent),
    ("request_length", || Variable::RequestLength),
    ("request_time", || Variable::RequestTime),
    ("request_completion", || Variable::RequestCompletion),
    ("request_id", || Variable::RequestId),
    ("kong_request_id", || Variable::RequestId),
    ("content_type", || Variable::RequestHeader("content_type".to_owned())),
    ("content_length", || Variable::RequestHeader("content_length".to_owned())),
    ("proxy_add_x_forwarded_for", || Variable::ForwardedFor),
    ("upstream_addr", || Variable::UpstreamAddr),
    ("upstream_status", || Variable::UpstreamStatus),
    ("upstream_response_time", || Variable::UpstreamResponseTime),
    ("upstream_connect_time", || Variable::UpstreamConnectTime),
    ("upstream_header_time", || Variable::UpstreamHeaderTime),
    ("upstream_uri", || Variable::UpstreamUri),
    ("upstream_host", || Variable::UpstreamHost),
    ("ssl_protocol", || Variable::TlsProtocol),
    ("ssl_cipher", || Variable::TlsCipher),
    ("ssl_server_name", || Variable::TlsName),
    ("connection", || Variable::Connection),
    ("connection_requests", || Variable::ConnectionRequests),
    ("pipe", || Variable::Pipe),
    ("hostname", || Variable::Hostname),
    ("pid", || Variable::Pid),
    ("gzip_ratio", || Variable::Never),
    ("upstream_cache_status", || Variable::Never),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known() {
        for (name, expected) in [
            ("remote_addr", Some(Variable::RemoteAddr)),
            ("Remote_Addr", Some(Variable::RemoteAddr)),
            (
                "http_user_agent",
                Some(Variable::RequestHeader("user_agent".into())),
            ),
            ("sent_http_x", Some(Variable::SentHeader("x".into()))),
            (
                "upstream_http_x_y",
                Some(Variable::UpstreamHeader("x_y".into())),
            ),
            ("cookie_session", Some(Variable::Cookie("session".into()))),
            ("arg_page", Some(Variable::Argument("page".into()))),
            ("http_", None),
            ("arg_", None),
            ("nope", None),
            ("", None),
        ] {
            assert_eq!(Variable::parse(name), expected, "{name}");
        }
    }
}
