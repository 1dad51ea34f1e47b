//! The four sources of settings and their order: defaults < file < environment < flags.
//!
//! `LANGUR_X` wins over `KONG_X`. All sources are parameters: nothing here reads the process's
//! environment or a disk. An empty value means that the key is not set.

use super::grammar;
use super::key::{Effect, Key};
use super::keys;
use super::problems::Problems;
use std::collections::BTreeMap;

/// Prefixes of environment variables, the stronger one last.
const ENVIRONMENT_PREFIXES: [&str; 2] = ["KONG_", "LANGUR_"];

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
    /// `key=value` pairs of the command line; the last one of a key wins.
    pub flags: &'a [(String, String)],
}

/// The texts given for each key, strongest source only.
pub(super) type Given = BTreeMap<&'static str, String>;

/// Lays the sources over each other and reports keys that nobody knows or that do nothing.
pub(super) fn merge(sources: &Sources, problems: &mut Problems) -> Given {
    let mut merger = Merger {
        given: Given::new(),
        families: BTreeMap::new(),
        problems,
    };
    if let Some(file) = sources.file {
        merger.file(file);
    }
    for prefix in ENVIRONMENT_PREFIXES {
        merger.environment(prefix, sources.environment);
    }
    merger.flags(sources.flags);
    merger.warn_without_effect();
    let mut given = merger.given;
    resolve_aliases(&mut given);
    given
}

struct Merger<'a> {
    given: Given,
    /// Names of open families, such as injected directives.
    families: BTreeMap<String, ()>,
    problems: &'a mut Problems,
}

impl Merger<'_> {
    fn file(&mut self, file: SettingsFile) {
        let assignments = match grammar::parse(file.text) {
            Ok(assignments) => assignments,
            Err(errors) => {
                for error in errors {
                    self.problems.violation(format!("{}: {error}", file.name));
                }
                return;
            }
        };
        let mut seen = BTreeMap::new();
        for assignment in assignments {
            let (key, line) = (assignment.key, assignment.line);
            if let Some(before) = seen.insert(key.clone(), line) {
                self.problems.warning(format!(
                    "{}: {key} is set on line {before} and again on line {line}, which wins",
                    file.name
                ));
            }
            if !self.put(&key, assignment.value) {
                self.problems.violation(format!(
                    "{}: line {line}: unknown setting '{key}'",
                    file.name
                ));
            }
        }
    }

    fn environment(&mut self, prefix: &str, variables: &[(String, String)]) {
        for (variable, value) in variables {
            let Some(name) = variable.strip_prefix(prefix) else {
                continue;
            };
            // Variables are upper case by convention; others are not meant for us.
            let known = !name.bytes().any(|b| b.is_ascii_lowercase())
                && self.put(&name.to_ascii_lowercase(), value.clone());
            if !known {
                self.problems.warning(format!(
                    "environment variable {variable} names no setting and is ignored"
                ));
            }
        }
    }

    fn flags(&mut self, flags: &[(String, String)]) {
        for (key, value) in flags {
            if !self.put(key, value.clone()) {
                self.problems
                    .violation(format!("unknown setting '{key}' in a flag"));
            }
        }
    }

    /// Whether the key is known.
    fn put(&mut self, name: &str, value: String) -> bool {
        if let Some(key) = keys::find(name) {
            self.given.insert(key.name, value.trim().to_owned());
            return true;
        }
        if keys::in_family(name) {
            self.families.insert(name.to_owned(), ());
            return true;
        }
        false
    }

    fn warn_without_effect(&mut self) {
        let keys = self.given.keys().filter_map(|name| keys::find(name));
        let without_effect = keys.filter(|key| key.effect == Effect::None);
        let names: Vec<String> = without_effect
            .map(|key| key.name.to_owned())
            .chain(self.families.keys().cloned())
            .collect();
        for name in names {
            self.problems
                .warning(format!("{name} is accepted and has no effect"));
        }
    }
}

/// Gives both names of a setting the value of the stronger one that is given.
fn resolve_aliases(given: &mut Given) {
    let aliases = keys::all().filter_map(|key: &Key| Some((key.name, key.alias_of?)));
    for (alias, main) in aliases {
        if let Some(value) = given.get(main).cloned() {
            given.insert(alias, value);
        } else if let Some(value) = given.get(alias).cloned() {
            given.insert(main, value);
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
            assert_eq!(given.get("prefix").map(String::as_str), expected);
            assert_eq!(
                (problems.violations(), problems.warnings()),
                (&[][..], &[][..])
            );
        }
    }

    #[test]
    fn a_hash_in_the_environment_is_no_comment() {
        let (given, _) = merged("", &[("KONG_PG_PASSWORD", "a#b")], &[]);
        assert_eq!(given["pg_password"], "a#b");
    }

    #[test]
    fn unknown_names() {
        let (_, problems) = merged(
            "prefix = /x\nprefx = /y",
            &[
                ("KONG_NOPE", "1"),
                ("LANGUR_SERVICE_HOST", "10.0.0.1"),
                ("PATH", "/bin"),
            ],
            &[("nope", "1")],
        );
        assert_eq!(
            problems.violations(),
            [
                "langur.conf: line 2: unknown setting 'prefx'",
                "unknown setting 'nope' in a flag"
            ]
        );
        assert_eq!(
            problems.warnings(),
            [
                "environment variable KONG_NOPE names no setting and is ignored",
                "environment variable LANGUR_SERVICE_HOST names no setting and is ignored"
            ]
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
    fn a_key_that_is_set_twice_gives_a_warning() {
        let (given, problems) = merged("role = data_plane\nrole = traditional", &[], &[]);
        assert_eq!(given["role"], "traditional");
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
            assert_eq!(given["real_ip_header"], expected);
            assert_eq!(given["nginx_proxy_real_ip_header"], expected);
        }
    }
}
