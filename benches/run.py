#!/usr/bin/env python3
"""Measures Langur against nginx and haproxy doing the same job, and writes docs/benchmarks.md.

    benches/run.py [--rounds 5] [--seconds 4] [--routes 1,10000,100000] [--only proxy,sizes,regex]

One core serves (the candidate, one worker), the other loads (wrk and the upstream). Runs alternate between the
candidates, so that a slow moment of the machine hits all of them; the figure is CPU time per request from the
scheduler's accounting (/proc/PID/task/*/schedstat), because throughput on a shared machine is noise. The data plane
runs as in production: control plane connected, telemetry on. Needs nginx, haproxy and wrk (scripts/setup.sh --bench).
"""
import argparse, glob, http.client, json, os, platform, re, shutil, signal, socket, statistics, subprocess, sys, tempfile, threading, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SERVE_CORE, LOAD_CORE = "0", str(min(1, os.cpu_count() - 1))
POST_LUA = 'wrk.method = "POST"\nwrk.body = string.rep("x", 16384)\nwrk.headers["Content-Type"] = "application/octet-stream"\n'


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def pinned(core, *command, **kwargs):
    return subprocess.Popen(["taskset", "-c", core, *command], **kwargs)


def cpu_ns(pid):
    """CPU time of all threads of a process and of its children, in ns."""
    total = 0
    pids = [pid] + [int(p) for p in subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()]
    for one in pids:
        for path in glob.glob(f"/proc/{one}/task/*/schedstat"):
            try:
                total += int(open(path).read().split()[0])
            except (OSError, ValueError):
                pass
    return total


def rss_mb(pid):
    text = open(f"/proc/{pid}/status").read()
    return int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) / 1024


def wait_for(what, condition, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.005)
    sys.exit(f"never: {what}")


