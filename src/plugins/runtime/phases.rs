//! The phases of a request, and sets of them.

use std::fmt;

/// A set of phases; one phase is a set too.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Phases(u8);

impl Phases {
    pub const NONE: Phases = Phases(0);
    /// During the TLS handshake; global instances alone.
    pub const CERTIFICATE: Phases = Phases(1);
    /// Before the route is looked for; global instances alone.
    pub const REWRITE: Phases = Phases(1 << 1);
    /// Before the request is sent anywhere.
    pub const ACCESS: Phases = Phases(1 << 2);
    /// The upstream's whole response is there, and nothing of it has been sent on.
    pub const RESPONSE: Phases = Phases(1 << 3);
    /// The head of a response is there, from the upstream or from the gateway itself.
    pub const HEADER_FILTER: Phases = Phases(1 << 4);
    /// A piece of the response's body is there.
    pub const BODY_FILTER: Phases = Phases(1 << 5);
    /// After the last byte, without the headers that were sent: what needs none of them spares the proxy
    /// their copy.
    pub const LOG_WITHOUT_HEADERS: Phases = Phases(1 << 6);
    /// After the last byte.
    pub const LOG: Phases = Phases(1 << 6 | 1 << 7);

    const NAMES: [(Phases, &'static str); 7] = [
        (Phases::CERTIFICATE, "certificate"),
        (Phases::REWRITE, "rewrite"),
        (Phases::ACCESS, "access"),
        (Phases::RESPONSE, "response"),
        (Phases::HEADER_FILTER, "header_filter"),
        (Phases::BODY_FILTER, "body_filter"),
        (Phases::LOG_WITHOUT_HEADERS, "log"),
    ];

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Phases) -> Phases {
        Phases(self.0 | other.0)
    }

    /// Whether every phase of `other` is in this set.
    pub const fn contains(self, other: Phases) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of its phases, in the order in which they run.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let named = Phases::NAMES.into_iter();
        named.filter_map(move |(phase, name)| self.contains(phase).then_some(name))
    }
}

impl fmt::Debug for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_put_together_and_asked() {
        let set = Phases::LOG.and(Phases::ACCESS);
        assert!(set.contains(Phases::LOG) && set.contains(Phases::ACCESS));
        assert!(!set.contains(Phases::REWRITE));
        assert!(!set.contains(Phases::LOG.and(Phases::REWRITE)));
        assert_eq!(set.names().collect::<Vec<_>>(), ["access", "log"]);
        assert_eq!(Phases::NONE.names().count(), 0);
        let without = Phases::LOG_WITHOUT_HEADERS;
        assert!(Phases::LOG.contains(without) && !without.contains(Phases::LOG));
        assert_eq!(without.names().collect::<Vec<_>>(), ["log"]);
    }
}
