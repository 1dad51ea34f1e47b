//! Whether a failed attempt may be followed by another, and what the client is told if not.

use crate::data_plane::exchange::AttemptError;

/// What the decision looks at.
#[derive(Clone, Copy, Debug)]
pub struct Attempted<'a> {
    pub method: &'a [u8],
    /// Attempts made so far, at least 1.
    pub count: u32,
    /// Attempts allowed after the first.
    pub retries: u32,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Retry,
    /// Answer with this status of the HTTP engine.
    GiveUp(u16),
}

/// nginx's `proxy_next_upstream error timeout`: everything that failed before a response
/// head, but nothing that was sent and must not happen twice. Whether the body is still there
/// is the driver's to know: it does not ask when a part of it is gone.
pub fn next(failed: AttemptError, attempted: &Attempted<'_>) -> Next {
    let sent = match failed {
        AttemptError::Resolve | AttemptError::Connect | AttemptError::ConnectTimeout => false,
        AttemptError::Reset { sent } | AttemptError::Timeout { sent } => sent,
        AttemptError::BadResponse => return Next::GiveUp(status_of(failed)),
    };
    let repeatable = !matches!(attempted.method, b"POST" | b"LOCK" | b"PATCH");
    match (!sent || repeatable) && attempted.count <= attempted.retries {
        true => Next::Retry,
        false => Next::GiveUp(status_of(failed)),
    }
}

/// The status of the HTTP engine for a failure.
pub fn status_of(failed: AttemptError) -> u16 {
    match failed {
        AttemptError::Resolve => 503,
        AttemptError::ConnectTimeout | AttemptError::Timeout { .. } => 504,
        AttemptError::Connect | AttemptError::Reset { .. } | AttemptError::BadResponse => 502,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_decides() {
        use AttemptError::*;
        let check = |failed: AttemptError, method: &str, expected: Next| {
            let attempted = Attempted {
                method: method.as_bytes(),
                count: 1,
                retries: 5,
            };
            assert_eq!(next(failed, &attempted), expected, "{failed:?} {method}");
        };
        let (yes, no) = (true, false);
        check(Connect, "POST", Next::Retry);
        check(ConnectTimeout, "PATCH", Next::Retry);
        check(Resolve, "POST", Next::Retry);
        check(Reset { sent: no }, "POST", Next::Retry);
        check(Reset { sent: yes }, "POST", Next::GiveUp(502));
        check(Reset { sent: yes }, "LOCK", Next::GiveUp(502));
        check(Reset { sent: yes }, "PATCH", Next::GiveUp(502));
        check(Timeout { sent: yes }, "POST", Next::GiveUp(504));
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "FOO"] {
            check(Reset { sent: yes }, method, Next::Retry);
            check(Timeout { sent: yes }, method, Next::Retry);
            check(BadResponse, method, Next::GiveUp(502));
        }
    }

    #[test]
    fn retries_are_counted() {
        let check = |count: u32, retries: u32, expected: Next| {
            let attempted = Attempted {
                method: b"GET",
                count,
                retries,
            };
            let found = next(AttemptError::Connect, &attempted);
            assert_eq!(found, expected, "{count} of {retries}");
        };
        check(1, 0, Next::GiveUp(502));
        check(1, 1, Next::Retry);
        check(2, 1, Next::GiveUp(502));
        check(5, 5, Next::Retry);
        check(6, 5, Next::GiveUp(502));
    }
}
