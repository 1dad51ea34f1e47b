//! The four sources of settings and their order: defaults < file < environment < flags.
//!
//! `LANGUR_X` wins over `KONG_X`. All sources are parameters: nothing here reads the process's
//! environment or a disk. An empty value means that the key is not set.
//!
//! Files and environments were written for some version of Kong, perhaps long ago: a name that
//! nobody knows gives a warning there. A flag was typed for this start: there it is an error.

use super::file_variables::{ENVIRONMENT_PREFIXES, FileVariable, variable_of};
use super::given::Given;
use super::grammar;
use super::key::{Effect, Key};
use super::keys::{self, retired, similar};
use super::problems::Problems;
use super::reference;
use std::collections::{BTreeMap, BTreeSet};

/// A settings file that was read.
#[derive(Debug, Clone, Copy)]
pub struct SettingsFile<'a> {
    /// For messages.
    pub name: &'a str,
    pub text: &'a str,
}

/// Everything that settings come from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sources<'a> {
    pub file: Option<SettingsFile<'a>>,
    /// Variables of the environment; those without a known prefix are left alone.
    pub environment: &'a [(String, String)],
    /// Those of them that name a file with the value, and what the file holds.
    pub file_variables: &'a [FileVariable],
    /// `key=value` pairs of the command line; the last one of a key wins.
    pub flags: &'a [(String, String)],
}

/// Lays the sources over each other and reports keys that nobody knows or that do nothing.
pub(super) fn merge(sources: &Sources, problems: &mut Problems) -> Given {
    let mut merger = Merger {
        given: Given::default(),
        families: BTreeSet::new(),
        ignored: BTreeSet::new(),
        problems,
    };
    if let Some(file) = sources.file {
        merger.file(file);
    }
    for prefix in ENVIRONMENT_PREFIXES {
        merger.environment(prefix, sources);
    }
    merger.flags(sources.flags);
    merger.warn_without_effect();
    let mut given = merger.given;
    resolve_aliases(&mut given);
    reference::resolve_all(&mut given, sources.environment, problems);
    given
}

struct Merger<'a> {
    given: Given,
    /// Names of open families, such as injected directives.
    families: BTreeSet<String>,
    /// Names that are no settings and were warned of already.
    ignored: BTreeSet<String>,
    problems: &'a mut Problems,
}

impl Merger<'_> {
    fn file(&mut self, file: SettingsFile) {
        let parsed = match grammar::parse(file.text) {
            Ok(parsed) => parsed,
            Err(errors) => {
                for error in errors {
                    self.problems.violation(format!("{}: {error}", file.name));
                }
                return;
            }
        };
        for line in parsed.stray {
            self.problems.warning(format!(
                "{}: line {line} is no 'key = value' and is ignored",
                file.name
            ));
        }
        let mut seen = BTreeMap::new();
        for assignment in parsed.assignments {
            let (key, line) = (assignment.key, assignment.line);
            if let Some(before) = seen.insert(key.clone(), line) {
                self.problems.warning(format!(
                    "{}: {key} is set on line {before} and again on line {line}, which wins",
                    file.name
                ));
            }
            if !self.put(&key, &assignment.value) {
                self.ignore(&key, &format!("{}: line {line}: ", file.name));
            }
        }
    }

    fn environment(&mut self, prefix: &str, sources: &Sources) {
        for (variable, value) in sources.environment {
            let Some(name) = variable.strip_prefix(prefix) else {
                continue;
            };
            if variable_of(variable).is_some() {
                continue;
            }
            // Variables are upper case by convention; others are not meant for us.
            if name.bytes().any(|b| b.is_ascii_lowercase()) {
                self.problems.warning(format!(
                    "environment variable {variable} names no setting and is ignored"
                ));
                continue;
            }
            let name = name.to_ascii_lowercase();
            if !self.put(&name, value) {
                self.ignore(&name, &format!("environment variable {variable}: "));
            }
        }
        for file in sources.file_variables {
            if file.name.starts_with(prefix) {
                self.file_variable(file, sources.environment);
            }
        }
    }

    fn file_variable(&mut self, file: &FileVariable, environment: &[(String, String)]) {
        let Some(variable) = variable_of(&file.name) else {
            return;
        };
        let also = |(name, value): &(String, String)| name == variable && !value.is_empty();
        if environment.iter().any(also) {
            self.problems.violation(format!(
                "environment variables {variable} and {} are both set: remove one of them",
                file.name
            ));
            return;
        }
        match (super::file_variables::key_of(variable), &file.value) {
            (Some(key), Ok(value)) => self.given.put_hidden(key, value),
            (_, Err(why)) => self
                .problems
                .violation(format!("environment variable {}: {why}", file.name)),
            (None, Ok(_)) => {}
        }
    }

    fn flags(&mut self, flags: &[(String, String)]) {
        for (name, value) in flags {
            if let Some(key) = keys::find(name) {
                self.given.put_flag(key.name, value);
            } else if retired(name).is_some() || !keys::in_family(name) {
                let hint = hint(name);
                self.problems
                    .violation(format!("unknown setting '{name}' in a flag{hint}"));
            } else {
                self.families.insert(name.to_owned());
            }
        }
    }

    /// Whether the name is one that has a meaning, if perhaps only for Kong.
    fn put(&mut self, name: &str, value: &str) -> bool {
        if let Some(key) = keys::find(name) {
            self.given.put(key.name, value);
            return true;
        }
        if retired(name).is_none() && keys::in_family(name) {
            self.families.insert(name.to_owned());
            return true;
        }
        false
    }

    /// One warning for each name, however often it is there.
    fn ignore(&mut self, name: &str, place: &str) {
        if self.ignored.insert(name.to_owned()) {
            let hint = hint(name);
            self.problems
                .warning(format!("{place}{name} is no setting and is ignored{hint}"));
        }
    }

    fn warn_without_effect(&mut self) {
        let keys = self.given.names().filter_map(keys::find);
        let without_effect = keys.filter(|key| key.effect == Effect::None);
        let names: Vec<String> = without_effect
            .map(|key| key.name.to_owned())
            .chain(self.families.iter().cloned())
            .collect();
        for name in names {
            self.problems
                .warning(format!("{name} is accepted and has no effect"));
        }
    }
}

