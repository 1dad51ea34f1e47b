//! Amounts of memory as Kong's `/status` writes them: `12.34 MiB`, with a unit and a scale.

use serde_json::Value;

/// Kong writes as many decimals as it is asked for; beyond these there is only noise.
const MOST_DECIMALS: usize = 20;

/// How amounts of memory are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    unit: Unit,
    decimals: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Bytes,
    Kibi,
    Mebi,
    Gibi,
}

/// A `unit` or `scale` argument that is not one, in Kong's words.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScaleError {
    #[error("invalid unit '{0}' (expected 'k/K', 'm/M', or 'g/G')")]
    Unit(String),
    #[error("scale must be equal or greater than 0")]
    Scale,
}

impl Scale {
    /// From the query's `unit` (default MiB) and `scale` (decimals, default 2; what is no
    /// number counts as absent).
    ///
    /// # Errors
    /// An unknown unit or a negative scale.
    pub fn parse(unit: Option<&str>, scale: Option<&str>) -> Result<Scale, ScaleError> {
        let unit = match unit.unwrap_or("m") {
            "b" | "B" => Unit::Bytes,
            "k" | "K" => Unit::Kibi,
            "m" | "M" => Unit::Mebi,
            "g" | "G" => Unit::Gibi,
            other => return Err(ScaleError::Unit(other.to_owned())),
        };
        let decimals = match scale.and_then(|scale| scale.trim().parse::<f64>().ok()) {
            Some(scale) if scale < 0.0 => return Err(ScaleError::Scale),
            Some(scale) => (scale as usize).min(MOST_DECIMALS),
            None => 2,
        };
        Ok(Scale { unit, decimals })
    }

    /// Bytes are plain numbers, everything else is text.
    pub fn write(&self, bytes: u64) -> Value {
        let (size, name) = match self.unit {
            Unit::Bytes => return Value::from(bytes),
            Unit::Kibi => (1u64 << 10, "KiB"),
            Unit::Mebi => (1 << 20, "MiB"),
            Unit::Gibi => (1 << 30, "GiB"),
        };
        let amount = bytes as f64 / size as f64;
        Value::from(format!("{amount:.*} {name}", self.decimals))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn amounts_in_every_unit() {
        let bytes = 17_175_674;
        for (unit, scale, expected) in [
            (None, None, json!("16.38 MiB")),
            (Some("b"), Some("1"), json!(17_175_674)),
            (Some("B"), None, json!(17_175_674)),
            (Some("K"), Some("0"), json!("16773 KiB")),
            (Some("k"), Some("x"), json!("16773.12 KiB")),
            (Some("G"), Some("3"), json!("0.016 GiB")),
            (
                Some("m"),
                Some("99999"),
                json!("16.37999916076660156250 MiB"),
            ),
        ] {
            let scale = Scale::parse(unit, scale).expect("a scale");
            assert_eq!(scale.write(bytes), expected);
        }
    }

    #[test]
    fn what_is_no_unit_and_no_scale_is_refused_in_kongs_words() {
        for (unit, scale, expected) in [
            (
                Some("V"),
                None,
                "invalid unit 'V' (expected 'k/K', 'm/M', or 'g/G')",
            ),
            (
                Some("KiB"),
                Some("-1"),
                "invalid unit 'KiB' (expected 'k/K', 'm/M', or 'g/G')",
            ),
            (None, Some("-1"), "scale must be equal or greater than 0"),
        ] {
            let err = Scale::parse(unit, scale).expect_err("refused");
            assert_eq!(err.to_string(), expected);
        }
    }
}
