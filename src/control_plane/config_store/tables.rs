//! Which table holds which kind, and how entities hang together. A new kind is one entry here,
//! one entity file and one migration.

use super::rows::{Rows, TypedRows};
use crate::model::Kind;

/// One kind's table and its integrity, as the migrations have it.
pub(super) struct Table {
    pub kind: Kind,
    pub rows: &'static dyn Rows,
    pub unique: &'static [Unique],
    pub foreign: &'static [Foreign],
    /// Arrays of ids of another kind, which no foreign key can guard.
    pub lists: &'static [(&'static str, Kind)],
}

/// Fields whose values no two entities share.
pub(super) struct Unique {
    pub fields: &'static [&'static str],
    /// The name of the constraint or index.
    pub constraint: &'static str,
    /// Null is a value like any other; otherwise a null makes the entity unlike all others.
    pub nulls_equal: bool,
}

/// A pointer from a child to its parent.
pub(super) struct Foreign {
    pub field: &'static str,
    pub parent: Kind,
    pub on_delete: OnDelete,
}

/// What happens to the child when the parent is deleted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OnDelete {
    /// The parent cannot be deleted.
    Restrict,
    /// The child goes too.
    Cascade,
}

const fn unique(fields: &'static [&'static str], constraint: &'static str) -> Unique {
    Unique {
        fields,
        constraint,
        nulls_equal: false,
    }
}

const fn nulls_equal(fields: &'static [&'static str], constraint: &'static str) -> Unique {
    Unique {
        fields,
        constraint,
        nulls_equal: true,
    }
}

const fn restrict(field: &'static str, parent: Kind) -> Foreign {
    Foreign {
        field,
        parent,
        on_delete: OnDelete::Restrict,
    }
}

const fn cascade(field: &'static str, parent: Kind) -> Foreign {
    Foreign {
        field,
        parent,
        on_delete: OnDelete::Cascade,
    }
}

/// Gone with their consumer.
const OF_A_CONSUMER: &[Foreign] = &[cascade("consumer", Kind::Consumers)];

