//! Access logs and the error log.

use super::listeners::Listeners;
use super::node::Node;
use super::problems::Problems;
use super::values::Values;
use crate::access_log::{Destination, Format, Wanted, declared_formats, ready_made};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Where the node logs.
#[derive(Debug, Clone)]
pub struct Logs {
    /// The access logs that the role writes.
    pub access: Vec<Wanted>,
    /// Where events go, and the key that says so; standard error where nobody says anything.
    pub events: Option<(&'static str, Destination)>,
}

/// What is known of an access log before its setting is read.
struct AccessKey {
    setting: &'static str,
    name: &'static str,
    /// The format where none is named, which is Kong's.
    format: &'static str,
}

const PROXY: AccessKey = AccessKey {
    setting: "proxy_access_log",
    name: "proxy",
    format: "kong_log_format",
};
const ADMIN: AccessKey = AccessKey {
    setting: "admin_access_log",
    name: "admin",
    format: "combined",
};
const STATUS: AccessKey = AccessKey {
    setting: "status_access_log",
    name: "status",
    format: "combined",
};

/// Every key of an error log.
const ERROR_LOGS: [&str; 4] = [
    "proxy_error_log",
    "admin_error_log",
    "status_error_log",
    "proxy_stream_error_log",
];

impl Logs {
    pub(super) fn resolve(
        node: &Node,
        listeners: &Listeners,
        values: &Values,
        problems: &mut Problems,
    ) -> Logs {
        let formats = formats(values, problems);
        let (role, prefix) = (node.role, &node.prefix);
        let mut access = Vec::new();
        for (key, served) in [
            (PROXY, role.has_data_plane() && !listeners.proxy.is_empty()),
            (
                ADMIN,
                role.has_control_plane() && !listeners.admin.is_empty(),
            ),
            (STATUS, !listeners.status.is_empty()),
        ] {
            // What is wrong is wrong on every node.
            let wanted = access_log(&key, prefix, &formats, values, problems);
            access.extend(wanted.filter(|_| served));
        }
        Logs {
            access,
            events: events(node, values, problems),
        }
    }
}

fn formats(values: &Values, problems: &mut Problems) -> BTreeMap<String, Format> {
    let text = values.text("nginx_http_log_format").unwrap_or_default();
    if text.is_empty() {
        return BTreeMap::new();
    }
    declared_formats(text).unwrap_or_else(|error| {
        problems.violation(format!("nginx_http_log_format: {error}"));
        BTreeMap::new()
    })
}

/// What a value such as `logs/access.log json` asks for; `None` is off.
fn access_log(
    key: &AccessKey,
    prefix: &Path,
    formats: &BTreeMap<String, Format>,
    values: &Values,
    problems: &mut Problems,
) -> Option<Wanted> {
    let setting = key.setting;
    let mut words = values.text(setting)?.split_ascii_whitespace();
    let destination = destination(setting, words.next()?, prefix, problems)?;
    let mut format = None;
    for word in words {
        match word.split_once('=') {
            // Lines are always written many at a time, and soon.
            Some(("buffer" | "flush", _)) => {}
            None if format.is_none() && word != "gzip" => format = Some(word),
            _ => problems.violation(format!("{setting}: \"{word}\" is not supported")),
        }
    }
    let name = format.unwrap_or(key.format);
    let Some(format) = formats.get(name).cloned().or_else(|| ready_made(name)) else {
        problems.violation(format!("{setting}: unknown log format \"{name}\""));
        return None;
    };
    Some(Wanted {
        setting,
        name: key.name,
        destination,
        format: Arc::new(format),
        given: values.is_given(setting),
    })
}

/// What a path stands for; `None` where nothing is to be written.
fn destination(
    setting: &str,
    path: &str,
    prefix: &Path,
    problems: &mut Problems,
) -> Option<Destination> {
    if path == "off" {
        return None;
    }
    if path.starts_with("syslog:") {
        problems.warning(format!(
            "{setting}: syslog is not supported, nothing is written; \
             /dev/stdout can be read by what forwards to syslog"
        ));
        return None;
    }
    if path.contains('$') {
        problems.violation(format!("{setting}: a path cannot have variables: {path}"));
        return None;
    }
    Some(Destination::of(&prefix.join(path)))
}

/// Where all events go: one key decides, and others that ask for something else are warned of.
fn events(
    node: &Node,
    values: &Values,
    problems: &mut Problems,
) -> Option<(&'static str, Destination)> {
    let deciding = match node.role.has_data_plane() {
        true => "proxy_error_log",
        false => "admin_error_log",
    };
    let mut asked = |setting: &'static str| {
        let path = values.text(setting).filter(|_| values.is_given(setting))?;
        if path == "off" {
            problems.warning(format!(
                "{setting}: events are always logged, here to standard error; /dev/null is nowhere"
            ));
            return None;
        }
        destination(setting, path, &node.prefix, problems)
    };
    let events = asked(deciding);
    let others: Vec<_> = ERROR_LOGS
        .into_iter()
        .filter(|setting| *setting != deciding && !values.is_default(setting))
        .filter_map(|setting| Some((setting, asked(setting)?)))
        .collect();
    let used = events.as_ref().unwrap_or(&Destination::Stderr);
    for (setting, destination) in others {
        if destination != *used {
            problems.warning(format!(
                "{setting}: all events of a node go to one place, which {deciding} decides: {used}"
            ));
        }
    }
    events.map(|destination| (deciding, destination))
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, SettingsFile, Sources};
    use super::*;

    fn load(text: &str) -> Result<(Logs, Vec<String>), Vec<String>> {
        let loaded = Settings::load(&Sources {
            file: Some(SettingsFile {
                name: "langur.conf",
                text: &format!("prefix = /p\n{text}"),
            }),
            ..Sources::default()
        });
        match loaded {
            Ok((settings, warnings)) => Ok((settings.logs, warnings)),
            Err(error) => Err(error.violations),
        }
    }

    fn file(path: &str) -> Destination {
        Destination::File(path.into())
    }

    #[test]
    fn defaults_are_kongs() {
        let (logs, _) = load("").expect("settings");
        let found: Vec<_> = logs
            .access
            .iter()
            .map(|log| (log.setting, log.destination.clone(), log.given))
            .collect();
        assert_eq!(
            found,
            [
                ("proxy_access_log", file("/p/logs/access.log"), false),
                ("admin_access_log", file("/p/logs/admin_access.log"), false),
            ]
        );
        assert_eq!(
            Some(&*logs.access[0].format),
            ready_made("kong_log_format").as_ref()
        );
        assert_eq!(
            Some(&*logs.access[1].format),
            ready_made("combined").as_ref()
        );
        assert_eq!(logs.events, None);
    }

    #[test]
    fn trial_09_values_are_read_as_kong_does() {
        let proxy = |value: &str| {
            let (logs, warnings) = load(&format!("proxy_access_log = {value}")).expect(value);
            assert_eq!(warnings, [""; 0], "{value}");
            let found = logs.access.into_iter().find(|log| log.name == "proxy");
            found.map(|log| (log.destination, (*log.format).clone()))
        };
        let ready = |name: &str| ready_made(name).expect(name);
        assert_eq!(proxy("off"), None);
        for (value, destination, format) in [
            ("/dev/stdout", Destination::Stdout, "kong_log_format"),
            ("/dev/stderr", Destination::Stderr, "kong_log_format"),
            ("/var/log/a.log", file("/var/log/a.log"), "kong_log_format"),
            ("logs/a.log basic", file("/p/logs/a.log"), "basic"),
            ("a.log json buffer=32k flush=5s", file("/p/a.log"), "json"),
            ("a.log buffer=32k combined", file("/p/a.log"), "combined"),
        ] {
            assert_eq!(proxy(value), Some((destination, ready(format))), "{value}");
        }
        let (logs, warnings) = load(
            "nginx_http_log_format = mine escape=json '{\"s\":$status}'\n\
             proxy_access_log = /dev/stdout mine\nstatus_access_log = s.log mine",
        )
        .expect("settings");
        assert_eq!(warnings, [""; 0]);
        assert_eq!(logs.access.len(), 3);
        assert_eq!(logs.access[0].format, logs.access[2].format);
    }

    #[test]
    fn what_is_wrong_names_its_setting() {
        for (text, expected) in [
            (
                "proxy_access_log = a.log nope",
                "proxy_access_log: unknown log format \"nope\"",
            ),
            (
                "admin_access_log = a.log combined gzip",
                "admin_access_log: \"gzip\" is not supported",
            ),
            (
                "proxy_access_log = a.log combined if=$x",
                "proxy_access_log: \"if=$x\" is not supported",
            ),
            (
                "proxy_access_log = logs/$host.log",
                "proxy_access_log: a path cannot have variables: logs/$host.log",
            ),
            (
                "nginx_http_log_format = a '$nope'",
                "nginx_http_log_format: in the format \"a\": the variable \"$nope\" is not known",
            ),
        ] {
            assert_eq!(load(text).expect_err(text), [expected], "{text}");
        }
    }

    #[test]
    fn one_key_decides_where_events_go() {
        let stderr = Destination::Stderr;
        for (text, events, warnings) in [
            (
                "proxy_error_log = /dev/stderr\nadmin_error_log = /dev/stderr",
                Some(stderr),
                None,
            ),
            (
                "proxy_error_log = logs/e.log",
                Some(file("/p/logs/e.log")),
                None,
            ),
            (
                "admin_error_log = /dev/stdout",
                None,
                Some(
                    "admin_error_log: all events of a node go to one place, which proxy_error_log \
                     decides: /dev/stderr",
                ),
            ),
            (
                "proxy_error_log = off",
                None,
                Some(
                    "proxy_error_log: events are always logged, here to standard error; \
                     /dev/null is nowhere",
                ),
            ),
            (
                "proxy_access_log = syslog:server=10.0.0.1",
                None,
                Some(
                    "proxy_access_log: syslog is not supported, nothing is written; /dev/stdout \
                     can be read by what forwards to syslog",
                ),
            ),
        ] {
            let (logs, found) = load(text).expect(text);
            assert_eq!(logs.events.map(|(_, to)| to), events, "{text}");
            assert_eq!(found, Vec::from_iter(warnings), "{text}");
        }
    }
}
