//! Keys of Kong's Lua and WebAssembly runtimes and of vaults.

use crate::settings::key::*;

#[rustfmt::skip]
pub static KEYS: &[Key] = &[
    list("vaults", "bundled", "Vaults this node loads.").no_effect(),
    text("vault_env_prefix", "", "What the names of variables begin with that {vault://env/...} stands for."),
    list("pluginserver_names", "", "Plugin servers.").no_effect(),
    text("lua_package_path", "./?.lua;./?/init.lua;", "Where Lua modules are searched.").no_effect(),
    text("lua_package_cpath", "", "Where Lua's C modules are searched.").no_effect(),
    number("lua_socket_pool_size", "256", "Idle connections of Lua sockets.").no_effect(),
    one_of("untrusted_lua", &["on", "off", "sandbox"], "sandbox", "Lua in plugin configurations: everything it can do, what is safe, or none."),
    list("untrusted_lua_sandbox_requires", "", "Modules such Lua may load in the sandbox: `cjson`, `cjson.safe`."),
    list("untrusted_lua_sandbox_environment", "", "What such Lua may use besides in the sandbox, such as `os.getenv`."),
    boolean("wasm", "off", "WebAssembly filters.").no_effect(),
    text("wasm_filters_path", "", "Directory of filters.").no_effect(),
    list("wasm_filters", "bundled,user", "Filters this node loads.").no_effect(),
    text("wasm_dynamic_module", "", "nginx module that runs filters.").no_effect(),
];
