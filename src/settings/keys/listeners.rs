//! Keys of listeners and their logs.

use crate::settings::key::*;

#[rustfmt::skip]
pub static KEYS: &[Key] = &[
    list("proxy_listen", "0.0.0.0:8000 reuseport backlog=16384, 0.0.0.0:8443 http2 ssl reuseport backlog=16384",
        "Addresses that serve traffic, each with flags (ssl, http2, proxy_protocol, ...), or off."),
    list("stream_listen", "off",
        "Addresses for TCP and UDP traffic.").no_effect(),
    list("admin_listen", "127.0.0.1:8001 reuseport backlog=16384, 127.0.0.1:8444 http2 ssl reuseport backlog=16384",
        "Addresses of the Admin API, on a control plane and on a traditional node."),
    list("status_listen", "127.0.0.1:8007 reuseport backlog=16384",
        "Addresses of the status API: /status, /status/ready, /metrics; or off. Two nodes on one host need different ones."),
    list("cluster_listen", "0.0.0.0:8005",
        "Addresses on which a control plane awaits its data planes; always TLS."),
    list("cluster_telemetry_listen", "0.0.0.0:8006",
        "Addresses on which a control plane takes telemetry from its data planes; always TLS; or off."),
    list("admin_gui_listen", "off",
        "Addresses of Kong Manager, which is not part of Langur.").no_effect(),
    list("port_maps", "",
        "external:listener pairs: the port clients see in front of a listener's port, for X-Forwarded-Port."),
    text("proxy_access_log", "logs/access.log", "Access log of the proxy.").no_effect(),
    text("proxy_error_log", "logs/error.log", "Error log of the proxy; everything is logged to standard error.").no_effect(),
    text("proxy_stream_access_log", "logs/access.log basic", "Access log of streams.").no_effect(),
    text("proxy_stream_error_log", "logs/error.log", "Error log of streams.").no_effect(),
    text("admin_access_log", "logs/admin_access.log", "Access log of the Admin API.").no_effect(),
    text("admin_error_log", "logs/error.log", "Error log of the Admin API.").no_effect(),
    text("status_access_log", "off", "Access log of the status API.").no_effect(),
    text("status_error_log", "logs/status_error.log", "Error log of the status API.").no_effect(),
    text("admin_gui_access_log", "logs/admin_gui_access.log", "Access log of Kong Manager.").no_effect(),
    text("admin_gui_error_log", "logs/admin_gui_error.log", "Error log of Kong Manager.").no_effect(),
    text("admin_gui_api_url", "", "Address of the Admin API for Kong Manager.").no_effect(),
    text("admin_gui_path", "/", "Path prefix of Kong Manager.").no_effect(),
    list("admin_gui_url", "", 
        "URLs of the pages whose scripts may use the Admin API; empty is any page."),
];
