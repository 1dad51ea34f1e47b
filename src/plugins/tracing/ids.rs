//! The ids of traces and spans.

use rand::Rng;
use std::fmt;

/// How many bytes of a trace's id its formats have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Width {
    /// It came in a format that has but one width, or was made here.
    #[default]
    Unknown,
    /// 8 bytes.
    Short,
    /// 16 bytes.
    Long,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId {
    pub bytes: [u8; 16],
    pub width: Width,
}

impl TraceId {
    /// A new one, of 8 or of 16 random bytes.
    pub fn random(short: bool) -> TraceId {
        let mut bytes = [0; 16];
        let from = if short { 8 } else { 0 };
        fill(&mut bytes[from..]);
        TraceId {
            bytes,
            width: Width::Unknown,
        }
    }

    /// From 1 to 32 hex digits; `None` for others, and for zero.
    pub fn parse(hex: &str) -> Option<TraceId> {
        let width = match hex.len() {
            1..=16 => Width::Short,
            17..=32 => Width::Long,
            _ => return None,
        };
        let number = digits(hex)?;
        (number != 0).then(|| TraceId {
            bytes: number.to_be_bytes(),
            width,
        })
    }

    /// From its last 8 bytes.
    pub fn of_low(low: u64) -> TraceId {
        TraceId {
            bytes: u128::from(low).to_be_bytes(),
            width: Width::Unknown,
        }
    }

    /// Its last 8 bytes.
    pub fn low(self) -> u64 {
        // Of 128 bits the last 64 are meant.
        u128::from_be_bytes(self.bytes) as u64
    }

    /// 32 hex digits.
    pub fn long(self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.bytes))
    }

    /// 16 hex digits, of its last 8 bytes.
    pub fn short(self) -> String {
        format!("{:016x}", self.low())
    }

    /// As wide as it came; where that is not known, as said.
    pub fn as_it_came(self, or: Width) -> String {
        match (self.width, or) {
            (Width::Short, _) | (Width::Unknown, Width::Short) => self.short(),
            _ => self.long(),
        }
    }

    /// Whether this trace is in a sample of this share of all traces. Other gateways with the same share
    /// decide the same.
    pub fn is_sampled(self, share: f64) -> bool {
        // The upper half of the last 8 bytes, which are random also in ids of 8 bytes, as a fraction.
        (self.low() >> 11) as f64 / (1u64 << 53) as f64 <= share && share > 0.0
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanId(pub [u8; 8]);

impl SpanId {
    pub fn random() -> SpanId {
        let mut bytes = [0; 8];
        fill(&mut bytes);
        SpanId(bytes)
    }

    /// From 1 to 16 hex digits.
    pub fn parse(hex: &str) -> Option<SpanId> {
        match hex.len() {
            1..=16 => {
                let number = u64::try_from(digits(hex)?).ok()?;
                Some(SpanId(number.to_be_bytes()))
            }
            _ => None,
        }
    }

    /// `None` for zero, which is no span.
    pub fn not_zero(self) -> Option<SpanId> {
        (self.0 != [0; 8]).then_some(self)
    }

    pub fn number(self) -> u64 {
        u64::from_be_bytes(self.0)
    }
}

/// 16 hex digits.
impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.number())
    }
}

fn digits(hex: &str) -> Option<u128> {
    // A sign, which Rust would take, is no digit.
    let all = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(hex, 16).ok();
    number.filter(|_| all)
}

/// Random bytes that are not all zero.
fn fill(bytes: &mut [u8]) {
    rand::rng().fill(bytes);
    if bytes.iter().all(|byte| *byte == 0)
        && let Some(last) = bytes.last_mut()
    {
        *last = 1;
    }
}
