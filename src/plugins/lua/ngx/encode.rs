//! Texts and digests of them.

use super::super::native::{Given, Native, boolean, maybe, nil, nothing, number, one, text};
use super::super::pdk::{arguments_table, encode_arguments};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use md5::{Digest, Md5};
use mlua::Value;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use ring::{digest, hmac};

pub const NATIVES: &[Native] = &[
    Native::any("ngx.encode_base64", |_, lua, args| {
        let given = args.shown(0);
        text(
            lua,
            match args.boolean(1) {
                Some(true) => STANDARD_NO_PAD.encode(given),
                _ => STANDARD.encode(given),
            },
        )
    }),
    Native::any("ngx.decode_base64", |_, lua, args| {
        let given = args.string(0).ok_or("string argument only")?;
        let bare: Vec<u8> = given.iter().copied().filter(|byte| *byte != b'=').collect();
        maybe(lua, STANDARD_NO_PAD.decode(bare).ok())
    }),
    Native::any("ngx.escape_uri", |_, lua, args| {
        let kept = match args.number(1) {
            Some(0.0) => URI,
            _ => COMPONENT,
        };
        text(lua, percent_encode(&args.shown(0), kept).to_string())
    }),
    Native::any("ngx.unescape_uri", |_, lua, args| {
        let mut given = args.shown(0);
        for byte in &mut given {
            if *byte == b'+' {
                *byte = b' ';
            }
        }
        text(lua, percent_decode(&given).collect::<Vec<u8>>())
    }),
    Native::any("ngx.encode_args", |_, lua, args| {
        let table = args.table(0).ok_or("table expected")?;
        text(lua, encode_arguments(table)?)
    }),
    Native::any("ngx.decode_args", |_, lua, args| {
        let most = match args.number(1) {
            None => 100,
            Some(0.0) => usize::MAX,
            Some(most) => most.max(0.0) as usize,
        };
        arguments_table(lua, &args.shown(0), most)
    }),
    Native::any("ngx.md5", |_, lua, args| {
        text(lua, hex(&Md5::digest(args.shown(0))))
    }),
    Native::any("ngx.md5_bin", |_, lua, args| {
        text(lua, Md5::digest(args.shown(0)))
    }),
    Native::any("ngx.sha1_bin", |_, lua, args| {
        let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &args.shown(0));
        text(lua, digest)
    }),
    Native::any("ngx.hmac_sha1", |_, lua, args| {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &args.shown(0));
        text(lua, hmac::sign(&key, &args.shown(1)))
    }),
    Native::any("ngx.crc32_short", |_, _, args| crc(&args.shown(0))),
    Native::any("ngx.crc32_long", |_, _, args| crc(&args.shown(0))),
    Native::any("ngx.quote_sql_str", |_, lua, args| {
        text(lua, quoted(&args.shown(0)))
    }),
    Native::any("ngx.get_phase", |call, lua, _| text(lua, call.phase.name())),
    Native::any("ngx.get_raw_phase", |call, _, _| {
        one(Value::Number(call.phase.index() as f64))
    }),
    Native::any("ngx._phase_ctx", |_, _, _| nil()),
    Native::any("ngx.config.prefix", |_, lua, _| {
        text(lua, "/usr/local/kong/")
    }),
    Native::any("ngx.config.nginx_configure", |_, lua, _| text(lua, "")),
    Native::any("ngx.worker.id", |_, _, _| one(Value::Number(0.0))),
    Native::any("ngx.worker.count", |_, _, _| one(Value::Number(1.0))),
    Native::any("ngx.worker.pid", |_, _, _| {
        one(Value::Number(std::process::id().into()))
    }),
    Native::any("ngx.worker.pids", |_, lua, _| {
        let pids = lua.create_sequence_from([std::process::id()]);
        one(Value::Table(pids.map_err(super::super::native::told)?))
    }),
    Native::any("ngx.worker.exiting", |_, _, _| boolean(false)),
    Native::any("ngx.log", |call, _, args| {
        let Some(level) = number(args.get(0)) else {
            return Err("bad argument #1 to 'log' (number expected)".to_owned());
        };
        let level: &[u8] = match level as i64 {
            ..=1 => b"emerg",
            2 => b"alert",
            3 => b"crit",
            4 => b"err",
            5 => b"warn",
            6 => b"notice",
            7 => b"info",
            _ => b"debug",
        };
        let mut message = Vec::new();
        for value in args.all().iter().skip(1) {
            message.extend_from_slice(&super::super::native::shown(value));
        }
        super::super::pdk::write_log(call, level, None, &message);
        nothing()
    }),
];

/// What a part of a URI may have as it stands.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What a whole URI may have as it stands.
pub const URI: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b'&')
    .remove(b'=')
    .remove(b'!')
    .remove(b'$')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b':')
    .remove(b'@');

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn crc(text: &[u8]) -> Given {
    let mut crc = u32::MAX;
    for byte in text {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    one(Value::Number(f64::from(!crc)))
}

fn quoted(text: &[u8]) -> Vec<u8> {
    let mut out = vec![b'\''];
    for byte in text {
        match byte {
            0 => out.extend_from_slice(b"\\0"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            8 => out.extend_from_slice(b"\\b"),
            26 => out.extend_from_slice(b"\\Z"),
            b'\\' | b'\'' | b'"' | b'$' => out.extend_from_slice(&[b'\\', *byte]),
            byte => out.push(*byte),
        }
    }
    out.push(b'\'');
    out
}
