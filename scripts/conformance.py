"""Replays recorded answers of a real Kong and holds the agreement per group against tests/conformance.json.

    scripts/conformance.py [--update] [--only admin|proxy|plugins]

The Admin API is replayed on SQLite and on PostgreSQL, and shorter recordings on nodes with both roles, with a database and
without: run it with scripts/conformance.sh.
A group may only get better; `--update` writes what was reached into the file. Rows listed in tests/conformance/ differ
on purpose or by chance, each with its reason: they are sent, but neither counted as good nor in the total. The scenarios of
plugins are replayed for the plugins of PLUGIN_RUNS.
"""
import argparse, collections, fcntl, functools, http.client, json, os, re, shutil, signal, subprocess, sys, tempfile, time
import urllib.parse

from loopback import free_address

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RECORDED = os.environ.get("LANGUR_CONFORMANCE", os.path.join(ROOT, "..", "shared", "conformance"))
BASELINE = os.path.join(ROOT, "tests", "conformance.json")
LISTED = os.path.join(ROOT, "tests", "conformance")
BINARY = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "debug", "langur")


def wait_for(what, process, condition):
    end = time.monotonic() + 180
    while time.monotonic() < end:
        if process.poll() is not None:
            sys.exit(f"conformance: {what}: the process ended with {process.returncode}")
        try:
            if condition():
                return
        except (OSError, ValueError, KeyError):
            pass
        time.sleep(0.05)
    sys.exit(f"conformance: never: {what}")


def get(address, path):
    host, port = address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def on_sqlite():
    """The control plane's settings for a fresh database."""
    return {}


def without_database():
    return {"database": "off"}


def on_postgres():
    server = os.environ["LANGUR_TEST_POSTGRES"]  # scripts/conformance.sh sets it
    url, name = urllib.parse.urlsplit(server), f"conformance_{os.getpid()}_{time.monotonic_ns()}"
    subprocess.run(["psql", server, "-qc", f"CREATE DATABASE {name}"], check=True)
    return {"database": "postgres", "pg_host": url.hostname, "pg_port": str(url.port or 5432), "pg_user": url.username,
            "pg_database": name}


class Nodes:
    """Processes that are gone when they are stopped, with all they have written."""

    def __init__(self, database, settings):
        self.dir, self.processes = tempfile.mkdtemp(prefix="langur-conformance-"), []
        try:
            self.begin(database, settings)
        except BaseException:
            self.stop()
            raise

    def start(self, shared, **settings):
        env = {f"LANGUR_{key.upper()}": value for key, value in dict(shared, **settings).items()}
        # Recorded configurations have relative paths, too.
        process = subprocess.Popen([BINARY, "start"], env=env, stdout=subprocess.DEVNULL, cwd=self.dir)
        self.processes.append(process)
        return process

    def stop(self):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


class Pair(Nodes):
    """A fresh control plane and data plane."""

    def begin(self, database, data_plane_settings):
        subprocess.run([BINARY, "hybrid", "gen_cert", self.dir], check=True, stdout=subprocess.DEVNULL)
        self.admin, cluster, telemetry, status = (free_address() for _ in range(4))
        shared = {"cluster_cert": f"{self.dir}/cluster.crt", "cluster_cert_key": f"{self.dir}/cluster.key", "log_level": "warn"}
        control = self.start(shared, role="control_plane", prefix=f"{self.dir}/cp", admin_listen=self.admin, cluster_listen=cluster,
                             cluster_telemetry_listen=telemetry, status_listen=status, **database)
        wait_for("the control plane answers", control, lambda: get(self.admin, "/services")[0] == 200)
        data = self.start(shared, role="data_plane", prefix=f"{self.dir}/dp", status_listen=free_address(), cluster_control_plane=cluster,
                          cluster_telemetry_endpoint=telemetry, allow_debug_header="on", nginx_worker_processes="1",
                          proxy_listen="127.0.0.1:18000, 127.0.0.1:18443 http2 ssl", **data_plane_settings)
        connected = lambda: any(row["connected"] for row in json.loads(get(self.admin, "/clustering/data-planes")[1])["data"])
        wait_for("the data plane connects", data, connected)


class Alone(Nodes):
    """A fresh node with both roles."""

    def begin(self, database, settings):
        self.admin = free_address()
        node = self.start({"log_level": "warn"}, prefix=f"{self.dir}/node", admin_listen=self.admin, status_listen=free_address(),
                          proxy_listen=free_address(), **database, **settings)
        wait_for("the node answers", node, lambda: get(self.admin, "/services")[0] == 200)


