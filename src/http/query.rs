//! Query arguments as they stand in a request target.

use percent_encoding::percent_decode;
use std::borrow::Cow;

/// One argument of a query, undecoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument<'a> {
    /// The argument as it came: `name`, or `name=value`.
    pub raw: &'a [u8],
}

impl<'a> Argument<'a> {
    /// The decoded name.
    pub fn name(self) -> Cow<'a, [u8]> {
        decoded(match self.equals() {
            Some(at) => &self.raw[..at],
            None => self.raw,
        })
    }

    /// The decoded value; `None` without `=`.
    pub fn value(self) -> Option<Cow<'a, [u8]>> {
        self.equals().map(|at| decoded(&self.raw[at + 1..]))
    }

    fn equals(self) -> Option<usize> {
        self.raw.iter().position(|byte| *byte == b'=')
    }
}

/// The arguments of a query (without its `?`); empty ones are skipped.
pub fn arguments(query: &[u8]) -> impl Iterator<Item = Argument<'_>> {
    query
        .split(|byte| *byte == b'&')
        .filter(|raw| !raw.is_empty())
        .map(|raw| Argument { raw })
}

/// The values of the arguments of one name, in order; `None` for one without `=`.
pub fn values<'a>(query: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = Option<Cow<'a, [u8]>>> {
    arguments(query)
        .filter(move |argument| *argument.name() == *name)
        .map(Argument::value)
}

/// Percent-decoded, with `+` as a blank; borrowed when there is nothing to decode.
fn decoded(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(raw);
    }
    let blanks: Vec<u8> = raw
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    Cow::Owned(percent_decode(&blanks).collect())
}

/// A query without the arguments of one name; the others stay as they came.
pub fn without(query: &[u8], name: &[u8]) -> Vec<u8> {
    let mut rest = Vec::with_capacity(query.len());
    for argument in arguments(query).filter(|argument| *argument.name() != *name) {
        if !rest.is_empty() {
            rest.push(b'&');
        }
        rest.extend_from_slice(argument.raw);
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_decoded() {
        let check = |query: &str, expected: &[(&str, Option<&str>)]| {
            let text = |bytes: Cow<'_, [u8]>| String::from_utf8_lossy(&bytes).into_owned();
            let found: Vec<_> = arguments(query.as_bytes())
                .map(|argument| (text(argument.name()), argument.value().map(text)))
                .collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)))
                .collect();
            assert_eq!(found, expected, "{query}");
        };
        check("", &[]);
        check(
            "a=1&b&&c=",
            &[("a", Some("1")), ("b", None), ("c", Some(""))],
        );
        check("a%20b=c+d%2B", &[("a b", Some("c d+"))]);
        check("a=b=c&%zz=1", &[("a", Some("b=c")), ("%zz", Some("1"))]);
    }

    #[test]
    fn one_name_is_left_out() {
        let check = |query: &str, expected: &str| {
            let rest = without(query.as_bytes(), b"key");
            assert_eq!(String::from_utf8_lossy(&rest), expected, "{query}");
        };
        check("key=1", "");
        check("key=1&z=%31", "z=%31");
        check("a&key=1&z=1&key", "a&z=1");
        check("k%65y=1&keys=1", "keys=1");
    }
}
