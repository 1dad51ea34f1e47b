"""A few calls of the Admin API, for the scripts beside this one. Standard library only."""
import json
import os
import urllib.error
import urllib.request

ADMIN_API = os.environ.get("ADMIN_API", "http://127.0.0.1:8001")


class Refused(Exception):
    """The Admin API said no."""


def call(method, path, body=None):
    """The JSON answer; None where the entity is not there."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(ADMIN_API + path, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise Refused(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from None


def put(path, body):
    """Creates the entity or makes it so."""
    return call("PUT", path, body)
