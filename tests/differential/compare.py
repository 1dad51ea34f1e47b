"""What one node makes of a document and of requests, brought into a form in which two nodes can be compared."""

import http.client
import json
import re
import time
import urllib.parse

import traffic
from documents import PROBE, PROBE_KEY

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
REQUEST_ID = re.compile(r"\b[0-9a-f]{32}\b")
# How long a document may take until it is in effect.
PATIENCE = 60


class Node:
    """The Admin API and the proxy of a node without a database."""

    def __init__(self, admin, proxy):
        self.admin, self.proxy = admin, proxy

    def post(self, document, query=""):
        """The answer to `POST /config`."""
        return self.load(json.dumps(document).encode(), "application/json", query)

    def load(self, body, content_type, query=""):
        host, port = self.admin.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
        path = "/config" + (f"?{query}" if query else "")
        try:
            while True:
                connection.request("POST", path, body, {"Content-Type": content_type})
                answer = connection.getresponse()
                text = answer.read()
                # Kong is still busy with the document before.
                if answer.status not in (429, 504):
                    return answer.status, parsed(text)
                time.sleep(0.2)
        finally:
            connection.close()

    def wait_for(self, number):
        """Until the document with that number is served."""
        headers = f"Host: probe.test\r\n{PROBE_KEY}: {PROBE_KEY}\r\nConnection: close"
        request = f"GET {PROBE} HTTP/1.1\r\n{headers}\r\n\r\n"
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            outcome = traffic.send(self.proxy, request)
            if outcome["status"] == 200 and outcome.get("body") == {"message": str(number)}:
                return
            time.sleep(0.02)
        raise AssertionError(f"{self.proxy}: document {number} never came into effect")


def parsed(text):
    try:
        return json.loads(text)
    except ValueError:
        return None


def outcome(node, tree, number, upstream, requests):
    """What a node makes of a document: taken or refused, how, and what comes of requests then."""
    status, answer = node.post(tree)
    if status != 201:
        _, flat = node.post(tree, "flatten_errors=1")
        return {
            "status": status,
            "fields": plain((answer or {}).get("fields")),
            "flattened": flattened(flat),
        }
    made = {"status": 201, "stored": stored(answer or {})}
    if requests is not None:
        node.wait_for(number)
        made["requests"] = [spared(traffic.send(node.proxy, text), upstream, node) for text in requests]
    return made


def plain(value):
    """A tree of violations without what is no more than an order: that of `expected one of`."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in sorted(value.items())}
    if isinstance(value, list):
        # Lua has one table for lists and objects, and an empty one is either.
        return [plain(inner) for inner in value] or {}
    if isinstance(value, str) and value.startswith("expected one of: "):
        listed = value.removeprefix("expected one of: ").split(", ")
        return f"expected one of: {', '.join(sorted(listed))}"
    if isinstance(value, str):
        return UUID.sub(lambda found: known(found.group()), value)
    return value


def known(identity):
    """Ids that are made of names are compared, random ones are not: they are of version 4."""
    return "(random id)" if identity[14] == "4" else identity


def flattened(answer):
    """Entity by entity; Kong's order is that of its hash tables."""
    entries = (answer or {}).get("flattened_errors")
    told = []
    for entry in entries if isinstance(entries, list) else []:
        errors = sorted(json.dumps(plain(error), sort_keys=True) for error in entry.get("errors", []))
        told.append(json.dumps(plain({**entry, "errors": errors}), sort_keys=True))
    return sorted(told)


def stored(answer):
    """The entities, without times and without the ids and secrets that are random."""
    made = {}
    for kind, entities in answer.items():
        made[kind] = sorted(json.dumps(lasting(entity), sort_keys=True) for entity in entities.values())
    return {kind: entities for kind, entities in made.items() if entities}


def lasting(entity):
    entity = {key: value for key, value in entity.items() if key not in ("created_at", "updated_at")}
    return json.loads(UUID.sub(lambda found: known(found.group()), json.dumps(entity, sort_keys=True)))


def spared(outcome, upstream, node):
    """The same with the addresses of this run and the ids of the request left out."""
    text = REQUEST_ID.sub("(request id)", json.dumps(outcome))
    text = UUID.sub(lambda found: known(found.group()), text)
    for address, name in ((upstream, "upstream"), (node.proxy, "proxy")):
        text = text.replace(address, name)
    port = node.proxy.rsplit(":", 1)[1]
    # X-Forwarded-Port is not told; a redirect names the port.
    return json.loads(text.replace(f":{port}/", ":port/"))


def difference(first, second, path=""):
    """The places where two outcomes differ, in words."""
    if isinstance(first, dict) and isinstance(second, dict):
        found = []
        for key in sorted(first.keys() | second.keys()):
            found += difference(first.get(key), second.get(key), f"{path}.{key}" if path else key)
        return found
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        found = []
        for at, (one, other) in enumerate(zip(first, second)):
            found += difference(one, other, f"{path}.{at}")
        return found
    return [] if first == second else [f"{path}: {short(first)}  <>  {short(second)}"]


def short(value):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 600 else f"{text[:600]}..."


def holds(expected, found, path=""):
    """Where an answer lacks what is expected of it: of an object only the expected fields are looked at."""
    if isinstance(expected, dict) and isinstance(found, dict):
        wrong = []
        for key, value in expected.items():
            wrong += holds(value, found.get(key), f"{path}.{key}" if path else key)
        return wrong
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        wrong = []
        for at, (one, other) in enumerate(zip(expected, found)):
            wrong += holds(one, other, f"{path}.{at}")
        return wrong
    if plain(expected) == plain(found):
        return []
    return [f"{path}: {short(expected)} expected, {short(found)} found"]
