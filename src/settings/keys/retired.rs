//! Names of settings that other versions and editions of Kong know: why they do nothing here.

/// A whole name, or the beginning of one when it ends with `*`, and the reason.
type Retired = (&'static str, &'static str);

/// The first that fits counts.
#[rustfmt::skip]
const RETIRED: &[Retired] = &[
    // Kong before 3.0.
    ("cassandra_*", "there is no Cassandra; set database to postgres or sqlite"),
    ("client_max_body_size", "set nginx_http_client_max_body_size instead"),
    ("ssl", "write ssl behind an address of proxy_listen instead"),
    ("admin_ssl", "write ssl behind an address of admin_listen instead"),
    ("http2", "write http2 behind an address of proxy_listen instead"),
    ("admin_http2", "write http2 behind an address of admin_listen instead"),
    ("proxy_listen_ssl", "write ssl behind an address of proxy_listen instead"),
    ("admin_listen_ssl", "write ssl behind an address of admin_listen instead"),
    ("admin_api_listen", "set admin_listen instead"),
    ("custom_plugins", "set plugins instead"),
    ("server_tokens", "set headers instead"),
    ("latency_tokens", "set headers instead"),
    ("upstream_keepalive", "set upstream_keepalive_pool_size instead"),
    ("nginx_upstream_keepalive", "set upstream_keepalive_pool_size instead"),
    ("nginx_http_upstream_keepalive", "set upstream_keepalive_pool_size instead"),
    ("nginx_upstream_keepalive_requests", "set upstream_keepalive_max_requests instead"),
    ("nginx_http_upstream_keepalive_requests", "set upstream_keepalive_max_requests instead"),
    ("nginx_upstream_keepalive_timeout", "set upstream_keepalive_idle_timeout instead"),
    ("nginx_http_upstream_keepalive_timeout", "set upstream_keepalive_idle_timeout instead"),
    ("nginx_optimizations", "there is no nginx to tune"),
    ("nginx_working_dir", "set prefix instead"),
    ("lua_code_cache", "no Lua is run"),
    ("lua_socket_keepalive", "no Lua is run"),
    ("memory_cache_size", "the whole configuration is in memory"),
    ("router_update_frequency", "a change is in effect at once"),
    ("go_pluginserver_exe", "plugin servers are not run"),
    ("go_plugins_dir", "plugin servers are not run"),
    ("cluster_advertise", "nodes find each other by the database and by cluster_control_plane"),
    ("cluster_encrypt_key", "the cluster link is always encrypted"),
    ("cluster_listen_rpc", "nodes find each other by the database and by cluster_control_plane"),
    ("cluster_profile", "nodes find each other by the database and by cluster_control_plane"),
    ("cluster_ttl_on_failure", "nodes find each other by the database and by cluster_control_plane"),
    ("serf_path", "nodes find each other by the database and by cluster_control_plane"),
    ("cluster_v2", "there is one cluster link"),
    ("legacy_hybrid_protocol", "there is one cluster link"),
    ("legacy_worker_events", "there is one process"),
    ("data_plane_config_cache_mode", "the cache of a data plane is always written"),
    ("data_plane_config_cache_path", "set lmdb_environment_path instead"),
    ("send_anonymous_reports", "nothing is ever reported"),
    ("pg_ssl_required", "pg_ssl = on already refuses a connection without TLS"),
    // Kong Enterprise.
    ("enforce_rbac", "there is no RBAC: whoever reaches the Admin API may do everything"),
    ("rbac*", "there is no RBAC: whoever reaches the Admin API may do everything"),
    ("admin_gui_auth*", "Kong Manager is not part of Langur, and the Admin API has no authentication of its own"),
    ("admin_gui_*", "Kong Manager is not part of Langur"),
    ("admin_approved_email", "Kong Manager is not part of Langur"),
    ("admin_emails_*", "Kong Manager is not part of Langur"),
    ("admin_invit*", "Kong Manager is not part of Langur"),
    ("admin_api_uri", "Kong Manager is not part of Langur"),
    ("portal*", "the developer portal is not part of Langur"),
    ("default_portal_*", "the developer portal is not part of Langur"),
    ("vitals*", "Vitals is not part of Langur; see /metrics"),
    ("audit_log*", "there is no audit log; the journal and the log name each change"),
    ("smtp_*", "Langur sends no mail"),
    ("keyring_*", "entities are not encrypted in the database"),
    ("event_hooks_*", "there are no event hooks"),
    ("license_*", "Langur needs no license"),
    ("fips", "there is no FIPS mode"),
    ("feature_conf_path", "settings come from one file"),
    ("route_validation_strategy", "routes are checked as in the open source edition"),
    ("enforce_route_path_pattern", "routes are checked as in the open source edition"),
    ("konnect_mode", "Konnect is not spoken"),
    ("debug_listen*", "there is no debug listener; see /debug/actors of the status listener"),
    ("debug_ssl_*", "there is no debug listener"),
    ("debug_access_log", "there is no debug listener"),
    ("debug_error_log", "there is no debug listener"),
    ("cluster_fallback_config_*", "a data plane starts from its cache"),
    ("cluster_allowed_common_names", "cluster_mtls = pki accepts every certificate of cluster_ca_cert"),
    ("allow_inconsistent_data_plane_plugins", "a data plane quarantines what it cannot run"),
    ("declarative_config_encryption_mode", "the cache is not encrypted; its file is for its owner alone"),
    ("pg_iam_*", "PostgreSQL is reached by password"),
    ("pg_ro_iam_*", "PostgreSQL is reached by password"),
    ("tracing", "requests are not traced"),
    ("tracing_*", "requests are not traced"),
    ("redis_*", "no shared Redis is used"),
];

/// Why a setting that others know does nothing here.
pub fn retired(name: &str) -> Option<&'static str> {
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    };
    let found = RETIRED.iter().find(|(pattern, _)| fits(pattern));
    found.map(|(_, reason)| *reason)
}

/// The most letters by which a name may differ from the one that was meant.
const TYPO: usize = 2;

/// The known name that was probably meant.
pub fn similar(name: &str) -> Option<&'static str> {
    // A short name is near to many.
    if name.len() < 5 {
        return None;
    }
    let all = super::all().map(|key| (strsim::damerau_levenshtein(name, key.name), key.name));
    let (distance, nearest) = all.min()?;
    (distance <= TYPO).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::keys;

    #[test]
    fn trial_07_no_known_name_is_retired_and_no_pattern_is_shadowed() {
        for (pattern, reason) in RETIRED {
            let name = pattern.replace('*', "x");
            assert_eq!(retired(&name), Some(*reason), "{pattern}");
            assert!(keys::find(&name).is_none(), "{pattern}");
        }
    }

    #[test]
    fn typos() {
        for (name, expected) in [
            ("prefx", Some("prefix")),
            ("proxy_lsiten", Some("proxy_listen")),
            ("ssl", None),
            ("nothing_like_it", None),
        ] {
            assert_eq!(similar(name), expected, "{name}");
        }
    }
}