class Replayed(Nodes):
    """A fresh node without a database, for scenarios of plugins."""

    def begin(self, database, settings):
        self.admin = free_address()
        # Whoever replays at the same time has addresses of their own. The recordings name the ports of the proxy.
        self.net = f"127.77.{1 + os.getpid() % 250}"
        self.proxy, self.tls = f"{self.net}.10:8000", f"{self.net}.10:8443"
        node = self.start({"log_level": "error"}, prefix=f"{self.dir}/node", admin_listen=self.admin, status_listen="off",
                          nginx_worker_processes="1", dns_resolver=f"{self.net}.53", proxy_listen=f"{self.proxy} http2, {self.tls} http2 ssl",
                          **database, **settings)
        wait_for("the node answers", node, lambda: get(self.admin, "/services")[0] == 200)


class Balancing(Alone):
    """The same, with the one target that the recording finds healthy."""

    def begin(self, database, settings):
        command = [BINARY, "echo", "--listen", "127.0.0.1:19000"]
        target = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.processes.append(target)
        wait_for("the target answers", target, lambda: get("127.0.0.1:19000", "/")[0] == 200)
        super().begin(database, settings)


def listed_rows(transcript):
    """The file that lists rows of a transcript, and the group of each of them, of those that are judged."""
    file = os.path.join(LISTED, transcript.replace(".jsonl", ".txt"))
    if not os.path.exists(file):
        return None, {}
    numbers = {int(line.split(None, 1)[0]) for line in open(file) if line.strip() and line[0] != "#"}
    rows = map(json.loads, open(os.path.join(RECORDED, transcript)))
    groups = {row["n"]: row["group"] for row in rows if row.get("n") in numbers and "response" in row}
    if numbers - groups.keys():
        sys.exit(f"conformance: {file}: no judged rows: {sorted(numbers - groups.keys())}")
    return file, groups


def replay(script, target, transcript, nodes, database, settings, show):
    file, listed = listed_rows(transcript)
    running = nodes(database(), settings)
    try:
        command = [sys.executable, os.path.join(RECORDED, script), target, f"http://{running.admin}", "--show", str(show),
                   os.path.join(RECORDED, transcript)]
        command += ["--allow", file] if file else []
        done = subprocess.run(command, capture_output=True, text=True)
        text = done.stdout
        ended = [process.returncode for process in running.processes if process.poll() is not None]
        if ended:
            sys.exit(f"conformance: {transcript}: a node has ended by itself with {ended[0]}:\n{text}")
    finally:
        running.stop()
    if show:
        print(text)
    groups = {m[1].strip(): [int(m[2]), int(m[3])] for m in re.finditer(r"^(\S.*?)\s+(\d+) / (\d+)$", text, re.M)}
    if not groups:
        sys.exit(f"conformance: {script} said nothing:\n{text}{done.stderr}")
    agreeing = {int(n) for n in re.findall(r"^row (\d+) is on the list", text, re.M)}
    for group, count in collections.Counter(listed.values()).items():
        groups[group][1] -= count
    for group, count in collections.Counter(listed[n] for n in agreeing).items():
        groups[group][0] -= count
    return {group: counts for group, counts in groups.items() if counts[1]}


def listed_scenarios():
    """The ids of scenarios that differ on purpose, and the patterns of differences that are meant wherever they occur."""
    ids, meant = set(), []
    for line in open(os.path.join(LISTED, "plugins.txt")):
        if line.startswith("~ "):
            meant.append(re.compile(line[2:].split("  ", 1)[0]))
        elif line.strip() and line[0] != "#":
            ids.add(line.split(None, 1)[0])
    return ids, meant


def replay_plugins(show):
    """The agreeing and the judged scenarios of each plugin."""
    groups = {}
    for settings, exact, names in PLUGIN_RUNS:
        for group, counts in replay_scenarios(settings, exact, names, show).items():
            before = groups.get(group, [0, 0])
            groups[group] = [before[0] + counts[0], before[1] + counts[1]]
    return groups


