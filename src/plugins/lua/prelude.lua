-- What a state is made of before any configured function is compiled: the tables `kong` and `ngx`, the
-- sandbox, and what runs functions. The functions themselves are written in Rust; this file gives
-- them their names, and turns what they refuse into Lua errors.
local natives, modules, constants, options, RAISE, NULL = ...

local error, type, pairs, ipairs, select, unpack = error, type, pairs, ipairs, select, unpack
local getmetatable, setmetatable, rawget, rawset, tostring = getmetatable, setmetatable, rawget, rawset, tostring
local string, table, math, os, coroutine = string, table, math, os, coroutine
local create, resume, yield, status, running = coroutine.create, coroutine.resume, coroutine.yield, coroutine.status, coroutine.running

-- What a function yields to the worker: it waits, or it has answered and is never resumed.
local SLEEP, EXIT = {}, {}

-- A function of Rust hands RAISE back in front of a message that its caller must get as an error. The
-- tail call takes the wrapper off the stack, so that level 2 is the caller.
local function finish(...)
  local first, message = ...
  if first == RAISE then
    error(message, 2)
  end
  return ...
end

local function place(root, path, value)
  local at = root
  local before, last = path:match("^(.*)%.([^.]+)$")
  for part in (before or ""):gmatch("[^.]+") do
    if type(rawget(at, part)) ~= "table" then
      rawset(at, part, {})
    end
    at = rawget(at, part)
  end
  rawset(at, last or path, value)
end

local world = {}
for name, native in pairs(natives) do
  place(world, name, function(...)
    return finish(native(...))
  end)
end
local kong, ngx = world.kong, world.ngx
for name, value in pairs(constants) do
  place(ngx, name, value)
end
ngx.null = NULL

-- An answer ends the function in rewrite and access, whatever it is called in.
for _, name in ipairs { "kong.response.exit", "kong.response.error", "ngx.exit", "ngx.redirect", "ngx.exec" } do
  local native = natives[name]
  place(world, name, function(...)
    local ended, message = native(...)
    if ended == RAISE then
      error(message, 2)
    end
    if ended then
      yield(EXIT)
    end
  end)
end

-- Waiting.
local check_sleep = natives["ngx.sleep"]
ngx.sleep = function(...)
  local seconds, message = check_sleep(...)
  if seconds == RAISE then
    error(message, 2)
  end
  yield(SLEEP, seconds)
end

-- The request's body is read once the route is known: who asks for it before waits for that.
local to_come = natives["hidden.body_to_come"]
for _, name in ipairs { "kong.request.get_raw_body", "kong.request.get_body", "ngx.req.read_body" } do
  local native = natives[name]
  place(world, name, function(...)
    if to_come() == true then
      yield(SLEEP, 0)
    end
    return finish(native(...))
  end)
end

-- A coroutine of the function's own passes a wait on to the worker.
local function pass_on(co, ok, first, ...)
  if ok and (first == SLEEP or first == EXIT) and status(co) ~= "dead" then
    return pass_on(co, resume(co, yield(first, ...)))
  end
  return ok, first, ...
end
local function resume_through(co, ...)
  return pass_on(co, resume(co, ...))
end
local function unwrapped(ok, ...)
  if not ok then
    error((...), 0)
  end
  return ...
end
local function wrap(f)
  local co = create(f)
  return function(...)
    return unwrapped(resume_through(co, ...))
  end
end
coroutine.resume, coroutine.wrap = resume_through, wrap

-- Light threads. A thread runs when it is spawned and again when it is waited for, one after
-- the other.
local check_thread = natives["ngx.thread.spawn"]
local threads = setmetatable({}, { __mode = "k" })
ngx.thread.spawn = function(f, ...)
  local ok, message = check_thread()
  if ok == RAISE then
    error(message, 2)
  end
  local co = create(f)
  threads[co] = { resume_through(co, ...) }
  return co
end
ngx.thread.wait = function(...)
  local ok, message = check_thread()
  if ok == RAISE then
    error(message, 2)
  end
  local co = ...
  while status(co) ~= "dead" do
    threads[co] = { resume_through(co) }
  end
  return unpack(threads[co])
end
ngx.thread.kill = function(co)
  threads[co] = nil
  return true
end

