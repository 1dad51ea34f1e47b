//! The kinds of entities there are.

use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($($variant:ident = $name:literal,)+) => {
        /// A kind of entity. The order is parents before children, so that applying
        /// puts in order (and deletes in reverse order) never dangles. A new kind may stand
        /// anywhere in it: peers that do not know it are not sent it.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum Kind {
            $($variant,)+
        }

        impl Kind {
            pub const ALL: [Kind; Kind::COUNT] = [$(Kind::$variant,)+];
            /// How many there are.
            pub const COUNT: usize = [$($name,)+].len();

            /// The entity's name in schemas, declarative files and on the wire.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Kind::$variant => $name,)+
                }
            }
        }
    };
}

kinds! {
    Vaults = "vaults",
    KeySets = "key_sets",
    Keys = "keys",
    Certificates = "certificates",
    CaCertificates = "ca_certificates",
    Snis = "snis",
    Services = "services",
    Upstreams = "upstreams",
    Targets = "targets",
    Routes = "routes",
    Consumers = "consumers",
    KeyauthCredentials = "keyauth_credentials",
    BasicauthCredentials = "basicauth_credentials",
    HmacauthCredentials = "hmacauth_credentials",
    JwtSecrets = "jwt_secrets",
    Acls = "acls",
    Oauth2Credentials = "oauth2_credentials",
    Oauth2Tokens = "oauth2_tokens",
    AcmeStorage = "acme_storage",
    Sessions = "sessions",
    Plugins = "plugins",
}

impl Kind {
    pub fn parse(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// What says who a consumer is, or what it belongs to, to the plugin that asks.
    pub const fn is_credential(self) -> bool {
        matches!(
            self,
            Kind::KeyauthCredentials
                | Kind::BasicauthCredentials
                | Kind::HmacauthCredentials
                | Kind::JwtSecrets
                | Kind::Acls
                | Kind::Oauth2Credentials
        )
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::KindSet;

    #[test]
    fn names_on_the_wire_are_those_of_the_schema() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::json!(kind), kind.as_str());
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
            let entity = crate::schema::entity(kind.as_str()).expect("a schema");
            let distributed = KindSet::DISTRIBUTED.contains(kind);
            assert_eq!(entity.exported, distributed, "{kind}");
        }
    }
}
