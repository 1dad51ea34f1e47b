//! Whole loads: roles, contradictions, defaults, the report.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn load(text: &str) -> Result<(Settings, Vec<String>), SettingsError> {
    Settings::load(&Sources {
        file: Some(SettingsFile {
            name: "langur.conf",
            text,
        }),
        ..Sources::default()
    })
}

pub(super) fn settings(text: &str) -> Settings {
    load(text).unwrap().0
}

#[track_caller]
fn check_violations(text: &str, expected: &[&str]) {
    assert_eq!(load(text).unwrap_err().violations, expected, "{text}");
}

const CP: &str = "role = control_plane\ncluster_cert = /c.crt\ncluster_cert_key = /c.key\n";
const DP: &str = "role = data_plane\ncluster_cert = /c.crt\ncluster_cert_key = /c.key\n";

#[test]
fn defaults() {
    let (settings, warnings) = Settings::load(&Sources::default()).unwrap();
    assert_eq!(warnings, [""; 0]);
    assert_eq!(settings.node.role, Role::Traditional);
    assert_eq!(settings.node.prefix.to_str(), Some("/var/lib/langur"));
    assert_eq!(settings.node.log_level, LogLevel::Notice);
    assert!(settings.node.plugins.bundled);
    assert_eq!(
        settings.cache.path.to_str(),
        Some("/var/lib/langur/dbless.lmdb")
    );
    assert_eq!(settings.cache.map_size, 2 << 30);
    let Database::Sqlite { path } = &settings.database else {
        panic!("{:?}", settings.database);
    };
    assert_eq!(path.to_str(), Some("/var/lib/langur/langur.db"));
    let ports = |listens: &[Listen]| listens.iter().map(|l| l.port).collect::<Vec<_>>();
    assert_eq!(ports(&settings.listeners.proxy), [8000, 8443]);
    assert_eq!(ports(&settings.listeners.admin), [8001, 8444]);
    assert_eq!(ports(&settings.listeners.status), [8007]);
    assert_eq!(ports(&settings.listeners.cluster), [8005]);
    assert_eq!(ports(&settings.listeners.cluster_telemetry), [8006]);
    assert_eq!(
        settings.proxy.route_match_calculation,
        RouteMatchCalculation::Original
    );
    assert_eq!(
        settings.proxy.real_ip,
        RealIp::Header("x-real-ip".to_owned())
    );
    assert_eq!(settings.proxy.limits.max_line_size, 8 << 10);
    assert_eq!(settings.proxy.limits.max_head_size, 32 << 10);
    assert_eq!(settings.analytics.buffer_size_limit, 100_000);
    let headers = settings.proxy.headers;
    assert!(headers.via && headers.server && headers.proxy_latency && headers.request_id);
    assert!(!headers.upstream_status);
}

#[test]
fn the_database_depends_on_the_role() {
    for (text, expected) in [
        ("", "sqlite"),
        (CP, "sqlite"),
        (DP, "off"),
        ("pg_host = db", "postgres"),
        ("pg_password = x", "postgres"),
        ("pg_host =", "sqlite"),
        // A default that is written down.
        ("pg_port = 5432", "sqlite"),
        ("database = sqlite\npg_host = db", "sqlite"),
        (&format!("{DP}pg_host = db"), "off"),
        ("database = postgres", "postgres"),
        ("database = off", "off"),
    ] {
        let settings = settings(text);
        assert_eq!(settings.database.as_str(), expected);
        assert_eq!(settings.report()["database"], expected);
        assert_eq!(settings.is_dbless(), text == "database = off");
    }
}

#[test]
fn contradictions_of_a_control_plane() {
    check_violations(
        "role = control_plane",
        &[
            "cluster_cert, cluster_cert_key: cluster certificate and key must be provided to use Hybrid mode",
        ],
    );
    check_violations(
        "role = control_plane\ncluster_cert = /c.crt",
        &["cluster_cert_key: cluster certificate and key must be provided to use Hybrid mode"],
    );
    for (line, expected) in [
        (
            "admin_listen = off",
            "admin_listen must be specified when role = \"control_plane\"",
        ),
        (
            "cluster_listen = off",
            "cluster_listen must be specified when role = \"control_plane\"",
        ),
        (
            "database = off",
            "database: in-memory storage can not be used when role = \"control_plane\"",
        ),
        (
            "cluster_mtls = pki",
            "cluster_ca_cert must be specified when cluster_mtls = \"pki\"",
        ),
        (
            "cluster_use_proxy = on",
            "cluster_use_proxy can not be used when role = \"control_plane\"",
        ),
        (
            "cluster_dp_labels = a:b",
            "cluster_dp_labels can not be used when role = \"control_plane\"",
        ),
    ] {
        check_violations(&format!("{CP}{line}"), &[expected]);
    }
}

