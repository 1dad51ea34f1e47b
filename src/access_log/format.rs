//! Formats, compiled from nginx's notation.

use super::entry::Entry;
use super::escape::Escape;
use super::values::{Values, write_value};
use super::variable::Variable;
use thiserror::Error;

/// Why a format cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FormatError {
    #[error("the variable \"${0}\" is not known")]
    UnknownVariable(String),
    #[error("a $ without the name of a variable")]
    NoName,
    #[error("the closing brace of \"${{{0}\" is missing")]
    NoBrace(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Variable(Variable),
}

/// What lines look like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Format {
    escape: Escape,
    parts: Vec<Part>,
    sent_headers: bool,
    upstream_headers: bool,
    connect_time: bool,
}

impl Format {
    /// Compiles a text with `$name` and `${name}` in it.
    ///
    /// # Errors
    /// See [`FormatError`].
    pub fn compile(escape: Escape, text: &str) -> Result<Format, FormatError> {
        let mut format = Format {
            escape,
            ..Format::default()
        };
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            format.push_text(before);
            let (name, following) = name(after)?;
            let variable = Variable::parse(name)
                .ok_or_else(|| FormatError::UnknownVariable(name.to_owned()))?;
            format.push_variable(variable);
            rest = following;
        }
        format.push_text(rest);
        Ok(format)
    }

    /// Lines tell of headers of the response.
    pub fn uses_sent_headers(&self) -> bool {
        self.sent_headers
    }

    /// Lines tell of headers of the upstream's response.
    pub fn uses_upstream_headers(&self) -> bool {
        self.upstream_headers
    }

    /// Lines tell how long a connection to the upstream took.
    pub fn uses_connect_time(&self) -> bool {
        self.connect_time
    }

    /// Appends the line of a request, with its line end.
    pub(super) fn write(&self, entry: &Entry<'_>, values: &mut Values, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Variable(variable) => {
                    write_value(variable, entry, values, self.escape, out);
                }
            }
        }
        out.push(b'\n');
    }

    fn push_text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if let Some(Part::Text(before)) = self.parts.last_mut() {
            before.extend_from_slice(text.as_bytes());
        } else {
            self.parts.push(Part::Text(text.as_bytes().to_vec()));
        }
    }

    fn push_variable(&mut self, variable: Variable) {
        match variable {
            Variable::SentHeader(_) => self.sent_headers = true,
            Variable::UpstreamHeader(_) => self.upstream_headers = true,
            Variable::UpstreamConnectTime => self.connect_time = true,
            _ => {}
        }
        self.parts.push(Part::Variable(variable));
    }
}

/// The name behind a `$`, and what follows it.
fn name(after: &str) -> Result<(&str, &str), FormatError> {
    let (name, rest) = match after.strip_prefix('{') {
        Some(braced) => braced
            .split_once('}')
            .ok_or_else(|| FormatError::NoBrace(braced.to_owned()))?,
        None => {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            after.split_at(end.unwrap_or(after.len()))
        }
    };
    match name.is_empty() {
        true => Err(FormatError::NoName),
        false => Ok((name, rest)),
    }
}

/// The formats that need not be declared.
const READY_MADE: [(&str, Escape, &str); 4] = [
    (
        "combined",
        Escape::Default,
        "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \
         \"$http_referer\" \"$http_user_agent\"",
    ),
    (
        "kong_log_format",
        Escape::Default,
        "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \
         \"$http_referer\" \"$http_user_agent\" kong_request_id: \"$kong_request_id\"",
    ),
    (
        "basic",
        Escape::Default,
        "$remote_addr [$time_local] $server_protocol $status $bytes_sent $request_length \
         $request_time",
    ),
    (
        "json",
        Escape::Json,
        "{\"time\":\"$time_iso8601\",\"request_id\":\"$request_id\",\
         \"remote_addr\":\"$remote_addr\",\"remote_user\":\"$remote_user\",\
         \"method\":\"$request_method\",\"scheme\":\"$scheme\",\"host\":\"$host\",\
         \"request_uri\":\"$request_uri\",\"protocol\":\"$server_protocol\",\
         \"status\":$status,\"bytes_sent\":$bytes_sent,\"body_bytes_sent\":$body_bytes_sent,\
         \"request_length\":$request_length,\"request_time\":$request_time,\
         \"referer\":\"$http_referer\",\"user_agent\":\"$http_user_agent\",\
         \"upstream_addr\":\"$upstream_addr\",\"upstream_status\":\"$upstream_status\",\
         \"upstream_response_time\":\"$upstream_response_time\"}",
    ),
];

/// A format that need not be declared.
pub fn ready_made(name: &str) -> Option<Format> {
    let (_, escape, text) = READY_MADE.iter().find(|(known, ..)| *known == name)?;
    // A test compiles them all.
    Format::compile(*escape, text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_compiled() {
        let text = |text: &str| Part::Text(text.as_bytes().to_vec());
        let variable = Part::Variable;
        for (given, expected) in [
            ("plain", vec![text("plain")]),
            ("", vec![]),
            (
                "[$status] ${host}x",
                vec![
                    text("["),
                    variable(Variable::Status),
                    text("] "),
                    variable(Variable::Host),
                    text("x"),
                ],
            ),
            (
                "$uri$args",
                vec![variable(Variable::Uri), variable(Variable::Args)],
            ),
        ] {
            let format = Format::compile(Escape::Default, given).expect(given);
            assert_eq!(format.parts, expected, "{given}");
        }
    }

    #[test]
    fn what_cannot_be_compiled_is_named() {
        for (given, expected) in [
            ("$nope", "the variable \"$nope\" is not known"),
            ("a $ b", "a $ without the name of a variable"),
            ("${}", "a $ without the name of a variable"),
            ("${host", "the closing brace of \"${host\" is missing"),
            ("$http_", "the variable \"$http_\" is not known"),
        ] {
            let error = Format::compile(Escape::Default, given).expect_err(given);
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn what_a_format_needs_to_know_is_found_out() {
        let needs = |text: &str| {
            let format = Format::compile(Escape::Default, text).expect(text);
            (
                format.uses_sent_headers(),
                format.uses_upstream_headers(),
                format.uses_connect_time(),
            )
        };
        assert_eq!(needs("$status"), (false, false, false));
        assert_eq!(needs("$sent_http_x"), (true, false, false));
        assert_eq!(needs("$upstream_http_x"), (false, true, false));
        assert_eq!(needs("$upstream_connect_time"), (false, false, true));
    }

    #[test]
    fn ready_made_formats_compile() {
        for (name, ..) in READY_MADE {
            assert!(ready_made(name).is_some(), "{name}");
        }
        assert_eq!(ready_made("nope"), None);
    }
}
