//! The page of what functions of configurations can call.

use super::engine;
use super::phase::{self, ANY};
use std::fmt::Write;
use std::path::Path;

const HEAD: &str = "# Lua in configurations

The functions of pre-function and post-function, and `custom_fields_by_lua` of log plugins, run on LuaJIT 2.1. Each
worker has one state; each configured function has an environment of its own in it. What they can call:

";

const TAIL: &str = "
Beside these: `kong.ctx.shared`, `kong.ctx.plugin`, `kong.log` and its levels, `kong.log.inspect`, `kong.log.deprecation`,
`kong.log.set_format` (without effect), `kong.table.new`, `clear` and `merge`, `kong.vault.update`, `kong.configuration`, `kong.version`; `ngx.var`, `ngx.header`,
`ngx.arg`, `ngx.ctx`, `ngx.status`, `ngx.re.match`, `find`, `gmatch`, `sub` and `gsub`, `ngx.thread.wait`, `ngx.null` and
the constants of `ngx`. The modules `cjson` and `cjson.safe` can be required where `untrusted_lua_sandbox_requires` lists them.

What differs from Kong:

- Functions of `certificate` never run; a warning says so when the plugin is built.
- A function of `rewrite` that waits (`ngx.sleep`), or asks for the request's body, goes on once the route is known, before the access phase:
  what it changes then has no effect on which route that is. Where no route is found, it does not go on.
- Regular expressions have the syntax of Rust's engine, which takes linear time: no look-around, no back references.
- There are no sockets, timers, subrequests, shared dictionaries, `kong.cache`, `kong.db`, `kong.dns` and `kong.tracing`. A configuration that names
  one is warned of when the plugin is built; calling it raises an error that names it.
- `kong.client.get_credential` gives the ids of credential and consumer.
- `untrusted_lua = off` refuses such plugins when they are built, and their routes are closed; with Kong requests fail.
- An error in `body_filter`, `ngx.exit` and `kong.response.exit` there are answered with 500 where nothing of the response was
  sent; else the response ends. Kong closes the connection.
- `ngx.exit` in `header_filter` changes the status and takes the body away; the upstream's headers stay. `ngx.exit(0)` in
  `access` goes on with the request.
- `kong.response.get_headers` and `kong.service.response.get_headers` do not show `Connection`.
- Headers of the response that functions of `rewrite` and `access` set count over those of the upstream. Kong sends both, and of
  `Content-Type` the upstream's.
- `X-Forwarded-Host` is the host that the client asked for, also where a function has set `Host`. After `kong.service.set_target`
  `Host` has the port, unless it is the scheme's own.
- `kong.service.set_tls_verify` and the others about the TLS of upstreams raise an error: the service says how its upstream is verified.
- A message that is no text (`kong.response.error(418, {…})`) is written as valid JSON.
- The field `severity` of an event in the node's log is the level that a function named.
- An error in `header_filter` is answered with 500; an answer there replaces the body, which then comes in chunks.
- A state that holds more than 256 MiB is dropped, and a new one begins. A function that keeps its worker for more than
  half a second is named in the log.

This page is written from the table of functions; `LANGUR_WRITE_DOCS=1 cargo test --lib lua::docs` renews it.
";

fn page() -> String {
    let mut natives: Vec<_> = engine::all()
        .filter(|native| !native.name.starts_with("hidden."))
        .filter(|native| !native.name.starts_with("ngx._"))
        .collect();
    natives.sort_by_key(|native| native.name);
    let mut page = HEAD.to_owned();
    page.push_str("| function | phases |\n|---|---|\n");
    for native in natives {
        let phases = match native.phases {
            ANY => "any".to_owned(),
            some => phase::names(some),
        };
        let _ = writeln!(page, "| `{}` | {phases} |", native.name);
    }
    page.push_str(TAIL);
    page
}

#[test]
fn the_page_of_functions_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lua.md");
    if std::env::var_os("LANGUR_WRITE_DOCS").is_some() {
        std::fs::write(&path, page()).expect("the page is written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == page(),
        "docs/lua.md is out of date: run LANGUR_WRITE_DOCS=1 cargo test --lib lua::docs"
    );
}