#[test]
fn contradictions_of_a_data_plane() {
    for (line, expected) in [
        (
            "proxy_listen = off",
            "proxy_listen must be specified when role = \"data_plane\"",
        ),
        (
            "database = sqlite",
            "database: only in-memory storage can be used when role = \"data_plane\" (hint: set database = off in your langur.conf)",
        ),
        (
            "cluster_use_proxy = on",
            "cluster_use_proxy is turned on but no proxy_server is configured",
        ),
        (
            "cluster_dp_labels = kong:b",
            "cluster_dp_labels: label key validation failed: kong is invalid. Must match pattern: (?!kong)(?!konnect)(?!insomnia)(?!mesh)(?!kic)[a-z0-9]([\\w\\.:-]*[a-z0-9]|)$",
        ),
        (
            "cluster_mtls = pki\ncluster_ocsp = on",
            "cluster_ocsp must be off: revocation checks are not available",
        ),
    ] {
        check_violations(&format!("{DP}{line}"), &[expected]);
    }
    check_violations(
        "cluster_dp_labels = a:b",
        &["cluster_dp_labels can only be used when role = \"data_plane\""],
    );
}

#[test]
fn single_bad_values() {
    for (line, expected) in [
        (
            "cluster_data_plane_purge_delay = 59",
            "cluster_data_plane_purge_delay must be 60 or greater",
        ),
        (
            "cluster_max_payload = 4194303",
            "cluster_max_payload must be 4194304 (4MB) or greater",
        ),
        (
            "cluster_control_plane = a:1, b",
            "cluster_control_plane must be of form host:port, got 'b'",
        ),
        (
            "cluster_telemetry_endpoint = a:1,b:2",
            "cluster_telemetry_endpoint takes one address, got 'a:1,b:2'",
        ),
        ("node_id = me", "node_id must be a valid UUID"),
        (
            "nginx_worker_processes = 0",
            "nginx_worker_processes must be auto or an integer between 1 and 1024, got '0'",
        ),
        (
            "nginx_main_daemon = maybe",
            "nginx_main_daemon is not on or off: 'maybe'",
        ),
        ("headers = nope", "headers: invalid entry 'nope'"),
        (
            "headers_upstream = via",
            "headers_upstream: invalid entry 'via'",
        ),
        ("port_maps = 80", "invalid port mapping (`port_maps`): 80"),
        (
            "lua_max_uri_args = 1001",
            "lua_max_uri_args must be an integer between 1 and 1000",
        ),
        (
            "upstream_keepalive_pool_size = -1",
            "upstream_keepalive_pool_size must be 0 or greater",
        ),
        (
            "real_ip_header = a b",
            "real_ip_header must be the name of a header or proxy_protocol, got 'a b'",
        ),
        ("lmdb_map_size = 1k", "lmdb_map_size must be 1m or greater"),
        (
            "analytics_buffer_size_limit = 0",
            "analytics_buffer_size_limit must be an integer between 1 and 10000000",
        ),
        ("ssl_cert = /a", "ssl_cert_key must be specified"),
        (
            "admin_ssl_cert_key = /a",
            "admin_ssl_cert must be specified",
        ),
        (
            "ssl_cert = /a, /b\nssl_cert_key = /c",
            "ssl_cert was specified 2 times while ssl_cert_key was specified 1 times",
        ),
        (
            "client_ssl = on\nclient_ssl_cert = /a",
            "client_ssl_cert_key must be specified",
        ),
        (
            "ssl_cipher_suite = best",
            "ssl_cipher_suite: Undefined cipher suite best",
        ),
        (
            "ssl_protocols = TLSv1.4 TLSv1.3",
            "ssl_protocols: invalid entry 'TLSv1.4'",
        ),
        (
            "ssl_cipher_suite = modern\nssl_protocols = TLSv1.2",
            "ssl_protocols leaves no version of TLS that ssl_cipher_suite = modern allows",
        ),
        (
            "status_listen = 127.0.0.1:8001",
            "status_listen: 127.0.0.1:8001 is already taken by admin_listen",
        ),
        (
            "database = postgres\npg_port = 0",
            "pg_port must be an integer between 1 and 65535",
        ),
        (
            "db_update_frequency = -1",
            "db_update_frequency must be 0 or greater",
        ),
        (
            "nginx_http_large_client_header_buffers = many",
            "nginx_http_large_client_header_buffers or nginx_proxy_large_client_header_buffers must be a number and a size such as '4 8k', 16m in all at most, got 'many'",
        ),
        (
            "nginx_http_proxy_buffers = 0 4k",
            "nginx_http_proxy_buffers or nginx_proxy_proxy_buffers must be a number and a size such as '8 4k', 1g in all at most, got '0 4k'",
        ),
        (
            "nginx_proxy_proxy_buffer_size = 17m",
            "nginx_proxy_proxy_buffer_size must be 16m at most",
        ),
        (
            "nginx_proxy_send_timeout = x",
            "nginx_http_send_timeout or nginx_proxy_send_timeout is not a time: 'x'",
        ),
        (
            "client_body_buffer_size = x",
            "client_body_buffer_size or nginx_http_client_body_buffer_size or nginx_proxy_client_body_buffer_size is not a size: 'x'",
        ),
        (
            "nginx_proxy_proxy_ssl_verify_depth = 65",
            "nginx_proxy_proxy_ssl_verify_depth must be an integer between 0 and 64",
        ),
    ] {
        check_violations(line, &[expected]);
    }
    let error = load("trusted_ips = host").unwrap_err();
    assert!(error.violations[0].starts_with("trusted_ips must be a comma separated list"));
    let error = load("proxy_listen = 8000").unwrap_err();
    assert!(error.violations[0].starts_with("proxy_listen must be of form: [off] | <ip>:<port>"));
}