-- Tables that belong to the request or to what is configured.
local function view(read, write)
  return setmetatable({}, {
    __index = function(_, key)
      local value, message = read(key)
      if value == RAISE then
        error(message, 2)
      end
      return value
    end,
    __newindex = function(_, key, value)
      local refused, message = write(key, value)
      if refused == RAISE then
        error(message, 2)
      end
    end,
  })
end
local tables = {
  shared = natives["hidden.ctx_shared"],
  plugin = natives["hidden.ctx_plugin"],
}
kong.ctx = setmetatable({}, {
  __index = function(_, key)
    if key == "core" then
      return {}
    end
    local get = tables[key]
    return get and get()
  end,
  __newindex = function()
    error("kong.ctx cannot be changed", 2)
  end,
})
ngx.var = view(natives["hidden.var_get"], natives["hidden.var_set"])
ngx.header = view(natives["hidden.header_get"], natives["hidden.header_set"])
ngx.arg = view(natives["hidden.arg_get"], natives["hidden.arg_set"])

local computed = {
  ctx = natives["hidden.ngx_ctx"],
  status = natives["hidden.status_get"],
  headers_sent = natives["hidden.headers_sent"],
  is_subrequest = function() return false end,
}
setmetatable(ngx, {
  __index = function(_, key)
    local get = computed[key]
    return get and get()
  end,
  __newindex = function(t, key, value)
    if key == "status" then
      local refused, message = natives["hidden.status_set"](value)
      if refused == RAISE then
        error(message, 2)
      end
    elseif key == "ctx" then
      natives["hidden.ngx_ctx_set"](value)
    else
      rawset(t, key, value)
    end
  end,
})

-- Headers are found whatever the case, and with underscores for hyphens.
local headers_mt = {
  __index = function(t, key)
    if type(key) ~= "string" then
      return nil
    end
    return rawget(t, (key:lower():gsub("_", "-")))
  end,
}
for _, name in ipairs { "kong.request.get_headers", "kong.response.get_headers", "kong.service.response.get_headers",
  "ngx.req.get_headers", "ngx.resp.get_headers" } do
  local native = natives[name]
  local function given(first, second, ...)
    if first == RAISE then
      error(second, 2)
    end
    return setmetatable(first, headers_mt), second, ...
  end
  place(world, name, function(...)
    return given(native(...))
  end)
end

-- Regular expressions: matching is Rust's, what calls functions is here.
local find_all = natives["hidden.re_captures"]
local function expand(replacement, captures)
  return natives["hidden.re_expand"](replacement, captures)
