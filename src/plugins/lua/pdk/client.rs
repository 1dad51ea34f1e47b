//! `kong.client`: who has sent the request, and `kong.ip`.

use super::super::call::Call;
use super::super::json;
use super::super::native::{
    Args, Given, Native, boolean, many, nil, nothing, one, refused, text, told,
};
use super::super::phase::{
    ACCESS, BALANCER, BODY_FILTER, CERTIFICATE, HEADER_FILTER, LOG, RESPONSE, REWRITE,
};
use super::request::claimed;
use crate::plugins::Consumer;
use mlua::{Lua, Table, Value};
use serde_json::{Map, json};
use uuid::Uuid;

const AUTH_AND_LATER: u16 = ACCESS | RESPONSE | HEADER_FILTER | BODY_FILTER | LOG;

pub const NATIVES: &[Native] = &[
    Native::any("kong.client.get_ip", |call, lua, _| {
        text(lua, call.context.peer.peer.ip().to_string())
    }),
    Native::any("kong.client.get_forwarded_ip", |call, lua, _| {
        text(lua, call.context.peer.client.to_string())
    }),
    Native::any("kong.client.get_port", |call, _, _| {
        one(Value::Number(call.context.peer.peer.port().into()))
    }),
    Native::any("kong.client.get_forwarded_port", |call, _, _| {
        let peer = &call.context.peer;
        // A header that names the client brings no port.
        match peer.client == peer.peer.ip() {
            true => one(Value::Number(peer.client_port.into())),
            false => nil(),
        }
    }),
    Native::only(
        "kong.client.get_credential",
        AUTH_AND_LATER,
        |call, lua, _| {
            let Some(id) = call.context.identity.credential else {
                return nil();
            };
            // What a credential is apart from its id, its plugin keeps to itself.
            let consumer = call
                .context
                .identity
                .consumer
                .as_ref()
                .map(|found| found.id);
            let entity = json!({"id": id, "consumer": {"id": consumer}});
            let entity = entity.as_object().cloned().unwrap_or_default();
            one(Value::Table(
                json::object(lua, &entity, false).map_err(told)?,
            ))
        },
    ),
    Native::only(
        "kong.client.get_consumer",
        AUTH_AND_LATER,
        |call, lua, _| {
            let Some(consumer) = call.context.identity.consumer.clone() else {
                return nil();
            };
            consumer_table(call, lua, &consumer)
        },
    ),
    Native::only("kong.client.load_consumer", AUTH_AND_LATER, load_consumer),
    Native::only("kong.client.authenticate", ACCESS, authenticate),
    Native::only("kong.client.get_protocol", AUTH_AND_LATER, get_protocol),
    Native::only(
        "kong.client.tls.request_client_certificate",
        CERTIFICATE,
        |_, _, _| nothing(),
    ),
    Native::only(
        "kong.client.tls.disable_session_reuse",
        CERTIFICATE,
        |_, _, _| nothing(),
    ),
    Native::only(
        "kong.client.tls.disable_http2_alpn",
        CERTIFICATE,
        |_, _, _| nothing(),
    ),
    Native::only(
        "kong.client.tls.get_full_client_certificate_chain",
        REWRITE | ACCESS | BALANCER | RESPONSE | LOG,
        |call, lua, _| match call.context.peer.https {
            true => nil(),
            false => refused(
                lua,
                "connection is not TLS or TLS support for Nginx not enabled",
            ),
        },
    ),
    Native::only(
        "kong.client.tls.set_client_verify",
        REWRITE | ACCESS | BALANCER | RESPONSE,
        |_, _, args| {
            let value = args
                .string(0)
                .ok_or("set_client_verify must be called with a string")?;
            let known = [b"SUCCESS".as_slice(), b"NONE"].contains(&value.as_slice());
            if known || value.starts_with(b"FAILED:") {
                return nothing();
            }
            let shown = String::from_utf8_lossy(&value);
            Err(format!(
                "unknown client verify value: {shown} accepted values are: \"SUCCESS\", \"NONE\" \
                 or \"FAILED:<reason>\""
            ))
        },
    ),
    Native::any("kong.ip.is_trusted", |call, _, args| {
        let text = args.needed(0, "ip")?;
        let trusted = &call.instance.settings.trusted_ips;
        let address = text.parse();
        boolean(address.is_ok_and(|address| trusted.iter().any(|peer| peer.contains(address))))
    }),
];

