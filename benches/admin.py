"""The control plane: imports, writes, a page of a list, writes while data planes are connected."""
import http.client, json, os, re, sys, time, uuid

from bench import LOAD_CORE, SERVE_CORE, memory_mb, request, wait_for

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "tests", "support"))
from nodes import postgres  # noqa: E402  (found by the line above)

DATABASES = {"SQLite": dict, "PostgreSQL": postgres}
LISTS = ("services", "routes", "consumers", "key-auths")
IMPORT_WORKERS = 10
# wrk has one thread and one script per run: `mark` makes the names of a run its own.
WRITE_LUA = """local n = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
request = function()
  n = n + 1
  return wrk.format(nil, nil, nil, '{"username":"{mark}-' .. n .. '"}')
end
"""


def entities(count):
    """The parts of a configuration: of ten entities one is a service, six are routes, two consumers, one a credential."""
    services = max(count // 10, 1)
    consumers = count * 2 // 10
    routes = count - services - consumers - count // 10
    return {
        "services": [{"name": f"s{n}", "host": "upstream.test", "port": 8080, "path": f"/{n}"} for n in range(services)],
        "routes": [dict(name=f"r{n}", service=f"s{n % services}", hosts=[f"h{n % 1000}.test"], paths=[f"/p{n}"], tags=["bench"]) for n in range(routes)],
        "consumers": [{"username": f"c{n}", "custom_id": f"id-{n}"} for n in range(consumers)],
        "keyauth_credentials": [{"consumer": f"c{n % consumers}", "key": f"key-{n}"} for n in range(count // 10)],
    }


def writes_by_level(count):
    """The same as writes of the Admin API, parents before children."""
    parts = entities(count)
    yield [("POST", f"/{name}", one) for name in ("services", "consumers") for one in parts[name]]
    routes = [("POST", f"/services/{one.pop('service')}/routes", one) for one in parts["routes"]]
    keys = [("POST", f"/consumers/{one.pop('consumer')}/key-auth", one) for one in parts["keyauth_credentials"]]
    yield routes + keys


def holds(bench, cluster, count):
    """Fails unless the control plane has so many entities."""
    found = 0
    for name in LISTS:
        path = f"/{name}?size=1000"
        while path:
            page = bench.write(cluster, "GET", path)
            found += len(page["data"])
            path = f"/{name}?size=1000&offset={page['offset']}" if "offset" in page else None
    if found != count:
        sys.exit(f"{found} entities are there after an import of {count}")


def peak_of(process):
    """Seconds until a process ends, and the most memory that it had, in MB."""
    started, peak = time.monotonic(), 0
    while process.poll() is None:
        try:
            peak = memory_mb(process.pid, "VmHWM")
        except (OSError, AttributeError):
            pass  # It has just ended.
        time.sleep(0.005)
    return time.monotonic() - started, peak


def import_by_command(bench, name, count, settings):
    """Seconds and MB of `langur config db_import` into an empty database."""
    cluster = bench.start_control_plane(name, LOAD_CORE, **settings)
    bench.stop(cluster["cp"])
    path = f"{bench.dir}/{name}.json"
    with open(path, "w") as file:
        json.dump({"_format_version": "3.0", **entities(count)}, file)
    process = bench.langur(SERVE_CORE, cluster["cp_settings"], "config", "db_import", path)
    measured = peak_of(process)
    if process.returncode:
        sys.exit(f"db_import of {count} entities failed: {open(process.log).read()}")
    cluster["cp"] = bench.langur(LOAD_CORE, cluster["cp_settings"])
    wait_for("the control plane answers", lambda: answers_now(cluster))
    holds(bench, cluster, count)
    bench.stop(cluster["cp"])
    return measured


def import_by_admin_api(bench, name, count, settings):
    """Seconds of ten workers, and MB of the control plane."""
    cluster = bench.start_control_plane(name, SERVE_CORE, **settings)
    seconds = sum(bench.write_all(cluster, level, IMPORT_WORKERS) for level in writes_by_level(count))
    peak = memory_mb(cluster["cp"].pid, "VmHWM")
    holds(bench, cluster, count)
    bench.stop(cluster["cp"])
    return seconds, peak


def answers_now(cluster):
    try:
        return request(cluster["admin"], "GET", "/services?size=1")[0] == 200
    except OSError:
        return False


def bench_imports(bench, out):
    out.append("Services, routes, consumers and credentials into an empty database. Memory is the most that the process had: the command's, or "
               "the control plane's. No figure of Kong's for this job is known to us.\n")
    out.append("| how | database | entities | seconds | entities per second | memory, MB |\n|---|---|---|---|---|---|")
    ways = [("`langur config db_import`, one revision", import_by_command, bench.options.imports),
            (f"Admin API, {IMPORT_WORKERS} workers, a revision each", import_by_admin_api, bench.options.admin_imports)]
    for title, measure, sizes in ways:
        for database, settings in DATABASES.items():
            for count in sizes:
                seconds, peak = measure(bench, f"{measure.__name__}-{database}-{count}", count, settings())
                out.append(f"| {title} | {database} | {count} | {seconds:.1f} | {count / seconds:.0f} | {peak:.0f} |")
                print(out[-1], flush=True)


def write_script(bench):
    path = f"{bench.dir}/write.lua"
    open(path, "w").write(WRITE_LUA.replace("{mark}", uuid.uuid4().hex))
    return path


def bench_writes(bench, out):
    out.append("New consumers, each a revision of its own that is committed before it is answered. No figure of Kong's for this job is known to us.\n")
    out.append("| database | clients | writes per second | median, ms | p99, ms |\n|---|---|---|---|---|")
    for database, settings in DATABASES.items():
        cluster = bench.start_control_plane(f"writes-{database}", SERVE_CORE, **settings())
        for clients in (1, 32):
            run = bench.load(cluster["admin"], "/consumers", clients, lua=write_script(bench))
            out.append(f"| {database} | {clients} | {run['per_second']:.0f} | {run['median']:.2f} | {run['p99']:.2f} |")
            print(out[-1], flush=True)
        bench.stop(cluster["cp"])


def bench_page(bench, out):
    count = 1000
    out.append(f"`GET /services?size={count}` with that many services there, one client. No figure of Kong's for this job is known to us.\n")
    out.append("| database | KB | median, ms | p99, ms |\n|---|---|---|---|")
    for database, settings in DATABASES.items():
        cluster = bench.start_control_plane(f"page-{database}", SERVE_CORE, **settings())
        bench.write_all(cluster, (("POST", "/services", {"name": f"s{n}", "url": f"http://s{n}.test/a"}) for n in range(count)), IMPORT_WORKERS)
        path = f"/services?size={count}"
        body = request(cluster["admin"], "GET", path)[1]
        if len(json.loads(body)["data"]) != count:
            sys.exit(f"the page has not {count} services")
        run = bench.load(cluster["admin"], path, 1)
        out.append(f"| {database} | {len(body) / 1000:.0f} | {run['median']:.1f} | {run['p99']:.1f} |")
        print(out[-1], flush=True)
        bench.stop(cluster["cp"])


def revision(cluster):
    """The newest one of the control plane."""
    host, port = cluster["admin"].split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    try:
        connection.request("GET", "/services?size=1")
        return int(connection.getresponse().headers["X-Langur-Revision"])
    finally:
        connection.close()


def sent_bytes(cluster):
    """What has been sent to data planes."""
    text = request(cluster["admin"], "GET", "/metrics")[1].decode()
    return float(re.search(r"^langur_cluster_sent_bytes_total(?:\{[^}]*\})? (\S+)", text, re.M).group(1))


def bench_fleet(bench, out):
    out.append("One client writes as fast as it is answered (SQLite). Then: milliseconds until every data plane has the last revision in effect, "
               "and what each was sent for a change. Kong 3.9 sends the whole configuration at every change (its documentation: 30 000 entities are "
               "about 30 MB), at most every 5 seconds by default.\n")
    out.append("| data planes | writes per second | median, ms | p99, ms | in effect everywhere after, ms | bytes per change and data plane |\n|---|---|---|---|---|---|")
    for count in bench.options.fleets:
        cluster = bench.start_control_plane(f"fleet-{count}", SERVE_CORE)
        fleet = [bench.langur(LOAD_CORE, bench.data_plane_settings(cluster, f"dp{n}")) for n in range(count)]
        wait_for("all data planes are connected", lambda: bench.connected(cluster) == count)
        before, sent = revision(cluster), sent_bytes(cluster)
        run = bench.load(cluster["admin"], "/consumers", 1, lua=write_script(bench))
        ended, last = time.time(), revision(cluster)
        # A write that was under way when the load ended may follow.
        wait_for("the last revision is in effect", lambda: all(row["revision"] >= last for row in bench.data_planes(cluster)))
        effective = max((row["in_effect_at"] for row in bench.data_planes(cluster)), default=ended)
        lag = f"{max(effective - ended, 0) * 1000:.0f}" if count else "–"
        each = f"{(sent_bytes(cluster) - sent) / (last - before) / count:.0f}" if count else "–"
        out.append(f"| {count} | {run['per_second']:.0f} | {run['median']:.2f} | {run['p99']:.2f} | {lag} | {each} |")
        print(out[-1], flush=True)
        for process in [cluster["cp"], *fleet]:
            bench.stop(process)
