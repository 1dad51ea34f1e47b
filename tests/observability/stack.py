"""A real control plane on PostgreSQL, two real data planes, an upstream and a real Prometheus with
the project's rules, on addresses of their own. Every link passes a relay."""

import http.server
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse

import yaml

from files import PROMETHEUS, ROOT, read_yaml
from relay import Relay

sys.path.insert(0, str(ROOT / "tests" / "support"))
from nodes import Nodes, call, eventually, free_address, postgres  # noqa: E402  (found by the line above)

SCRAPE_INTERVAL = "1s"
# A control plane waits 2 s for its database before it says that it cannot be reached.
CONTROL_PLANE_SCRAPE_INTERVAL = "3s"


class Locked:
    """Nobody writes to a table of a database; reading goes on."""

    def __init__(self, database, table):
        url = urllib.parse.urlsplit(os.environ["LANGUR_TEST_POSTGRES"])
        url = url._replace(path=f"/{database}").geturl()
        command = ["psql", url, "--quiet", "--set=ON_ERROR_STOP=1"]
        # Langur's tables are in a schema of their own.
        environment = {**os.environ, "PGOPTIONS": "-c search_path=langur"}
        self.psql = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.psql.stdin.write(f"BEGIN; LOCK TABLE {table} IN EXCLUSIVE MODE;\n\\echo locked\n")
        self.psql.stdin.flush()
        answer = self.psql.stdout.readline()
        assert answer == "locked\n", answer

    def release(self):
        """The transaction ends with its connection."""
        self.psql.stdin.close()
        self.psql.wait()
        self.psql.stdout.close()


class Upstream(http.server.BaseHTTPRequestHandler):
    """Fails, or is slow, where the path says so."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/slow"):
            time.sleep(0.5)
        body = b"x" * 512
        self.send_response(503 if self.path.startswith("/fail") else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Stack(Nodes):
    def __init__(self):
        for tool in ("prometheus", "promtool"):
            if shutil.which(tool) is None:
                raise FileNotFoundError(f"{tool} is not installed: run scripts/setup.sh")
        super().__init__("observability")
        self.relays = {}
        self.upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
        self.upstream.daemon_threads = True
        threading.Thread(target=self.upstream.serve_forever, daemon=True).start()
        self.upstream_url = f"http://127.0.0.1:{self.upstream.server_port}"

    def start(self):
        self.certificates()
        database = postgres()
        self.database = database["pg_database"]
        port = self.relay("database", f"{database['pg_host']}:{database['pg_port']}")
        through = {"pg_host": "127.0.0.1", "pg_port": port}
        listens = self.control_plane("control-plane", **database | through)
        cluster = self.relay("cluster", listens["cluster_listen"])
        telemetry = self.relay("telemetry", listens["cluster_telemetry_listen"])
        self.admin_url = f"http://{listens['admin_listen']}"
        self.proxies, self.data_status = [], []
        # Both lack a plugin. The second one keeps fewer records than come in a second; the first
        # one as many as it takes to lose some when no control plane takes them.
        for name, records in (("data-plane-1", 100), ("data-plane-2", 10)):
            proxy, listen = (free_address() for _ in range(2))
            settings = {
                "role": "data_plane",
                "proxy_listen": proxy,
                "status_listen": listen,
                "cluster_control_plane": f"127.0.0.1:{cluster}",
                "cluster_telemetry_endpoint": f"127.0.0.1:{telemetry}",
                "metrics_per_consumer": "on",
                "metrics_upstream_health": "on",
                "plugins": "key-auth,correlation-id",
                "analytics_buffer_size_limit": records,
            }
            self.node(name, settings)
            self.proxies.append(f"http://{proxy}")
            self.data_status.append(listen)
        status = {"control": [listens["status_listen"]], "data": self.data_status}
        self.start_prometheus(free_address(), status)

    def relay(self, name, target):
        """The port of a relay in front of this address."""
        host, port = target.split(":")
        self.relays[name] = Relay((host, int(port)))
        return self.relays[name].port

    def renew_certificate(self):
        """The one that nodes read at their next start."""
        for name in ("cluster.crt", "cluster.key"):
            (self.folder / name).unlink()
        self.certificates()

    def keep_database(self):
        """A copy of the database, to which nobody may be connected meanwhile; its name."""
        copy = f"{self.database}_older"
        statement = f"CREATE DATABASE {copy} TEMPLATE {self.database}"
        command = ["psql", os.environ["LANGUR_TEST_POSTGRES"], "-qc", statement]

        def copied():
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr

        # The server notices by and by that connections were cut.
        eventually("the database is copied", copied)
        return copy

    def start_prometheus(self, own, targets):
        """With the project's configuration: only targets and intervals are this test's."""
        config = read_yaml(PROMETHEUS / "prometheus.yml")
        config["global"] = {
            "scrape_interval": SCRAPE_INTERVAL,
            "scrape_timeout": SCRAPE_INTERVAL,
            "evaluation_interval": SCRAPE_INTERVAL,
        }
        config["rule_files"] = [str(PROMETHEUS / path) for path in config["rule_files"]]
        place = {
            "langur-control-plane": targets["control"],
            "langur-data-plane": targets["data"],
            "prometheus": [own],
        }
        for job in config["scrape_configs"]:
            if job["job_name"] == "langur-control-plane":
                job["scrape_interval"] = job["scrape_timeout"] = CONTROL_PLANE_SCRAPE_INTERVAL
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

    def stop(self, keep):
        super().stop(keep)
        self.upstream.shutdown()
        self.upstream.server_close()

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
