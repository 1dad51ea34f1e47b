//! Settings as installations of Kong 0.14 to 3.9 have them, in `data/kong`: each is taken as it is,
//! with one warning for each name that does nothing.

use super::{Effect, FileVariable, Settings, SettingsFile, Sources, grammar, keys};

/// What a file or an environment gives, and the names it sets. Settings that are wrong fail the
/// test.
#[track_caller]
fn load(name: &str, text: &str) -> (Settings, Vec<String>, Vec<String>) {
    let assignments = grammar::parse(text).unwrap().assignments.into_iter();
    let pairs: Vec<_> = assignments.map(|a| (a.key, a.value)).collect();
    let is_environment = name.ends_with(".env");
    let sources = Sources {
        file: (!is_environment).then_some(SettingsFile { name, text }),
        environment: if is_environment { &pairs } else { &[] },
        ..Sources::default()
    };
    let names = pairs.iter().map(|(name, _)| {
        let name = name.strip_prefix("KONG_").unwrap_or(name);
        name.to_ascii_lowercase()
    });
    match Settings::load(&sources) {
        Ok((settings, warnings)) => (settings, warnings, names.collect()),
        Err(error) => panic!("{name}: {error}"),
    }
}

/// One warning for each name without effect and none for the others; those that are no settings at
/// all are `unknown`.
#[track_caller]
fn check(name: &str, text: &str, unknown: &[&str]) -> Settings {
    let (settings, mut warnings, names) = load(name, text);
    for key in &names {
        // What a warning is about stands before what it says.
        let about = |warning: &String| {
            let subject = warning.split(" is ").next().unwrap_or_default();
            let name = subject.rsplit(' ').next().unwrap_or_default();
            name == key || warning.starts_with(&format!("{key}: "))
        };
        let (found, others): (Vec<_>, Vec<_>) = warnings.into_iter().partition(about);
        warnings = others;
        let expected = match keys::find(key) {
            _ if unknown.contains(&key.as_str()) => "is no setting and is ignored",
            Some(key) if key.effect == Effect::None => "is accepted and has no effect",
            Some(key) if key.name == "plugins" && !found.is_empty() => "left out",
            Some(_) => {
                // Its value may be worth one.
                assert!(found.len() <= 1, "{name}: {key}: {found:?}");
                continue;
            }
            None => "is accepted and has no effect",
        };
        let [one] = found.as_slice() else {
            panic!("{name}: {key}: {found:?}");
        };
        assert!(one.contains(expected), "{name}: {key}: {one}");
    }
    assert_eq!(warnings, [""; 0], "{name}");
    settings
}

macro_rules! check {
    ($name:literal, $unknown:expr) => {
        check($name, include_str!(concat!("data/kong/", $name)), &$unknown)
    };
}

#[test]
fn trial_07_files_of_any_kong_are_taken_with_warnings() {
    let settings = check!(
        "2.8_package.conf",
        [
            "client_max_body_size",
            "cassandra_contact_points",
            "cassandra_port",
            "cassandra_keyspace",
            "cassandra_repl_strategy",
            "cassandra_repl_factor",
            "cassandra_data_centers",
            "cassandra_consistency",
        ]
    );
    assert_eq!(settings.database.as_str(), "postgres");
    assert_eq!(settings.node.daemon, Some(true));

    let settings = check!(
        "1.x_upgraded.conf",
        [
            "ssl",
            "admin_ssl",
            "http2",
            "custom_plugins",
            "server_tokens",
            "latency_tokens",
            "upstream_keepalive",
            "nginx_optimizations",
            "lua_code_cache",
            "serf_path",
            "cluster_advertise",
            "router_update_frequency",
            "send_anonymous_reports",
        ]
    );
    assert!(!settings.proxy.headers.via);

    let settings = check!(
        "2.5_enterprise.conf",
        [
            "enforce_rbac",
            "rbac_auth_header",
            "admin_gui_auth",
            "admin_gui_session_conf",
            "portal",
            "portal_gui_listen",
            "portal_auth",
            "vitals",
            "vitals_strategy",
            "audit_log",
            "smtp_mock",
            "keyring_enabled",
            "event_hooks_enabled",
            "license_path",
            "admin_approved_email",
            "tracing",
            "tracing_write_strategy",
            "route_validation_strategy",
        ]
    );
    assert!(settings.node.plugins.bundled && settings.node.plugins.names.is_empty());

    let settings = check!("3.4_control_plane.conf", []);
    assert_eq!(settings.node.role, super::Role::ControlPlane);
    let settings = check!("3.6_data_plane.conf", ["nginx_upstream_keepalive_requests"]);
    assert_eq!(settings.database.as_str(), "off");
}

#[test]
fn trial_07_environments_of_any_kong_are_taken_with_warnings() {
    let settings = check!("3.9_image.env", ["version"]);
    assert_eq!(settings.node.daemon, Some(false));
    let settings = check!(
        "2.1_compose.env",
        [
            "cassandra_contact_points",
            "client_max_body_size",
            "x_session_secret"
        ]
    );
    assert_eq!(
        settings.listeners.admin[0].address().to_string(),
        "0.0.0.0:8001"
    );
    let settings = check!("2.8_small.env", []);
    assert!(settings.is_dbless());
    check!(
        "3.7_kubernetes.env",
        [
            "portal_api_access_log",
            "proxy_service_host",
            "proxy_port_80_tcp"
        ]
    );
    let settings = check!("3.1_performance.env", ["nginx_http_upstream_keepalive"]);
    assert_eq!(settings.node.workers, Some(4));
}

/// The reason of what is a danger when it is ignored.
#[test]
fn trial_07_a_guard_that_is_not_there_is_said() {
    let (_, warnings, _) = load("a.conf", "enforce_rbac = on");
    assert_eq!(
        warnings,
        [
            "a.conf: line 1: enforce_rbac is no setting and is ignored: there is no RBAC: whoever \
             reaches the Admin API may do everything"
        ]
    );
}

/// Values from files are taken for any key, and never shown when they are wrong.
#[test]
fn trial_11_a_wrong_value_from_a_file_is_not_shown() {
    let environment = [("KONG_PG_PORT_FILE".to_owned(), "/p".to_owned())];
    let file_variables = [FileVariable {
        name: "KONG_PG_PORT_FILE".to_owned(),
        value: Ok("hunter2".to_owned()),
    }];
    let error = Settings::load(&Sources {
        environment: &environment,
        file_variables: &file_variables,
        ..Sources::default()
    });
    let violations = error.unwrap_err().violations;
    assert_eq!(violations[0], "pg_port is not a number: '******'");
    assert!(!violations.concat().contains("hunter2"));
}
