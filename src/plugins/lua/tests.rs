//! Functions of configurations at work on requests.

use crate::plugins::runtime::testing::{Request, ended, plugin};
use crate::plugins::{
    Build, BuildError, Factory, Flow, Handler, NodeSettings, Resources, UntrustedLua, log_record,
};
use serde_json::{Value, json};
use std::sync::Arc;

const PLAIN: &str = "POST /a?x=1&y=2 HTTP/1.1\r\nHost: API.test:8000\r\nX-A: 1\r\nx_under: u\r\n";

fn resources(settings: NodeSettings) -> Resources {
    Resources::default().with_settings(settings)
}

fn build(config: Value, settings: NodeSettings) -> Result<Arc<dyn Handler>, BuildError> {
    let plugin = plugin("pre-function", config);
    super::build(
        &Build {
            plugin: &plugin,
            resources: &resources(settings),
        },
        "pre-function",
    )
}

/// What `kong.response.exit(200, …)` of this expression answers, or how it failed.
fn shown(expression: &str) -> String {
    shown_with(expression, NodeSettings::default())
}

fn shown_with(expression: &str, settings: NodeSettings) -> String {
    let code = format!("kong.response.exit(200, tostring({expression}))");
    let handler = build(json!({"access": [code]}), settings).expect("builds");
    answer(Request::new(PLAIN).access(&*handler))
}

