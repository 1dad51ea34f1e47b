//! Answers from the store, and fills it.

use super::cache_control::{CacheControl, parse_date};
use super::config::{Config, DEFAULT_DICTIONARY, Strategy};
use super::key::{Key, KeyRules};
use super::media_type::MediaType;
use super::store::{Store, StoredResponse};
use crate::http::{Reply, ResponseHead};
use crate::plugins::runtime::config_of;
use crate::plugins::{
    Access, BodyUse, Build, BuildError, Chunk, Context, Flow, Handler, Timestamp,
};
use bytes::Bytes;
use std::sync::Arc;

const STATUS: &str = "X-Cache-Status";

pub(in crate::plugins) fn build(build: &Build<'_>) -> Result<Arc<dyn Handler>, BuildError> {
    let config: Config = config_of(build.plugin)?;
    let bad = |reason: String| BuildError::Config {
        name: build.plugin.name.clone(),
        reason,
    };
    let types = config.content_type.iter().map(|text| {
        MediaType::parse(text)
            .ok_or_else(|| bad(format!("content_type: '{text}' is no media type")))
    });
    let types = types.collect::<Result<_, _>>()?;
    match config.strategy {
        Strategy::Memory if config.memory.dictionary_name != DEFAULT_DICTIONARY => tracing::warn!(
            plugin = %build.plugin.id,
            dictionary_name = config.memory.dictionary_name,
            "proxy-cache: memory.dictionary_name has no effect, a node has one store"
        ),
        Strategy::Memory => {}
    }
    Ok(Arc::new(ProxyCache {
        store: build.resources.store(),
        rules: KeyRules::new(&config),
        types,
        shows_age: config.response_headers.age == Some(true),
        shows_status: config.response_headers.cache_status == Some(true),
        shows_key: config.response_headers.cache_key == Some(true),
        config,
    }))
}

struct ProxyCache {
    store: Arc<Store>,
    rules: KeyRules,
    types: Vec<MediaType>,
    shows_age: bool,
    shows_status: bool,
    shows_key: bool,
    config: Config,
}

/// Kept of a request whose response may be stored.
struct Asked {
    key: Key,
    authorized: bool,
}

/// A response on its way into the store.
struct Filling {
    key: Key,
    response: StoredResponse,
    body: Vec<u8>,
    expires_at: Timestamp,
}

impl Handler for ProxyCache {
    fn access<'c>(&'c self, context: &'c mut Context<'_>) -> Access<'c> {
        let control = match self.config.cache_control {
            true => CacheControl::parse(context.request_headers("cache-control")),
            false => CacheControl::default(),
        };
        let method = context.head.method();
        let mut methods = self.config.request_method.iter();
        if !methods.any(|known| known.as_bytes() == method) || control.no_store || control.no_cache
        {
            self.show_status(context, "Bypass");
            return Flow::Continue.into();
        }
        let key = self.rules.key(context);
        if self.shows_key {
            let shown = self.rules.shown(context);
            context.response_edits.set("X-Cache-Key", shown);
        }
        let found = self.store.get(&key, context.now);
        let status = match &found {
            Some(stored) if self.takes(&control, stored, context.now) => {
                return Flow::Respond(self.hit(stored, context)).into();
            }
            Some(_) => "Refresh",
            None => "Miss",
        };
        if control.only_if_cached {
            return Flow::Status(504).into();
        }
        self.show_status(context, status);
        context.state.put(Asked {
            key,
            authorized: context.request_header("authorization").is_some(),
        });
        Flow::Continue.into()
    }

    fn header_filter(&self, context: &mut Context<'_>) {
        let Some(asked) = context.state.take::<Asked>() else {
            return;
        };
        match self.filling(context, &asked) {
            Some(filling) => context.state.put(filling),
            None => self.show_status(context, "Bypass"),
        }
    }

    fn body_use(&self, context: &mut Context<'_>) -> BodyUse {
        match context.state.get::<Filling>() {
            Some(_) => BodyUse::Watch,
            None => BodyUse::None,
        }
    }

    fn body_filter(&self, context: &mut Context<'_>, chunk: &mut Chunk) -> bool {
        let Some(filling) = context.state.get::<Filling>() else {
            return true;
        };
        if filling.body.len() + chunk.data.len() > self.store.largest() {
            context.state.take::<Filling>();
            return true;
        }
        filling.body.extend_from_slice(&chunk.data);
        // A body that was cut short has no last piece, and is not kept.
        if chunk.last
            && let Some(mut filling) = context.state.take::<Filling>()
        {
            filling.body.shrink_to_fit();
            filling.response.body = Bytes::from(filling.body);
            let now = filling.response.stored_at;
            let (key, until) = (filling.key, filling.expires_at);
            self.store.put(key, filling.response, until, now);
        }
        true
    }
}

