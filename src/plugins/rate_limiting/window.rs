//! Fixed windows, aligned to UTC.

use crate::plugins::Timestamp;

pub const PERIODS: usize = 6;

/// A kind of window, from the shortest to the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Period {
    Second,
    Minute,
    Hour,
    Day,
    Month,
    Year,
}

impl Period {
    pub const ALL: [Period; PERIODS] = [
        Period::Second,
        Period::Minute,
        Period::Hour,
        Period::Day,
        Period::Month,
        Period::Year,
    ];

    /// The nominal length in seconds, which the headers report: a month is 30 days, a
    /// year 365.
    pub const fn seconds(self) -> u64 {
        match self {
            Period::Second => 1,
            Period::Minute => 60,
            Period::Hour => 3600,
            Period::Day => 86_400,
            Period::Month => 2_592_000,
            Period::Year => 31_536_000,
        }
    }

    /// The start of the window that holds `now`, in epoch seconds.
    pub fn start(self, now: Timestamp) -> u64 {
        let seconds = now.seconds();
        match self {
            Period::Second | Period::Minute | Period::Hour | Period::Day => {
                seconds - seconds % self.seconds()
            }
            Period::Month | Period::Year => {
                let days = seconds / 86_400;
                let (year, month, day) = civil(days);
                let month_start = days - (day - 1);
                match self {
                    Period::Month => month_start * 86_400,
                    _ => (month_start - days_before(year, month)) * 86_400,
                }
            }
        }
    }

    pub const fn limit_header(self) -> &'static str {
        match self {
            Period::Second => "X-RateLimit-Limit-Second",
            Period::Minute => "X-RateLimit-Limit-Minute",
            Period::Hour => "X-RateLimit-Limit-Hour",
            Period::Day => "X-RateLimit-Limit-Day",
            Period::Month => "X-RateLimit-Limit-Month",
            Period::Year => "X-RateLimit-Limit-Year",
        }
    }

    pub const fn remaining_header(self) -> &'static str {
        match self {
            Period::Second => "X-RateLimit-Remaining-Second",
            Period::Minute => "X-RateLimit-Remaining-Minute",
            Period::Hour => "X-RateLimit-Remaining-Hour",
            Period::Day => "X-RateLimit-Remaining-Day",
            Period::Month => "X-RateLimit-Remaining-Month",
            Period::Year => "X-RateLimit-Remaining-Year",
        }
    }
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_of(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The days of a year before one of its months.
fn days_before(year: u64, month: u64) -> u64 {
    (1..month).map(|month| days_of(year, month)).sum()
}

/// Year, month (1 to 12) and day (1 to 31) of a day since the epoch (Gregorian calendar).
fn civil(days: u64) -> (u64, u64, u64) {
    // An estimate that is never too late, since no year is longer than 366 days.
    let mut year = 1970 + days / 366;
    let first_day = |year: u64| {
        let past = year - 1;
        let leaps = past / 4 - past / 100 + past / 400;
        // 477 leap years before 1970.
        (year - 1970) * 365 + leaps - 477
    };
    while first_day(year + 1) <= days {
        year += 1;
    }
    let mut rest = days - first_day(year);
    let mut month = 1;
    while rest >= days_of(year, month) {
        rest -= days_of(year, month);
        month += 1;
    }
    (year, month, rest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn windows_start_on_utc_boundaries() {
        // 2026-11-21 19:49:09.123 UTC
        let now = Timestamp(1_795_290_549_123);
        let check = |period: Period, start: u64| assert_eq!(period.start(now), start, "{period:?}");
        check(Period::Second, 1_795_290_549);
        check(Period::Minute, 1_795_290_540);
        check(Period::Hour, 1_795_287_600);
        check(Period::Day, 1_795_219_200);
        check(Period::Month, 1_793_491_200);
        check(Period::Year, 1_767_225_600);
    }

    #[test]
    fn days_have_dates() {
        let check = |days: u64, date: (u64, u64, u64)| assert_eq!(civil(days), date, "{days}");
        check(0, (1970, 1, 1));
        check(364, (1970, 12, 31));
        check(365, (1971, 1, 1));
        check(11_016, (2000, 2, 29));
        check(11_017, (2000, 3, 1));
        check(19_782, (2024, 2, 29));
        check(47_540, (2100, 2, 28));
        check(47_541, (2100, 3, 1));
    }

    proptest! {
        #[test]
        fn dates_follow_each_other(days in 0u64..200_000) {
            let (year, month, day) = civil(days);
            let next = if day < days_of(year, month) {
                (year, month, day + 1)
            } else if month < 12 {
                (year, month + 1, 1)
            } else {
                (year + 1, 1, 1)
            };
            prop_assert_eq!(civil(days + 1), next);
        }
    }
}
