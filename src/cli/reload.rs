//! SIGHUP: the settings are read again, for what can change without a restart: `log_level`.

use super::args::SettingsArgs;
use crate::settings::{LogControl, Settings};
use serde_json::{Map, Value};

/// Puts the level in effect. Settings that cannot be read change nothing; those that changed
/// and need a restart are named.
pub fn reload(from: &SettingsArgs, running: &Settings, log: &LogControl) {
    let read = match from.load() {
        Ok((settings, _)) => settings,
        Err(error) => {
            for problem in error.lines() {
                tracing::error!(problem, "the settings cannot be read again");
            }
            return;
        }
    };
    log.configure(read.node.log_level);
    tracing::info!(
        log_level = read.node.log_level.as_str(),
        "settings read again"
    );
    let waiting = changed(&running.report(), &read.report());
    if !waiting.is_empty() {
        let settings = waiting.join(", ");
        tracing::warn!(settings, "these changed settings count after a restart");
    }
}

/// The keys that differ, apart from what was just put in effect.
fn changed(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<String> {
    let keys = before.keys().chain(after.keys());
    let mut changed: Vec<_> = keys
        .filter(|key| *key != "log_level" && before.get(*key) != after.get(*key))
        .cloned()
        .collect();
    changed.sort_unstable();
    changed.dedup();
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::LogLevel;
    use serde_json::json;
    use std::fs;

    #[test]
    fn the_level_changes_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let conf = directory.path().join("langur.conf");
        let write = |text: &str| fs::write(&conf, text).unwrap();
        write("log_level = warn");
        let from = SettingsArgs {
            conf: Some(conf.clone()),
            ..SettingsArgs::default()
        };
        let (running, _) = from.load().unwrap();
        let log = LogControl::new(running.node.log_level, |_| {});
        for (text, expected) in [
            ("log_level = debug", LogLevel::Debug),
            ("log_level = shouting", LogLevel::Debug),
            ("log_level = info\nprefix = /elsewhere", LogLevel::Info),
        ] {
            write(text);
            reload(&from, &running, &log);
            assert_eq!(log.level(), expected, "{text}");
        }
        let (read, _) = from.load().unwrap();
        assert!(changed(&running.report(), &read.report()).contains(&"prefix".to_owned()));
    }

    #[test]
    fn changes_are_named_once() {
        let object = |value: Value| value.as_object().cloned().unwrap();
        let before = object(json!({"log_level": "a", "b": 1, "c": 1}));
        let after = object(json!({"log_level": "b", "b": 1, "c": 2, "d": 3}));
        assert_eq!(changed(&before, &after), ["c", "d"]);
    }
}
