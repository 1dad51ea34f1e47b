//! The Date header, formatted once a second per worker.

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[derive(Debug, Default)]
pub struct DateCache {
    formatted: RefCell<(u64, String)>,
}

impl DateCache {
    /// Appends `Date: ...` and the line end (RFC 9110 5.6.7 format).
    pub fn write(&self, out: &mut Vec<u8>) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        self.write_at(now, out);
    }

    fn write_at(&self, now: u64, out: &mut Vec<u8>) {
        let mut formatted = self.formatted.borrow_mut();
        if formatted.0 != now || formatted.1.is_empty() {
            *formatted = (
                now,
                httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(now)),
            );
        }
        crate::http::write::header(out, "Date", &formatted.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_follows_the_clock() {
        let dates = DateCache::default();
        let mut out = Vec::new();
        [784_111_777, 784_111_777, 784_111_778]
            .iter()
            .for_each(|now| dates.write_at(*now, &mut out));
        let expected = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n".repeat(2)
            + "Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
