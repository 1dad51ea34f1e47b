"""A real control plane for the clients of this folder, on a fresh SQLite or PostgreSQL database."""

import contextlib
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from nodes import Nodes, call, eventually, postgres  # noqa: E402  (found by the line above)

# What settings a database takes, by its name.
DATABASES = {"sqlite": dict, "postgres": postgres}


class ControlPlane(Nodes):
    """One control plane and nothing else, ready when it is made."""

    def __init__(self, database, **settings):
        super().__init__("clients")
        try:
            self.certificates()
            settings = {"log_level": "info", **DATABASES[database](), **settings}
            self.url = f"http://{self.control_plane('control-plane', **settings)['admin_listen']}"
            eventually("the control plane is ready", lambda: self.admin("GET", "/status"))
        except BaseException:
            self.stop(keep=True)
            raise

    def admin(self, method, path, document=None, expect=(200, 201, 204)):
        """The answer of a request that must succeed, or that must be answered as expected."""
        status, answer = call(method, self.url + path, document)
        if status not in expect:
            raise AssertionError(f"{method} {path}: {status} {answer}")
        return answer


@contextlib.contextmanager
def control_plane(database, **settings):
    """A control plane for a `with` block; when it fails, the control plane's log is printed."""
    node = ControlPlane(database, **settings)
    try:
        yield node
    except BaseException:
        node.stop(keep=True)
        raise
    node.stop(keep=False)
