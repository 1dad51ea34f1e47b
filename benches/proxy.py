"""Proxying: against nginx and haproxy, and by the number of routes."""
import http.client, statistics, time

from bench import SERVE_CORE, answers, median_table, rss_mb, wait_for


def bench_proxy(bench, out):
    cluster = bench.start_cluster("proxy")
    bench.fill(cluster, 1, lambda n: {"name": "all", "paths": ["/"], "strip_path": False})
    wait_for("the route is live", lambda: answers(cluster["proxy"], "/1k", 200))
    candidates = {"nginx": bench.start_nginx(), "haproxy": bench.start_haproxy(), "langur": (cluster["dp"], cluster["proxy"])}
    cases = [("GET 1 KiB, 64 connections", "/1k", 64, None), ("GET 1 KiB, 256 connections", "/1k", 256, None),
             ("POST 16 KiB, 64 connections", "/post", 64, f"{bench.dir}/post.lua"), ("GET 1 MiB, 16 connections", "/1m", 16, None)]
    out.append("CPU microseconds per request, median; in brackets nginx's figure divided by it (over 1 is better than nginx).\n")
    out.append("| case | nginx | haproxy | langur |\n|---|---|---|---|")
    for title, path, connections, lua in cases:
        samples = {name: [] for name in candidates}
        for _ in range(bench.options.rounds):
            for name, (process, address) in candidates.items():
                samples[name].append(bench.cpu_per_request(process, address, path, connections, lua=lua))
        cpu = median_table(samples)
        cells = [f"{cpu[name]:.1f} ({cpu['nginx'] / cpu[name]:.2f})" for name in candidates]
        out.append(f"| {title} | {' | '.join(cells)} |")
        print(out[-1], flush=True)
    for process, _ in candidates.values():
        bench.stop(process)
    bench.stop(cluster["cp"])


def prefix_route(n):
    return {"name": f"r{n}", "hosts": [f"h{n % 1000}.bench.test"], "paths": [f"/p{n}"]}


def bench_sizes(bench, out):
    """What depends on the number of routes: routing cost, propagation, start from the cache, memory."""
    changes, starts, memory = {}, {}, {}
    sizes = bench.options.routes
    clusters = {}
    for size in sizes:
        cluster = clusters[size] = bench.start_cluster(f"n{size}")
        seconds = bench.fill(cluster, size, prefix_route)
        last = prefix_route(size - 1)
        headers = {"Host": last["hosts"][0]}
        wait_for("the last route is live", lambda: answers(cluster["proxy"], last["paths"][0] + "/1k", 200, headers))
        print(f"{size} routes written in {seconds:.1f} s", flush=True)
        memory[size] = [rss_mb(cluster["dp"].pid)]
        changes[size] = propagation(bench, cluster)
        for n in range(1000 if size == 10000 else 0):
            bench.write(cluster, "PATCH", f"/routes/r{n}", {"tags": [f"t{n}"]})
        memory[size].append(rss_mb(cluster["dp"].pid))
        print(f"  change in effect: median {statistics.median(changes[size]):.1f} ms; memory {memory[size]}", flush=True)
    for size in sizes:
        bench.warm_up(clusters[size]["proxy"], size)
    one, all_of_them = {size: [] for size in sizes}, {size: [] for size in sizes}
    for _ in range(bench.options.rounds):
        for size in sizes:
            load = clusters[size]["dp"], clusters[size]["proxy"], "/", 64
            # Over one route: what the index costs. Over all: also what the processor's caches no longer hold.
            one[size].append(bench.cpu_per_request(*load, lua=bench.routes_script(1)))
            all_of_them[size].append(bench.cpu_per_request(*load, lua=bench.routes_script(size)))
    one, all_of_them = median_table(one), median_table(all_of_them)
    for size in sizes:
        cluster = clusters[size]
        bench.stop(cluster["cp"])
        bench.stop(cluster["dp"])
        starts[size] = start_from_cache(bench, cluster, prefix_route(size - 1))
    out.append("| routes | CPU per GET, µs: to one route (against 1) | to all of them at random (against 1) | change in effect, ms: median (p95) | start from cache, ms: median | memory, MB (after 1 000 changes) |\n|---|---|---|---|---|---|")
    against = lambda cpu, size: f"{cpu[size]:.1f} ({cpu[size] / cpu[sizes[0]]:.2f})"
    for size in sizes:
        change = sorted(changes[size])
        p95 = change[int(len(change) * 0.95)]
        after = f" ({memory[size][1]:.0f})" if size == 10000 else ""
        out.append(f"| {size} | {against(one, size)} | {against(all_of_them, size)} | {statistics.median(change):.1f} ({p95:.1f}) | {statistics.median(starts[size]):.0f} | {memory[size][0]:.0f}{after} |")
        print(out[-1], flush=True)


def bench_regex(bench, out):
    """What a request costs when every route's path is a regex: a host with n of them has n candidates."""
    sizes = [1, 10, 100, 1000]
    samples = {size: [] for size in sizes}
    clusters = {}
    for size in sizes:
        cluster = clusters[size] = bench.start_cluster(f"regex{size}")
        bench.fill(cluster, size, lambda n: {"name": f"r{n}", "paths": [f"~/r{n}/[a-z]+"]})
        wait_for("the last route is live", lambda: answers(cluster["proxy"], f"/r{size - 1}/abc/1k", 200))
    for _ in range(bench.options.rounds):
        for size in sizes:
            lua = bench.routes_script(size, path="/r%d/abc/1k")
            samples[size].append(bench.cpu_per_request(clusters[size]["dp"], clusters[size]["proxy"], "/", 64, lua=lua))
    out.append("| regex routes | CPU per GET, µs | against 1 route |\n|---|---|---|")
    cpu = median_table(samples)
    for size in sizes:
        bench.stop(clusters[size]["cp"])
        bench.stop(clusters[size]["dp"])
        out.append(f"| {size} | {cpu[size]:.1f} | {cpu[size] / cpu[1]:.2f} |")
        print(out[-1], flush=True)


def propagation(bench, cluster):
    """Milliseconds from sending a write until a request sees it, one change after another."""
    times = []
    host, port = cluster["proxy"].split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    for n in range(bench.options.changes):
        path = f"/change{n}"
        started = time.monotonic()
        bench.write(cluster, "POST", "/services/bench/routes", {"name": f"change{n}", "hosts": ["change.bench.test"], "paths": [path]})
        while True:
            connection.request("GET", path + "/1k", headers={"Host": "change.bench.test"})
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                break
        times.append((time.monotonic() - started) * 1000)
    return times


def start_from_cache(bench, cluster, route):
    """Milliseconds from starting the process, control plane down, to the first proxied answer."""
    times = []
    for _ in range(5):
        started = time.monotonic()
        process = bench.langur(SERVE_CORE, cluster["dp_settings"])
        wait_for("the cached route answers", lambda: answers(cluster["proxy"], route["paths"][0] + "/1k", 200, {"Host": route["hosts"][0]}))
        times.append((time.monotonic() - started) * 1000)
        bench.stop(process)
    return times
