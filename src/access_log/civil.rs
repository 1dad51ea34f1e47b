//! Local time as log lines write it, made once per second.

/// The system's offset from UTC is asked for again when this many seconds have passed: clocks are
/// changed at quarters of an hour.
const OFFSET_VALID: u64 = 900;

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// The texts of one second.
#[derive(Debug, Default)]
pub struct LocalTime {
    /// Seconds since the epoch; the texts are those of this second.
    second: u64,
    /// Seconds to add to UTC.
    offset: i64,
    /// The quarter of an hour for which the offset was asked, and one more; 0 before the first.
    quarter: u64,
    /// `01/Dec/2026:02:44:29 +0000`
    local: Vec<u8>,
    /// `2026-12-01T02:44:29+00:00`
    iso8601: Vec<u8>,
}

impl LocalTime {
    /// The form of `$time_local`.
    pub fn local(&mut self, second: u64) -> &[u8] {
        self.set(second);
        &self.local
    }

    /// The form of `$time_iso8601`.
    pub fn iso8601(&mut self, second: u64) -> &[u8] {
        self.set(second);
        &self.iso8601
    }

    fn set(&mut self, second: u64) {
        if second == self.second && !self.local.is_empty() {
            return;
        }
        let quarter = second / OFFSET_VALID + 1;
        if quarter != self.quarter {
            self.offset = offset_at(second);
            self.quarter = quarter;
        }
        self.second = second;
        self.write(second, self.offset);
    }

    fn write(&mut self, second: u64, offset: i64) {
        let shown = i64::try_from(second)
            .unwrap_or(i64::MAX)
            .saturating_add(offset);
        let (year, month, day) = date_of(shown.div_euclid(86_400));
        let of_day = shown.rem_euclid(86_400);
        let clock = [of_day / 3600, of_day / 60 % 60, of_day % 60];
        let sign = if offset < 0 { b'-' } else { b'+' };
        let zone = [offset.abs() / 3600, offset.abs() / 60 % 60];
        let out = &mut self.local;
        out.clear();
        two(day, out);
        out.push(b'/');
        out.extend_from_slice(MONTHS[usize::try_from(month - 1).unwrap_or(0) % 12]);
        out.push(b'/');
        four(year, out);
        for part in clock {
            out.push(b':');
            two(part, out);
        }
        out.extend_from_slice(&[b' ', sign]);
        zone.iter().for_each(|part| two(*part, out));
        let out = &mut self.iso8601;
        out.clear();
        four(year, out);
        for (before, part) in [(b'-', month), (b'-', day)] {
            out.push(before);
            two(part, out);
        }
        for (before, part) in [(b'T', clock[0]), (b':', clock[1]), (b':', clock[2])] {
            out.push(before);
            two(part, out);
        }
        out.push(sign);
        two(zone[0], out);
        out.push(b':');
        two(zone[1], out);
    }
}

/// Local time as messages to the system's log have it: `Dec  1 02:44:29`.
pub fn syslog_time(second: u64) -> String {
    let offset = offset_at(second);
    let shown = i64::try_from(second)
        .unwrap_or(i64::MAX)
        .saturating_add(offset);
    let (_, month, day) = date_of(shown.div_euclid(86_400));
    let month = MONTHS[usize::try_from(month - 1).unwrap_or(0) % 12];
    let month = String::from_utf8_lossy(month);
    let of_day = shown.rem_euclid(86_400);
    let (hour, minute) = (of_day / 3600, of_day / 60 % 60);
    format!("{month} {day:>2} {hour:02}:{minute:02}:{:02}", of_day % 60)
}

/// A time in milliseconds since the epoch: `2026-12-01T02:44:29.017Z`.
pub fn utc_time(milliseconds: u64) -> String {
    let second = i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX);
    let (year, month, day) = date_of(second.div_euclid(86_400));
    let of_day = second.rem_euclid(86_400);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let rest = milliseconds % 1000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{rest:03}Z")
}

fn two(number: i64, out: &mut Vec<u8>) {
    out.push(b'0' + (number / 10 % 10) as u8);
    out.push(b'0' + (number % 10) as u8);
}

fn four(number: i64, out: &mut Vec<u8>) {
    two(number / 100, out);
    two(number % 100, out);
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar.
fn date_of(days: i64) -> (i64, i64, i64) {
    // Counted from 1 March of a year that 400 divides, leap days come last in each period.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// What the system's time zone adds to UTC at this second.
fn offset_at(second: u64) -> i64 {
    let Ok(time) = libc::time_t::try_from(second) else {
        return 0;
    };
    // SAFETY: a `tm` is plain numbers and a pointer, for all of which zero is a value.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the call; nothing is kept of them.
    match unsafe { libc::localtime_r(&raw const time, &raw mut parts) }.is_null() {
        true => 0,
        false => parts.tm_gmtoff,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_system_log_and_of_rfc_5424() {
        assert_eq!(utc_time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc_time(1_764_557_069_017), "2025-12-01T02:44:29.017Z");
        // Which hour it is depends on the time zone of the machine.
        let shown = syslog_time(1_764_560_669);
        assert_eq!((shown.len(), &shown[..3]), (15, "Dec"), "{shown}");
        assert_eq!(&shown[9..], ":44:29", "{shown}");
    }

    #[test]
    fn times_are_written_in_both_forms() {
        for (second, offset, local, iso8601) in [
            (
                0,
                0,
                "01/Jan/1970:00:00:00 +0000",
                "1970-01-01T00:00:00+00:00",
            ),
            (
                1_709_210_096,
                19_800,
                "29/Feb/2024:18:04:56 +0530",
                "2024-02-29T18:04:56+05:30",
            ),
            (
                1_798_761_599,
                -12_600,
                "31/Dec/2026:20:29:59 -0330",
                "2026-12-31T20:29:59-03:30",
            ),
            (
                951_868_799,
                3600,
                "01/Mar/2000:00:59:59 +0100",
                "2000-03-01T00:59:59+01:00",
            ),
        ] {
            let mut time = LocalTime::default();
            time.write(second, offset);
            assert_eq!(String::from_utf8_lossy(&time.local), local);
            assert_eq!(String::from_utf8_lossy(&time.iso8601), iso8601);
        }
    }

    #[test]
    fn a_second_is_written_once() {
        let mut time = LocalTime::default();
        let first = time.local(1_000_000_000).to_owned();
        assert_eq!(time.local(1_000_000_000), first);
        assert_ne!(time.local(1_000_000_001), first);
    }
}