def replay_scenarios(settings, exact, names, show):
    """Replays the scenarios of these plugins on a node with these settings, or only those that need exactly these."""
    running = Replayed(without_database(), settings)
    differing = os.path.join(running.dir, "differing.json")
    try:
        files = [os.path.join(RECORDED, "plugins", f"{name}.jsonl") for name in names]
        command = [sys.executable, os.path.join(RECORDED, "replay_plugins.py"), "--admin", f"http://{running.admin}", "--proxy",
                   running.proxy, "--tls", running.tls, "--net", running.net, "--show", "0", "--json", differing] + files
        command += ["--settings"] + [f"{key}={value}" for key, value in settings.items()] if settings else []
        command += ["--exact"] if exact else []
        done = subprocess.run(command, capture_output=True, text=True)
        if any(process.poll() is not None for process in running.processes):
            sys.exit(f"conformance: plugins: the node has ended by itself:\n{done.stdout}")
        groups = {m[1]: [int(m[2]), int(m[3])] for m in re.finditer(r"^(\S+) +(\d+) / (\d+)$", done.stdout, re.M)}
        if set(groups) != set(names):
            sys.exit(f"conformance: replay_plugins.py did not judge all plugins:\n{done.stdout}{done.stderr}")
        listed, meant = listed_scenarios()
        judged = judged_scenarios(files, settings, exact)
        bad = set()
        for row in json.load(open(differing)):
            rest = [text for text in row["differences"] if not any(pattern.search(text) for pattern in meant)]
            if rest:
                bad.add(row["id"])
                if show and row["id"] not in listed:
                    print(row["id"], *rest, sep="\n    ")
            else:
                groups[row["id"].split("/")[0]][0] += 1
        for scenario in listed & judged:
            counts = groups[scenario.split("/")[0]]
            counts[1] -= 1
            counts[0] -= scenario not in bad
        return groups
    finally:
        running.stop()


def judged_scenarios(files, settings, exact):
    """The ids of the scenarios that are judged on a node with these settings."""
    rows = [json.loads(line) for file in files for line in open(file)]
    fits = lambda needed: needed == settings if exact else needed.items() <= settings.items()
    return {row["id"] for row in rows if fits(row.get("settings") or {})}


# The plugins whose scenarios are replayed, which data planes run: the settings of the node, whether only scenarios that need
# exactly these are, and the names.
PLUGIN_RUNS = [
    ({}, False, ["correlation-id", "cors", "datadog", "file-log", "http-log", "key-auth", "loggly", "rate-limiting", "request-termination",
                 "response-transformer", "statsd", "syslog", "tcp-log", "udp-log"]),
    ({"tracing_instrumentations": "off"}, False, ["zipkin"]),
    ({"tracing_instrumentations": "off"}, True, ["opentelemetry"]),
    ({"tracing_instrumentations": "all", "tracing_sampling_rate": "1"}, False, ["opentelemetry"]),
]

REPLAYS = {
    "admin": ("replay_admin.py", "--base", "admin_transcript.jsonl", Pair, on_sqlite, {}),
    "admin, postgres": ("replay_admin.py", "--base", "admin_transcript.jsonl", Pair, on_postgres, {}),
    "admin, dbless": ("replay_admin.py", "--base", "admin_dbless.jsonl", Alone, without_database, {}),
    "admin, traditional": ("replay_admin.py", "--base", "admin_traditional.jsonl", Balancing, on_sqlite, {}),
    "proxy": ("replay_proxy.py", "--admin", "proxy_transcript.jsonl", Pair, on_sqlite, {}),
    "proxy, trusted_ips": ("replay_proxy.py", "--admin", "proxy_transcript_trusted_ips.jsonl", Pair, on_sqlite,
                           {"trusted_ips": "127.0.0.1", "real_ip_header": "X-Forwarded-For"}),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--show", type=int, default=0, help="print this many differing rows")
    options = parser.parse_args()
    subprocess.run(["cargo", "build", "--quiet"], cwd=ROOT, check=True)
    # The recordings name the ports of their proxy and upstreams: one at a time on a machine.
    turn = os.open(RECORDED, os.O_RDONLY)
    fcntl.flock(turn, fcntl.LOCK_EX)
    baseline = json.load(open(BASELINE)) if os.path.exists(BASELINE) else {}
    worse = []
    runs = {name: functools.partial(replay, *run, options.show) for name, run in REPLAYS.items()}
    runs["plugins"] = functools.partial(replay_plugins, options.show)
    for name, run in runs.items():
        if not name.startswith(options.only):
            continue
        reached = run()
        before = {group: counts[0] for group, counts in baseline.get(name, {}).items()}
        if any(good < before.get(group, 0) for group, (good, _) in reached.items()):
            # Some rows depend on the clock's minute or on a busy machine: only what is worse twice is worse.
            again = run()
            reached = {group: max(counts, again.get(group, counts)) for group, counts in reached.items()}
        for group, (good, total) in reached.items():
            if good < before.get(group, 0):
                worse.append(f"{name}: {group}: {good} of {total} agree, {before[group]} did before")
        print(f"conformance: {name}: {sum(g for g, _ in reached.values())} of {sum(t for _, t in reached.values())} rows agree", flush=True)
        baseline[name] = reached
    if options.update:
        with open(BASELINE, "w") as file:
            json.dump(baseline, file, indent=1, sort_keys=True)
            file.write("\n")
    elif worse:
        sys.exit("\n".join(["conformance: worse than before:"] + worse))


if __name__ == "__main__":
    main()