impl ProxyCache {
    fn show_status(&self, context: &mut Context<'_>, status: &str) {
        if self.shows_status {
            context.response_edits.set(STATUS, status);
        }
    }

    /// Whether a stored response is an answer to a request with this Cache-Control.
    fn takes(&self, control: &CacheControl, stored: &StoredResponse, now: Timestamp) -> bool {
        let age = age_of(stored, now);
        match self.config.cache_control {
            true => control.takes(age, stored.lifetime),
            false => age <= self.config.cache_ttl,
        }
    }

    fn hit(&self, stored: &StoredResponse, context: &Context<'_>) -> Reply {
        let mut headers = stored.headers.clone();
        if self.shows_age {
            let age = age_of(stored, context.now);
            let age = Bytes::from(age.to_string());
            headers.push(("Age".into(), age));
        }
        if self.shows_status {
            headers.push((STATUS.into(), Bytes::from_static(b"Hit")));
        }
        Reply {
            status: stored.status,
            headers,
            body: stored.body.clone(),
            close: false,
            stored: true,
        }
    }

    /// `None` when the response is not to be stored.
    fn filling(&self, context: &Context<'_>, asked: &Asked) -> Option<Filling> {
        let response = context.response.as_ref()?;
        // The gateway's own answers, errors among them, are not the upstream's to keep.
        let head = response.head?;
        let status = *response.status;
        // Parts of a response are answers to one request alone, whatever is configured.
        if !self.config.response_code.contains(&status) || matches!(status, 206 | 304) {
            return None;
        }
        let content_type = std::str::from_utf8(context.response_header("content-type")?).ok()?;
        let content_type = MediaType::parse(content_type)?;
        if !self.types.iter().any(|known| known.takes(&content_type)) {
            return None;
        }
        let lifetime = match self.config.cache_control {
            true => self.lifetime(context, asked)?,
            false => self.config.cache_ttl,
        };
        let kept = self.config.storage_ttl.unwrap_or(lifetime);
        let stored_at = context.now;
        Some(Filling {
            key: asked.key,
            response: StoredResponse {
                status,
                headers: kept_headers(head, context.head.method() == b"HEAD"),
                body: Bytes::new(),
                stored_at,
                lifetime,
            },
            body: Vec::new(),
            expires_at: Timestamp(stored_at.0.saturating_add(kept.saturating_mul(1000))),
        })
    }

    /// For how many seconds a response is fresh by its own headers; `None` when it must not be kept.
    fn lifetime(&self, context: &Context<'_>, asked: &Asked) -> Option<u64> {
        let control = CacheControl::parse(context.response_headers("cache-control"));
        let expires = context.response_header("expires").and_then(parse_date);
        let expires = expires.map(|at| at.saturating_sub(context.now.seconds()));
        let lifetime = control.lifetime(expires);
        (control.may_be_kept(asked.authorized) && lifetime > 0).then_some(lifetime)
    }
}

/// Seconds since a response came.
fn age_of(stored: &StoredResponse, now: Timestamp) -> u64 {
    now.0.saturating_sub(stored.stored_at.0) / 1000
}

/// The headers that the upstream has sent, without those of its connection, of the moment, and of
/// one client's limits.
fn kept_headers(head: &ResponseHead, to_head: bool) -> Vec<(Arc<str>, Bytes)> {
    let named: Vec<&[u8]> = head
        .headers
        .get_all("connection")
        .flat_map(|line| line.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .collect();
    let lines = head.headers.iter().filter(|(name, _)| {
        let is_named = named.iter().any(|other| other.eq_ignore_ascii_case(name));
        !is_named && is_kept(name, to_head)
    });
    lines
        .filter_map(|(name, value)| {
            let name = std::str::from_utf8(name).ok()?;
            Some((name.into(), Bytes::copy_from_slice(value)))
        })
        .collect()
}

fn is_kept(name: &[u8], to_head: bool) -> bool {
    let name = name.to_ascii_lowercase();
    match &name[..] {
        // The length of a body that is not there to be counted.
        b"content-length" => to_head,
        b"connection"
        | b"keep-alive"
        | b"proxy-authenticate"
        | b"proxy-authorization"
        | b"proxy-connection"
        | b"te"
        | b"trailer"
        | b"trailers"
        | b"transfer-encoding"
        | b"upgrade"
        | b"date"
        | b"age" => false,
        name => {
            let limit = b"ratelimit-remaining";
            let tells_limit = name.windows(limit.len()).any(|part| part == limit);
            !tells_limit && !name.starts_with(b"x-accel-")
        }
    }
}

#[cfg(test)]
#[path = "handler_tests.rs"]
mod tests;
