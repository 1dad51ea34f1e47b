//! `config/langur.conf.default` and `docs/settings.md`, written from the table of keys.

use super::key::{Effect, Key, Kind};
use super::keys::{SECTIONS, Section};

const CONF_HEAD: &str = "\
# Langur: every setting with its default.
#
# Copy this file, uncomment what you change, and start with `langur start -c FILE`.
# Stronger than this file are environment variables (LANGUR_ROLE; KONG_ROLE is read too) and
# flags (`--set role=data_plane`). Lists are separated by commas; booleans are on or off.
# A `#` begins a comment unless written \\#; a line that ends in \\ continues on the next one.
# Settings of Kong that have no effect here are accepted with a warning; they stand at the end.
";

const DOCS_HEAD: &str = "\
# Settings

A setting comes from the first of these that has it: a flag (`--set key=value`), an environment
variable (`LANGUR_KEY`, then `KONG_KEY`), the settings file (`langur start -c FILE`, else
`/etc/langur/langur.conf` or `/etc/langur.conf`), the default. An empty value means the default.

The file has the grammar of kong.conf: `key = value`, `#` for comments, `\\#` for a `#` that is
part of a value, `\\` at the end of a line to continue it. Quotes are part of a value.

A key that nobody knows, and a line without a `=`, is a warning when it comes from the file or the
environment, so that the files of any Kong since 2.0 can be used as they are; in a flag it is an
error. `langur check --strict` makes every warning an error. A value that is wrong stops the start.
Sizes are nginx's (`8k`, `10m`, `1g`), times too (`500ms`, `60s`, `1h30m`). Secrets are shown as
`******`.

**From files.** For every key, `LANGUR_KEY_FILE` or `KONG_KEY_FILE` names a file with the value, as
secrets of Docker and Kubernetes do: `KONG_PG_PASSWORD_FILE=/run/secrets/password`. At most 1 MiB;
line ends at the end are left out. Both variables, with and without `_FILE`, are an error.

**From other variables.** A value that is `{vault://env/my-name}`, or an entry of a list that is,
stands for the environment variable `MY_NAME`; with `vault_env_prefix = x_` for `X_MY_NAME`.
`{vault://env/my-name/field}` is one field of a JSON object. One that cannot be resolved stops the
start. Other vaults than `env` cannot be used in settings.

This page is written from the table in `src/settings/keys/`; `LANGUR_WRITE_DOCS=1 cargo test
--lib settings::docs` renews it.
";

/// The text of `config/langur.conf.default`.
pub fn conf_default() -> String {
    let mut text = CONF_HEAD.to_owned();
    for section in SECTIONS {
        let used: Vec<_> = keys_with(section, Effect::Used).collect();
        if used.is_empty() {
            continue;
        }
        text.push_str(&format!("\n# ---- {} ----\n", section.title));
        for key in used {
            text.push_str(&format!("\n# {}\n", key.doc));
            text.push_str(&default_line(key));
        }
    }
    text.push_str("\n# ---- Accepted, without effect ----\n\n");
    for section in SECTIONS {
        for key in keys_with(section, Effect::None) {
            text.push_str(&default_line(key));
        }
    }
    text
}

/// The text of `docs/settings.md`.
pub fn settings_page() -> String {
    let mut text = DOCS_HEAD.to_owned();
    for section in SECTIONS {
        let used: Vec<_> = keys_with(section, Effect::Used).collect();
        if used.is_empty() {
            continue;
        }
        text.push_str(&format!("\n## {}\n\n", section.title));
        text.push_str("| key | type | default | meaning |\n|---|---|---|---|\n");
        for key in used {
            text.push_str(&row(key));
        }
    }
    text.push_str(
        "\n## Accepted, without effect\n\n\
         Settings of Kong that nothing here depends on. Setting one gives a warning. So does any\n\
         other name that begins with `nginx_<block>_`, `pluginserver_` or `vault_`, and any name at\n\
         all that is no setting, such as those of Kong 2 and of Kong Enterprise.\n\n\
         | key | type | Kong's meaning |\n|---|---|---|\n",
    );
    for section in SECTIONS {
        for key in keys_with(section, Effect::None) {
            text.push_str(&format!(
                "| `{}` | {} | {} |\n",
                key.name,
                key.kind.name(),
                in_markdown(key.doc)
            ));
        }
    }
    text
}

fn keys_with(section: &Section, effect: Effect) -> impl Iterator<Item = &'static Key> {
    section.keys.iter().filter(move |key| key.effect == effect)
}

fn default_line(key: &Key) -> String {
    let line = format!("#{} = {}", key.name, key.default);
    format!("{}\n", line.trim_end())
}

fn row(key: &Key) -> String {
    let kind = match key.kind {
        Kind::OneOf(words) => words.join(", "),
        kind => kind.name().to_owned(),
    };
    let default = match key.default {
        "" => "–".to_owned(),
        default => format!("`{default}`"),
    };
    let doc = in_markdown(key.doc);
    format!("| `{}` | {kind} | {default} | {doc} |\n", key.name)
}

fn in_markdown(doc: &str) -> String {
    doc.replace('<', "&lt;").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Settings, SettingsFile, Sources};
    use std::path::Path;

    /// Holds a committed file against its text, or writes it when `LANGUR_WRITE_DOCS` is set.
    #[track_caller]
    fn check(file: &str, expected: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        if std::env::var_os("LANGUR_WRITE_DOCS").is_some() {
            std::fs::write(&path, expected).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == expected,
            "{file} is out of date: run LANGUR_WRITE_DOCS=1 cargo test --lib settings::docs"
        );
    }

    #[test]
    fn committed_files_are_up_to_date() {
        check("config/langur.conf.default", &conf_default());
        check("docs/settings.md", &settings_page());
    }

    #[test]
    fn every_default_can_be_written_into_a_file() {
        let text = conf_default().replace("\n#", "\n");
        let lines = text.lines().filter(|line| {
            line.split_once(" =")
                .is_some_and(|(key, _)| !key.contains(' '))
        });
        let text: Vec<_> = lines.collect();
        let sources = Sources {
            file: Some(SettingsFile {
                name: "langur.conf.default",
                text: &text.join("\n"),
            }),
            ..Sources::default()
        };
        let (settings, warnings) = Settings::load(&sources).unwrap();
        assert_eq!(
            settings.report(),
            Settings::load(&Sources::default()).unwrap().0.report()
        );
        // An empty value is the default, and no reason for a warning.
        let without_effect = crate::settings::keys::all()
            .filter(|key| key.effect == Effect::None && !key.default.is_empty());
        assert_eq!(warnings.len(), without_effect.count());
    }
}
