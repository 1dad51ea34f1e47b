//! Names, tags and Lua.

use super::super::lua;

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

/// Lua in a field that other values are computed with.
pub(super) fn lua_code(text: &str) -> Result<(), String> {
    let checked = match lua::is_bytecode(text) {
        true => Err("attempt to load chunk with wrong mode".to_owned()),
        false => lua::check(text),
    };
    checked.map_err(|err| format!("Error parsing function: {err}"))
}

/// A function of pre-function or post-function.
pub(super) fn lua_function(plugin: &str, text: &str) -> Result<(), String> {
    let checked = match lua::is_bytecode(text) {
        true => Err("(binary): cannot load incompatible bytecode".to_owned()),
        false => lua::check(text),
    };
    checked.map_err(|err| format!("error parsing {plugin}: {err}"))
}
