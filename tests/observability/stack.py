"""A real control plane, two real data planes, an upstream and a real Prometheus with the project's
rules, on addresses of their own."""

import http.client
import http.server
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml

from files import PROMETHEUS, ROOT, read_yaml

# How long a condition may take on a loaded machine; nothing is concluded from how long it took.
PATIENCE = 60
SCRAPE_INTERVAL = "1s"


def binary():
    """The built binary: LANGUR_BINARY, or where cargo puts it."""
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    path = pathlib.Path(os.environ.get("LANGUR_BINARY", pathlib.Path(target) / "debug" / "langur"))
    if not path.exists():
        raise FileNotFoundError(f"{path}: build it first, or name one in LANGUR_BINARY")
    return path


def eventually(what, ask, patience=PATIENCE):
    """Asks until there is no exception, and returns the answer."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return ask()
        except Exception as why:
            if time.monotonic() > deadline:
                raise AssertionError(f"never: {what}: {why}") from why
        time.sleep(0.1)


def free_ports(count):
    """Ports that nobody listens on now; all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def call(method, url, document=None, headers=None):
    """(status, document) of a request; an answer that is no JSON is None."""
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(url, body, headers or {}, method=method)
    if body is not None:
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            status, text = reply.status, reply.read()
    except urllib.error.HTTPError as reply:
        status, text = reply.code, reply.read()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, None


