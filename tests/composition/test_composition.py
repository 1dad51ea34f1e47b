#!/usr/bin/env python3
"""The composition, end to end: docker-compose.yml with real containers, in a project of its own that is gone afterwards.

    tests/composition/test_composition.py [TEST...]

It packs a binary that is built already: $LANGUR_BINARY, else the debug build. The tests are one story and run in
order; each leaves the composition whole. It needs Docker, compose, and root for the stand-ins of the base images.
"""
import json
import os
import pathlib
import re
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

PROJECT = f"langur-test-{os.getpid()}"
IMAGE = f"langur:test-{os.getpid()}"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BINARY = os.environ.get("LANGUR_BINARY", str(TARGET / "debug/langur"))
PORTS = ("PROXY_PORT", "PROXY_TLS_PORT", "ADMIN_1_PORT", "ADMIN_2_PORT", "DATA_PLANE_PORTS", "PROMETHEUS_PORT", "GRAFANA_PORT")
os.environ.update({"COMPOSE_PROJECT_NAME": PROJECT, "GATEWAY_IMAGE": IMAGE})
# Free ports, so that the composition of whoever uses this machine is left in peace.
os.environ.update({f"GATEWAY_{port}": "" for port in PORTS})

import composition as c  # noqa: E402  (it reads the environment set above)

CUT = 120
OUTAGE_EXIT = 69


def docker(*arguments, **kwargs):
    return c.run("docker", *arguments, **kwargs)


def health(container):
    """What `langur health` exits with in there."""
    return subprocess.run(["docker", "exec", container.id, "langur", "health"], capture_output=True).returncode


def node_id(container):
    return docker("exec", container.id, "cat", "/var/lib/langur/kong.id").strip()


def again(container):
    """The same container as it is now: ports and addresses change at a restart."""
    return next(found for found in c.containers(container.service) if found.id == container.id)


def address(container, network):
    return container.inspected["NetworkSettings"]["Networks"][f"{PROJECT}_{network}"]["IPAddress"]


def add_route(control_plane, name):
    """A service and a route at /name."""
    base = c.admin(control_plane)
    c.expect(201, "POST", f"{base}/services", {"name": name, "url": "http://echo:9080"})
    c.expect(201, "POST", f"{base}/services/{name}/routes", {"name": name, "paths": [f"/{name}"]})


def series(query):
    """The instances and values of an instant query of Prometheus."""
    base = c.running("prometheus")[0].url(9090)
    _, text = c.expect(200, "GET", f"{base}/api/v1/query?" + urllib.parse.urlencode({"query": query}))
    return {found["metric"].get("instance", ""): float(found["value"][1]) for found in json.loads(text)["data"]["result"]}


def wait_for_series(query, expected, seconds=180):
    def check():
        found = series(query)
        if found != expected:
            raise c.Failed(f"{found} and not {expected}")

    c.eventually(f"Prometheus says {query}", seconds, check)


def wait_for_more(query, least, seconds=180):
    def check():
        found = series(query)
        if not found or min(found.values()) < least:
            raise c.Failed(f"{found}, which is less than {least}")

    c.eventually(f"Prometheus says {query}", seconds, check)


