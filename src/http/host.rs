//! The parts of a Host header.

/// A Host value without its `:port`; an IPv6 literal keeps its brackets.
pub fn host_without_port(host: &[u8]) -> &[u8] {
    let name_end = match host.first() {
        Some(b'[') => host.iter().position(|byte| *byte == b']').unwrap_or(0),
        _ => 0,
    };
    match host[name_end..].iter().position(|byte| *byte == b':') {
        Some(colon) => &host[..name_end + colon],
        None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_cut_off() {
        let check = |host: &str, expected: &str| {
            let name = host_without_port(host.as_bytes());
            assert_eq!(String::from_utf8_lossy(name), expected);
        };
        check("a.b", "a.b");
        check("a.b:80", "a.b");
        check("[::1]", "[::1]");
        check("[::1]:80", "[::1]");
        check("", "");
        check(":80", "");
    }
}
