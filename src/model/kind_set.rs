//! Some of the kinds: what a peer knows.

use super::Kind;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A set of kinds. On the wire it is a list of names; names this version does not know are
/// left out when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KindSet(u64);

impl KindSet {
    /// Every kind.
    pub const ALL: KindSet = KindSet::of(&Kind::ALL);

    /// The kinds that data planes hold. Sessions are kept for clients, not for the gateway.
    pub const DISTRIBUTED: KindSet = KindSet::ALL.without(Kind::Sessions);

    /// What a data plane knows that does not say what it knows.
    pub const FIRST: KindSet = KindSet::of(&[
        Kind::Certificates,
        Kind::CaCertificates,
        Kind::Snis,
        Kind::Services,
        Kind::Upstreams,
        Kind::Targets,
        Kind::Routes,
        Kind::Consumers,
        Kind::KeyauthCredentials,
        Kind::Plugins,
    ]);

    #[must_use]
    pub const fn of(kinds: &[Kind]) -> KindSet {
        let mut set = 0;
        let mut at = 0;
        while at < kinds.len() {
            set |= 1 << kinds[at] as u64;
            at += 1;
        }
        KindSet(set)
    }

    #[must_use]
    pub const fn without(self, kind: Kind) -> KindSet {
        KindSet(self.0 & !(1 << kind as u64))
    }

    #[must_use]
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u64) != 0
    }

    /// What is in both.
    #[must_use]
    pub const fn and(self, other: KindSet) -> KindSet {
        KindSet(self.0 & other.0)
    }

    /// What is here and not there.
    #[must_use]
    pub const fn minus(self, other: KindSet) -> KindSet {
        KindSet(self.0 & !other.0)
    }

    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Parents before children.
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL
            .into_iter()
            .filter(move |kind| self.contains(*kind))
    }

    /// For serde: what is meant when nothing is said.
    pub(crate) fn first() -> KindSet {
        KindSet::FIRST
    }
}

impl Serialize for KindSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for KindSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<KindSet, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = KindSet;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of kinds of entities")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<KindSet, A::Error> {
                let mut known = Vec::new();
                // Nobody knows more: the rest is not worth the memory.
                while known.len() < Kind::COUNT {
                    match names.next_element::<&str>()? {
                        Some(name) => known.extend(Kind::parse(name)),
                        None => return Ok(KindSet::of(&known)),
                    }
                }
                while names.next_element::<IgnoredAny>()?.is_some() {}
                Ok(KindSet::of(&known))
            }
        }
        deserializer.deserialize_seq(Names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_are_left_out() {
        let bytes = rmp_serde::to_vec(&["routes", "dragons", "acls"]).expect("encodes");
        let read: KindSet = rmp_serde::from_slice(&bytes).expect("decodes");
        assert_eq!(read, KindSet::of(&[Kind::Acls, Kind::Routes]));
        let bytes = rmp_serde::to_vec(&KindSet::ALL).expect("encodes");
        let read: KindSet = rmp_serde::from_slice(&bytes).expect("decodes");
        assert_eq!(read, KindSet::ALL);
        assert!(rmp_serde::from_slice::<KindSet>(&[1]).is_err());
    }

    #[test]
    fn sets() {
        let both = KindSet::FIRST.and(KindSet::of(&[Kind::Routes, Kind::Acls]));
        assert_eq!(both.iter().collect::<Vec<_>>(), [Kind::Routes]);
        let new = KindSet::DISTRIBUTED.minus(KindSet::FIRST);
        assert!(new.contains(Kind::Acls) && !new.contains(Kind::Sessions));
        assert_eq!(KindSet::ALL.iter().count(), Kind::COUNT);
    }
}
