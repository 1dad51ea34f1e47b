//! Whether a failed attempt may be followed by another, and what the client is told if not.

use crate::data_plane::listener::pipeline::AttemptError;

/// What the decision looks at.
#[derive(Clone, Copy, Debug)]
pub struct Attempted<'a> {
    pub method: &'a [u8],
    /// Attempts made so far, at least 1.
    pub count: u32,
    /// Attempts allowed after the first.
    pub retries: u32,
    /// The route buffers request bodies, so that they can be sent again.
    pub request_buffering: bool,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Retry,
    /// Answer with this status of the HTTP engine.
    GiveUp(u16),
}

/// nginx's `proxy_next_upstream error timeout`: everything that failed before a response
/// head, but nothing that was sent and must not happen twice.
pub fn next(failed: AttemptError, attempted: &Attempted<'_>) -> Next {
    let sent = match failed {
        AttemptError::Resolve | AttemptError::Connect | AttemptError::ConnectTimeout => false,
        AttemptError::Reset { sent } | AttemptError::Timeout { sent } => sent,
        AttemptError::BadResponse => return Next::GiveUp(status_of(failed)),
    };
    let repeatable = !matches!(attempted.method, b"POST" | b"LOCK" | b"PATCH");
    let may_repeat = !sent || (repeatable && attempted.request_buffering);
    match may_repeat && attempted.count <= attempted.retries {
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
        let check = |failed: AttemptError, method: &str, buffered: bool, expected: Next| {
            let attempted = Attempted {
                method: method.as_bytes(),
                count: 1,
                retries: 5,
                request_buffering: buffered,
            };
            assert_eq!(
                next(failed, &attempted),
                expected,
                "{failed:?} {method} {buffered}"
            );
        };
        let (yes, no) = (true, false);
        check(Connect, "POST", no, Next::Retry);
        check(ConnectTimeout, "PATCH", no, Next::Retry);
        check(Resolve, "POST", yes, Next::Retry);
        check(Reset { sent: no }, "POST", no, Next::Retry);
        check(Reset { sent: yes }, "POST", yes, Next::GiveUp(502));
        check(Reset { sent: yes }, "LOCK", yes, Next::GiveUp(502));
        check(Reset { sent: yes }, "PATCH", yes, Next::GiveUp(502));
        check(Timeout { sent: yes }, "POST", yes, Next::GiveUp(504));
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "FOO"] {
            check(Reset { sent: yes }, method, yes, Next::Retry);
            check(Timeout { sent: yes }, method, yes, Next::Retry);
            check(Reset { sent: yes }, method, no, Next::GiveUp(502));
            check(Timeout { sent: yes }, method, no, Next::GiveUp(504));
            check(BadResponse, method, yes, Next::GiveUp(502));
        }
    }

    #[test]
    fn retries_are_counted() {
        let check = |count: u32, retries: u32, expected: Next| {
            let attempted = Attempted {
                method: b"GET",
                count,
                retries,
                request_buffering: true,
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
