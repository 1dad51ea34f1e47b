//! `kong.service`: where the request goes.

use super::super::call::Call;
use super::super::native::{Args, Given, Native, boolean, nothing, refused};
use super::super::phase::{ACCESS, BALANCER, PREREAD, Phase, REWRITE};
use crate::plugins::Timeouts;
use mlua::{Lua, Value};

const TARGET: u16 = REWRITE | ACCESS | BALANCER | PREREAD;

pub const NATIVES: &[Native] = &[
    Native::only("kong.service.set_upstream", ACCESS, |call, lua, args| {
        let name = args.needed(0, "host")?;
        if !call.context.directory.has_upstream(&name) {
            return refused(lua, format!("could not find an Upstream named '{name}'"));
        }
        call.context.upstream.host = Some(name.into());
        boolean(true)
    }),
    Native::only("kong.service.set_target", TARGET, set_target),
    Native::only("kong.service.set_retries", ACCESS, |call, _, args| {
        let retries = integer(args, 0, "retries", 0, 32767)?;
        call.context.upstream.retries = Some(retries);
        nothing()
    }),
    Native::only("kong.service.set_timeouts", ACCESS, |call, _, args| {
        let most = 2_147_483_646;
        let mut at = 0;
        let mut next = |name| {
            at += 1;
            integer(args, at - 1, name, 1, most)
        };
        let timeouts = Timeouts {
            connect_ms: next("connect_timeout")?,
            write_ms: next("write_timeout")?,
            read_ms: next("read_timeout")?,
        };
        call.context.upstream.timeouts = Some(timeouts);
        nothing()
    }),
    Native::only(
        "kong.service.set_target_retry_callback",
        ACCESS,
        |_, _, _| {
            Err(
                "kong.service.set_target_retry_callback is not available in this gateway"
                    .to_owned(),
            )
        },
    ),
    Native::only("kong.service.set_tls_verify", TARGET, |_, _, args| {
        args.boolean(0).ok_or("argument must be a boolean")?;
        Err("kong.service.set_tls_verify is not available in this gateway".to_owned())
    }),
    Native::only("kong.service.set_tls_verify_depth", TARGET, |_, _, args| {
        args.number(0).ok_or("argument must be a number")?;
        Err("kong.service.set_tls_verify_depth is not available in this gateway".to_owned())
    }),
    Native::only("kong.service.set_tls_verify_store", TARGET, |_, _, _| {
        Err("argument must be a resty.openssl.x509.store object".to_owned())
    }),
    Native::only("kong.service.set_tls_cert_key", TARGET, |_, _, _| {
        Err("chain must be a parsed cdata object".to_owned())
    }),
];

fn integer(args: &Args, at: usize, name: &str, least: u32, most: u32) -> Result<u32, String> {
    let value = args.number(at).filter(|value| value.fract() == 0.0);
    let Some(value) = value else {
        return Err(format!("{name} must be an integer"));
    };
    if value < f64::from(least) || value > f64::from(most) {
        let value = super::super::number::text(value);
        return Err(format!(
            "{name} must be an integer between {least} and {most}: given {value}"
        ));
    }
    Ok(value as u32)
}

fn set_target(call: &mut Call<'_, '_>, _: &Lua, args: &Args) -> Given {
    let host = args.needed(0, "host")?;
    let port = args.get(1);
    if !matches!(port, Value::Integer(_) | Value::Number(_)) {
        return Err("port must be an integer".to_owned());
    }
    let port = integer(args, 1, "port", 0, 65535)?;
    // Before a route is found there is nothing that could be sent elsewhere.
    if call.phase != Phase::Rewrite {
        call.context.upstream.host = Some(host.into());
        call.context.upstream.port = u16::try_from(port).ok();
    }
    nothing()
}
