"""Real nodes for tests in Python: processes of the built binary with folders, ports and databases of
their own, and nothing left of them afterwards."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
import weakref

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "scripts"))
from loopback import free_address  # noqa: E402  (found by the line above)

# How long a condition may take on a loaded machine; nothing is concluded from how long it took. A data plane alone
# may pause for a minute before it tries a control plane again.
PATIENCE = 180
# How long an answer may take.
ANSWER = 60


def binary():
    """The built binary: LANGUR_BINARY, or where cargo puts it."""
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    path = pathlib.Path(os.environ.get("LANGUR_BINARY", pathlib.Path(target) / "debug" / "langur"))
    if not path.exists():
        raise FileNotFoundError(f"{path}: build it first, or name one in LANGUR_BINARY")
    return path


def eventually(what, ask, patience=PATIENCE):
    """Asks until there is no exception, and returns the answer. Fails at once when a process that nobody has ended
    is gone."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return ask()
        except Exception as why:
            Nodes.expect_all_run(what)
            if time.monotonic() > deadline:
                raise AssertionError(f"never: {what}: {why}") from why
        time.sleep(0.1)


def call(method, url, document=None, headers=None):
    """(status, document) of a request; an answer that is no JSON is None."""
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(url, body, headers or {}, method=method)
    if body is not None:
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=ANSWER) as reply:
            status, text = reply.status, reply.read()
    except urllib.error.HTTPError as reply:
        status, text = reply.code, reply.read()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, None


def postgres():
    """The settings for a new, empty database on the server that LANGUR_TEST_POSTGRES names
    (scripts/with-postgres.sh starts one). Its server is thrown away, so the database is not dropped."""
    server = os.environ.get("LANGUR_TEST_POSTGRES")
    if not server:
        raise AssertionError("no PostgreSQL: run this with scripts/with-postgres.sh")
    name = f"python_{uuid.uuid4().hex}"
    subprocess.run(["psql", server, "-qc", f"CREATE DATABASE {name}"], check=True)
    url = urllib.parse.urlsplit(server)
    return {
        "database": "postgres",
        "pg_host": url.hostname,
        "pg_port": url.port,
        "pg_user": url.username,
        "pg_database": name,
    }


class Nodes:
    """Processes that end together, in one folder that goes with them."""

    all = weakref.WeakSet()

    def __init__(self, name):
        self.binary = binary()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"langur-{name}-"))
        self.processes, self.commands = {}, {}
        Nodes.all.add(self)

    def ended(self):
        """The processes that have ended by themselves."""
        found = [(name, process.poll()) for name, process in self.processes.items()]
        return [f"{name} has ended with {code}" for name, code in found if code is not None]

    @classmethod
    def expect_all_run(cls, what):
        """What is waited for will never come without them."""
        ended = [each for nodes in list(cls.all) for each in nodes.ended()]
        if ended:
            raise AssertionError(f"never: {what}: {', '.join(ended)}")

    def certificates(self):
        """Makes what the nodes of one cluster know each other by."""
        subprocess.run(
            [self.binary, "hybrid", "gen_cert", self.folder], check=True, capture_output=True
        )

    def node(self, name, settings):
        """Starts a node of the cluster, in a folder of its own."""
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
        self.commands[name] = [self.binary, "start", "-c", file]
        self.restart(name)

    def restart(self, name, **settings):
        """Starts a node that does not run; with settings that hold for this time."""
        overrides = [f"--set={key}={value}" for key, value in settings.items()]
        self.spawn(name, [*self.commands[name], *overrides])

    def control_plane(self, name, **settings):
        """Starts a control plane; where it listens, by setting."""
        listeners = ("admin_listen", "status_listen", "cluster_listen", "cluster_telemetry_listen")
        listens = {key: free_address() for key in listeners}
        self.node(name, {"role": "control_plane", **listens, **settings})
        return listens

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
        """Ends all processes and removes the folder, after it printed the logs if `keep` or if one had ended by
        itself; a second time there is nothing left to do."""
        ended = self.ended()
        keep = keep or bool(ended)
        for line in ended:
            print(line)
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()
        self.processes.clear()
        if keep:
            for log in sorted(self.folder.glob("*.log")):
                print(f"--- {log.name}, its last lines")
                print("\n".join(log.read_text(errors="replace").splitlines()[-30:]))
        shutil.rmtree(self.folder, ignore_errors=True)