class Upstream(http.server.BaseHTTPRequestHandler):
    """Fails where the path says so."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b"x" * 512
        self.send_response(503 if self.path.startswith("/fail") else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Stack:
    def __init__(self):
        self.binary = binary()
        for tool in ("prometheus", "promtool"):
            if shutil.which(tool) is None:
                raise FileNotFoundError(f"{tool} is not installed: run scripts/setup.sh")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="langur-observability-"))
        self.processes = {}
        self.upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
        self.upstream.daemon_threads = True
        threading.Thread(target=self.upstream.serve_forever, daemon=True).start()
        self.upstream_url = f"http://127.0.0.1:{self.upstream.server_port}"

    def start(self):
        ports = iter(free_ports(9))
        subprocess.run(
            [self.binary, "hybrid", "gen_cert", self.folder], check=True, capture_output=True
        )
        admin, status, cluster, telemetry = (f"127.0.0.1:{next(ports)}" for _ in range(4))
        self.admin_url = f"http://{admin}"
        control = {
            "role": "control_plane",
            "admin_listen": admin,
            "status_listen": status,
            "cluster_listen": cluster,
            "cluster_telemetry_listen": telemetry,
        }
        self.node("control-plane", control)
        self.proxies, self.data_status = [], []
        # The second one lacks a plugin and keeps few records: what fails is provoked there.
        for name, extra in (
            ("data-plane-1", {}),
            (
                "data-plane-2",
                {"plugins": "key-auth,correlation-id", "analytics_buffer_size_limit": "10"},
            ),
        ):
            proxy, listen = (f"127.0.0.1:{next(ports)}" for _ in range(2))
            settings = {
                "role": "data_plane",
                "proxy_listen": proxy,
                "status_listen": listen,
                "cluster_control_plane": cluster,
                "cluster_telemetry_endpoint": telemetry,
                "metrics_per_consumer": "on",
                "metrics_upstream_health": "on",
                **extra,
            }
            self.node(name, settings)
            self.proxies.append(f"http://{proxy}")
            self.data_status.append(listen)
        self.start_prometheus(next(ports), {"control": [status], "data": self.data_status})

    def node(self, name, settings):
        prefix = self.folder / name
        prefix.mkdir()
        settings = {
            "prefix": prefix,
            "cluster_cert": self.folder / "cluster.crt",
            "cluster_cert_key": self.folder / "cluster.key",
            "nginx_worker_processes": "1",
            **settings,
        }
        file = prefix / "langur.conf"
        file.write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
        self.spawn(name, [self.binary, "start", "-c", file])

    def start_prometheus(self, port, targets):
        """With the project's configuration: only targets and intervals are this test's."""
        config = read_yaml(PROMETHEUS / "prometheus.yml")
        config["global"] = {
            "scrape_interval": SCRAPE_INTERVAL,
            "scrape_timeout": SCRAPE_INTERVAL,
            "evaluation_interval": SCRAPE_INTERVAL,
        }
        config["rule_files"] = [str(PROMETHEUS / path) for path in config["rule_files"]]
        own = f"127.0.0.1:{port}"
        place = {
            "langur-control-plane": targets["control"],
            "langur-data-plane": targets["data"],
            "prometheus": [own],
        }
        for job in config["scrape_configs"]:
            job.pop("dns_sd_configs", None)
            job["static_configs"] = [{"targets": place[job["job_name"]]}]
        file = self.folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(config))
        self.prometheus_url = f"http://{own}"
        arguments = {
            "config.file": file,
            "web.listen-address": own,
            "storage.tsdb.path": self.folder / "tsdb",
        }
        flags = [f"--{key}={value}" for key, value in arguments.items()]
        self.spawn("prometheus", ["prometheus", *flags])

    def spawn(self, name, command):
        log = (self.folder / f"{name}.log").open("ab")
        with log:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.processes[name] = process

    def kill(self, name):
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def stop(self, keep):
        """Ends all processes and removes the folder; a second time there is nothing left to do."""
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()
        self.upstream.shutdown()
        self.upstream.server_close()
        if keep:
            for log in sorted(self.folder.glob("*.log")):
                print(f"--- {log.name}, its last lines")
                print("\n".join(log.read_text(errors="replace").splitlines()[-30:]))
        shutil.rmtree(self.folder, ignore_errors=True)

    def admin(self, method, path, document=None, expect=(200, 201, 204)):
        status, answer = call(method, self.admin_url + path, document)
        if status not in expect:
            raise AssertionError(f"{method} {path}: {status} {answer}")
        return answer

    def api(self, path, **parameters):
        """What Prometheus answers; parameters that are lists come more than once."""
        query = urllib.parse.urlencode(parameters, doseq=True)
        status, answer = call("GET", f"{self.prometheus_url}/api/v1/{path}?{query}")
        if status != 200 or answer["status"] != "success":
            raise AssertionError(f"{path} {parameters}: {status} {answer}")
        return answer["data"]

    def instant(self, expression):
        return self.api("query", query=expression)["result"]

    def range(self, expression, start, end):
        parameters = {"query": expression, "start": start, "end": end, "step": SCRAPE_INTERVAL}
        return self.api("query_range", **parameters)["result"]


class Load:
    """Requests and writes from one thread each, until it is stopped."""

    def __init__(self, stack, requests):
        self.stack, self.requests = stack, requests
        self.stopping = threading.Event()
        self.trouble = []
        self.threads = [
            threading.Thread(target=self.guard, args=[self.write], daemon=True),
            *(
                threading.Thread(target=self.guard, args=[self.request, proxy], daemon=True)
                for proxy in stack.proxies
            ),
        ]
        for thread in self.threads:
            thread.start()

    def guard(self, work, *arguments):
        try:
            work(*arguments)
        except Exception as err:
            self.trouble.append(err)

    def request(self, proxy):
        address = urllib.parse.urlsplit(proxy)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
        while not self.stopping.is_set():
            for path, headers in self.requests:
                connection.request("GET", path, headers=headers)
                connection.getresponse().read()
            self.stopping.wait(0.02)
        connection.close()

    def write(self):
        n = 0
        while not self.stopping.wait(0.2):
            n += 1
            admin = self.stack.admin
            admin("POST", "/consumers", {"username": f"c{n}"})
            admin("PATCH", f"/consumers/c{n}", {"tags": ["seen"]})
            admin("PUT", f"/consumers/p{n}", {"username": f"p{n}"})
            admin("DELETE", f"/consumers/c{n}")
            # Refused: there is one of this name.
            admin("POST", "/consumers", {"username": "ann"}, expect=(409,))

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        if self.trouble:
            raise self.trouble[0]
