//! Numbers as Lua writes them.

/// As `%.14g` does it.
pub fn text(number: f64) -> String {
    const DIGITS: i32 = 14;
    if number.is_nan() {
        return if number.is_sign_negative() {
            "-nan"
        } else {
            "nan"
        }
        .to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if number == 0.0 {
        return if number.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    if number.fract() == 0.0 && number.abs() < 1e14 {
        return (number as i64).to_string();
    }
    let scientific = format!("{:.*e}", DIGITS as usize - 1, number);
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..DIGITS).contains(&exponent) {
        let decimals = (DIGITS - 1 - exponent).max(0) as usize;
        return trimmed(&format!("{number:.decimals$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(digits), exponent.abs())
}

fn trimmed(digits: &str) -> &str {
    match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => digits,
    }
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn numbers_have_fourteen_digits() {
        let check = |number: f64, expected: &str| assert_eq!(text(number), expected);
        check(1.0, "1");
        check(-3.0, "-3");
        check(1.0 / 3.0, "0.33333333333333");
        check(1.5, "1.5");
        check(1e15, "1e+15");
        check(123_456_789_012_345_678.0, "1.2345678901235e+17");
        check(0.000_012, "1.2e-05");
        check(99_999_999_999_999.9, "1e+14");
        check(f64::INFINITY, "inf");
        check(-0.0, "-0");
    }
}
