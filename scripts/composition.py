#!/usr/bin/env python3
"""Runs docker-compose.yml: starts it and waits, scales it, shows it disconnected.

    scripts/composition.py up                               build the image, start everything, wait until it is healthy
    scripts/composition.py up --offline [--binary PATH]     without a registry: stand-ins, an image of PATH, no Grafana
    scripts/composition.py scale N                          N data planes
    scripts/composition.py disconnect-demo                  a data plane restarts while no control plane runs
    scripts/composition.py down                             removes everything, the volumes included

COMPOSE_PROJECT_NAME chooses the project, the variables GATEWAY_… of docker-compose.yml its ports and images.
tests/composition drives the composition through this module.
"""
import argparse
import contextlib
import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONTROL_PLANES = ("control-plane-1", "control-plane-2")
# Grafana is no Debian package, so it has no stand-in; the load is switched on by itself.
NOT_OFFLINE = {"grafana", "load"}
PREFIX = "/var/lib/langur"


class Failed(Exception):
    """Something did not happen; the text says what, and what was seen last."""


def run(*command, **kwargs):
    """The standard output of a command. Its errors go to ours."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, **kwargs)
    if done.returncode:
        raise Failed(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout


def compose(*arguments):
    return run(ROOT / "scripts/compose.sh", *arguments)


def eventually(what, seconds, check):
    """Waits until `check` returns without `Failed` and returns what it returned."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return check()
        except Failed as failed:
            if time.monotonic() > deadline:
                raise Failed(f"not within {seconds} s: {what}: {failed}") from None
        time.sleep(0.5)


class Container:
    """A container of the project, as it was when it was asked for."""

    def __init__(self, inspected):
        self.inspected = inspected
        self.id = inspected["Id"]
        self.name = inspected["Name"].lstrip("/")
        self.service = inspected["Config"]["Labels"]["com.docker.compose.service"]
        self.number = int(inspected["Config"]["Labels"]["com.docker.compose.container-number"])
        state = inspected["State"]
        self.running = state["Running"]
        # Made, and never started.
        self.created = state["Status"] == "created"
        self.exit_code = state["ExitCode"]
        self.health = state.get("Health", {}).get("Status")

    def url(self, port):
        """Where this machine reaches a port of it."""
        found = (self.inspected["NetworkSettings"]["Ports"] or {}).get(f"{port}/tcp")
        if not found:
            raise Failed(f"{self.name} publishes no port {port}")
        return f"http://{found[0]['HostIp']}:{found[0]['HostPort']}"

    def trouble(self):
        """Why it is not as it should be; None when it is."""
        # Two do their work once, one is switched on and off.
        once = self.service in ("certificates", "example")
        if self.running:
            if once:
                return f"{self.name} is not done"
            return None if self.health in (None, "healthy") else f"{self.name} is {self.health}"
        if self.service == "load" or (once and self.exit_code == 0):
            return None
        return f"{self.name} has ended with {self.exit_code}"


def containers(*services):
    ids = compose("ps", "--all", "--quiet", *services).split()
    if not ids:
        return []
    found = [Container(inspected) for inspected in json.loads(run("docker", "inspect", *ids))]
    return sorted(found, key=lambda container: (container.service, container.number))


def volumes():
    """The volumes that the project's containers use."""
    return {mount["Name"] for container in containers() for mount in container.inspected["Mounts"] if mount["Type"] == "volume"}


@contextlib.contextmanager
def removing_volumes():
    """Removes volumes without a name whose container is gone in the end: compose may leave them behind."""
    before = {volume for volume in volumes() if re.fullmatch("[0-9a-f]{64}", volume)}
    try:
        yield
    finally:
        left = (before - volumes()) & set(run("docker", "volume", "ls", "--quiet").split())
        if left:
            run("docker", "volume", "rm", *sorted(left))


def running(service):
    return [container for container in containers(service) if container.running]


def wait_until_healthy(seconds=180):
    def check():
        troubles = [trouble for container in containers() if (trouble := container.trouble())]
        if troubles:
            raise Failed("; ".join(troubles))

    eventually("everything is healthy", seconds, check)


def ask(method, url, body=None, timeout=60):
    """Status, headers and body of the answer; `Failed` when there is none."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {} if body is None else {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.headers, answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise Failed(f"{method} {url}: {error!r}") from None


def expect(status, method, url, body=None):
    """The answer's headers and body, which must have this status."""
    found, headers, text = ask(method, url, body)
    if found != status:
        raise Failed(f"{method} {url}: {found} and not {status}: {text[:300]}")
    return headers, text


