//! The body of the request.

use super::super::call::Call;
use super::super::json;
use super::super::native::{Args, Given, Native, boolean, bytes, many, refused, text, told};
use super::super::phase::{ACCESS, ADMIN_API, ERROR, Phase, RESPONSE, REWRITE};
use super::request::arguments_table;
use mlua::{Lua, Value};

/// Longer bodies are only given to those who say how long a body they take, as with Kong's
/// `client_body_buffer_size`.
const BUFFER: usize = 8192;

const NOT_THERE: &str = "request body did not fit into client body buffer, consider raising \
                         'client_body_buffer_size'";

const BODY_PHASES: u16 = REWRITE | ACCESS | RESPONSE | ERROR | ADMIN_API;

pub const NATIVES: &[Native] = &[
    Native::only(
        "kong.request.get_raw_body",
        BODY_PHASES,
        |call, lua, args| match raw(call, args, 0)? {
            Ok(body) => text(lua, body),
            Err(reason) => refused(lua, reason),
        },
    ),
    Native::only("kong.request.get_body", BODY_PHASES, parsed),
    Native::any("hidden.body_to_come", |call, _, _| {
        let changed = call.context.upstream.body.is_some();
        let read = call.context.body.is_some() || length(call) == Some(0);
        boolean(call.phase == Phase::Rewrite && !changed && !read)
    }),
];

/// The body, or why it is not given.
fn raw(call: &Call<'_, '_>, args: &Args, index: usize) -> Result<Result<Vec<u8>, String>, String> {
    let most = match args.is_nil(index) {
        true => None,
        false => {
            let most = args.number(index);
            Some(most.ok_or("max_allowed_file_size must be a number")?)
        }
    };
    if most.is_some_and(|most| most < 0.0) {
        return Err("max_allowed_file_size must be greater than or equal to 0".to_owned());
    }
    let changed = call.context.upstream.body.as_deref();
    let Some(body) = changed.or(call.context.body) else {
        let empty = length(call) == Some(0);
        return Ok(match empty {
            true => Ok(Vec::new()),
            false => Err(NOT_THERE.to_owned()),
        });
    };
    if body.len() <= BUFFER {
        return Ok(Ok(body.to_vec()));
    }
    Ok(match most {
        None => Err(NOT_THERE.to_owned()),
        Some(most) if most > 0.0 && body.len() as f64 > most => Err(format!(
            "request body file too big: {} > {}",
            body.len(),
            super::super::number::text(most)
        )),
        Some(_) => Ok(body.to_vec()),
    })
}

/// The length of the body that the client has told; zero where it sends none.
fn length(call: &Call<'_, '_>) -> Option<usize> {
    let headers = &call.context.head.headers;
    match headers.get("content-length") {
        Some(length) => std::str::from_utf8(length).ok()?.trim().parse().ok(),
        None if headers.get("transfer-encoding").is_some() => None,
        None => Some(0),
    }
}

fn parsed(call: &mut Call<'_, '_>, lua: &Lua, args: &Args) -> Given {
    let content_type = match args.string(0) {
        Some(given) => given,
        None => match call.context.request_header("content-type") {
            Some(found) => found.to_vec(),
            None => return refused(lua, "missing content type"),
        },
    };
    let is = |media: &str| {
        let lower = content_type.to_ascii_lowercase();
        lower
            .windows(media.len())
            .any(|part| part == media.as_bytes())
    };
    let form = is("application/x-www-form-urlencoded");
    let media = match () {
        () if form => "application/x-www-form-urlencoded",
        () if is("application/json") => "application/json",
        () if is("multipart/form-data") => "multipart/form-data",
        () => {
            let shown = String::from_utf8_lossy(&content_type);
            return many([
                Value::Nil,
                bytes(lua, format!("unsupported content type '{shown}'"))?,
                bytes(lua, &content_type)?,
            ]);
        }
    };
    let fail = |reason: &str| many([Value::Nil, bytes(lua, reason)?, bytes(lua, media)?]);
    let body = match raw(call, args, 2)? {
        Ok(body) => body,
        Err(reason) => return fail(&reason),
    };
    let value = match media {
        "application/json" => match serde_json::from_slice(&body) {
            Ok(value) => json::to_lua(lua, &value, true).map_err(told)?,
            Err(_) => return fail("invalid json body"),
        },
        "multipart/form-data" => {
            let own = call
                .context
                .request_header("content-type")
                .unwrap_or_default();
            let Some(boundary) = boundary(own) else {
                return fail("no boundary in content type");
            };
            let fields = lua.create_table().map_err(told)?;
            for (name, value) in parts(&body, &boundary) {
                fields
                    .raw_set(bytes(lua, name)?, bytes(lua, value)?)
                    .map_err(told)?;
            }
            Value::Table(fields)
        }
        _ => {
            let mut given = arguments_table(lua, &body, 100)?;
            given.pop_front().unwrap_or(Value::Nil)
        }
    };
    many([value, Value::Nil, bytes(lua, media)?])
}

/// What separates the parts of a multipart body.
pub fn boundary(content_type: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(content_type);
    let value = text.split(';').find_map(|part| {
        let (name, value) = part.trim().split_once('=')?;
        name.eq_ignore_ascii_case("boundary")
            .then(|| value.trim().to_owned())
    })?;
    let value = value.trim_matches('"');
    (!value.is_empty()).then(|| value.as_bytes().to_vec())
}

/// The fields of a multipart body: names and contents.
pub fn parts(body: &[u8], boundary: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut separator = b"--".to_vec();
    separator.extend_from_slice(boundary);
    let mut fields = Vec::new();
    let mut rest = body;
    while let Some(start) = find(rest, &separator) {
        rest = &rest[start + separator.len()..];
        if rest.starts_with(b"--") {
            break;
        }
        let rest_of_line = rest.strip_prefix(b"\r\n").or(rest.strip_prefix(b"\n"));
        let Some(part) = rest_of_line else { break };
        let end = find(part, &separator).unwrap_or(part.len());
        let part = &part[..end];
        let part = part.strip_suffix(b"\r\n").unwrap_or(part);
        let (head, content) = match find(part, b"\r\n\r\n") {
            Some(at) => (&part[..at], &part[at + 4..]),
            None => continue,
        };
        if let Some(name) = field_name(head) {
            fields.push((name, content.to_vec()));
        }
    }
    fields
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|part| part == wanted)
}

fn field_name(head: &[u8]) -> Option<Vec<u8>> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let line = lines.find(|line| line.to_ascii_lowercase().starts_with("content-disposition"))?;
    line.split(';').find_map(|part| {
        let value = part.trim().strip_prefix("name=")?;
        Some(value.trim_matches('"').as_bytes().to_vec())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_names_and_contents() {
        let body = b"--BB\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\nval\r\n--BB\r\n\
            Content-Disposition: form-data; name=\"file\"; filename=\"x\"\r\nContent-Type: text/plain\r\n\
            \r\na\r\nb\r\n--BB--\r\n";
        let found = parts(body, b"BB");
        let expected = [("f", "val"), ("file", "a\r\nb")];
        let expected = expected.map(|(name, value)| (name.into(), value.into()));
        assert_eq!(found, expected);
        assert_eq!(parts(b"--BB\r\n", b"BB"), []);
        assert_eq!(
            boundary(b"multipart/form-data; boundary=\"x y\""),
            Some(b"x y".to_vec())
        );
        assert_eq!(boundary(b"multipart/form-data"), None);
    }
}
