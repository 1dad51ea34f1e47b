"""What all benchmarks share: processes that are pinned to a core, nodes, load, and figures from /proc."""
import glob, http.client, json, os, re, shutil, signal, statistics, subprocess, sys, tempfile, threading, time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scripts"))
from loopback import free_address  # noqa: E402  (found by the line above)

SERVE_CORE, LOAD_CORE = "0", str(min(1, os.cpu_count() - 1))
POST_LUA = 'wrk.method = "POST"\nwrk.body = string.rep("x", 16384)\nwrk.headers["Content-Type"] = "application/octet-stream"\n'


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
    return memory_mb(pid, "VmRSS")


def memory_mb(pid, which):
    """VmRSS: resident now; VmHWM: the most that ever was."""
    text = open(f"/proc/{pid}/status").read()
    return int(re.search(rf"{which}:\s+(\d+)", text).group(1)) / 1024


class Never(Exception):
    """What was waited for has not come."""


def wait_for(what, condition, process=None, seconds=120):
    """`process`: without it, it cannot come any more."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        if process and process.poll() is not None:
            raise Never(f"{what}: the process ended with {process.returncode}")
        time.sleep(0.005)
    raise Never(what)


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
    def __init__(self, root, options):
        self.root, self.options, self.processes = root, options, []
        self.dir = tempfile.mkdtemp(prefix="langur-bench-")
        self.upstream = free_address()
        target = os.environ.get("CARGO_TARGET_DIR", os.path.join(self.root, "target"))
        self.binary = os.path.join(target, "debug" if options.profile == "dev" else options.profile, "langur")
        os.makedirs(f"{self.dir}/www")
        open(f"{self.dir}/www/1k", "wb").write(b"x" * 1024)
        open(f"{self.dir}/www/1m", "wb").write(b"x" * 1024 * 1024)
        open(f"{self.dir}/post.lua", "w").write(POST_LUA)
        os.chmod(self.dir, 0o755)

    def template(self, name, listen=""):
        text = open(os.path.join(self.root, "benches", name)).read()
        for key, value in {"dir": self.dir, "upstream": self.upstream, "listen": listen}.items():
            text = text.replace("{%s}" % key, value)
        path = f"{self.dir}/{name}"
        open(path, "w").write(text)
        return path

    def start(self, core, *command, env=None):
        path = f"{self.dir}/{len(self.processes)}.log"
        with open(path, "w") as log:
            process = pinned(core, *command, env=env, stdout=log, stderr=log)
        process.log = path
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

    def logs(self):
        """The last lines that each process wrote."""
        for process in self.processes:
            lines = open(process.log, errors="replace").read().splitlines()[-20:]
            state = "runs" if process.poll() is None else f"ended with {process.returncode}"
            yield "\n".join([f"--- {' '.join(process.args)}: {state}", *lines])

    def close(self):
        # Not SIGKILL: nginx's master would leave its worker behind. At SIGINT all three stop at once.
        for process in self.processes:
            self.stop(process, signal.SIGINT)
        shutil.rmtree(self.dir, ignore_errors=True)

    # --- the candidates

    def start_upstream(self):
        process = self.start(LOAD_CORE, "nginx", "-c", self.template("upstream.conf"))
        wait_for("the upstream answers", lambda: answers(self.upstream, "/1k", 200), process)

    def start_nginx(self):
        address = free_address()
        process = self.start(SERVE_CORE, "nginx", "-c", self.template("nginx.conf", address))
        wait_for("nginx answers", lambda: answers(address, "/1k", 200), process)
        return process, address

    def start_haproxy(self):
        address = free_address()
        process = self.start(SERVE_CORE, "haproxy", "-db", "-f", self.template("haproxy.cfg", address))
        wait_for("haproxy answers", lambda: answers(address, "/1k", 200), process)
        return process, address

    def langur(self, core, settings, *command):
        env = {"PATH": os.environ["PATH"]}
        env.update({f"LANGUR_{key.upper()}": str(value) for key, value in settings.items()})
        return self.start(core, self.binary, *(command or ["start"]), env=env)

    def start_control_plane(self, name, core, **settings):
        """A control plane in a folder of this name; started again, it finds its data."""
        folder = f"{self.dir}/{name}"
        if not os.path.exists(folder):
            os.makedirs(folder)
            subprocess.run([self.binary, "hybrid", "gen_cert", folder], check=True, stdout=subprocess.DEVNULL)
        admin, link, telemetry, status = (free_address() for _ in range(4))
        shared = {"cluster_cert": f"{folder}/cluster.crt", "cluster_cert_key": f"{folder}/cluster.key", "log_level": "warn"}
        # As nginx and haproxy here, which write none either.
        shared |= {"proxy_access_log": "off", "admin_access_log": "off", "status_access_log": "off"}
        cluster = {"admin": admin, "link": link, "telemetry": telemetry, "folder": folder, "shared": shared}
        cluster["cp_settings"] = dict(shared, role="control_plane", prefix=f"{folder}/cp", admin_listen=admin, cluster_listen=link,
                                      cluster_telemetry_listen=telemetry, status_listen=status, **settings)
        cluster["cp"] = self.langur(core, cluster["cp_settings"])
        wait_for("the control plane answers", lambda: answers(admin, "/services", 200), cluster["cp"])
        return cluster

    def data_plane_settings(self, cluster, name):
        proxy, status = (free_address() for _ in range(2))
        return dict(cluster["shared"], role="data_plane", prefix=f"{cluster['folder']}/{name}", proxy_listen=proxy, status_listen=status,
                    cluster_control_plane=cluster["link"], cluster_telemetry_endpoint=cluster["telemetry"], nginx_worker_processes=1)

    def start_cluster(self, name):
        """A control plane and a data plane in folders of this name; started again, they find their data."""
        cluster = self.start_control_plane(name, LOAD_CORE)
        settings = cluster["dp_settings"] = self.data_plane_settings(cluster, "dp")
        cluster["proxy"], cluster["status"] = settings["proxy_listen"], settings["status_listen"]
        cluster["dp"] = self.langur(SERVE_CORE, settings)
        wait_for("the data plane is connected", lambda: self.connected(cluster) == 1, cluster["dp"])
        return cluster

    def connected(self, cluster):
        """How many data planes are connected."""
        return sum(row["connected"] for row in self.data_planes(cluster))

    def data_planes(self, cluster):
        try:
            return json.loads(request(cluster["admin"], "GET", "/clustering/data-planes")[1])["data"]
        except (OSError, KeyError, ValueError):
            return []

    def write(self, cluster, method, path, body=None):
        status, answer = request(cluster["admin"], method, path, body)
        if status >= 300:
            sys.exit(f"{method} {path}: {status} {answer[:300]}")
        return json.loads(answer) if answer else None

    def fill(self, cluster, count, shape):
        """`count` routes of one service, half by host and prefix, written by several connections."""
        self.write(cluster, "PUT", "/services/bench", {"url": f"http://{self.upstream}"})
        return self.write_all(cluster, (("POST", "/services/bench/routes", shape(n)) for n in range(count)), clients=4)

    def write_all(self, cluster, writes, clients):
        """Seconds that so many clients take for these writes, each with a connection of its own."""
        left, lock = iter(writes), threading.Lock()

        def work():
            host, port = cluster["admin"].split(":")
            connection = http.client.HTTPConnection(host, int(port), timeout=60)
            while True:
                with lock:
                    write = next(left, None)
                if write is None:
                    return
                method, path, document = write
                connection.request(method, path, json.dumps(document), {"Content-Type": "application/json"})
                answer = connection.getresponse()
                text = answer.read()
                if answer.status >= 300:
                    os.write(2, f"{method} {path}: {answer.status} {text[:200]!r}\n".encode())
                    os._exit(1)

        started = time.monotonic()
        threads = [threading.Thread(target=work) for _ in range(clients)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        return time.monotonic() - started

    # --- load

    def wrk(self, address, path, connections, lua=None):
        """How many requests were answered in a run."""
        return self.load(address, path, connections, lua)["requests"]

    def load(self, address, path, connections, lua=None):
        """A run of wrk: requests, requests per second, and the latencies' median and 99th percentile in ms."""
        command = ["taskset", "-c", LOAD_CORE, "wrk", "--latency", "-t1", f"-c{connections}", f"-d{self.options.seconds}s"]
        command += ["-s", lua] if lua else []
        text = subprocess.run(command + [f"http://{address}{path}"], capture_output=True, text=True).stdout
        if "requests in" not in text:
            sys.exit(f"wrk of {address}{path} said:\n{text}")
        errors = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
        if errors:
            sys.exit(f"{address}{path}: {errors.group(0)}")
        found = {"requests": int(re.search(r"(\d+) requests in", text).group(1))}
        found["per_second"] = float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))
        for name, percent in (("median", "50%"), ("p99", "99%")):
            number, unit = re.search(rf"{percent}\s+([\d.]+)(us|ms|s)", text).groups()
            found[name] = float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]
        return found

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
        while True:
            before = cpu_ns(process.pid)
            # On a busy machine a short run may end without an answer.
            if requests := self.wrk(*load, **kwargs):
                return (cpu_ns(process.pid) - before) / requests / 1000
            if process.poll() is not None:
                raise Never(f"an answer: the process ended with {process.returncode}")


def median_table(samples):
    return {key: statistics.median(values) for key, values in samples.items()}
