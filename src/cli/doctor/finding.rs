//! One thing that was looked at: how bad it is, and what to do.

use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    /// It works, for now or not as meant.
    Warning,
    /// The node does not start, or not everything works.
    Error,
}

/// What was found about one setting or peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub level: Level,
    /// The setting, as a rule.
    pub subject: String,
    pub text: String,
    /// What to do; none where nothing needs to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    pub fn ok(subject: &str, text: impl Into<String>) -> Finding {
        Finding {
            level: Level::Ok,
            subject: subject.to_owned(),
            text: text.into(),
            advice: None,
        }
    }

    pub fn warning(subject: &str, text: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding {
            level: Level::Warning,
            subject: subject.to_owned(),
            text: text.into(),
            advice: Some(advice.into()),
        }
    }

    pub fn error(subject: &str, text: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding {
            level: Level::Error,
            ..Finding::warning(subject, text, advice)
        }
    }
}

/// How many are of a level.
pub fn count(findings: &[Finding], level: Level) -> usize {
    findings.iter().filter(|one| one.level == level).count()
}

/// For people.
pub fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for one in findings {
        let word = match one.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{word:8} {}: {}", one.subject, one.text);
        if let Some(advice) = &one.advice {
            let _ = writeln!(text, "         -> {advice}");
        }
    }
    let (errors, warnings) = (
        count(findings, Level::Error),
        count(findings, Level::Warning),
    );
    let _ = writeln!(text, "\nerrors: {errors}, warnings: {warnings}");
    text
}

/// For programs.
pub fn json(findings: &[Finding]) -> Value {
    json!({
        "errors": count(findings, Level::Error),
        "warnings": count(findings, Level::Warning),
        "findings": findings,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let findings = [
            Finding::ok("prefix", "is fine"),
            Finding::warning("ssl_cert", "ends soon", "renew it"),
            Finding::error("pg_host", "is not there", "start it"),
        ];
        assert_eq!(
            text(&findings),
            "ok       prefix: is fine\n\
             warning  ssl_cert: ends soon\n\
             \x20        -> renew it\n\
             error    pg_host: is not there\n\
             \x20        -> start it\n\
             \nerrors: 1, warnings: 1\n"
        );
        let json = json(&findings);
        assert_eq!((&json["errors"], &json["warnings"]), (&json!(1), &json!(1)));
        assert_eq!(
            json["findings"][2],
            json!({"level": "error", "subject": "pg_host", "text": "is not there", "advice": "start it"})
        );
        assert_eq!(json["findings"][0].get("advice"), None);
    }
}
