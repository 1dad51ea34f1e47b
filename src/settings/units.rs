//! nginx's units: sizes (`8k`, `2048m`, `1g`) and times (`500ms`, `60s`, `1h30m`, `1d`).
//!
//! A size without a unit is bytes, a time without one is seconds.

use std::time::Duration;

/// A size in bytes: digits and one of `k`, `m`, `g` (either case), powers of 1024.
pub fn size(text: &str) -> Option<u64> {
    let (digits, factor) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1 << 10),
        b'm' | b'M' => (&text[..text.len() - 1], 1 << 20),
        b'g' | b'G' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1u64),
    };
    whole_number(digits)?.checked_mul(factor)
}

/// The longest time a setting can mean, a hundred years: adding it to a clock cannot overflow.
pub const MAX_TIME: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A number of seconds, held between zero and [`MAX_TIME`].
pub fn seconds(number: f64) -> Duration {
    Duration::from_secs_f64(number.clamp(0.0, MAX_TIME.as_secs_f64()))
}

/// A time of at most [`MAX_TIME`]: one or more numbers, each with a unit, of falling size; or
/// bare seconds.
pub fn time(text: &str) -> Option<Duration> {
    any_time(text).filter(|time| *time <= MAX_TIME)
}

fn any_time(text: &str) -> Option<Duration> {
    if let Some(seconds) = whole_number(text) {
        return Some(Duration::from_secs(seconds));
    }
    let mut total_ms = 0u64;
    let mut last_factor = u64::MAX;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits_end = rest.find(|c: char| !c.is_ascii_digit())?;
        let value = whole_number(&rest[..digits_end])?;
        rest = &rest[digits_end..];
        let unit_end = rest
            .find(|c: char| c.is_ascii_digit() || c == ' ')
            .unwrap_or(rest.len());
        let factor = unit_ms(&rest[..unit_end])?;
        if factor >= last_factor {
            return None;
        }
        last_factor = factor;
        total_ms = total_ms.checked_add(value.checked_mul(factor)?)?;
        rest = rest[unit_end..].trim_start();
    }
    Some(Duration::from_millis(total_ms))
}

/// nginx's time units in milliseconds; a month is 30 days, a year 365.
fn unit_ms(unit: &str) -> Option<u64> {
    const SECOND: u64 = 1_000;
    const DAY: u64 = 86_400 * SECOND;
    Some(match unit {
        "ms" => 1,
        "s" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3_600 * SECOND,
        "d" => DAY,
        "w" => 7 * DAY,
        "M" => 30 * DAY,
        "y" => 365 * DAY,
        _ => return None,
    })
}

fn whole_number(digits: &str) -> Option<u64> {
    // `parse` would accept a sign.
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", Some(0)),
            ("8", Some(8)),
            ("8k", Some(8 << 10)),
            ("10M", Some(10 << 20)),
            ("2048m", Some(2 << 30)),
            ("1g", Some(1 << 30)),
            ("", None),
            ("k", None),
            ("-1", None),
            ("+1", None),
            ("1.5m", None),
            ("1 m", None),
            ("8kb", None),
            ("18446744073709551615g", None),
        ] {
            assert_eq!(size(text), expected, "{text:?}");
        }
    }

    #[test]
    fn times() {
        for (text, expected) in [
            ("0", Some(0)),
            ("60", Some(60_000)),
            ("500ms", Some(500)),
            ("75s", Some(75_000)),
            ("5m", Some(300_000)),
            ("1h30m", Some(5_400_000)),
            ("1h 30m", Some(5_400_000)),
            ("1d", Some(86_400_000)),
            ("1M", Some(2_592_000_000)),
            ("30m1h", None),
            ("1x", None),
            ("", None),
            ("s", None),
            ("1s2", None),
            ("99999999999999999999s", None),
            ("100y", Some(MAX_TIME.as_millis() as u64)),
            ("101y", None),
            ("99999999999999", None),
        ] {
            assert_eq!(time(text), expected.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn numbers_of_seconds() {
        for (number, expected) in [
            (0.5, Duration::from_millis(500)),
            (-1.0, Duration::ZERO),
            (1e300, MAX_TIME),
        ] {
            assert_eq!(seconds(number), expected);
        }
    }

    proptest! {
        #[test]
        fn never_panic(text in ".{0,24}") {
            let _ = (size(&text), time(&text));
        }
    }
}
