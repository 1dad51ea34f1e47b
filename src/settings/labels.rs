//! Labels of a data plane: Kong's limits and patterns.

use std::collections::BTreeMap;

/// The most labels a data plane may carry.
pub const MAX_LABELS: usize = 10;
/// The most characters of a key, and of a value.
pub const MAX_PART: usize = 63;

const RESERVED: [&str; 5] = ["kong", "konnect", "insomnia", "mesh", "kic"];
const PATTERN: &str = "[a-z0-9]([\\w\\.:-]*[a-z0-9]|)$";

/// Reads `key:value` entries; the error is Kong's sentence.
pub fn parse(entries: &[String]) -> Result<BTreeMap<String, String>, String> {
    if entries.len() > MAX_LABELS {
        return Err(format!(
            "labels validation failed: count exceeded {MAX_LABELS} max elements"
        ));
    }
    let mut labels = BTreeMap::new();
    for entry in entries {
        let (key, value) = entry.split_once(':').unwrap_or_default();
        check_key(key).map_err(|e| format!("label key validation failed: {e}"))?;
        check_part(value, PATTERN).map_err(|e| format!("label value validation failed: {e}"))?;
        labels.insert(key.to_owned(), value.to_owned());
    }
    Ok(labels)
}

fn check_key(key: &str) -> Result<(), String> {
    let pattern = || {
        let reserved: String = RESERVED.iter().map(|word| format!("(?!{word})")).collect();
        format!("{reserved}{PATTERN}")
    };
    check_part(key, &pattern())?;
    let lower = key.to_ascii_lowercase();
    if RESERVED.iter().any(|word| lower.starts_with(word)) {
        return Err(format!(
            "{key} is invalid. Must match pattern: {}",
            pattern()
        ));
    }
    Ok(())
}

fn check_part(part: &str, pattern: &str) -> Result<(), String> {
    if part.is_empty() || part.len() > MAX_PART {
        return Err(format!(
            "{part} must have between 1 and {MAX_PART} characters"
        ));
    }
    let bytes = part.as_bytes();
    let edges = [bytes[0], bytes[bytes.len() - 1]];
    let inner = |b: &u8| b.is_ascii_alphanumeric() || b"_.:-".contains(b);
    if !edges.iter().all(u8::is_ascii_alphanumeric) || !bytes.iter().all(inner) {
        return Err(format!("{part} is invalid. Must match pattern: {pattern}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(entry: &str, expected: Result<(&str, &str), &str>) {
        let found = parse(&[entry.to_owned()]);
        match expected {
            Ok((key, value)) => assert_eq!(found.unwrap().get(key).unwrap(), value),
            Err(part) => {
                let error = found.unwrap_err();
                assert!(error.contains(part), "{entry:?}: {error}");
            }
        }
    }

    #[test]
    fn labels() {
        check("region:eu", Ok(("region", "eu")));
        check("a:b:c", Ok(("a", "b:c")));
        check("A-b_c.d:1", Ok(("A-b_c.d", "1")));
        check(
            "novalue",
            Err("label key validation failed:  must have between 1 and 63"),
        );
        check(
            "a:",
            Err("label value validation failed:  must have between 1 and 63"),
        );
        check(
            "-a:b",
            Err("label key validation failed: -a is invalid. Must match pattern"),
        );
        check("a:b-", Err("label value validation failed: b- is invalid"));
        check("Kong-x:b", Err("(?!kong)(?!konnect)"));
        check("mesh:b", Err("label key validation failed"));
        check("a b:c", Err("label key validation failed"));
        check(&format!("{}:b", "a".repeat(64)), Err("1 and 63"));
        check(&format!("{}:b", "a".repeat(63)), Ok((&"a".repeat(63), "b")));
    }

    #[test]
    fn too_many() {
        let entries: Vec<_> = (0..11).map(|i| format!("k{i}:v")).collect();
        assert_eq!(
            parse(&entries).unwrap_err(),
            "labels validation failed: count exceeded 10 max elements"
        );
        assert_eq!(parse(&entries[..10]).unwrap().len(), 10);
    }
}
