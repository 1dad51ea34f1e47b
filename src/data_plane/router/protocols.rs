//! The protocols of routes, services and plugins as a set of bits.

/// A protocol as entities name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http,
    Https,
    Grpc,
    Grpcs,
    Tcp,
    Tls,
    TlsPassthrough,
    Udp,
}

impl Protocol {
    /// The protocol with this name.
    ///
    /// # Errors
    /// The text for the user when there is none.
    pub fn parse(name: &str) -> Result<Protocol, String> {
        Ok(match name {
            "http" => Protocol::Http,
            "https" => Protocol::Https,
            "grpc" => Protocol::Grpc,
            "grpcs" => Protocol::Grpcs,
            "tcp" => Protocol::Tcp,
            "tls" => Protocol::Tls,
            "tls_passthrough" => Protocol::TlsPassthrough,
            "udp" => Protocol::Udp,
            other => return Err(format!("unknown protocol {other:?}")),
        })
    }

    /// Whether the upstream connection is TLS.
    pub fn is_tls(self) -> bool {
        Protocols::TLS.contains(self)
    }
}

/// A set of protocols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protocols(u8);

impl Protocols {
    /// What the HTTP listeners serve.
    pub const HTTP: Protocols = Protocols(0b0000_1111);
    /// Those on top of TLS.
    pub const TLS: Protocols = Protocols(0b0110_1010);

    /// The set of these names.
    ///
    /// # Errors
    /// The text for the user at the first unknown name.
    pub fn parse(names: &[String]) -> Result<Protocols, String> {
        let mut set = Protocols::default();
        for name in names {
            set = set.with(Protocol::parse(name)?);
        }
        Ok(set)
    }

    #[must_use]
    pub const fn with(self, protocol: Protocol) -> Protocols {
        Protocols(self.0 | 1 << protocol as u8)
    }

    pub const fn contains(self, protocol: Protocol) -> bool {
        self.0 & 1 << protocol as u8 != 0
    }

    pub const fn intersects(self, other: Protocols) -> bool {
        self.0 & other.0 != 0
    }

    pub const fn is_subset(self, of: Protocols) -> bool {
        self.0 & !of.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_sets_hold_what_they_say() {
        let all = [
            "http",
            "https",
            "grpc",
            "grpcs",
            "tcp",
            "tls",
            "tls_passthrough",
            "udp",
        ];
        let rows = all.map(|name| {
            let protocol = Protocol::parse(name).expect("a known name");
            (name, Protocols::HTTP.contains(protocol), protocol.is_tls())
        });
        assert_eq!(
            rows,
            [
                ("http", true, false),
                ("https", true, true),
                ("grpc", true, false),
                ("grpcs", true, true),
                ("tcp", false, false),
                ("tls", false, true),
                ("tls_passthrough", false, true),
                ("udp", false, false),
            ]
        );
        assert!(Protocols::parse(&["http".into(), "smtp".into()]).is_err());
    }
}
