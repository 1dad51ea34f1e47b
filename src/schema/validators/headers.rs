//! Header and cookie names, and the `name:value` items of the transformer plugins.

pub(super) fn header_name(text: &str) -> Result<(), String> {
    match is_header_name(text) {
        true => Ok(()),
        false => Err(format!(
            "bad header name '{text}', allowed characters are A-Z, a-z, 0-9, '_', and '-'"
        )),
    }
}

/// A token in the sense of HTTP.
pub(super) fn cookie_name(text: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    match !text.is_empty() && text.bytes().all(allowed) {
        true => Ok(()),
        false => Err(format!(
            "bad cookie name '{text}', allowed characters are A-Z, a-z, 0-9, '_', and '-'"
        )),
    }
}

pub(super) fn removed_header(text: &str) -> Result<(), String> {
    valid_header(text)
}

/// `name:value`.
pub(super) fn transformer_header(text: &str) -> Result<(), String> {
    valid_header(text.split_once(':').map_or(text, |(name, _)| name))?;
    key_value(text)
}

/// `old:new`, both names.
pub(super) fn renamed_header(text: &str) -> Result<(), String> {
    let (old, new) = text.split_once(':').unwrap_or((text, ""));
    valid_header(old)?;
    valid_header(new)
}

/// `key:value` with a value.
pub(super) fn key_value(text: &str) -> Result<(), String> {
    match text.split_once(':') {
        Some((key, "")) => Err(format!("key '{key}' has no value")),
        _ => Ok(()),
    }
}

fn valid_header(name: &str) -> Result<(), String> {
    match is_header_name(name) {
        true => Ok(()),
        false => Err(format!("'{name}' is not a valid header")),
    }
}

fn is_header_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    !text.is_empty() && text.bytes().all(allowed)
}
