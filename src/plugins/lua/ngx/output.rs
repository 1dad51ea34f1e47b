//! Answers: `ngx.say`, `ngx.print`, `ngx.exit`, `ngx.redirect`.

use super::super::call::{Answer, Call, Said};
use super::super::native::{Args, Given, Native, boolean, one, shown, told};
use super::super::phase::{ACCESS, Phase, REWRITE};
use mlua::{Lua, Value};

const EARLY: u16 = REWRITE | ACCESS;

pub const NATIVES: &[Native] = &[
    Native::only("ngx.print", EARLY, |call, _, args| print(call, args, b"")),
    Native::only("ngx.say", EARLY, |call, _, args| print(call, args, b"\n")),
    Native::only("ngx.flush", EARLY, |_, _, _| one(Value::Number(1.0))),
    Native::only("ngx.eof", EARLY, |call, _, _| begin_text(call.said)),
    Native::only("ngx.send_headers", EARLY, |call, _, _| {
        begin_text(call.said)
    }),
    Native::any("ngx.exit", exit),
    Native::only("ngx.redirect", EARLY, redirect),
    Native::only("ngx.exec", EARLY, |_, _, _| {
        Err("ngx.exec is not available in this gateway".to_owned())
    }),
    // The prelude waits; here the arguments are looked at.
    Native::only("ngx.sleep", EARLY, |_, _, args| {
        let text = args.shown(0);
        let text = String::from_utf8_lossy(&text);
        match text.parse::<f64>() {
            Ok(seconds) if seconds >= 0.0 => one(Value::Number(seconds)),
            Ok(_) => Err(format!("invalid sleep duration \"{text}\"")),
            Err(_) => Err("bad argument #1 to 'sleep' (number expected)".to_owned()),
        }
    }),
    Native::only("ngx.thread.spawn", EARLY, |_, _, _| boolean(true)),
];

fn begin_text(said: &mut Said) -> Given {
    said.printed.get_or_insert_default();
    one(Value::Number(1.0))
}

fn print(call: &mut Call<'_, '_>, args: &Args, end: &[u8]) -> Given {
    let mut text = Vec::new();
    for value in args.all() {
        append(value, &mut text)?;
    }
    text.extend_from_slice(end);
    call.said.printed.get_or_insert_default().extend(text);
    one(Value::Number(1.0))
}

fn append(value: &Value, out: &mut Vec<u8>) -> Result<(), String> {
    match value {
        Value::Table(parts) => {
            for part in parts.sequence_values::<Value>() {
                append(&part.map_err(told)?, out)?;
            }
            Ok(())
        }
        Value::LightUserData(null) if null.0.is_null() => {
            out.extend_from_slice(b"null");
            Ok(())
        }
        Value::Nil
        | Value::Boolean(_)
        | Value::String(_)
        | Value::Number(_)
        | Value::Integer(_) => {
            out.extend_from_slice(&shown(value));
            Ok(())
        }
        other => Err(format!(
            "string, number, boolean, nil, ngx.null, or array table expected, but got {}",
            other.type_name()
        )),
    }
}

fn exit(call: &mut Call<'_, '_>, _: &Lua, args: &Args) -> Given {
    let status = args
        .number(0)
        .ok_or("bad argument #1 to 'exit' (number expected)")?;
    if call.phase == Phase::Log {
        return Err("API disabled in the context of log_by_lua*".to_owned());
    }
    let status = status as i64;
    if status >= 100 {
        let status = u16::try_from(status).unwrap_or(500);
        // With a text or a success that somebody chose there is nothing to add.
        call.said.answer = Some(match status {
            100..300 => Answer::Body {
                status: call.said.status.unwrap_or(status),
                body: Default::default(),
            },
            status => Answer::Status(status),
        });
    } else if status < 0 && call.phase != Phase::Access {
        call.said.answer = Some(Answer::Status(500));
    }
    boolean(call.phase.is_coroutine())
}

fn redirect(call: &mut Call<'_, '_>, _: &Lua, args: &Args) -> Given {
    let to = args
        .string(0)
        .ok_or("bad argument #1 to 'redirect' (string expected)")?;
    let status = args.number(1).unwrap_or(302.0) as u16;
    if ![301, 302, 303, 307, 308].contains(&status) {
        return Err(
            "only ngx.HTTP_MOVED_TEMPORARILY, ngx.HTTP_MOVED_PERMANENTLY, \
             ngx.HTTP_PERMANENT_REDIRECT, ngx.HTTP_SEE_OTHER, and ngx.HTTP_TEMPORARY_REDIRECT \
             are allowed"
                .to_owned(),
        );
    }
    call.context.response_edits.set("Location", to);
    call.said.answer = Some(Answer::Status(status));
    boolean(true)
}