fn answer(flow: Flow) -> String {
    match flow {
        Flow::Respond(reply) => String::from_utf8_lossy(&reply.body).into_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn functions_see_the_request() {
    let check = |expression: &str, expected: &str| {
        assert_eq!(shown(expression), expected, "{expression}");
    };
    check("kong.request.get_method()", "POST");
    check("kong.request.get_host()", "api.test");
    check("kong.request.get_raw_query()", "x=1&y=2");
    check("kong.request.get_query().y", "2");
    check("kong.request.get_header('x_a')", "1");
    check("kong.request.get_headers()['X-A']", "1");
    check("kong.request.get_headers().x_under", "u");
    check("kong.router.get_route().name", "r");
    check("ngx.var.arg_x .. ngx.var.request_uri", "1/a?x=1&y=2");
    check("kong.version", "3.9.3");
    check("ngx.re.gsub('hello', 'l', '[$0]', 'i')", "he[l][l]o");
    check("ngx.re.match('hello, 1234', '([0-9])[0-9]+')[1]", "1");
    check("ngx.encode_base64('abcd', true)", "YWJjZA");
    check("ngx.crc32_short('a')", "3904355907");
    check("#ngx.md5_bin('a')", "16");
}

#[test]
fn what_is_wrong_is_said_as_kong_says_it() {
    let check = |code: &str, expected: &str| {
        let expression = format!("select(2, pcall(function() return {code} end))");
        assert_eq!(shown(&expression), expected, "{code}");
    };
    check(
        "kong.request.get_query_arg(1)",
        "query argument name must be a string",
    );
    check("kong.request.get_query(1001)", "max_args must be <= 1000");
    check(
        "kong.response.get_status()",
        "function cannot be called in access phase (only in: response, header_filter, \
         body_filter, log, error, admin_api)",
    );
    check(
        "kong.service.request.set_method('PURGE')",
        "invalid method: PURGE",
    );
    check(
        "kong.service.request.set_header('X-Nil', nil)",
        "invalid header value for \"X-Nil\": got nil, expected array of string, string, number \
         or boolean",
    );
    check(
        "kong.service.set_target('h', 99999)",
        "port must be an integer between 0 and 65535: given 99999",
    );
}

#[test]
fn the_sandbox_keeps_dangerous_things_away() {
    let kind = |name: &str, settings: NodeSettings| shown_with(&format!("type({name})"), settings);
    for name in [
        "io",
        "print",
        "load",
        "getfenv",
        "setmetatable",
        "debug",
        "os.getenv",
        "package",
    ] {
        assert_eq!(kind(name, NodeSettings::default()), "nil", "{name}");
    }
    let require = "(require('cjson').encode({a = 1}))";
    let refused = shown("select(2, pcall(require, 'cjson'))");
    assert!(
        refused.contains("require 'cjson' not allowed within sandbox"),
        "{refused}"
    );
    let allowed = || NodeSettings {
        lua_requires: vec!["cjson".to_owned()],
        lua_environment: vec!["os.getenv".to_owned(), "io".to_owned(), "my.var".to_owned()],
        ..NodeSettings::default()
    };
    assert_eq!(shown_with(require, allowed()), r#"{"a":1}"#);
    assert_eq!(kind("os.getenv", allowed()), "function");
    assert_eq!(kind("io", allowed()), "table");
    let on = || NodeSettings {
        untrusted_lua: UntrustedLua::On,
        ..NodeSettings::default()
    };
    assert_eq!(kind("io.open", on()), "function");
    assert_eq!(shown_with("loadstring('return 1')()", on()), "1");
    let off = NodeSettings {
        untrusted_lua: UntrustedLua::Off,
        ..NodeSettings::default()
    };
    let error = build(json!({"access": ["return 1"]}), off).map(drop);
    let error = error.expect_err("nothing runs");
    assert!(error.to_string().contains("untrusted_lua"), "{error}");
}

#[test]
fn what_a_function_changes_in_its_tables_no_other_sees() {
    let config = json!({"access": [
        "kong.request.get_method = function() return 'evil' end
         ngx.re.match = nil string.format = nil mine = 1",
        "kong.response.exit(200, kong.request.get_method() .. ngx.re.match('ab', 'b')[0]
         .. string.format('%d', 7) .. tostring(mine))",
    ]});
    let handler = build(config, NodeSettings::default()).expect("builds");
    assert_eq!(answer(Request::new(PLAIN).access(&*handler)), "POSTb7nil");
}

#[test]
fn a_syntax_error_is_found_when_the_plugin_is_built() {
    let error = build(json!({"log": ["x = = 1"]}), NodeSettings::default()).map(drop);
    let error = error.expect_err("no Lua").to_string();
    let expected = "plugin 'pre-function': config: log: error parsing pre-function: \
                    [string \"x = = 1\"]:1: unexpected symbol near '='";
    assert_eq!(error, expected);
}

#[test]
fn a_chunk_that_returns_a_function_runs_once() {
    let code = "local n = 0 return function() n = n + 1 kong.response.exit(200, tostring(n)) end";
    let handler = build(json!({"access": [code]}), NodeSettings::default()).expect("builds");
    for expected in ["1", "2", "3"] {
        assert_eq!(answer(Request::new(PLAIN).access(&*handler)), expected);
    }
}

#[test]
fn functions_run_in_order_until_one_answers() {
    let config = json!({"access": [
        "kong.ctx.shared.a = 'first'",
        "kong.response.exit(201, kong.ctx.shared.a)",
        "error('never')",
    ]});
    let handler = build(config, NodeSettings::default()).expect("builds");
    let Flow::Respond(reply) = Request::new(PLAIN).access(&*handler) else {
        panic!("no answer");
    };
    assert_eq!((reply.status, &reply.body[..]), (201, &b"first"[..]));
}

#[test]
fn an_answer_cannot_be_caught() {
    let code = "pcall(function() kong.response.exit(200, 'caught') end) error('went on')";
    let handler = build(json!({"access": [code]}), NodeSettings::default()).expect("builds");
    assert_eq!(answer(Request::new(PLAIN).access(&*handler)), "caught");
}

#[test]
fn an_error_fails_the_request() {
    let handler = build(
        json!({"access": ["error('boom')"]}),
        NodeSettings::default(),
    );
    let flow = Request::new(PLAIN).access(&*handler.expect("builds"));
    let Flow::Refuse(refusal) = flow else {
        panic!("{flow:?}");
    };
    assert_eq!(
        (refusal.status, &*refusal.message),
        (500, "An unexpected error occurred")
    );
}

#[test]
fn requests_are_changed_for_the_upstream() {
    let code = "kong.service.request.set_header('X-Arr', {'a', 'b'}) \
                kong.service.request.clear_header('X-A') \
                kong.service.request.set_method('PUT') \
                kong.service.request.set_query({b = {'x', 'y'}, a = 1, c = true, d = false}) \
                kong.service.request.set_raw_body('new')";
    let handler = build(json!({"access": [code]}), NodeSettings::default()).expect("builds");
    let mut request = Request::new(PLAIN);
    assert!(matches!(request.access(&*handler), Flow::Continue));
    assert_eq!(
        request.upstream_headers(),
        ["Host: API.test:8000", "x_under: u", "X-Arr: a", "X-Arr: b"]
    );
    assert_eq!(request.upstream.method.as_deref(), Some(&b"PUT"[..]));
    assert_eq!(
        request.upstream.query.as_deref(),
        Some(&b"a=1&b=x&b=y&c"[..])
    );
    assert_eq!(request.upstream.body.as_deref(), Some(&b"new"[..]));
}

#[test]
fn a_header_filter_changes_the_response() {
    let code = "kong.response.set_header('X-Hf', '1') kong.response.set_status(418)";
    let handler = build(json!({"header_filter": [code]}), NodeSettings::default());
    let mut request = Request::new(PLAIN);
    request.header_filter(&*handler.expect("builds"));
    assert_eq!(request.response_headers(), ["X-Hf: 1"]);
    assert_eq!(request.status, 418);
}

#[actix_rt::test]
async fn a_function_that_sleeps_lets_others_run() {
    let code = "local ok, slept = pcall(function() ngx.sleep(0.001) return 'slept' end) \
                local wrapped = coroutine.wrap(function() ngx.sleep(0.001) coroutine.yield('y') end) \
                kong.response.exit(200, slept .. wrapped() .. kong.request.get_method())";
    let handler = build(json!({"access": [code]}), NodeSettings::default()).expect("builds");
    let flow = Request::new(PLAIN).access_that_waits(&*handler).await;
    assert_eq!(answer(flow), "slepty".to_owned() + "POST");
}

#[test]
fn both_plugins_are_of_this_build() {
    for name in ["pre-function", "post-function"] {
        let built = Factory::default().build(&plugin(name, json!({"access": ["return 1"]})));
        assert!(built.is_ok(), "{name}");
    }
}

#[actix_rt::test]
async fn a_function_of_rewrite_that_waits_goes_on_before_access() {
    let config = json!({
        "rewrite": ["ngx.sleep(0.001) kong.ctx.shared.a = ngx.get_phase() .. kong.request.get_raw_body()"],
        "access": ["kong.response.exit(200, kong.ctx.shared.a .. ' ' .. ngx.get_phase())"],
    });
    let handler = build(config, NodeSettings::default()).expect("builds");
    let mut request = Request::new("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n");
    assert!(matches!(request.rewrite(&*handler), Flow::Continue));
    request.body = Some(b"body".to_vec());
    let flow = request.access_that_waits(&*handler).await;
    assert_eq!(answer(flow), "rewritebody access");
}

#[test]
fn a_function_of_log_gets_the_record_that_log_plugins_send() {
    let code = "local r = kong.log.serialize() \
        kong.log.set_serialize_value('seen', r.request.method .. r.response.status .. r.service.name)";
    let handler = build(json!({"log": [code]}), NodeSettings::default()).expect("builds");
    let mut request = Request::new(PLAIN);
    let record = request.log_phase(|context| {
        ended(|log| {
            handler.log(context, log);
            log_record(context, log)
        })
    });
    assert_eq!(record["seen"], "POST200s");
    assert_eq!(
        shown("select(2, pcall(kong.log.serialize))"),
        "function cannot be called in access phase (only in: log)"
    );
}
