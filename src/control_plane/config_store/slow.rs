//! Slow statements in the log: named in short, and never with a value.
//!
//! The driver's own line has the whole statement, which of a batch is many thousand characters.

use std::time::Duration;

/// A statement that takes so long is worth a line.
const SLOW: Duration = Duration::from_secs(1);
/// Characters of a statement that are logged: what it does, and to which table.
const MOST: usize = 120;

/// Says so, when a statement took long.
pub(super) fn tell(sql: &str, took: Duration) {
    if took >= SLOW {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(statement = shortened(sql), took_ms, "slow statement");
    }
}

/// The beginning of a statement. Values are bound, not written; should one ever be, it is left out,
/// as everything in quotation marks that is no name is.
fn shortened(sql: &str) -> String {
    let mut short = String::new();
    let (mut length, mut quoted, mut blank) = (0, false, false);
    for character in sql.trim().chars() {
        if character == '\'' {
            quoted = !quoted;
            // A doubled mark inside of a value begins the value anew: still nothing of it is shown.
            if quoted {
                short.push_str("'…'");
                length += 3;
            }
            continue;
        }
        if quoted {
            continue;
        }
        let is_blank = character.is_whitespace();
        if !(is_blank && blank) {
            short.push(if is_blank { ' ' } else { character });
            length += 1;
        }
        blank = is_blank;
        if length >= MOST {
            short.push('…');
            break;
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trial_32_a_slow_statement_is_named_in_short_and_without_values() {
        for (sql, expected) in [
            ("SELECT 1", "SELECT 1"),
            ("  SELECT\n   a\tFROM b ", "SELECT a FROM b"),
            (
                r#"UPDATE "t" SET "a" = 'it''s secret', "b" = $1"#,
                r#"UPDATE "t" SET "a" = '…''…', "b" = $1"#,
            ),
            ("SELECT 'never ends", "SELECT '…'"),
        ] {
            assert_eq!(shortened(sql), expected);
        }
        let values = "(?, ?, ?), ".repeat(1000);
        let long = shortened(&format!(
            "INSERT INTO \"data_planes\" (\"id\") VALUES {values}"
        ));
        assert!(long.starts_with("INSERT INTO \"data_planes\""), "{long}");
        assert_eq!(long.chars().count(), MOST + 1);
    }
}
