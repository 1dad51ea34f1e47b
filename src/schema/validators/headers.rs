//! Header and cookie names, and the `name:value` items of the transformer plugins.

use super::super::lua;

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

/// `name:value`, or the name alone. Only the name is looked at: the value may be empty.
pub(super) fn transformer_header(text: &str) -> Result<(), String> {
    valid_header(name_and_value(text).0)
}

/// `old:new`, both names.
pub(super) fn renamed_header(text: &str) -> Result<(), String> {
    let (old, new) = name_and_value(text);
    valid_header(old)?;
    valid_header(new)
}

/// `key:value` with a value, which is a template.
pub(super) fn key_value(text: &str) -> Result<(), String> {
    match name_and_value(text) {
        (key, "") => Err(format!("key '{key}' has no value")),
        (_, value) => template(value)
            .map_err(|err| format!("value '{value}' is not in supported format, error:{err}")),
    }
}

/// Text with `$(...)`, where Lua expressions stand.
fn template(text: &str) -> Result<(), String> {
    let mut rest = text;
    while let Some(at) = rest.find("$(") {
        rest = &rest[at + 2..];
        let mut open = 1;
        let closing = rest.bytes().position(|byte| {
            match byte {
                b'(' => open += 1,
                b')' => open -= 1,
                _ => {}
            }
            open == 0
        });
        // A parenthesis that nothing closes is text.
        let Some(end) = closing else { return Ok(()) };
        let expression = &rest[..end];
        if !expression.is_empty() {
            // A missing value prints nothing.
            lua::check_as(&format!("x = f({expression} or nil)"), "TMP")?;
        }
        rest = &rest[end + 1..];
    }
    Ok(())
}

/// What stands before the first colon, and what stands after the colons there.
fn name_and_value(text: &str) -> (&str, &str) {
    match text.split_once(':') {
        Some((name, value)) => (name, value.trim_start_matches(':')),
        None => (text, ""),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_12_items_of_transformers() {
        type Check = fn(&str) -> Result<(), String>;
        let check = |rule: Check, text: &str, expected: Result<(), &str>| {
            assert_eq!(rule(text), expected.map_err(str::to_owned), "{text}");
        };
        check(key_value, "x:1", Ok(()));
        check(key_value, "x::1", Ok(()));
        check(key_value, "x:$(headers.a .. 'b')-$(f(1)) $(", Ok(()));
        check(
            key_value,
            "x:a$(b c)",
            Err(
                "value 'a$(b c)' is not in supported format, error:[string \"TMP\"]:1: ')' expected near 'c'",
            ),
        );
        check(key_value, "x", Err("key 'x' has no value"));
        check(key_value, "x:", Err("key 'x' has no value"));
        check(key_value, "x::", Err("key 'x' has no value"));
        check(transformer_header, "x", Ok(()));
        check(transformer_header, "x:", Ok(()));
        check(transformer_header, "http://h.test/x", Ok(()));
        check(
            transformer_header,
            "v x:1",
            Err("'v x' is not a valid header"),
        );
        check(transformer_header, ":1", Err("'' is not a valid header"));
        check(renamed_header, "a:b", Ok(()));
        check(renamed_header, "a::b", Ok(()));
        check(renamed_header, "a", Err("'' is not a valid header"));
    }
}
