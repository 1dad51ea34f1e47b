//! The table of every key, in the order of the documentation.
//!
//! Every key of Kong 3.9 is here with Kong's default, unless its line says otherwise; keys of
//! Langur's own follow the same notation.

mod cluster;
mod general;
mod listeners;
mod nginx;
mod proxy;
mod resolver;
mod retired;
mod runtime;
mod storage;
mod telemetry;
mod tls;

pub use retired::{retired, similar};

use super::key::Key;
use std::collections::HashMap;
use std::sync::LazyLock;

/// A chapter of the table.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    pub title: &'static str,
    pub keys: &'static [Key],
}

/// All chapters.
pub static SECTIONS: &[Section] = &[
    section("General", general::KEYS),
    section("Listeners", listeners::KEYS),
    section("Cluster", cluster::KEYS),
    section("Storage", storage::KEYS),
    section("Proxy", proxy::KEYS),
    section("TLS", tls::KEYS),
    section("Telemetry", telemetry::KEYS),
    section("Name resolution", resolver::KEYS),
    section("Injected nginx directives", nginx::KEYS),
    section("Lua, WebAssembly and vaults", runtime::KEYS),
];

const fn section(title: &'static str, keys: &'static [Key]) -> Section {
    Section { title, keys }
}

/// Families of keys whose names are the user's: accepted, without effect.
const FAMILIES: [&str; 13] = [
    "nginx_main_",
    "nginx_events_",
    "nginx_http_",
    "nginx_upstream_",
    "nginx_proxy_",
    "nginx_status_",
    "nginx_debug_",
    "nginx_admin_",
    "nginx_stream_",
    "nginx_supstream_",
    "nginx_sproxy_",
    "pluginserver_",
    "vault_",
];

/// Every key.
pub fn all() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.keys)
}

/// The key of this name.
pub fn find(name: &str) -> Option<&'static Key> {
    static BY_NAME: LazyLock<HashMap<&str, &Key>> =
        LazyLock::new(|| all().map(|key| (key.name, key)).collect());
    BY_NAME.get(name).copied()
}

/// Whether the name is one of an open family, such as an injected nginx directive.
pub fn in_family(name: &str) -> bool {
    FAMILIES.iter().any(|family| {
        name.strip_prefix(family)
            .is_some_and(|rest| !rest.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::key::{Effect, Kind};
    use std::collections::HashSet;

    /// Kong 3.9's keys: name, default (`NONE` when unset), type, allowed words.
    const KONG: &str = include_str!("../data/kong_3.9_settings.csv");

    /// Keys whose default is deliberately not Kong's.
    const OWN_DEFAULT: [&str; 6] = [
        "prefix",
        "database",
        "admin_gui_listen",
        "anonymous_reports",
        "nginx_daemon",
        "nginx_main_daemon",
    ];

    #[test]
    fn names_are_unique() {
        let mut seen = HashSet::new();
        for key in all() {
            assert!(seen.insert(key.name), "{} is there twice", key.name);
        }
    }

    #[test]
    fn every_key_of_kong_is_known_with_its_type_and_default() {
        for line in KONG.lines().skip(1) {
            let [name, default, kind, words] = csv_row(line);
            let key = find(&name).unwrap_or_else(|| panic!("{name} is missing"));
            let default = if default == "NONE" { "" } else { &default };
            if !OWN_DEFAULT.contains(&key.name) {
                assert_eq!(key.default, default, "default of {name}");
            }
            let kinds: &[&str] = match key.kind {
                Kind::Size | Kind::Time => &["string"],
                Kind::OneOf(_) => &["string"],
                other => &[other.name()],
            };
            assert!(kinds.contains(&kind.as_str()), "type of {name}");
            if let (Kind::OneOf(ours), false) = (key.kind, words.is_empty()) {
                let theirs: HashSet<_> = words.split(' ').collect();
                let ours: HashSet<_> = ours.iter().copied().collect();
                assert!(name == "database" || ours == theirs, "words of {name}");
            }
        }
    }

    fn csv_row(line: &str) -> [String; 4] {
        let mut cells = [const { String::new() }; 4];
        let (mut cell, mut quoted) = (0, false);
        for c in line.chars() {
            match c {
                '"' => quoted = !quoted,
                ',' if !quoted => cell += 1,
                c => cells[cell].push(c),
            }
        }
        cells
    }

    #[test]
    fn documentation_is_one_line_and_other_names_exist() {
        for key in all() {
            assert!(
                !key.doc.is_empty() && !key.doc.contains('\n'),
                "{}",
                key.name
            );
            assert!(key.alias_of.is_none_or(|other| find(other).is_some()));
        }
    }

    #[test]
    fn masked_keys() {
        let found: HashSet<_> = all().filter(|k| k.secret).map(|k| k.name).collect();
        let expected = HashSet::from([
            "pg_password",
            "pg_ro_password",
            "proxy_server",
            "declarative_config_string",
            "cluster_cert_key",
            "ssl_cert_key",
            "client_ssl_cert_key",
            "admin_ssl_cert_key",
            "admin_gui_ssl_cert_key",
            "status_ssl_cert_key",
            "request_debug_token",
        ]);
        assert_eq!(found, expected);
    }

    #[test]
    fn families() {
        assert!(in_family("nginx_http_gzip"));
        assert!(in_family("vault_env_prefix"));
        assert!(!in_family("nginx_http_"));
        assert!(!in_family("nginx_gzip"));
        assert!(find("nginx_http_ssl_dhparam").is_some_and(|k| k.effect == Effect::None));
    }
}