/// In the order of [`Kind::ALL`]: parents before children.
#[rustfmt::skip]
pub(super) static TABLES: [Table; Kind::COUNT] = [
    Table { kind: Kind::Vaults, rows: &TypedRows::<entity::vaults::Entity>::new(Kind::Vaults),
        unique: &[unique(&["prefix"], "vaults_prefix_key")], foreign: &[], lists: &[] },
    Table { kind: Kind::KeySets, rows: &TypedRows::<entity::key_sets::Entity>::new(Kind::KeySets),
        unique: &[unique(&["name"], "key_sets_name_key")], foreign: &[], lists: &[] },
    Table { kind: Kind::Keys, rows: &TypedRows::<entity::keys::Entity>::new(Kind::Keys),
        unique: &[unique(&["name"], "keys_name_key"), nulls_equal(&["kid", "set"], "keys_kid_set_key")], foreign: &[cascade("set", Kind::KeySets)], lists: &[] },
    Table { kind: Kind::Certificates, rows: &TypedRows::<entity::certificates::Entity>::new(Kind::Certificates),
        unique: &[], foreign: &[], lists: &[] },
    Table { kind: Kind::CaCertificates, rows: &TypedRows::<entity::ca_certificates::Entity>::new(Kind::CaCertificates),
        unique: &[unique(&["cert_digest"], "ca_certificates_cert_digest_key")], foreign: &[], lists: &[] },
    Table { kind: Kind::Snis, rows: &TypedRows::<entity::snis::Entity>::new(Kind::Snis),
        unique: &[unique(&["name"], "snis_name_key")], foreign: &[cascade("certificate", Kind::Certificates)], lists: &[] },
    Table { kind: Kind::Services, rows: &TypedRows::<entity::services::Entity>::new(Kind::Services),
        unique: &[unique(&["name"], "services_name_key")], foreign: &[restrict("client_certificate", Kind::Certificates)], lists: &[("ca_certificates", Kind::CaCertificates)] },
    Table { kind: Kind::Upstreams, rows: &TypedRows::<entity::upstreams::Entity>::new(Kind::Upstreams),
        unique: &[unique(&["name"], "upstreams_name_key")], foreign: &[restrict("client_certificate", Kind::Certificates)], lists: &[] },
    Table { kind: Kind::Targets, rows: &TypedRows::<entity::targets::Entity>::new(Kind::Targets),
        unique: &[unique(&["upstream", "target"], "targets_upstream_target_key")], foreign: &[cascade("upstream", Kind::Upstreams)], lists: &[] },
    Table { kind: Kind::Routes, rows: &TypedRows::<entity::routes::Entity>::new(Kind::Routes),
        unique: &[unique(&["name"], "routes_name_key")], foreign: &[restrict("service", Kind::Services)], lists: &[] },
    Table { kind: Kind::Consumers, rows: &TypedRows::<entity::consumers::Entity>::new(Kind::Consumers),
        unique: &[unique(&["username"], "consumers_username_key"), unique(&["custom_id"], "consumers_custom_id_key")], foreign: &[], lists: &[] },
    Table { kind: Kind::KeyauthCredentials, rows: &TypedRows::<entity::keyauth_credentials::Entity>::new(Kind::KeyauthCredentials),
        unique: &[unique(&["key"], "keyauth_credentials_key_key")], foreign: OF_A_CONSUMER, lists: &[] },
    Table { kind: Kind::BasicauthCredentials, rows: &TypedRows::<entity::basicauth_credentials::Entity>::new(Kind::BasicauthCredentials),
        unique: &[unique(&["username"], "basicauth_credentials_username_key")], foreign: OF_A_CONSUMER, lists: &[] },
    Table { kind: Kind::HmacauthCredentials, rows: &TypedRows::<entity::hmacauth_credentials::Entity>::new(Kind::HmacauthCredentials),
        unique: &[unique(&["username"], "hmacauth_credentials_username_key")], foreign: OF_A_CONSUMER, lists: &[] },
    Table { kind: Kind::JwtSecrets, rows: &TypedRows::<entity::jwt_secrets::Entity>::new(Kind::JwtSecrets),
        unique: &[unique(&["key"], "jwt_secrets_key_key")], foreign: OF_A_CONSUMER, lists: &[] },
    Table { kind: Kind::Acls, rows: &TypedRows::<entity::acls::Entity>::new(Kind::Acls),
        unique: &[unique(&["consumer", "group"], "acls_consumer_group_key")], foreign: OF_A_CONSUMER, lists: &[] },
    Table { kind: Kind::Oauth2Credentials, rows: &TypedRows::<entity::oauth2_credentials::Entity>::new(Kind::Oauth2Credentials),
        unique: &[unique(&["client_id"], "oauth2_credentials_client_id_key")], foreign: OF_A_CONSUMER, lists: &[] },
    Table { kind: Kind::Oauth2Tokens, rows: &TypedRows::<entity::oauth2_tokens::Entity>::new(Kind::Oauth2Tokens),
        unique: &[unique(&["access_token"], "oauth2_tokens_access_token_key"), unique(&["refresh_token"], "oauth2_tokens_refresh_token_key")], foreign: &[cascade("service", Kind::Services), cascade("credential", Kind::Oauth2Credentials)], lists: &[] },
    Table { kind: Kind::AcmeStorage, rows: &TypedRows::<entity::acme_storage::Entity>::new(Kind::AcmeStorage),
        unique: &[unique(&["key"], "acme_storage_key_key")], foreign: &[], lists: &[] },
    Table { kind: Kind::Sessions, rows: &TypedRows::<entity::sessions::Entity>::new(Kind::Sessions),
        unique: &[unique(&["session_id"], "sessions_session_id_key")], foreign: &[], lists: &[] },
    Table { kind: Kind::Plugins, rows: &TypedRows::<entity::plugins::Entity>::new(Kind::Plugins),
        unique: &[unique(&["instance_name"], "plugins_instance_name_key"), nulls_equal(&["name", "route", "service", "consumer"], "plugins_scope_key")], foreign: &[cascade("route", Kind::Routes), cascade("service", Kind::Services), cascade("consumer", Kind::Consumers)], lists: &[] },
];

/// The table of a kind.
pub(super) fn table(kind: Kind) -> &'static Table {
    // `Kind` numbers its variants in the order of `Kind::ALL`, which a test holds to `TABLES`.
    &TABLES[kind as usize]
}

/// Who points to entities of `parent`.
pub(super) fn children(parent: Kind) -> impl Iterator<Item = (&'static Table, &'static Foreign)> {
    TABLES
        .iter()
        .flat_map(|child| child.foreign.iter().map(move |foreign| (child, foreign)))
        .filter(move |(_, foreign)| foreign.parent == parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_table() {
        for kind in Kind::ALL {
            assert!(table(kind).kind == kind);
            assert_eq!(table(kind).rows.name(), kind.as_str());
            for (_, foreign) in children(kind) {
                assert!(foreign.parent == kind);
            }
            for foreign in table(kind).foreign {
                assert!(foreign.parent < kind, "{kind}: parents come first");
            }
        }
    }

    #[test]
    fn the_table_names_fields_that_exist() {
        for table in &TABLES {
            let unique = table.unique.iter().flat_map(|unique| unique.fields);
            let foreign = table.foreign.iter().map(|foreign| &foreign.field);
            let lists = table.lists.iter().map(|(field, _)| field);
            for field in unique.chain(foreign).chain(lists) {
                assert!(table.rows.column(field).is_some(), "{}.{field}", table.kind);
            }
        }
    }
}
