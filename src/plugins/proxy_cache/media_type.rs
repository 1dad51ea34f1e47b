//! Which content types are kept.

/// A media type with its parameters, in lower case and sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    main: String,
    sub: String,
    parameters: Vec<String>,
}

impl MediaType {
    /// `None` for what is no media type.
    pub fn parse(text: &str) -> Option<MediaType> {
        let text = text.to_ascii_lowercase();
        let mut parts = text.split(';').map(str::trim);
        let (main, sub) = parts.next()?.split_once('/')?;
        let mut parameters: Vec<String> = parts
            .filter(|part| !part.is_empty())
            .map(|part| match part.split_once('=') {
                Some((name, value)) => format!("{name}={}", value.trim_matches('"')),
                None => part.to_owned(),
            })
            .collect();
        parameters.sort_unstable();
        Some(MediaType {
            main: main.to_owned(),
            sub: sub.to_owned(),
            parameters,
        })
    }

    /// Whether this configured type, which may have `*` for either part, takes another.
    pub fn takes(&self, other: &MediaType) -> bool {
        let part = |own: &str, other: &str| own == "*" || own == other;
        part(&self.main, &other.main)
            && part(&self.sub, &other.sub)
            && self.parameters == other.parameters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_compared_with_their_parameters() {
        let check = |configured: &str, given: &str, taken: bool| {
            let parse = |text| MediaType::parse(text).expect("a media type");
            let takes = parse(configured).takes(&parse(given));
            assert_eq!(takes, taken, "{configured} {given}");
        };
        check("text/plain", "Text/Plain", true);
        check("text/plain", "text/plain; charset=utf-8", false);
        check(
            "text/plain;charset=UTF-8",
            "text/plain; charset=\"utf-8\"",
            true,
        );
        check("a/b; x=1; y=2", "a/b;y=2;x=1", true);
        check("text/*", "text/csv", true);
        check("text/*", "application/json", false);
        check("*/*", "application/json", true);
        check("*/*", "application/json; a=b", false);
        assert_eq!(MediaType::parse("text"), None);
    }
}
