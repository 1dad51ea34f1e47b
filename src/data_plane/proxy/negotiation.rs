//! Which format an error body gets.

/// The formats of error bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Html,
    Plain,
    Xml,
    /// No body at all, for `application/grpc`.
    Empty,
}

impl Format {
    /// The format for an Accept value: the best quality wins, the first of equal ones;
    /// types that are not known count as JSON.
    pub fn of_accept(accept: &[u8]) -> Format {
        let mut best = (Format::Json, 0);
        for range in accept.split(|byte| *byte == b',') {
            let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let media = parts.next().unwrap_or_default();
            if media.is_empty() {
                continue;
            }
            let quality = parts.find_map(quality_of).unwrap_or(1000);
            if quality > best.1 {
                best = (Format::of_media_type(media), quality);
            }
        }
        best.0
    }

    fn of_media_type(media: &[u8]) -> Format {
        let is = |name: &str| media.eq_ignore_ascii_case(name.as_bytes());
        match () {
            () if is("text/html") => Format::Html,
            () if is("text/plain") || is("text/*") => Format::Plain,
            () if is("application/xml") => Format::Xml,
            () if is("application/grpc") => Format::Empty,
            () => Format::Json,
        }
    }
}

/// Thousandths of a `q=` parameter; `None` for other parameters and malformed values.
fn quality_of(parameter: &[u8]) -> Option<u32> {
    let value = match parameter {
        [b'q' | b'Q', b'=', value @ ..] => std::str::from_utf8(value).ok()?,
        _ => return None,
    };
    let quality: f32 = value.parse().ok()?;
    (0.0..=1.0)
        .contains(&quality)
        .then_some((quality * 1000.0) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_quality_wins() {
        let check = |accept: &str, expected: Format| {
            assert_eq!(Format::of_accept(accept.as_bytes()), expected, "{accept}");
        };
        check("", Format::Json);
        check("*/*", Format::Json);
        check("foo/bar", Format::Json);
        check("application/*", Format::Json);
        check("text/*", Format::Plain);
        check("Text/HTML", Format::Html);
        check("text/html;q=0.5, application/json", Format::Json);
        check("text/html;q=0.5, text/plain;q=0.9", Format::Plain);
        check("text/html, text/plain", Format::Html);
        check("foo/bar, text/html", Format::Json);
        check("text/html;q=0", Format::Json);
        check("text/html;charset=utf-8;q=0.001", Format::Html);
        check("text/html;q=7", Format::Html);
        check(",, text/plain ;q=1.000", Format::Plain);
    }
}