class Composition(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(tear_down)
        try:
            c.up(offline=True, binary=BINARY)
        except (c.Failed, subprocess.CalledProcessError):
            show_logs()
            raise

    def run(self, result=None):
        failures = len(result.failures) + len(result.errors)
        begun = time.monotonic()
        super().run(result)
        print(f"{self._testMethodName}: {time.monotonic() - begun:.0f} s", flush=True)
        if len(result.failures) + len(result.errors) > failures:
            show_logs()
            # What comes after builds on this.
            result.stop()

    def serves(self, container, path):
        """One request through one data plane, whose echo shows the path."""
        _, text = c.expect(200, "GET", container.url(8000) + path + "/hello")
        self.assertEqual(json.loads(text)["path"], "/hello")

    def data_planes(self, count):
        found = c.running("data-plane")
        self.assertEqual(len(found), count)
        return found

    def test_1_nodes_are_confined_and_have_ids_of_their_own(self):
        nodes = [*c.running("control-plane-1"), *c.running("control-plane-2"), *self.data_planes(2)]
        volumes = set()
        for node in nodes:
            host = node.inspected["HostConfig"]
            self.assertTrue(host["ReadonlyRootfs"], node.name)
            self.assertEqual(host["CapDrop"], ["ALL"], node.name)
            self.assertEqual(docker("exec", node.id, "id", "-u").strip(), "10001")
            # Where every user may write, unless the root file system is read-only.
            writing = subprocess.run(["docker", "exec", node.id, "touch", "/tmp/new"], capture_output=True)
            self.assertNotEqual(writing.returncode, 0, "the root file system can be written to")
            volumes |= {mount["Name"] for mount in node.inspected["Mounts"] if mount["Destination"] == "/var/lib/langur"}
        self.assertEqual(len(volumes), len(nodes))
        self.assertEqual(len({node_id(node) for node in nodes}), len(nodes))

    def test_2_a_change_through_either_control_plane_reaches_every_data_plane(self):
        for control_plane in c.CONTROL_PLANES:
            name = f"through-{control_plane}"
            add_route(control_plane, name)
            rows = c.wait_until_in_sync()
            nodes = self.data_planes(2)
            self.assertEqual({row["id"] for row in rows.values()}, {node_id(node) for node in nodes})
            for node in nodes:
                self.serves(node, f"/{name}")
            c.expect(200, "GET", f"{c.front()}/{name}")
        c.eventually("the front passes TLS on", 120, lambda: self.serves_over_tls(f"/{name}"))

    def serves_over_tls(self, path):
        """One request through the front to the TLS of a data plane, whose certificate is its own."""
        (front,) = c.running("front")
        url = front.url(8443).replace("http:", "https:") + path + "/hello"
        anyone = ssl.create_default_context()
        anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
        try:
            with urllib.request.urlopen(url, timeout=60, context=anyone) as answer:
                self.assertEqual(json.load(answer)["path"], "/hello")
        except OSError as error:
            raise c.Failed(f"{url}: {error!r}") from None

    def test_3_more_data_planes(self):
        c.scale(3)
        c.wait_until_healthy()
        rows = c.wait_until_in_sync()
        self.assertEqual(len({row["id"] for row in rows.values()}), 3)
        for node in self.data_planes(3):
            self.serves(node, "/through-control-plane-1")

    def test_4_prometheus_has_the_series_of_every_node(self):
        nodes = self.data_planes(3)
        control_planes = [*c.running("control-plane-1"), *c.running("control-plane-2")]
        targets = {f"{address(node, 'traffic')}:8100": 1.0 for node in nodes}
        wait_for_series('up{instance=~".*:8100"}', targets)
        wait_for_series('count(up{instance=~".*:8007"} == 1)', {"": float(len(control_planes))})
        wait_for_series("kong_control_plane_connected", targets)
        add_route("control-plane-1", "counted")
        c.wait_until_in_sync()
        for index, node in enumerate(nodes):
            for _ in range(10 * (index + 1)):
                self.serves(node, "/counted")
        counted = '{route="counted",code="200"}'
        expected = {f"{address(node, 'traffic')}:8100": 10.0 * (index + 1) for index, node in enumerate(nodes)}
        wait_for_series(f"sum by (instance) (kong_http_requests_total{counted})", expected)
        # Each request once, whichever control plane took it.
        wait_for_series(f"sum(langur_fleet_http_requests_total{counted})", {"": 60.0})

    def test_5_a_network_cut_while_the_database_goes_and_the_load_runs(self):
        *others, cut = self.data_planes(3)
        network = f"{PROJECT}_cluster"
        instance = f"{address(cut, 'traffic')}:8100"
        docker("network", "disconnect", network, cut.id)
        begun = time.monotonic()

        add_route("control-plane-2", "during-the-cut")
        for node in others:
            c.wait_for_status(node, "/during-the-cut", 200)
        c.expect(404, "GET", cut.url(8000) + "/during-the-cut")
        self.serves(cut, "/through-control-plane-1")

        c.compose("--profile", "load", "up", "-d", "--no-build", "--no-deps", "load")
        moving = 'sum by (instance) (rate(kong_http_requests_total{route="load-keyed",consumer="load-ann"}[30s]))'
        for node in others:
            wait_for_more(f'{moving} > 0 and on (instance) up{{instance="{address(node, "traffic")}:8100"}}', 0.1)

        c.compose("stop", "postgres")
        for control_plane in c.CONTROL_PLANES:
            (node,) = c.running(control_plane)
            c.eventually(f"{control_plane} is not ready", 120, lambda: self.has_exit(node, OUTAGE_EXIT))
            status, _, text = c.ask("POST", f"{c.admin(control_plane)}/consumers", {"username": "lost"}, timeout=60)
            self.assertGreaterEqual(status, 500, text)
        for node in [*others, cut]:
            self.serves(node, "/through-control-plane-2")
        c.compose("start", "postgres")
        for control_plane in c.CONTROL_PLANES:
            (node,) = c.running(control_plane)
            c.eventually(f"{control_plane} is ready", 120, lambda: self.has_exit(node, 0))
            c.expect(201, "POST", f"{c.admin(control_plane)}/consumers", {"username": f"after-{control_plane}"})
        c.compose("--profile", "load", "stop", "load")

        for control_plane in c.CONTROL_PLANES:
            c.eventually(f"{control_plane} misses it", 120, lambda: self.is_missed(control_plane, cut))
        wait_for_series("kong_control_plane_connected == 0", {instance: 0.0})
        time.sleep(max(0, CUT - (time.monotonic() - begun)))
        self.serves(cut, "/through-control-plane-1")
        docker("network", "connect", "--alias", "data-plane", network, cut.id)
        c.wait_until_in_sync()
        self.serves(again(cut), "/during-the-cut")

    def has_exit(self, node, code):
        found = health(node)
        if found != code:
            raise c.Failed(f"langur health exits with {found} in {node.name}")

    def is_missed(self, control_plane, node):
        _, rows = c.fleet(control_plane)
        if rows[node.id[:12]]["connected"]:
            raise c.Failed(f"{node.name} is connected")

    def test_6_without_control_planes(self):
        restarted, source, *_ = self.data_planes(3)
        ids = {node_id(node) for node in self.data_planes(3)}
        c.compose("stop", *c.CONTROL_PLANES)
        docker("restart", restarted.id)
        c.wait_for_status(again(restarted), "/during-the-cut", 200)

        # A new one, with the configuration of another, but not with its identity.
        c.scale(4)
        new = self.data_planes(4)[-1]
        c.wait_for_status(new, "/during-the-cut", 200)
        self.assertNotIn(node_id(new), ids)

        c.compose("start", *c.CONTROL_PLANES)
        c.wait_until_healthy()
        rows = c.wait_until_in_sync()
        self.assertEqual({row["id"] for row in rows.values()}, ids | {node_id(new)})
        add_route("control-plane-2", "after-the-outage")
        c.wait_until_in_sync()
        for node in self.data_planes(4):
            self.serves(node, "/after-the-outage")

    def test_7_a_second_up_keeps_what_is_there(self):
        (control_plane,) = c.running("control-plane-1")
        certificate = docker("exec", control_plane.id, "cat", "/etc/langur/cluster/cluster.crt")
        kept = [node_id(node) for node in self.data_planes(4)[:2]]
        before = c.volumes()
        c.up(offline=True, binary=BINARY)
        (control_plane,) = c.running("control-plane-1")
        self.assertEqual(docker("exec", control_plane.id, "cat", "/etc/langur/cluster/cluster.crt"), certificate)
        self.assertEqual([node_id(node) for node in self.data_planes(2)], kept)
        # Those of the two data planes that are gone.
        removed = before - c.volumes()
        self.assertGreaterEqual(len(removed), 2)
        self.assertEqual(removed & all_volumes(), set())
        c.wait_until_in_sync()
        for node in self.data_planes(2):
            self.serves(node, "/after-the-outage")

    def test_8_the_pages_as_they_are_written(self):
        told = []
        with tempfile.TemporaryDirectory() as programs:
            environment = page_environment(pathlib.Path(programs))
            for block in blocks():
                ports = {"8000": c.front(), "8001": c.admin("control-plane-1"), "8002": c.admin("control-plane-2")}
                ports["9090"] = c.running("prometheus")[0].url(9090)
                for port, url in ports.items():
                    block = block.replace(f"http://127.0.0.1:{port}/", f"{url}/")
                # An answer of an error is one.
                block = block.replace("curl -s ", "curl -sf ")
                told.append(c.run("bash", "-euo", "pipefail", "-c", block, env=environment))
                c.wait_until_in_sync()
        self.assertEqual(len([text for text in told if "Langur is running." in text]), 3)
        self.data_planes(2)
        (demonstration,) = [text for text in told if text.rstrip().endswith("Everyone is in sync")]
        self.assertIn("and failed 0", demonstration)


def page_environment(programs):
    """Where blocks are run: the binary is built already, and no image registry is needed."""
    real = os.environ["PATH"]
    for name, script in {
        "cargo": '[ "$*" = "build --release" ]',
        "just": f'[ "$*" = up ] && set -- up-offline\nPATH="{real}" exec just "$@"',
    }.items():
        program = programs / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    return {**os.environ, "PATH": f"{programs}:{real}", "LANGUR_BINARY": BINARY}


def blocks():
    """The shell blocks of all pages that say that they run in the composition."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [block for page in pages for block in re.findall(r"^```sh compose\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)]


def show_logs():
    for arguments in (("ps",), ("logs", "--no-color", "--tail=60")):
        print(c.compose(*arguments), file=sys.stderr, flush=True)


def all_volumes():
    return set(docker("volume", "ls", "--quiet").split())


def tear_down():
    used = c.volumes()
    c.down()
    subprocess.run(["docker", "image", "rm", IMAGE], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    of_project = f"label=com.docker.compose.project={PROJECT}"
    left = docker("ps", "--all", "--quiet", "--filter", of_project).split() + sorted(used & all_volumes())
    left += docker("network", "ls", "--quiet", "--filter", of_project).split()
    if left:
        raise c.Failed(f"containers, volumes or networks are left: {left}")


if __name__ == "__main__":
    # SIGTERM as Ctrl-C. Neither lets unittest clean up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        result = unittest.main(verbosity=2, exit=False).result
    finally:
        tear_down()
    # A skip is a failure, and so is nothing at all.
    sys.exit(not result.wasSuccessful() or bool(result.skipped) or result.testsRun == 0)