def admin(control_plane):
    """The Admin API of a control plane, by its service's name."""
    for container in running(control_plane):
        return container.url(8001)
    raise Failed(f"{control_plane} does not run")


def fleet(control_plane):
    """The revision that a control plane is at, and the data planes it lists, by host name."""
    headers, text = expect(200, "GET", admin(control_plane) + "/clustering/data-planes?size=1000")
    rows = {row["hostname"]: row for row in json.loads(text)["data"]}
    return int(headers["X-Langur-Revision"]), rows


def in_sync():
    """The rows of the running data planes, once both control planes say the same and newest of each."""
    hosts = {container.id[:12] for container in running("data-plane")}
    seen = []
    for control_plane in CONTROL_PLANES:
        revision, rows = fleet(control_plane)
        late = [
            f"{control_plane} is at {revision} and says of {host}: "
            + (f"connected {row['connected']}, revision {row['revision']}" if row else "nothing")
            for host in hosts
            if not (row := rows.get(host)) or not row["connected"] or row["revision"] != revision
        ]
        if late:
            raise Failed("; ".join(late))
        # What passes by itself between two questions is no difference.
        seen.append({host: {key: value for key, value in rows[host].items() if key not in ("ttl", "last_seen", "updated_at")} for host in hosts})
    if seen[0] != seen[1]:
        raise Failed(f"the control planes differ: {seen}")
    if len({row["config_hash"] for row in seen[0].values()}) > 1:
        raise Failed(f"the data planes differ: {seen[0]}")
    return seen[0]


def wait_until_in_sync(seconds=180):
    return eventually("every data plane is in sync on both control planes", seconds, in_sync)


def wait_for_status(container, path, status, seconds=180):
    """Waits until a data plane answers a path with a status."""
    url = container.url(8000) + path
    return eventually(f"{container.name} answers {path} with {status}", seconds, lambda: expect(status, "GET", url))


def scale(count):
    """That many data planes. Without a control plane to ask, new ones begin with the cache of another."""
    sources = running("data-plane")
    if sources and not any(running(control_plane) for control_plane in CONTROL_PLANES):
        start_data_planes("--no-start", count)
        for new in containers("data-plane"):
            if new.created:
                copy_cache(sources[0], new)
    with removing_volumes():
        start_data_planes("-d", count)


def start_data_planes(how, count):
    # Alone: this must not start anything else.
    compose("up", how, "--no-build", "--no-deps", "--no-recreate", "--scale", f"data-plane={count}", "data-plane")


def copy_cache(source, new):
    """The configuration; not the identity, which is beside it."""
    print(f"{new.name} begins with the cache of {source.name}")
    with subprocess.Popen(["docker", "cp", f"{source.id}:{PREFIX}/dbless.lmdb", "-"], stdout=subprocess.PIPE) as reading:
        run("docker", "cp", "-", f"{new.id}:{PREFIX}", stdin=reading.stdout)
    if reading.returncode:
        raise Failed(f"the cache of {source.name} cannot be read")


def up(offline, binary):
    services = []
    if offline:
        tag = os.environ.get("GATEWAY_IMAGE", "langur:local")
        subprocess.run([ROOT / "scripts/images-offline.sh"], check=True)
        subprocess.run([ROOT / "scripts/pack-image.sh", binary, tag], check=True)
        services = [service for service in compose("config", "--services").split() if service not in NOT_OFFLINE]
    else:
        # The only service that says how; the others run the same image.
        subprocess.run([ROOT / "scripts/compose.sh", "build", "echo"], check=True)
    with removing_volumes():
        compose("up", "-d", "--no-build", *services)
    wait_until_healthy()
    # These have no health check. The front is well when it lets through.
    url = front() + "/"
    eventually("the front answers", 120, lambda: ask("GET", url))
    for container in running("grafana"):
        health = container.url(3000) + "/api/health"
        eventually("Grafana answers", 120, lambda: expect(200, "GET", health))


def front():
    """Where clients of the gateway come in."""
    for container in running("front"):
        return container.url(8000)
    raise Failed("front does not run")


def down():
    with removing_volumes():
        compose("--profile", "load", "down", "--volumes", "--remove-orphans", "--timeout", "10")