end
local function substitute(subject, regex, replacement, flags, once)
  local parts, from, count, position = {}, 1, 0, 1
  subject = tostring(subject)
  while position <= #subject + 1 do
    local captures, first, last = find_all(subject, regex, flags or "", position)
    if captures == RAISE then
      return nil, nil, first
    end
    if not captures then
      break
    end
    count = count + 1
    parts[#parts + 1] = subject:sub(from, first - 1)
    local by = replacement
    if type(by) == "function" then
      by = tostring(by(captures))
    else
      local expanded, message = expand(tostring(by), captures)
      if expanded == RAISE then
        return nil, nil, message
      end
      by = expanded
    end
    parts[#parts + 1] = by
    from = last + 1
    if last < first then
      parts[#parts + 1] = subject:sub(first, first)
      from = first + 1
      position = first + 1
    else
      position = last + 1
    end
    if once then
      break
    end
  end
  parts[#parts + 1] = subject:sub(from)
  return table.concat(parts), count
end
ngx.re = {
  match = function(subject, regex, flags, ctx, into)
    local at = ctx and ctx.pos or 1
    local captures, first, last = find_all(tostring(subject), regex, flags or "", at)
    if captures == RAISE then
      return nil, first
    end
    if not captures then
      return nil
    end
    if ctx then
      ctx.pos = last + 1
    end
    if into then
      for key, value in pairs(captures) do
        into[key] = value
      end
      return into
    end
    return captures
  end,
  find = function(subject, regex, flags, ctx, nth)
    local at = ctx and ctx.pos or 1
    local captures, first, last, places = find_all(tostring(subject), regex, flags or "", at)
    if captures == RAISE then
      return nil, nil, first
    end
    if not captures then
      return nil
    end
    if ctx then
      ctx.pos = last + 1
    end
    if nth and nth > 0 then
      local place = places[nth]
      if not place then
        return nil
      end
      return place[1], place[2]
    end
    return first, last
  end,
  gmatch = function(subject, regex, flags)
    local position = 1
    subject = tostring(subject)
    return function()
      if not position or position > #subject + 1 then
        return nil
      end
      local captures, first, last = find_all(subject, regex, flags or "", position)
      if captures == RAISE then
        return nil, first
      end
      if not captures then
        position = nil
        return nil
      end
      position = last < first and first + 1 or last + 1
      return captures
    end
  end,
  sub = function(subject, regex, replacement, flags)
    return substitute(subject, regex, replacement, flags, true)
  end,
  gsub = function(subject, regex, replacement, flags)
    return substitute(subject, regex, replacement, flags, false)
  end,
}

-- Logs.
local write = natives["hidden.log"]
local function logger(level, by)
  return function(...)
    write(level, by, ...)
  end
end
local levels = { "emerg", "alert", "crit", "err", "warn", "notice", "info", "debug" }
local function new_log(by, format)
  local log = { set_format = function() end }
  for _, level in ipairs(levels) do
    log[level] = logger(level, by)
  end
  local inspecting = true
  log.inspect = setmetatable({
    on = function() inspecting = true end,
    off = function() inspecting = false end,
  }, {
    __call = function(_, ...)
      if inspecting then
        natives["hidden.inspect"](by, ...)
      end
    end,
  })
  log.deprecation = setmetatable({
    write = function(...)
      write("warn", by, ...)
    end,
  }, {
    __call = function(_, ...)
      natives["hidden.deprecation"](by, ...)
    end,
  })
  return log
end
local log = new_log(nil)
for key, value in pairs(kong.log or {}) do
  log[key] = value
end
kong.log = setmetatable(log, {
  __call = function(_, ...)
    write("notice", nil, ...)
  end,
  __index = {
    new = function(by)
      return setmetatable(new_log(by), { __call = function(_, ...) write("notice", by, ...) end })
    end,
  },
})
kong.node.hostname = options.hostname

kong.table = {
  new = function()
    return {}
  end,
  clear = function(t)
    for key in pairs(t) do
      t[key] = nil
    end
  end,
  merge = function(a, b)
    local merged = {}
    for key, value in pairs(a or {}) do
      merged[key] = value
    end
    for key, value in pairs(b or {}) do
      merged[key] = value
    end
    return merged
  end,
}
kong.vault.update = function(config)
  local refs = config["$refs"]
  for key, reference in pairs(refs or {}) do
    if type(reference) == "string" then
      local value = kong.vault.get(reference)
      if value ~= nil then
        config[key] = value
      end
    end
  end
  return config
end

-- Not there yet: each says so by name when it is called.
local function missing(name)
  return function()
    error(name .. " is not available in this gateway", 2)
  end
end
local function holder(name)
  return setmetatable({}, {
    __index = function(_, key)
      return missing(name .. "." .. tostring(key))
    end,
  })
end
kong.configuration = options.configuration
kong.version = options.version
kong.version_num = options.version_num
kong.cache = holder("kong.cache")
for _, name in ipairs { "core_cache", "db", "dns", "timer", "worker_events", "cluster_events", "websocket" } do
  kong[name] = kong[name] or holder("kong." .. name)
end
kong.tracing = kong.tracing or { active_span = function() end }
kong.telemetry = kong.telemetry or { log = missing("kong.telemetry.log") }
for _, name in ipairs { "socket.tcp", "socket.udp", "socket.connect", "socket.stream", "location.capture",
  "location.capture_multi", "timer.at", "timer.every", "on_abort", "run_worker_thread", "req.socket",
  "req.init_body", "req.finish_body" } do
  local at = ngx
  for part in name:gmatch("[^.]+") do
    at = at and at[part]
  end
  if at == nil then
    place(ngx, name, missing("ngx." .. name))
  end
end
ngx.timer.pending_count = function() return 0 end
ngx.timer.running_count = function() return 0 end
for _, name in ipairs(options.dictionaries) do
  place(ngx, "shared." .. name, setmetatable({ NULL }, {
    __index = function(_, key)
      return missing("ngx.shared." .. name .. "." .. tostring(key))
    end,
  }))
end

-- Modules.
local loaded = {}
local function require_module(name)
  if loaded[name] == nil then
    local build = modules[name]
    if not build then
      error("module '" .. tostring(name) .. "' is not available in this gateway", 3)
    end
    loaded[name] = build()
  end
  return loaded[name]
end

-- Environments.
local function guarded(inner)
  return setmetatable({}, {
    __index = inner,
    __newindex = function(t, key, value)
      rawset(t, key, value)
    end,
  })
end
local function pick(from, names)
  local picked = {}
  for name in names:gmatch("%S+") do
    picked[name] = from[name]
  end
  return picked
end
local basic = pick(_G, "_VERSION assert error ipairs next pairs pcall select tonumber tostring type unpack xpcall")
local libraries = {
  coroutine = pick(coroutine, "create resume running status wrap yield"),
  math = pick(math, "abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log log10 max min modf pi pow rad random sin sinh sqrt tan tanh"),
  os = pick(os, "clock date difftime time"),
  string = pick(string, "byte char find format gmatch gsub len lower match rep reverse sub upper"),
  table = pick(table, "concat insert maxn remove sort"),
}


-- A function in the sandbox has tables of its own: what it changes in them no other function sees.
local function copy_of(t)
  local copy = {}
  for key, value in pairs(t) do
    copy[key] = type(value) == "table" and value ~= kong.configuration and copy_of(value) or value
  end
  return setmetatable(copy, getmetatable(t))
end
local function own_kong()
  local own = copy_of(kong)
  return setmetatable({ cache = own.cache, configuration = own.configuration }, { __index = own })
end

local function sandboxed_require(name)
  if not options.requires[name] then
    error("require '" .. tostring(name) .. "' not allowed within sandbox", 2)
  end
  return require_module(name)
end

local function sandbox()
  local env = {}
  for name, value in pairs(basic) do
    env[name] = value
  end
  for name, value in pairs(libraries) do
    env[name] = guarded(value)
  end
  env.kong, env.ngx, env.require = own_kong(), copy_of(ngx), sandboxed_require
  for _, path in ipairs(options.environment) do
    local at = _G
    if path:match("^ngx%.") or path:match("^kong%.") then
      at = { ngx = ngx, kong = kong }
    end
    for part in path:gmatch("[^.]+") do
      at = type(at) == "table" and at[part] or nil
    end
    if at ~= nil then
      place(env, path, at)
    end
  end
  env._G = nil
  return env
end

local function whole()
  local lua_require = require
  _G.kong, _G.ngx = kong, ngx
  _G.require = function(name)
    if modules[name] then
      return require_module(name)
    end
    return lua_require(name)
  end
  return _G
end
if options.mode == "on" then
  table.new = table.new or function() return {} end
  table.clear = table.clear or kong.table.clear
  table.pack = table.pack or function(...) return { n = select("#", ...), ... } end
  table.unpack = table.unpack or unpack
  table.clone = table.clone or function(t)
    local copy = {}
    for key, value in pairs(t) do
      copy[key] = value
    end
    return copy
  end
  table.nkeys = table.nkeys or function(t)
    local count = 0
    for _ in pairs(t) do
      count = count + 1
    end
    return count
  end
  table.isempty = table.isempty or function(t) return next(t) == nil end
  table.isarray = table.isarray or function(t)
    for key in pairs(t) do
      if type(key) ~= "number" then
        return false
      end
    end
    return true
  end
  whole()
end

-- Running. A configured function is compiled into a chunk; what the chunk returns, if that is a
-- function, takes its place once it has run for the first time.
local function run_one(slot)
  local f = slot.f
  if f then
    return f()
  end
  local result = slot.chunk()
  if type(result) == "function" then
    slot.f = result
    return result()
  end
  slot.f = slot.chunk
  return result
end

local engine = {}
function engine.environment()
  if options.mode == "on" then
    return _G
  end
  return sandbox()
end
function engine.run(slots)
  for index = 1, #slots do
    run_one(slots[index])
  end
end
engine.value = run_one
engine.SLEEP, engine.EXIT = SLEEP, EXIT
return engine
