//! Whether a text is Lua, as LuaJIT 2.1 with Lua 5.2's extensions says: what Kong runs.
//!
//! Syntax only, with the words of LuaJIT's own messages. Nothing is compiled, so limits that
//! depend on the code that would come out of it (registers, constants) are not known.

mod lexer;
mod parser;
mod scope;
#[cfg(test)]
mod tests;

/// The longest name of a source in a message, its end included.
const SOURCE_NAME: usize = 60;

/// Why a text is no Lua.
#[derive(Debug, PartialEq, Eq)]
struct SyntaxError {
    line: u32,
    text: String,
}

/// Checks a chunk, which is its own name in the message, as for `loadstring`.
///
/// # Errors
/// LuaJIT's message.
pub(super) fn check(source: &str) -> Result<(), String> {
    check_as(source, source)
}

/// Checks a chunk with another name.
///
/// # Errors
/// LuaJIT's message.
pub(super) fn check_as(source: &str, name: &str) -> Result<(), String> {
    parser::parse(source.as_bytes())
        .map_err(|err| format!("{}:{}: {}", shown_name(name), err.line, err.text))
}

/// Whether it is bytecode, which begins so. None is run here.
pub(super) fn is_bytecode(source: &str) -> bool {
    source.starts_with('\x1b')
}

/// How a message calls a source: a file or another name by itself, a text by its beginning.
fn shown_name(name: &str) -> String {
    let bytes = name.as_bytes();
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    // Like the strings of C, up to the first zero.
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    match bytes {
        [b'=', rest @ ..] => lossy(&rest[..rest.len().min(SOURCE_NAME - 1)]),
        [b'@', rest @ ..] if rest.len() >= SOURCE_NAME => {
            let tail = &rest[rest.len() + 4 - SOURCE_NAME..];
            format!("...{}", lossy(tail))
        }
        [b'@', rest @ ..] => lossy(rest),
        bytes => {
            let line = bytes.iter().position(|byte| *byte < b' ');
            let end = line.unwrap_or(bytes.len()).min(SOURCE_NAME - 12);
            if end == bytes.len() {
                return format!("[string \"{}\"]", lossy(bytes));
            }
            let shown = &bytes[..end.min(SOURCE_NAME - 15)];
            format!("[string \"{}...\"]", lossy(shown))
        }
    }
}