def show_places():
    print("\nLangur is running.\n")
    for service in CONTROL_PLANES:
        for container in running(service):
            print(f"  Admin API    {container.url(8001)}   ({container.name})")
    print(f"  proxy        {front()}")
    for container in running("data-plane"):
        print(f"  data plane   {container.url(8000)}   ({container.name})")
    for service, port in (("prometheus", 9090), ("grafana", 3000)):
        for container in running(service):
            print(f"  {service:<12} {container.url(port)}")
    print(f"\n  curl -s {front()}/example/hello")
    print(f"  curl -s {admin('control-plane-1')}/clustering/data-planes\n")


def show_fleet(rows):
    names = {container.id[:12]: container.name for container in running("data-plane")}
    line = "  {:<24} {:<36} {:<9} {:>8}  {}"
    print(line.format("container", "node id", "connected", "revision", "config_hash"))
    for host, row in sorted(rows.items(), key=lambda item: names.get(item[0], "")):
        print(line.format(names.get(host, host), row["id"], str(row["connected"]).lower(), row["revision"], row["config_hash"]))


class Client(threading.Thread):
    """Asks a data plane for one path again and again."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.good, self.bad, self.ended = url, 0, [], threading.Event()

    def run(self):
        while not self.ended.wait(0.1):
            try:
                expect(200, "GET", self.url)
                self.good += 1
            except Failed as failed:
                self.bad.append(str(failed))

    def end(self):
        self.ended.set()
        self.join()


def disconnect_demo():
    path = "/disconnect-demo"
    print("== A service and a route, through the first control plane")
    first = admin(CONTROL_PLANES[0])
    expect(200, "PUT", f"{first}/services/disconnect-demo", {"url": "http://echo:9080"})
    expect(200, "PUT", f"{first}/services/disconnect-demo/routes/disconnect-demo", {"paths": [path]})
    show_fleet(wait_until_in_sync())
    restarted, *others = running("data-plane")
    wait_for_status(restarted, path, 200)
    client = Client(others[0].url(8000) + path) if others else None
    if client:
        client.start()

    print("== The control planes stop")
    try:
        compose("stop", *CONTROL_PLANES)
        if running(CONTROL_PLANES[0]) or running(CONTROL_PLANES[1]):
            raise Failed("a control plane still runs")
        print(f"== {restarted.name} is restarted, with nobody to ask for its configuration")
        run("docker", "restart", restarted.id)
        restarted = next(container for container in running("data-plane") if container.id == restarted.id)
        wait_for_status(restarted, path, 200)
        print(f"   GET {restarted.url(8000)}{path}: 200, from its cache")
    finally:
        print("== The control planes start")
        compose("start", *CONTROL_PLANES)
    wait_until_healthy()
    show_fleet(wait_until_in_sync())
    if client:
        client.end()
        print(f"   {others[0].name} answered {client.good} requests meanwhile, and failed {len(client.bad)}")
        if client.bad:
            raise Failed(client.bad[0])

    print("== A change after it, through the second control plane")
    second = admin(CONTROL_PLANES[1])
    expect(204, "DELETE", f"{second}/routes/disconnect-demo")
    expect(204, "DELETE", f"{second}/services/disconnect-demo")
    rows = wait_until_in_sync()
    for container in running("data-plane"):
        wait_for_status(container, path, 404)
    show_fleet(rows)
    print("== Everyone is in sync")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    starting = commands.add_parser("up")
    starting.add_argument("--offline", action="store_true")
    starting.add_argument("--binary", default="target/release/langur")
    commands.add_parser("scale").add_argument("count", type=int)
    commands.add_parser("disconnect-demo")
    commands.add_parser("down")
    arguments = parser.parse_args()
    try:
        if arguments.command == "up":
            up(arguments.offline, arguments.binary)
            show_places()
        elif arguments.command == "scale":
            scale(arguments.count)
            if not all(running(control_plane) for control_plane in CONTROL_PLANES):
                print("A control plane does not run: whether all are in sync cannot be seen.")
                return
            wait_until_healthy()
            show_fleet(wait_until_in_sync())
        elif arguments.command == "down":
            down()
        else:
            disconnect_demo()
    except (Failed, subprocess.CalledProcessError) as failed:
        sys.exit(f"composition: {failed}")


if __name__ == "__main__":
    # Steps are seen as they happen, also through a pipe.
    sys.stdout.reconfigure(line_buffering=True)
    main()