def request(address, method, path, body=None, headers=None):
    host, port = address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    try:
        payload = None if body is None else json.dumps(body)
        headers = dict(headers or {}, **({"Content-Type": "application/json"} if payload else {}))
        connection.request(method, path, payload, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def answers(address, path, status, headers=None):
    try:
        return request(address, "GET", path, headers=headers)[0] == status
    except OSError:
        return False


class Bench:
    def __init__(self, options):
        self.options, self.processes = options, []
        self.dir = tempfile.mkdtemp(prefix="langur-bench-")
        self.upstream = f"127.0.0.1:{free_port()}"
        target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
        self.binary = os.path.join(target, options.profile, "langur")
        os.makedirs(f"{self.dir}/www")
        open(f"{self.dir}/www/1k", "wb").write(b"x" * 1024)
        open(f"{self.dir}/www/1m", "wb").write(b"x" * 1024 * 1024)
        open(f"{self.dir}/post.lua", "w").write(POST_LUA)
        os.chmod(self.dir, 0o755)

    def template(self, name, listen=""):
        text = open(os.path.join(ROOT, "benches", name)).read()
        for key, value in {"dir": self.dir, "upstream": self.upstream, "listen": listen}.items():
            text = text.replace("{%s}" % key, value)
        path = f"{self.dir}/{name}"
        open(path, "w").write(text)
        return path

    def start(self, core, *command, env=None):
        log = open(f"{self.dir}/{len(self.processes)}.log", "w")
        process = pinned(core, *command, env=env, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def stop(self, process, sig=signal.SIGTERM):
        if process.poll() is None:
            process.send_signal(sig)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def close(self):
        # Not SIGKILL: nginx's master would leave its worker behind. At SIGINT all three stop at once.
        for process in self.processes:
            self.stop(process, signal.SIGINT)
        shutil.rmtree(self.dir, ignore_errors=True)

    # --- the candidates

    def start_upstream(self):
        self.start(LOAD_CORE, "nginx", "-c", self.template("upstream.conf"))
        wait_for("the upstream answers", lambda: answers(self.upstream, "/1k", 200))

    def start_nginx(self):
        address = f"127.0.0.1:{free_port()}"
        process = self.start(SERVE_CORE, "nginx", "-c", self.template("nginx.conf", address))
        wait_for("nginx answers", lambda: answers(address, "/1k", 200))
        return process, address

    def start_haproxy(self):
        address = f"127.0.0.1:{free_port()}"
        process = self.start(SERVE_CORE, "haproxy", "-db", "-f", self.template("haproxy.cfg", address))
        wait_for("haproxy answers", lambda: answers(address, "/1k", 200))
        return process, address

    def langur(self, core, settings):
        env = {"PATH": os.environ["PATH"]}
        env.update({f"LANGUR_{key.upper()}": str(value) for key, value in settings.items()})
        return self.start(core, self.binary, "start", env=env)

    def start_cluster(self, name):
        """A control plane and a data plane in folders of this name; started again, they find their data."""
        folder = f"{self.dir}/{name}"
        if not os.path.exists(folder):
            os.makedirs(folder)
            subprocess.run([self.binary, "hybrid", "gen_cert", folder], check=True, stdout=subprocess.DEVNULL)
        ports = [f"127.0.0.1:{free_port()}" for _ in range(6)]
        cluster = {
            "admin": ports[0], "proxy": ports[1], "status": ports[5], "folder": folder,
            "shared": {"cluster_cert": f"{folder}/cluster.crt", "cluster_cert_key": f"{folder}/cluster.key", "log_level": "warn"},
        }
        cluster["cp_settings"] = dict(cluster["shared"], role="control_plane", prefix=f"{folder}/cp", admin_listen=ports[0],
                                      cluster_listen=ports[2], cluster_telemetry_listen=ports[3], status_listen=ports[4])
        cluster["dp_settings"] = dict(cluster["shared"], role="data_plane", prefix=f"{folder}/dp", proxy_listen=ports[1], status_listen=ports[5],
                                      cluster_control_plane=ports[2], cluster_telemetry_endpoint=ports[3], nginx_worker_processes=1)
        cluster["cp"] = self.langur(LOAD_CORE, cluster["cp_settings"])
        wait_for("the control plane answers", lambda: answers(cluster["admin"], "/services", 200))
        cluster["dp"] = self.langur(SERVE_CORE, cluster["dp_settings"])
        wait_for("the data plane is connected", lambda: self.connected(cluster))
        return cluster

    def connected(self, cluster):
        try:
            rows = json.loads(request(cluster["admin"], "GET", "/clustering/data-planes")[1])["data"]
        except (OSError, KeyError, ValueError):
            return False
        return any(row.get("connected") for row in rows)

    def write(self, cluster, method, path, body=None):
        status, answer = request(cluster["admin"], method, path, body)
        if status >= 300:
            sys.exit(f"{method} {path}: {status} {answer[:300]}")
        return json.loads(answer) if answer else None

    def fill(self, cluster, count, shape):
        """`count` routes of one service, half by host and prefix, written by several connections."""
        self.write(cluster, "PUT", "/services/bench", {"url": f"http://{self.upstream}"})
        numbers, lock = iter(range(count)), threading.Lock()

        def worker():
            host, port = cluster["admin"].split(":")
            connection = http.client.HTTPConnection(host, int(port), timeout=60)
            while True:
                with lock:
                    n = next(numbers, None)
                if n is None:
                    return
                connection.request("POST", "/services/bench/routes", json.dumps(shape(n)), {"Content-Type": "application/json"})
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 201:
                    os.write(2, f"route {n}: {answer.status} {text[:200]!r}\n".encode())
                    os._exit(1)

        started = time.monotonic()
        threads = [threading.Thread(target=worker) for _ in range(4)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        return time.monotonic() - started

    # --- load

    def wrk(self, address, path, connections, lua=None):
        command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{self.options.seconds}s"]
        command += ["-s", lua] if lua else []
        text = subprocess.run(command + [f"http://{address}{path}"], capture_output=True, text=True).stdout
        requests = int(re.search(r"(\d+) requests in", text).group(1))
        errors = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
        if errors:
            sys.exit(f"{address}{path}: {errors.group(0)}")
        return requests

    def routes_script(self, size, path="/p%d/1k", order="math.random(0, size - 1)"):
        """A wrk script that asks for one of `size` routes at random, so that every lookup finds its part of the index as
        cold as it would be in production."""
        script = f"{self.dir}/routes.lua"
        open(script, "w").write(
            f"local size, asked = {size}, 0\n"
            "math.randomseed(42)\n"
            "request = function()\n"
            f"  local n = {order}\n"
            "  asked = asked + 1\n"
            f'  return wrk.format("GET", string.format("{path}", n), {{Host = "h" .. (n % 1000) .. ".bench.test"}})\n'
            "end\n")
        return script

    def warm_up(self, address, size):
        """Asks for every route once: the first request to each makes its metrics."""
        asked = 0
        while asked < size:
            # Each run begins where the one before ended.
            asked += self.wrk(address, "/", 64, lua=self.routes_script(size, order=f"(asked + {asked}) % size"))

    def cpu_per_request(self, process, *load, **kwargs):
        """Microseconds of CPU per request over one run."""
        before = cpu_ns(process.pid)
        requests = self.wrk(*load, **kwargs)
        return (cpu_ns(process.pid) - before) / requests / 1000


def median_table(samples):
    return {key: statistics.median(values) for key, values in samples.items()}


def bench_proxy(bench, out):
    cluster = bench.start_cluster("proxy")
    bench.fill(cluster, 1, lambda n: {"name": "all", "paths": ["/"], "strip_path": False})
    wait_for("the route is live", lambda: answers(cluster["proxy"], "/1k", 200))
    candidates = {"nginx": bench.start_nginx(), "haproxy": bench.start_haproxy(), "langur": (cluster["dp"], cluster["proxy"])}
    cases = [("GET 1 KiB, 64 connections", "/1k", 64, None), ("GET 1 KiB, 256 connections", "/1k", 256, None),
             ("POST 16 KiB, 64 connections", "/post", 64, f"{bench.dir}/post.lua"), ("GET 1 MiB, 16 connections", "/1m", 16, None)]
    out.append("## Proxying\n\nCPU microseconds per request, median; in brackets nginx's figure divided by it (over 1 is better than nginx).\n")
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
    out.append("")
    for process, _ in candidates.values():
        bench.stop(process)
    bench.stop(cluster["cp"])


def prefix_route(n):
    return {"name": f"r{n}", "hosts": [f"h{n % 1000}.bench.test"], "paths": [f"/p{n}"]}


def bench_sizes(bench, out):
    """What depends on the number of routes: routing cost, propagation, start from the cache, memory."""
    changes, starts, memory = {}, {}, {}
    sizes = [int(n) for n in bench.options.routes.split(",")]
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
    out.append("## By number of routes (host and prefix)\n")
    out.append("| routes | CPU per GET, µs: to one route (against 1) | to all of them at random (against 1) | change in effect, ms: median (p95) | start from cache, ms: median | memory, MB (after 1 000 changes) |\n|---|---|---|---|---|---|")
    against = lambda cpu, size: f"{cpu[size]:.1f} ({cpu[size] / cpu[sizes[0]]:.2f})"
    for size in sizes:
        change = sorted(changes[size])
        p95 = change[int(len(change) * 0.95)]
        after = f" ({memory[size][1]:.0f})" if size == 10000 else ""
        out.append(f"| {size} | {against(one, size)} | {against(all_of_them, size)} | {statistics.median(change):.1f} ({p95:.1f}) | {statistics.median(starts[size]):.0f} | {memory[size][0]:.0f}{after} |")
        print(out[-1], flush=True)
    out.append("")


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
    out.append("## By number of regex routes without a host (requests over all of them at random)\n")
    out.append("| regex routes | CPU per GET, µs | against 1 route |\n|---|---|---|")
    cpu = median_table(samples)
    for size in sizes:
        bench.stop(clusters[size]["cp"])
        bench.stop(clusters[size]["dp"])
        out.append(f"| {size} | {cpu[size]:.1f} | {cpu[size] / cpu[1]:.2f} |")
        print(out[-1], flush=True)
    out.append("")


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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--changes", type=int, default=40)
    parser.add_argument("--routes", default="1,10,1000,10000,100000")
    parser.add_argument("--profile", default="dist")
    parser.add_argument("--only", default="proxy,sizes,regex")
    parser.add_argument("--no-write", action="store_true", help="print the tables, leave docs/benchmarks.md alone")
    options = parser.parse_args()
    for tool in ("nginx", "haproxy", "wrk", "taskset"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: run scripts/setup.sh --bench")
    subprocess.run(["cargo", "build", "--profile", options.profile], cwd=ROOT, check=True)
    bench = Bench(options)
    version = lambda *command: (lambda p: (p.stdout + p.stderr).strip().splitlines()[0])(subprocess.run(command, capture_output=True, text=True))
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    out = ["# Benchmarks\n", "Written by `just bench` (`benches/run.py` says how it measures; configurations are beside it).\n",
           f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores of {cpu}, {platform.system()} {platform.release()}; {version('nginx', '-v')}, {version('haproxy', '-v')}; "
           f"{options.rounds} alternating rounds of {options.seconds} s.\n"]
    try:
        bench.start_upstream()
        if "proxy" in options.only:
            bench_proxy(bench, out)
        if "sizes" in options.only:
            bench_sizes(bench, out)
        if "regex" in options.only:
            bench_regex(bench, out)
    finally:
        bench.close()
    if not options.no_write:
        os.makedirs(os.path.join(ROOT, "docs"), exist_ok=True)
        open(os.path.join(ROOT, "docs", "benchmarks.md"), "w").write("\n".join(out) + "\n")
    print("\n".join(out))


if __name__ == "__main__":
    main()
