//! The time.

use super::super::native::{Native, nil, nothing, one, text};
use mlua::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub const NATIVES: &[Native] = &[
    Native::any("ngx.now", |_, _, _| {
        one(Value::Number(now().as_millis() as f64 / 1000.0))
    }),
    Native::any("ngx.time", |_, _, _| {
        one(Value::Number(now().as_secs() as f64))
    }),
    Native::any("ngx.update_time", |_, _, _| nothing()),
    Native::any("ngx.today", |_, lua, _| {
        text(lua, &utc(now().as_secs())[..10])
    }),
    // Nodes run in UTC.
    Native::any("ngx.localtime", |_, lua, _| text(lua, utc(now().as_secs()))),
    Native::any("ngx.utctime", |_, lua, _| text(lua, utc(now().as_secs()))),
    Native::any("ngx.http_time", |_, lua, args| match args.number(0) {
        Some(seconds) => text(lua, httpdate::fmt_http_date(at(seconds))),
        None => Err("number argument only".to_owned()),
    }),
    Native::any("ngx.cookie_time", |_, lua, args| match args.number(0) {
        Some(seconds) => text(lua, cookie_time(&httpdate::fmt_http_date(at(seconds)))),
        None => Err("number argument only".to_owned()),
    }),
    Native::any("ngx.parse_http_time", |_, _, args| {
        let given = String::from_utf8_lossy(&args.shown(0)).into_owned();
        let parsed = httpdate::parse_http_date(&given).ok();
        match parsed.and_then(|time| time.duration_since(UNIX_EPOCH).ok()) {
            Some(time) => one(Value::Number(time.as_secs() as f64)),
            None => nil(),
        }
    }),
];

pub fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

fn at(seconds: f64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds.clamp(0.0, 2.5e11) as u64)
}

/// Year, month and day of a day since the epoch.
pub fn date(days: i64) -> (i64, u32, u32) {
    // Days are counted from 0000-03-01, so that the day of a leap year comes last.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted + 2) / 5 + 1) as u32;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    } as u32;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// `2026-12-01 02:03:04`.
pub fn utc(seconds: u64) -> String {
    let (year, month, day) = date((seconds / 86_400) as i64);
    let (hour, minute, second) = clock(seconds);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

pub fn clock(seconds: u64) -> (u64, u64, u64) {
    let of_day = seconds % 86_400;
    (of_day / 3600, of_day / 60 % 60, of_day % 60)
}

/// `Sun, 13-Jan-19 10:30:04 GMT` from `Sun, 13 Jan 2019 10:30:04 GMT`.
fn cookie_time(date: &str) -> String {
    let parts: Vec<&str> = date.split(' ').collect();
    match parts.as_slice() {
        [weekday, day, month, year, time, zone] => {
            let year = year.get(2..).unwrap_or(year);
            format!("{weekday} {day}-{month}-{year} {time} {zone}")
        }
        _ => date.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_dates() {
        assert_eq!(utc(0), "1970-01-01 00:00:00");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(utc(1_547_375_404), "2019-01-13 10:30:04");
        assert_eq!(
            cookie_time("Sun, 13 Jan 2019 10:30:04 GMT"),
            "Sun, 13-Jan-19 10:30:04 GMT"
        );
    }
}