/// What to do about a name that is no setting, where that is known.
fn hint(name: &str) -> String {
    match (retired(name), similar(name)) {
        (Some(reason), _) => format!(": {reason}"),
        (None, Some(meant)) => format!("; did you mean {meant}?"),
        (None, None) => String::new(),
    }
}

/// Gives both names of a setting the value of the stronger one that is given.
fn resolve_aliases(given: &mut Given) {
    let aliases = keys::all().filter_map(|key: &Key| Some((key.name, key.alias_of?)));
    for (alias, main) in aliases {
        if given.get(main).is_some() {
            given.copy(main, alias);
        } else if given.get(alias).is_some() {
            given.copy(alias, main);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect()
    }

    fn merged(file: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> (Given, Problems) {
        let (environment, flags) = (pairs(env), pairs(flags));
        let sources = Sources {
            file: Some(SettingsFile {
                name: "langur.conf",
                text: file,
            }),
            environment: &environment,
            file_variables: &[],
            flags: &flags,
        };
        let mut problems = Problems::default();
        let given = merge(&sources, &mut problems);
        (given, problems)
    }

    #[test]
    fn the_stronger_source_wins() {
        let kong = ("KONG_PREFIX", "/kong");
        let langur = ("LANGUR_PREFIX", "/langur");
        for (file, env, flags, expected) in [
            ("", &[][..], &[][..], None),
            ("prefix = /file", &[], &[], Some("/file")),
            ("prefix = /file", &[kong], &[], Some("/kong")),
            ("prefix = /file", &[langur, kong], &[], Some("/langur")),
            (
                "prefix = /file",
                &[langur],
                &[("prefix", "/flag")],
                Some("/flag"),
            ),
            ("", &[], &[("prefix", "/a"), ("prefix", "/b")], Some("/b")),
        ] {
            let (given, problems) = merged(file, env, flags);
            assert_eq!(given.get("prefix"), expected);
            assert_eq!(
                (problems.violations(), problems.warnings()),
                (&[][..], &[][..])
            );
        }
    }

    #[test]
    fn a_hash_in_the_environment_is_no_comment() {
        let (given, _) = merged("", &[("KONG_PG_PASSWORD", "a#b")], &[]);
        assert_eq!(given.get("pg_password"), Some("a#b"));
    }

    #[test]
    fn trial_07_unknown_names_are_warnings_but_in_flags() {
        let (_, problems) = merged(
            "prefix = /x\nprefx = /y\nssl = off\ncassandra_port = 1",
            &[
                ("KONG_NOPE", "1"),
                ("KONG_SSL", "on"),
                ("LANGUR_SERVICE_HOST", "10.0.0.1"),
                ("KONG_nope", "1"),
                ("PATH", "/bin"),
            ],
            &[("nope", "1"), ("proxy_lisen", "off"), ("ssl", "off")],
        );
        assert_eq!(
            problems.violations(),
            [
                "unknown setting 'nope' in a flag",
                "unknown setting 'proxy_lisen' in a flag; did you mean proxy_listen?",
                "unknown setting 'ssl' in a flag: write ssl behind an address of proxy_listen instead",
            ]
        );
        assert_eq!(
            problems.warnings(),
            [
                "langur.conf: line 2: prefx is no setting and is ignored; did you mean prefix?",
                "langur.conf: line 3: ssl is no setting and is ignored: write ssl behind an address of proxy_listen instead",
                "langur.conf: line 4: cassandra_port is no setting and is ignored: there is no Cassandra; set database to postgres or sqlite",
                "environment variable KONG_NOPE: nope is no setting and is ignored",
                "environment variable KONG_nope names no setting and is ignored",
                "environment variable LANGUR_SERVICE_HOST: service_host is no setting and is ignored",
            ]
        );
    }

    #[test]
    fn trial_11_a_file_variable_is_as_strong_as_the_variable() {
        let environment = pairs(&[
            ("KONG_PG_USER_FILE", "/u"),
            ("LANGUR_PG_PASSWORD", "strong"),
            ("KONG_PG_PASSWORD_FILE", "/p"),
            ("KONG_PG_HOST", "both"),
            ("KONG_PG_HOST_FILE", "/h"),
            ("KONG_PG_PORT_FILE", "/none"),
        ]);
        let file = |name: &str, value: Result<&str, &str>| FileVariable {
            name: name.to_owned(),
            value: value.map(str::to_owned).map_err(str::to_owned),
        };
        let sources = Sources {
            environment: &environment,
            file_variables: &[
                file("KONG_PG_USER_FILE", Ok("ann")),
                file("KONG_PG_PASSWORD_FILE", Ok("weak")),
                file("KONG_PG_HOST_FILE", Ok("file")),
                file("KONG_PG_PORT_FILE", Err("/none: No such file")),
            ],
            ..Sources::default()
        };
        let mut problems = Problems::default();
        let given = merge(&sources, &mut problems);
        assert_eq!(given.get("pg_user"), Some("ann"));
        assert_eq!(given.get("pg_password"), Some("strong"));
        assert_eq!(
            problems.violations(),
            [
                "environment variables KONG_PG_HOST and KONG_PG_HOST_FILE are both set: remove one of them",
                "environment variable KONG_PG_PORT_FILE: /none: No such file",
            ]
        );
        assert_eq!(problems.warnings(), [""; 0]);
    }

    #[test]
    fn trial_11_references_in_settings_are_resolved() {
        let (given, problems) = merged(
            "pg_password = {vault://env/db-password}\npg_port = {vault://env/no-port}\n\
             trusted_ips = 10.0.0.1, {vault://env/peer}\nmem_cache_size = {vault://env/x}",
            &[("DB_PASSWORD", "hunter2"), ("PEER", "10.0.0.2")],
            &[],
        );
        assert_eq!(given.get("pg_password"), Some("hunter2"));
        assert_eq!(given.get("trusted_ips"), Some("10.0.0.1,10.0.0.2"));
        assert_eq!(given.get("pg_port"), None);
        assert_eq!(
            given.reference("pg_password"),
            Some("{vault://env/db-password}")
        );
        assert!(given.is_hidden("pg_password") && !given.is_hidden("pg_port"));
        assert_eq!(
            problems.violations(),
            [
                "pg_port: {vault://env/no-port} cannot be resolved: the environment variable NO_PORT is not set"
            ]
        );
        assert_eq!(
            problems.warnings(),
            ["mem_cache_size is accepted and has no effect"]
        );
    }

    #[test]
    fn keys_without_effect_give_one_warning_each() {
        let (_, problems) = merged(
            "wasm = on\nnginx_http_gzip = on",
            &[("KONG_WASM", "off"), ("KONG_NGINX_HTTP_GZIP", "off")],
            &[],
        );
        assert_eq!(problems.violations(), [""; 0]);
        assert_eq!(
            problems.warnings(),
            [
                "wasm is accepted and has no effect",
                "nginx_http_gzip is accepted and has no effect"
            ]
        );
    }

    #[test]
    fn trial_07_a_stray_line_gives_a_warning() {
        let (given, problems) = merged("prefix = /a\npg_host db\n", &[], &[]);
        assert_eq!(given.get("prefix"), Some("/a"));
        assert_eq!(problems.violations(), [""; 0]);
        assert_eq!(
            problems.warnings(),
            ["langur.conf: line 2 is no 'key = value' and is ignored"]
        );
    }

    #[test]
    fn a_key_that_is_set_twice_gives_a_warning() {
        let (given, problems) = merged("role = data_plane\nrole = traditional", &[], &[]);
        assert_eq!(given.get("role"), Some("traditional"));
        assert_eq!(
            problems.warnings(),
            ["langur.conf: role is set on line 1 and again on line 2, which wins"]
        );
    }

    #[test]
    fn two_names_of_one_setting() {
        for (file, expected) in [
            ("real_ip_header = A", "A"),
            ("nginx_proxy_real_ip_header = B", "B"),
            ("real_ip_header = A\nnginx_proxy_real_ip_header = B", "B"),
        ] {
            let (given, _) = merged(file, &[], &[]);
            assert_eq!(given.get("real_ip_header"), Some(expected));
            assert_eq!(given.get("nginx_proxy_real_ip_header"), Some(expected));
        }
    }
}
