//! Directives that Kong hands to nginx and that have no meaning here, but for formats of logs. The others stand where they belong.

use crate::settings::key::*;

#[rustfmt::skip]
pub static KEYS: &[Key] = &[
    text("nginx_http_log_format", "",
        "Formats for access logs, as nginx's log_format has them: name [escape=default|json|none] 'text' ...; more follow after `; log_format`."),
    text("nginx_user", "kong kong", "User of worker processes.").no_effect(),
    text("nginx_main_user", "kong kong", "The same as nginx_user.").no_effect(),
    text("nginx_main_worker_rlimit_nofile", "auto", "Most open files.").no_effect(),
    text("nginx_events_worker_connections", "auto", "Most connections of a worker.").no_effect(),
    text("nginx_events_multi_accept", "on", "Accept several connections at once.").no_effect(),
    text("nginx_admin_client_body_buffer_size", "10m", "The same for the Admin API.").no_effect(),
    text("nginx_http_lua_regex_match_limit", "100000", "Steps of a regular expression; they take linear time here.").no_effect(),
    text("nginx_http_lua_regex_cache_max_entries", "8192", "Compiled regular expressions kept.").no_effect(),
    text("nginx_http_ssl_protocols", "", "Set ssl_protocols.").no_effect(),
    text("nginx_http_ssl_prefer_server_ciphers", "", "See ssl_prefer_server_ciphers.").no_effect(),
    text("nginx_http_ssl_dhparam", "", "See ssl_dhparam.").no_effect(),
    text("nginx_http_ssl_session_tickets", "", "See ssl_session_tickets.").no_effect(),
    text("nginx_http_ssl_session_timeout", "", "See ssl_session_timeout.").no_effect(),
    text("nginx_http_ssl_conf_command", "", "OpenSSL command of TLS listeners.").no_effect(),
    text("nginx_http_proxy_ssl_conf_command", "", "OpenSSL command of connections to upstreams.").no_effect(),
    text("nginx_http_lua_ssl_conf_command", "", "OpenSSL command of Lua sockets.").no_effect(),
    text("nginx_http_grpc_ssl_conf_command", "", "OpenSSL command of gRPC upstreams.").no_effect(),
    text("nginx_stream_ssl_protocols", "", "TLS versions of streams.").no_effect(),
    text("nginx_stream_ssl_prefer_server_ciphers", "", "Order of ciphers of streams.").no_effect(),
    text("nginx_stream_ssl_dhparam", "", "Diffie-Hellman parameters of streams.").no_effect(),
    text("nginx_stream_ssl_session_tickets", "", "Session tickets of streams.").no_effect(),
    text("nginx_stream_ssl_session_timeout", "", "Lifetime of TLS sessions of streams.").no_effect(),
    text("nginx_stream_ssl_conf_command", "", "OpenSSL command of stream listeners.").no_effect(),
    text("nginx_stream_proxy_ssl_conf_command", "", "OpenSSL command of stream upstreams.").no_effect(),
    text("nginx_stream_lua_ssl_conf_command", "", "OpenSSL command of Lua sockets in streams.").no_effect(),
    text("nginx_wasm_main_shm_kv", "", "Shared memory of WebAssembly filters.").no_effect(),
    text("openresty_path", "", "Where OpenResty is installed.").no_effect(),
];
