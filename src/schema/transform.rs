//! What is stored in place of what was written.

use super::certificates;
use super::checks::{is_nonempty, mutually_required_text};
use super::definition::Path;
use super::entity::Entity;
use super::env::Env;
use super::violations::add_entity_error;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Map, Value};
use std::num::NonZeroU32;

/// The fields a transformation rewrites and those it needs beside them.
#[derive(Debug)]
pub(super) struct Transformation {
    pub input: Vec<Path>,
    pub needs: Vec<Path>,
}

/// Checks that a write gives everything its transformations need.
/// `before` is the stored entity of an update.
pub(super) fn check(
    entity: &Entity,
    data: &Map<String, Value>,
    given: &Map<String, Value>,
    before: Option<&Map<String, Value>>,
    errors: &mut Map<String, Value>,
) {
    for transformation in &entity.transformations {
        let set = |path: &Path, map: &Map<String, Value>| path.get(map).is_some_and(is_nonempty);
        let rewrites = transformation.input.iter().any(|path| set(path, given));
        // On an update the stored secret cannot be read back, so what it was made of
        // has to be given again with any change of the rest.
        let needs_change = before.is_some_and(|before| {
            let differs = |path: &Path| path.get(given) != path.get(before);
            transformation.needs.iter().any(differs)
        });
        if !rewrites && !needs_change {
            continue;
        }
        let all = [&*transformation.input, &*transformation.needs].concat();
        let source = if needs_change { given } else { data };
        let present = all.iter().filter(|path| set(path, source)).count();
        if present != 0 && present != all.len() {
            add_entity_error(errors, mutually_required_text(&all));
            continue;
        }
        let inputs = &transformation.input;
        let present = inputs.iter().filter(|path| set(path, given)).count();
        if present != 0 && present != inputs.len() {
            add_entity_error(errors, mutually_required_text(inputs));
        }
    }
}

/// Rewrites a validated row.
pub(super) fn apply(
    entity: &Entity,
    row: &mut Map<String, Value>,
    patch: Option<&Map<String, Value>>,
    env: &Env<'_>,
) {
    let written = |name: &str| patch.is_none_or(|patch| patch.contains_key(name));
    match &*entity.name {
        "ca_certificates" if written("cert") => {
            let digest = row
                .get("cert")
                .and_then(Value::as_str)
                .and_then(certificates::digest);
            if let Some(digest) = digest {
                row.insert("cert_digest".to_owned(), Value::String(digest));
            }
        }
        "basicauth_credentials" if written("password") => {
            let consumer = row.get("consumer").and_then(|consumer| consumer.get("id"));
            let consumer = consumer.and_then(Value::as_str).unwrap_or_default();
            let hashed = row
                .get("password")
                .and_then(Value::as_str)
                .map(|password| sha1_hex(&format!("{password}{consumer}")));
            if let Some(hashed) = hashed {
                row.insert("password".to_owned(), Value::String(hashed));
            }
        }
        "oauth2_credentials" if written("hash_secret") || written("client_secret") => {
            if row.get("hash_secret") != Some(&Value::Bool(true)) {
                return;
            }
            let hashed = row
                .get("client_secret")
                .and_then(Value::as_str)
                .map(|secret| pbkdf2(secret, env.random.uuid().as_bytes()));
            if let Some(hashed) = hashed {
                row.insert("client_secret".to_owned(), Value::String(hashed));
            }
        }
        _ => {}
    }
}

/// The stored form of a basic-auth password: SHA-1 over the password and the consumer's id.
fn sha1_hex(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The stored form of a hashed OAuth 2 secret, in PHC notation.
fn pbkdf2(secret: &str, salt: &[u8; 16]) -> String {
    const ROUNDS: u32 = 10_000;
    let mut out = [0u8; 32];
    ring::pbkdf2::derive(
        ring::pbkdf2::PBKDF2_HMAC_SHA512,
        NonZeroU32::new(ROUNDS).unwrap_or(NonZeroU32::MIN),
        salt,
        secret.as_bytes(),
        &mut out,
    );
    format!(
        "$pbkdf2-sha512$i={ROUNDS},l=32${}${}",
        STANDARD_NO_PAD.encode(salt),
        STANDARD_NO_PAD.encode(out),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashed_secrets() {
        // `printf %s pconsumer | sha1sum`.
        // What a Kong answered for the password `bp` of that consumer.
        assert_eq!(
            sha1_hex("bp00000000-0000-4000-8000-000000000201"),
            "345d7bad8514ad3758a9ff2d9a01b881163a0313"
        );
        let hashed = pbkdf2("s", &[7; 16]);
        let parts: Vec<&str> = hashed.split('$').collect();
        assert_eq!(parts[1], "pbkdf2-sha512");
        assert_eq!((parts[3].len(), parts[4].len()), (22, 43));
    }
}