#[test]
fn everything_wrong_is_said_at_once() {
    check_violations(
        "role = control_plane\ndatabase = off\npg_port = x",
        &[
            "pg_port is not a number: 'x'",
            "cluster_cert, cluster_cert_key: cluster certificate and key must be provided to use Hybrid mode",
            "database: in-memory storage can not be used when role = \"control_plane\"",
        ],
    );
}

/// From compose files in the wild, and the names that one of two scopes may be given in.
#[test]
fn trial_08_buffers_of_responses() {
    let check = |text: &str, head: usize, memory: usize| {
        let bodies = settings(text).proxy.bodies;
        assert_eq!(
            (bodies.max_response_head, bodies.response_memory),
            (head, memory),
            "{text}"
        );
    };
    check("", 32 << 10, 32 << 10);
    check("nginx_proxy_proxy_buffer_size = 160k", 160 << 10, 32 << 10);
    check("nginx_http_proxy_buffer_size = 128k", 128 << 10, 32 << 10);
    check(
        "nginx_proxy_proxy_buffer_size = 4k\nnginx_proxy_proxy_buffers = 8 4k",
        4 << 10,
        32 << 10,
    );
    check(
        "nginx_proxy_proxy_buffers = 64 160k",
        160 << 10,
        64 * (160 << 10),
    );
}

#[test]
fn trial_34_proxy_protocol_is_refused_or_warned_of_where_it_is_not_read() {
    check_violations(
        "status_listen = 127.0.0.1:8100 proxy_protocol",
        &["status_listen: proxy_protocol can only be used in proxy_listen"],
    );
    let listen = "proxy_listen = 127.0.0.1:8000 proxy_protocol";
    for (text, warnings) in [
        (listen.to_owned(), 1),
        ("real_ip_header = proxy_protocol".to_owned(), 1),
        (format!("{listen}\nreal_ip_header = proxy_protocol"), 0),
    ] {
        let (_, found) = load(&text).unwrap();
        assert_eq!(found.len(), warnings, "{text}: {found:?}");
        assert!(
            found
                .iter()
                .all(|warning| warning.contains("proxy_protocol")),
            "{found:?}"
        );
    }
}

