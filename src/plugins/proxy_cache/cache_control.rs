//! What Cache-Control of a request or a response says, and how long a response is fresh.

/// The directives that are heeded; times are in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheControl {
    pub no_store: bool,
    pub no_cache: bool,
    pub private: bool,
    pub public: bool,
    pub must_revalidate: bool,
    pub only_if_cached: bool,
    pub max_age: Option<u64>,
    pub s_maxage: Option<u64>,
    /// How long after its end a response is still taken; without a number: however long.
    pub max_stale: Option<u64>,
    pub min_fresh: Option<u64>,
}

impl CacheControl {
    pub fn parse<'a>(lines: impl Iterator<Item = &'a [u8]>) -> CacheControl {
        let mut parsed = CacheControl::default();
        for line in lines {
            for directive in String::from_utf8_lossy(line).split(',') {
                parsed.take(directive.trim());
            }
        }
        parsed
    }

    fn take(&mut self, directive: &str) {
        let (name, value) = match directive.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(value.trim().trim_matches('"'))),
            None => (directive, None),
        };
        // What is no number says nothing.
        let seconds = value.and_then(|value| value.parse().ok());
        match name.to_ascii_lowercase().as_str() {
            "no-store" => self.no_store = true,
            "no-cache" => self.no_cache = true,
            "private" => self.private = true,
            "public" => self.public = true,
            "must-revalidate" => self.must_revalidate = true,
            "only-if-cached" => self.only_if_cached = true,
            "max-age" => self.max_age = seconds.or(self.max_age),
            "s-maxage" => self.s_maxage = seconds.or(self.s_maxage),
            "min-fresh" => self.min_fresh = seconds.or(self.min_fresh),
            "max-stale" if value.is_none() => self.max_stale = Some(u64::MAX),
            "max-stale" => self.max_stale = seconds.or(self.max_stale),
            _ => {}
        }
    }

    /// For how many seconds a response with this header is fresh; `expires` is its Expires, as
    /// seconds from now.
    pub fn lifetime(&self, expires: Option<u64>) -> u64 {
        let own = self.s_maxage.or(self.max_age);
        own.or(expires).unwrap_or(0)
    }

    /// Whether a response with this header may be kept for others.
    pub fn may_be_kept(&self, authorized: bool) -> bool {
        // RFC 9111 §3.5: what one client was authorized to see is not for others.
        let for_others = self.public || self.must_revalidate || self.s_maxage.is_some();
        !self.no_store && !self.no_cache && !self.private && (!authorized || for_others)
    }

    /// Whether a request with this header takes a response of this age and lifetime, in seconds.
    pub fn takes(&self, age: u64, lifetime: u64) -> bool {
        let young = self.max_age.is_none_or(|most| age <= most);
        let stale_for = age.saturating_sub(lifetime);
        let fresh = stale_for == 0 || self.max_stale.is_some_and(|most| stale_for <= most);
        let left = lifetime.saturating_sub(age);
        young && fresh && self.min_fresh.is_none_or(|least| left >= least)
    }
}

/// Epoch seconds of a date of HTTP, in the form that senders use (RFC 9110 §5.6.7).
pub fn parse_date(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let (_, rest) = text.split_once(", ")?;
    let mut words = rest.split(' ');
    let day: i64 = words.next()?.parse().ok()?;
    let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = months.find(words.next()?)? as i64 / 3 + 1;
    let year: i64 = words.next()?.parse().ok()?;
    let mut time = words.next()?.splitn(3, ':').map(str::parse::<i64>);
    let mut next = || time.next()?.ok();
    let (hours, minutes, seconds) = (next()?, next()?, next()?);
    let sane = (1..=31).contains(&day) && (1970..=9999).contains(&year);
    if !sane || words.next()? != "GMT" {
        return None;
    }
    // Days since the epoch: the year begins in March, so that a leap day is its last.
    let (year, month) = match month > 2 {
        true => (year, month - 3),
        false => (year - 1, month + 9),
    };
    let leaps = year / 4 - year / 100 + year / 400;
    let days = year * 365 + leaps + (153 * month + 2) / 5 + day - 1 - 719_468;
    u64::try_from(days * 86_400 + hours * 3600 + minutes * 60 + seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> CacheControl {
        CacheControl::parse(text.split('|').map(str::as_bytes))
    }

    #[test]
    fn directives_are_read() {
        let read = parse("No-Cache, max-age=5 , s-maxage=\"7\"|private, max-age=x, min-fresh");
        let expected = CacheControl {
            no_cache: true,
            private: true,
            max_age: Some(5),
            s_maxage: Some(7),
            ..CacheControl::default()
        };
        assert_eq!(read, expected);
        assert_eq!(parse("max-stale").max_stale, Some(u64::MAX));
        assert_eq!(parse("max-stale=3").max_stale, Some(3));
        assert_eq!(parse("max-age=-1"), CacheControl::default());
    }

    #[test]
    fn a_response_is_fresh_as_long_as_it_says() {
        let check = |text: &str, expires: Option<u64>, lifetime: u64| {
            assert_eq!(parse(text).lifetime(expires), lifetime, "{text}");
        };
        check("max-age=60", Some(7), 60);
        check("s-maxage=5,max-age=0", None, 5);
        check("max-age=0", Some(7), 0);
        check("public", Some(7), 7);
        check("public", None, 0);
    }

    #[test]
    fn some_responses_are_for_one_client() {
        let check = |text: &str, authorized: bool, kept: bool| {
            assert_eq!(
                parse(text).may_be_kept(authorized),
                kept,
                "{text} {authorized}"
            );
        };
        for text in ["no-store", "no-cache", "private", "public, private"] {
            check(text, false, false);
        }
        check("max-age=5", false, true);
        check("max-age=5", true, false);
        for text in ["public", "s-maxage=5", "must-revalidate"] {
            check(text, true, true);
        }
    }

    #[test]
    fn a_request_says_what_it_takes() {
        let check = |text: &str, age: u64, taken: bool| {
            assert_eq!(parse(text).takes(age, 60), taken, "{text} {age}");
        };
        check("", 60, true);
        check("", 61, false);
        check("max-age=0", 0, true);
        check("max-age=0", 1, false);
        check("max-age=5", 5, true);
        check("min-fresh=100", 0, false);
        check("min-fresh=30", 30, true);
        check("min-fresh=30", 31, false);
        check("max-stale=1", 61, true);
        check("max-stale=1", 62, false);
        check("max-stale", 9999, true);
    }

    #[test]
    fn dates_are_read() {
        let check = |text: &str, seconds: Option<u64>| {
            assert_eq!(parse_date(text.as_bytes()), seconds, "{text}");
        };
        check("Thu, 01 Jan 1970 00:00:00 GMT", Some(0));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777));
        check("Thu, 29 Feb 2024 23:59:59 GMT", Some(1_709_251_199));
        check("Tue, 01 Dec 2026 00:00:00 GMT", Some(1_796_083_200));
        check("0", None);
        check("", None);
        check("Sun, 06 Xyz 1994 08:49:37 GMT", None);
        check("Sun, 06 Nov 1994 08:49:37 CET", None);
    }
}
