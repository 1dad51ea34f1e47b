//! Authenticates requests by key.

use super::config::Config;
use super::credential::{Presented, find};
use crate::plugins::runtime::config_of;
use crate::plugins::{
    Access, Build, BuildError, Consumer, Context, Directory, Flow, Handler, Refusal,
};
use bytes::Bytes;
use std::sync::Arc;
use uuid::Uuid;

/// How much of a request body is searched for a key.
const BODY_LIMIT: usize = 64 * 1024;

pub(in crate::plugins) fn build(build: &Build<'_>) -> Result<Arc<dyn Handler>, BuildError> {
    let config: Config = config_of(build.plugin)?;
    let challenge = match &config.realm {
        Some(realm) => format!("Key realm=\"{}\"", realm.replace(['"', '\\'], "")),
        None => "Key".to_owned(),
    };
    Ok(Arc::new(KeyAuth {
        config,
        challenge: challenge.into(),
    }))
}

struct KeyAuth {
    config: Config,
    /// The value of WWW-Authenticate.
    challenge: Bytes,
}

/// Why a request is not let in.
enum Denied {
    Unauthorized(&'static str),
    /// The configuration contradicts itself.
    Broken(&'static str),
}

impl Handler for KeyAuth {
    fn body_limit(&self) -> Option<usize> {
        self.config.key_in_body.then_some(BODY_LIMIT)
    }

    fn access<'c>(&'c self, context: &'c mut Context<'_>) -> Access<'c> {
        self.decide(context).into()
    }
}

impl KeyAuth {
    fn decide(&self, context: &mut Context<'_>) -> Flow {
        if !self.config.run_on_preflight && context.head.method() == b"OPTIONS" {
            return Flow::Continue;
        }
        // With `anonymous`, authentication plugins are alternatives: one was enough.
        if self.config.anonymous.is_some() && context.identity.credential.is_some() {
            return Flow::Continue;
        }
        match (self.authenticate(context), &self.config.anonymous) {
            (Ok(()), _) => Flow::Continue,
            (Err(Denied::Broken(reason)), _) => Flow::Fail(reason.into()),
            (Err(Denied::Unauthorized(_)), Some(anonymous)) => admit(context, anonymous),
            (Err(Denied::Unauthorized(message)), None) => Refusal::new(401, message)
                .with_header("WWW-Authenticate", self.challenge.clone())
                .into(),
        }
    }

    fn authenticate(&self, context: &mut Context<'_>) -> Result<(), Denied> {
        let key = match find(&self.config, context) {
            Presented::Key(key) => key,
            Presented::Nothing => return Err(Denied::Unauthorized("No API key found in request")),
            Presented::Duplicate => return Err(Denied::Unauthorized("Duplicate API key found")),
        };
        let now = i64::try_from(context.now.seconds()).unwrap_or(i64::MAX);
        let owner = context
            .directory
            .key_owner(&key)
            .filter(|owner| owner.expires_at.is_none_or(|end| now < end))
            .ok_or(Denied::Unauthorized("Unauthorized"))?;
        let consumer = context
            .directory
            .consumer(owner.consumer)
            .ok_or(Denied::Broken(
                "a key belongs to a consumer that is missing",
            ))?;
        context.authenticate(consumer, Some(owner.credential));
        Ok(())
    }
}

/// Lets a request in as the anonymous consumer.
fn admit(context: &mut Context<'_>, anonymous: &str) -> Flow {
    match anonymous_consumer(context.directory, anonymous) {
        Some(consumer) => {
            context.authenticate(consumer, None);
            Flow::Continue
        }
        None => {
            let request_id = context.request_id;
            tracing::error!(
                request_id,
                anonymous,
                "the anonymous consumer of key-auth is missing"
            );
            Refusal::new(500, "An unexpected error occurred").into()
        }
    }
}

fn anonymous_consumer(directory: &dyn Directory, anonymous: &str) -> Option<Consumer> {
    Uuid::parse_str(anonymous)
        .ok()
        .and_then(|id| directory.consumer(id))
        .or_else(|| directory.consumer_by_username(anonymous))
}

#[cfg(test)]
#[path = "handler_tests.rs"]
mod tests;