#[test]
fn the_inner_scope_of_an_injected_directive_wins() {
    for (text, expected) in [
        ("nginx_http_client_body_timeout = 5s", 5),
        ("nginx_proxy_client_body_timeout = 6s", 6),
        (
            "nginx_http_client_body_timeout = 5s\nnginx_proxy_client_body_timeout = 6s",
            6,
        ),
    ] {
        let (settings, warnings) = load(text).unwrap();
        assert_eq!(
            settings.proxy.limits.body_timeout.as_secs(),
            expected,
            "{text}"
        );
        assert_eq!(warnings, [""; 0]);
    }
    let memory = |text: &str| settings(text).proxy.bodies.request_memory;
    assert_eq!(memory("client_body_buffer_size = 1m"), 1 << 20);
    assert_eq!(memory("nginx_http_client_body_buffer_size = 2m"), 2 << 20);
    assert_eq!(
        memory("client_body_buffer_size = 1m\nnginx_proxy_client_body_buffer_size = 3m"),
        3 << 20
    );
}

#[test]
fn trial_10_nginx_daemon_by_either_name() {
    for (text, expected) in [
        ("", None),
        ("nginx_daemon = on", Some(true)),
        ("nginx_daemon = false", Some(false)),
        ("nginx_main_daemon = off", Some(false)),
        ("nginx_daemon = on\nnginx_main_daemon = off", Some(false)),
    ] {
        assert_eq!(settings(text).node.daemon, expected, "{text}");
    }
}

#[test]
fn several_control_planes() {
    let settings = settings(&format!("{DP}cluster_control_plane = a:8005, [::1]:9000"));
    let shown: Vec<_> = settings
        .cluster
        .control_planes
        .iter()
        .map(|cp| {
            (
                cp.to_string(),
                settings.cluster.telemetry_endpoint(cp).to_string(),
            )
        })
        .collect();
    let expected = [("a:8005", "a:8006"), ("[::1]:9000", "[::1]:8006")];
    assert_eq!(shown, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
}

#[test]
fn headers_off() {
    for (text, any) in [("off", false), ("off, via", true), ("via", true)] {
        let headers = settings(&format!("headers = {text}")).proxy.headers;
        assert_eq!(headers != ResponseHeaders::default(), any, "{text}");
    }
}

#[test]
fn secrets_are_shown_nowhere() {
    let text = format!(
        "{CP}database = postgres\npg_password = hunter2\ndeclarative_config_string = hunter3"
    );
    let settings = settings(&text);
    let shown = format!(
        "{settings:?} {}",
        serde_json::Value::from(settings.report())
    );
    assert!(!shown.contains("hunter"), "{shown}");
    let Database::Postgres(postgres) = &settings.database else {
        panic!("{:?}", settings.database);
    };
    assert_eq!(
        postgres.password.as_ref().map(Secret::expose),
        Some("hunter2")
    );
    let error = load("pg_password = hunter2\nclient_ssl = maybe").unwrap_err();
    assert!(!error.to_string().contains("hunter"));
}

#[test]
fn the_report_has_listeners_as_objects() {
    let report = settings("proxy_listen = 0.0.0.0:80 ssl backlog=5").report();
    assert_eq!(report["proxy_listen"], json!(["0.0.0.0:80 ssl backlog=5"]));
    assert_eq!(
        report["proxy_listeners"],
        json!([{
            "ip": "0.0.0.0", "port": 80, "ssl": true, "http2": false, "proxy_protocol": false,
            "deferred": false, "bind": false, "reuseport": false, "backlog": 5,
            "backlog=5": true, "listener": "0.0.0.0:80 ssl backlog=5"
        }])
    );
}

#[test]
fn the_example_files_load_without_a_warning() {
    for (text, role) in [
        (
            include_str!("../../config/control_plane.conf"),
            Role::ControlPlane,
        ),
        (
            include_str!("../../config/data_plane.conf"),
            Role::DataPlane,
        ),
    ] {
        let (settings, warnings) = load(text).unwrap();
        assert_eq!(settings.node.role, role);
        assert_eq!(warnings, [""; 0]);
    }
}

proptest! {
    #[test]
    fn no_value_of_any_key_panics(
        index in any::<proptest::sample::Index>(),
        role in "(control_plane|data_plane|traditional)",
        value in "([ -~]{0,30}|-?[0-9]{1,20}[kmgsdy]?|[0-9.:,\\[\\]a-f]{1,20} ssl)",
    ) {
        let all: Vec<_> = keys::all().collect();
        let key = index.get(&all).name;
        let _ = load(&format!("role = {role}\ndatabase = postgres\n{key} = {value}"));
    }
}
