//! `multipart/form-data`: each part is one argument; a file part gives its content.
//!
//! Only what the Admin API needs of RFC 7578: small bodies that are already in memory.

use super::error::ApiError;
use crate::schema::form::{MAX_ARGUMENTS, TooManyArguments};

/// The arguments of a multipart body.
///
/// # Errors
/// 400 when the boundary is missing, the body does not keep to it or has more parts than a form
/// may have arguments.
pub fn parts(content_type: &str, bytes: &[u8]) -> Result<Vec<(String, String)>, ApiError> {
    let refused = || ApiError::BadRequest("Cannot parse multipart body".into());
    let boundary = parameter(content_type, "boundary").ok_or_else(refused)?;
    let text = String::from_utf8_lossy(bytes);
    let delimiter = format!("--{boundary}");
    let mut found = Vec::new();
    let mut sections = text.split(delimiter.as_str());
    sections.next();
    for section in sections {
        if section.starts_with("--") {
            return Ok(found);
        }
        let section = section.strip_prefix("\r\n").ok_or_else(refused)?;
        let (head, value) = section.split_once("\r\n\r\n").ok_or_else(refused)?;
        let name = head
            .lines()
            .filter(|line| {
                line.to_ascii_lowercase()
                    .starts_with("content-disposition:")
            })
            .find_map(|line| parameter(line, "name"))
            .ok_or_else(refused)?;
        let value = value.strip_suffix("\r\n").unwrap_or(value);
        if found.len() == MAX_ARGUMENTS {
            return Err(ApiError::BadRequest(TooManyArguments.to_string()));
        }
        found.push((name, value.to_owned()));
    }
    Err(refused())
}

/// `; name="value"` or `; name=value` of a header value.
fn parameter(header: &str, name: &str) -> Option<String> {
    header.split(';').skip(1).find_map(|part| {
        let (key, value) = part.split_once('=')?;
        let matches = key.trim().eq_ignore_ascii_case(name);
        matches.then(|| value.trim().trim_matches('"').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_arguments() {
        let body = "--X\r\nContent-Disposition: form-data; name=\"cert\"; filename=\"a.pem\"\r\n\
                    Content-Type: text/plain\r\n\r\n-----BEGIN\r\nEND\r\n--X\r\n\
                    content-disposition: form-data; name=snis[]\r\n\r\na.com\r\n--X--\r\n";
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            parts("multipart/form-data; boundary=X", body.as_bytes()).ok(),
            Some(vec![
                pair("cert", "-----BEGIN\r\nEND"),
                pair("snis[]", "a.com")
            ])
        );
        assert!(parts("multipart/form-data", body.as_bytes()).is_err());
        assert!(parts("multipart/form-data; boundary=Y", body.as_bytes()).is_err());
        assert!(parts("multipart/form-data; boundary=X", b"--X\r\nno head").is_err());
    }

    #[test]
    fn trial_27_parts_are_counted_as_arguments() {
        let read = |count| {
            let part = "--X\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n";
            let body = format!("{}--X--\r\n", part.repeat(count));
            parts("multipart/form-data; boundary=X", body.as_bytes())
        };
        assert_eq!(
            read(MAX_ARGUMENTS).map(|found| found.len()).ok(),
            Some(MAX_ARGUMENTS)
        );
        assert_eq!(
            read(MAX_ARGUMENTS + 1).map_err(|err| err.status()),
            Err(400)
        );
    }
}
