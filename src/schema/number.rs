//! Numbers as Kong prints them: whole ones without a fraction.

use serde_json::{Number, Value};

/// The largest integer that a double holds exactly.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// `1.0` becomes `1`; everything else stays.
pub(super) fn normalize(number: Number) -> Number {
    if !number.is_f64() {
        return number;
    }
    match number.as_f64() {
        Some(float) if float.fract() == 0.0 && float.abs() <= EXACT => (float as i64).into(),
        _ => number,
    }
}

/// Whether a JSON number has no fraction.
pub(super) fn is_integer(number: &Number) -> bool {
    !number.is_f64() || number.as_f64().is_some_and(|float| float.fract() == 0.0)
}

/// A number of the schema file in a message.
pub(super) fn display(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() <= EXACT {
        format!("{}", number as i64)
    } else {
        format!("{number}")
    }
}

/// Seconds with millisecond digits from milliseconds.
pub(super) fn seconds(ms: i64) -> Value {
    if ms % 1000 == 0 {
        Value::from(ms / 1000)
    } else {
        Value::from(ms as f64 / 1000.0)
    }
}

/// A scalar as Lua's `tostring` prints it.
pub(super) fn to_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn whole_numbers_have_no_fraction() {
        let check = |input: Value, expected: &str| {
            let Value::Number(number) = input else {
                panic!("a number");
            };
            assert_eq!(normalize(number).to_string(), expected);
        };
        check(json!(1.0), "1");
        check(json!(-3.0), "-3");
        check(json!(0.01), "0.01");
        check(json!(9_007_199_254_740_993_u64), "9007199254740993");
        assert_eq!(seconds(1_700_000_000_123).to_string(), "1700000000.123");
        assert_eq!(seconds(1_700_000_000_000).to_string(), "1700000000");
    }
}
