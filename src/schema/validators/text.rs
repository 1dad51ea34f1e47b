//! Names and tags.

/// Letters, digits, `.-_~` and anything beyond ASCII.
pub(super) fn utf8_name(text: &str) -> Result<(), String> {
    let allowed =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '~') || !c.is_ascii();
    match text.chars().all(allowed) {
        true => Ok(()),
        false => Err(format!(
            "invalid value '{text}': the only accepted ascii characters are alphanumerics or ., -, _, and ~"
        )),
    }
}

/// Printable ASCII but `,` and `/`, and anything beyond ASCII.
pub(super) fn tag(text: &str) -> Result<(), String> {
    let allowed = |c: char| !c.is_ascii() || (matches!(c, ' '..='~') && c != ',' && c != '/');
    match text.chars().all(allowed) {
        true => Ok(()),
        false => Err(format!(
            "invalid tag '{text}': expected printable ascii (except `,` and `/`) or valid utf-8 sequences"
        )),
    }
}
