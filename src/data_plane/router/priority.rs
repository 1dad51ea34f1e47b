//! The order in which routes are tried: the larger key first.
//!
//! Kong documents one order ("strict") and computes another ("original"): the shifts of its
//! category count, header count and regex priority happen in 32 bits. Users' configurations
//! rely on what it computes, so that is the default.

use uuid::Uuid;

/// Which of the two orders applies (`route_match_calculation`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MatchOrder {
    /// What Kong 3.x computes.
    #[default]
    Original,
    /// What Kong documents.
    Strict,
}

/// A matcher's place in the order: priority, then the larger id.
pub type OrderKey = (u64, u64, u64);

/// The place of a matcher with this priority and id; ids compare as big-endian numbers.
pub fn order_key(priority: u64, id: Uuid) -> OrderKey {
    let (high, low) = id.as_u64_pair();
    (priority, high, low)
}

/// The name space of the ids of a route's groups of paths.
const GROUP_NAMESPACE: Uuid = Uuid::from_u128(0x7f145bf9_0dce_4f91_98eb_debbce4b9f6b);

/// What the priority is computed from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weights {
    /// How many of methods, hosts, headers, snis, paths are given.
    pub categories: u32,
    /// Hosts are given and none has a wildcard.
    pub plain_hosts: bool,
    /// Number of header names.
    pub headers: usize,
    /// The regex priority when this group of paths is the regexes.
    pub regex: Option<i64>,
    /// The length of this group's prefixes, in bytes.
    pub prefix_len: usize,
}

/// The priority in the given order.
pub fn priority(order: MatchOrder, weights: &Weights) -> u64 {
    match order {
        MatchOrder::Original => original(weights),
        MatchOrder::Strict => strict(weights),
    }
}

/// The id that decides ties for group `number` (from one) of a route that is split.
pub fn group_id(route: Uuid, number: usize) -> Uuid {
    Uuid::new_v5(&GROUP_NAMESPACE, format!("{route}#{number}").as_bytes())
}

const PLAIN_HOSTS_BIT: u32 = 60;
const REGEX_BIT: u32 = 51;
const PREFIX_LEN_MASK: u64 = 0x7_FFFF;

fn strict(w: &Weights) -> u64 {
    let regex = match w.regex {
        Some(priority) => 1 << REGEX_BIT | (priority as u64 & 0xFFFF_FFFF) << 19,
        None => 0,
    };
    u64::from(w.categories.min(7)) << 61
        | u64::from(w.plain_hosts) << PLAIN_HOSTS_BIT
        | (w.headers.min(255) as u64) << 52
        | regex
        | prefix_len(w)
}

fn original(w: &Weights) -> u64 {
    // A shift by 61 or 52 of a 32-bit number counts modulo 32: 29 and 20.
    let categories = w.categories.min(7).wrapping_shl(61) as i32;
    let headers = (w.headers.min(255) as u32).wrapping_shl(52) as i32;
    let regex = w
        .regex
        .map_or(0, |priority| (priority as i32).wrapping_shl(19));
    // A negative number converts to the top bit.
    let widen = |part: i32| if part < 0 { 1 << 63 } else { part as u64 };
    if w.plain_hosts || w.regex.is_some() {
        return widen(categories)
            | u64::from(w.plain_hosts) << PLAIN_HOSTS_BIT
            | u64::from(w.regex.is_some()) << REGEX_BIT
            | widen(headers)
            | widen(regex)
            | prefix_len(w);
    }
    // With four categories and more Kong's number depends on its compiler; the top bit keeps
    // what all its results have in common and stays deterministic.
    let categories = if w.categories >= 4 {
        1 << 63
    } else {
        categories as u64
    };
    categories | headers as u64 | prefix_len(w)
}

fn prefix_len(w: &Weights) -> u64 {
    w.prefix_len as u64 & PREFIX_LEN_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(
        categories: u32,
        plain_hosts: bool,
        headers: usize,
        regex: Option<i64>,
        prefix_len: usize,
    ) -> Weights {
        Weights {
            categories,
            plain_hosts,
            headers,
            regex,
            prefix_len,
        }
    }

    #[test]
    fn the_two_orders() {
        let rows = [
            (weights(1, false, 0, None, 5), 1 << 29 | 5, 1 << 61 | 5),
            (
                weights(2, true, 0, None, 3),
                2 << 29 | 1 << 60 | 3,
                2 << 61 | 1 << 60 | 3,
            ),
            (
                weights(1, false, 0, Some(1), 0),
                1 << 29 | 1 << 51 | 1 << 19,
                1 << 61 | 1 << 51 | 1 << 19,
            ),
            (
                weights(2, false, 2, None, 1),
                2 << 29 | 2 << 20 | 1,
                2 << 61 | 2 << 52 | 1,
            ),
            (
                weights(4, false, 1, None, 1),
                1 << 63 | 1 << 20 | 1,
                4 << 61 | 1 << 52 | 1,
            ),
            (
                weights(5, true, 0, None, 1),
                1 << 63 | 1 << 60 | 1,
                5 << 61 | 1 << 60 | 1,
            ),
            (
                weights(1, false, 0, Some(4096), 0),
                1 << 63 | 1 << 51 | 1 << 29,
                1 << 61 | 1 << 51 | 4096 << 19,
            ),
        ];
        for (weights, original, strict) in rows {
            assert_eq!(
                priority(MatchOrder::Original, &weights),
                original,
                "{weights:?}"
            );
            assert_eq!(
                priority(MatchOrder::Strict, &weights),
                strict,
                "{weights:?}"
            );
        }
    }

    #[test]
    fn group_ids_are_stable() {
        let route = Uuid::from_u128(1);
        assert_eq!(group_id(route, 1), group_id(route, 1));
        assert_ne!(group_id(route, 1), group_id(route, 2));
        assert_eq!(group_id(route, 1).get_version_num(), 5);
    }
}