fn consumer_table(call: &Call<'_, '_>, lua: &Lua, consumer: &Consumer) -> Given {
    let entity = call.context.directory.consumer_entity(consumer.id);
    let entity = entity.unwrap_or_else(|| {
        let mut known = Map::from_iter([("id".to_owned(), json!(consumer.id))]);
        for (field, value) in [
            ("username", &consumer.username),
            ("custom_id", &consumer.custom_id),
        ] {
            if let Some(value) = value {
                known.insert(field.to_owned(), json!(value));
            }
        }
        known
    });
    one(Value::Table(
        json::object(lua, &entity, false).map_err(told)?,
    ))
}

fn load_consumer(call: &mut Call<'_, '_>, lua: &Lua, args: &Args) -> Given {
    let Some(wanted) = args.string(0) else {
        return Err("consumer_id must be a string".to_owned());
    };
    let wanted = String::from_utf8_lossy(&wanted).into_owned();
    let by_username = args.boolean(1).unwrap_or(false);
    let id = Uuid::parse_str(&wanted).ok();
    if id.is_none() && !by_username {
        return Err("cannot load a consumer with an id that is not a uuid".to_owned());
    }
    let directory = call.context.directory;
    let found = id.and_then(|id| directory.consumer(id));
    let found = found.or_else(|| match by_username {
        true => directory.consumer_by_username(&wanted),
        false => None,
    });
    match found {
        Some(consumer) => consumer_table(call, lua, &consumer),
        None => nil(),
    }
}

fn authenticate(call: &mut Call<'_, '_>, _: &Lua, args: &Args) -> Given {
    let (consumer, credential) = (args.get(0), args.get(1));
    let table = |value: &Value, what: &str| match value {
        Value::Nil => Ok(None),
        Value::Table(table) => Ok(Some(table.clone())),
        _ => Err(format!("{what} must be a table or nil")),
    };
    let consumer = table(consumer, "consumer")?;
    let credential = table(credential, "credential")?;
    if consumer.is_none() && credential.is_none() {
        return Err("either credential or consumer must be provided".to_owned());
    }
    let field = |table: &Table, name: &str| -> Option<String> { table.raw_get(name).ok() };
    let id = |table: &Table| field(table, "id").and_then(|id| Uuid::parse_str(&id).ok());
    call.context.identity.credential = credential.as_ref().and_then(id);
    call.context.identity.consumer = consumer.as_ref().and_then(|table| {
        Some(Consumer {
            id: id(table)?,
            username: field(table, "username").map(Into::into),
            custom_id: field(table, "custom_id").map(Into::into),
        })
    });
    nothing()
}

fn get_protocol(call: &mut Call<'_, '_>, lua: &Lua, args: &Args) -> Given {
    let Some(matched) = call.context.matched else {
        return many([
            Value::Nil,
            super::super::native::bytes(lua, "No active route found")?,
        ]);
    };
    let route = matched.route();
    let protocols = route.get("protocols").and_then(|listed| listed.as_array());
    let protocols: Vec<&str> = protocols
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str())
        .collect();
    if let [only] = protocols.as_slice() {
        return text(lua, only);
    }
    let terminated = args.boolean(0).unwrap_or(false);
    let told = terminated
        .then(|| claimed(call, "x-forwarded-proto"))
        .flatten();
    let https = call.context.peer.https || told.is_some_and(|scheme| scheme == b"https");
    let wanted = match https {
        true => ["https", "grpcs", "tls"],
        false => ["http", "grpc", "tcp"],
    };
    match wanted.iter().find(|name| protocols.contains(name)) {
        Some(name) => text(lua, name),
        None => many([
            Value::Nil,
            super::super::native::bytes(lua, "unsupported protocol")?,
        ]),
    }
}
