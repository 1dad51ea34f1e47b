"""Declarative documents from a seed: the same seed and number give the same document.

A document has services, routes, plugins, consumers and upstreams as people write them, and in every second one some
mistakes, old notations or both. Only the plugins in RUNNABLE meet requests; those in CHECKED are there to be validated, in
documents that are not served.
"""

import copy
import random
import string
import uuid

# Each service's upstream. It is replaced by the address of the echo server when a document is sent.
UPSTREAM = "upstream.invalid"
# A route that says that a document is in effect; its number is in the answer.
PROBE = "/differential-probe"
# The key that it is asked with, by a header of that name.
PROBE_KEY = "differential-probe"

NAMES = ["a", "b", "ab", "orders", "cart"]
HOSTS = ["a.test", "b.test", "*.a.test", "a.*", "a.test:8000"]
PATHS = ["/", "/a", "/a/", "/ab", "/a/b", "/a b", "/ü", "/a%2Fb", "~/a/\\d+", "~/(?<x>[a-z]+)$", "~/a.b"]
OLD_PATHS = ["/a%20b", "/a//b", "/a/../b", "~/a%20b", "/a/\\d+$", "/(a|b)%2e", "/%7Ea", "/a.b", "/a%2fb"]
METHODS = ["GET", "POST", "PUT", "HEAD", "OPTIONS"]
HEADERS = [{"x-a": ["1"]}, {"x-a": ["1", "2"]}, {"x-b": ["~*^v\\d"]}, {"x-a": ["1"], "x-b": ["y"]}]
PROTOCOLS = [["http"], ["https"], ["http", "https"]]
TAGS = [["t"], ["t", "u"], []]
REFERENCE = "{vault://env/x}"

# What the data planes of both sides run.
RUNNABLE = {
    "key-auth": [{}, {"key_names": ["apikey", "api_key"]}, {"hide_credentials": True}],
    "request-termination": [
        {},
        {"status_code": 403, "message": "no"},
        {"status_code": 418, "body": "{}", "content_type": "application/json"},
        {"trigger": "x_t", "status_code": 202, "message": "triggered"},
    ],
    "correlation-id": [
        {"header_name": "X-Corr", "generator": "uuid", "echo_downstream": False},
        {"header_name": "x-a", "generator": "uuid"},
    ],
}
# What is only validated, right and wrong.
CHECKED = {
    "cors": [{"origins": ["*"]}, {"origins": [REFERENCE]}, {"origins": ["("]}, {"origins": ["^(?!x)a\\.test$"]}],
    "bot-detection": [{"deny": [REFERENCE]}, {"allow": ["curl/(\\d+)"]}, {"deny": ["a{3,2}"]}],
    "request-transformer": [
        {"add": {"querystring": ["x"]}},
        {"add": {"body": ["x:"]}},
        {"rename": {"headers": ["a:b c"]}},
        {"remove": {"headers": ["http://h.test/x"]}},
        {"replace": {"querystring": ["x:$(headers.a)"]}},
        {"append": {"headers": ["v"]}},
    ],
    "response-transformer": [{"add": {"json": ["a"]}}, {"rename": {"headers": ["a:b"]}}],
    "opentelemetry": [{}, {"traces_endpoint": "http://c.test/v1/traces"}, {"traces_endpoint": "nope"}],
    "acl": [{}, {"allow": ["g"]}, {"allow": ["g"], "deny": ["h"]}],
    "rate-limiting": [
        {},
        {"minute": 5, "hour": 2},
        {"minute": 0},
        {"minute": 5, "policy": "redis"},
        {"minute": 5, "limit_by": "header"},
        {"minute": 5, "redis_host": "a", "redis": {"host": "b"}},
    ],
    "response-ratelimiting": [{"limits": {"v": {"minute": 5, "hour": 2}}}, {"limits": {}}, {"limits": {"v": []}}],
    "pre-function": [
        {"access": ["kong.log('a')"]},
        {"access": ["this is not lua"]},
        {"log": ["for i do end"]},
        {"access": ["x = '\\q'"]},
        {},
    ],
    "post-function": [{"access": ["return function() end"]}, {"header_filter": ["goto nowhere"]}],
    "http-log": [
        {"http_endpoint": "http://h.test", "custom_fields_by_lua": {"a": "return 1"}},
        {"http_endpoint": "http://h.test", "custom_fields_by_lua": {"a": "return x y"}},
        {"http_endpoint": "http://h.test", "queue": {"initial_retry_delay": 0}},
        {"http_endpoint": "/x"},
        {"http_endpoint": REFERENCE, "headers": {"Host": "x"}},
    ],
    "ip-restriction": [{}, {"allow": ["10.0.0.0/8"]}, {"deny": ["nope"]}],
    "acme": [{"account_email": "a@b.test", "tos_accepted": True, "storage_config": {"shm": {"shm_name": "nope"}}}],
    "jwt": [{}, {"claims_to_verify": ["exp"], "maximum_expiration": 5}, {"maximum_expiration": 5}],
    "proxy-cache": [{"strategy": "memory"}, {"strategy": "memory", "memory": {"dictionary_name": "nope"}}],
    "ai-proxy": [
        {
            "route_type": "llm/v1/chat",
            "auth": {"allow_override": False},
            "model": {"provider": "gemini", "name": "m", "options": {"gemini": {"location_id": "l"}}},
        }
    ],
    "nope": [{}],
}
# What is not of the type that a field has.
ODD = [None, True, 0, -1, 1.5, "", "x", " ", [], {}, ["x"], {"x": 1}, [[]], "a\nb", "é", REFERENCE, "nosuch"]


class Documents:
    """The documents of one seed."""

    def __init__(self, seed):
        self.seed = seed

    def __getitem__(self, number):
        return Document(random.Random(f"{self.seed}/{number}"), number)


class Document:
    def __init__(self, chance, number):
        self.chance = chance
        self.number = number
        # A third is served, so everything in it is meant to be right.
        self.served = number % 3 == 0
        self.tree = self.make()

    def maybe(self, probability):
        return self.chance.random() < probability

    def some(self, what, most=2):
        return self.chance.sample(what, self.chance.randint(1, min(most, len(what))))

    def identity(self):
        return str(uuid.UUID(int=self.chance.getrandbits(128), version=4))

    def make(self):
        tree = {"_format_version": self.chance.choice(["3.0", "3.0", "1.1", "2.1"])}
        self.old = tree["_format_version"] != "3.0"
        names = self.some(NAMES, 3)
        tree["services"] = [self.service(name) for name in names]
        tree["routes"] = [self.route(f"top-{at}", self.chance.choice(names)) for at in range(self.chance.randint(0, 2))]
        if self.maybe(0.5):
            tree["consumers"] = [self.consumer(name) for name in self.some(["a", "b", "c"])]
        if self.maybe(0.3):
            tree["plugins"] = [self.plugin()]
        if self.maybe(0.2) and not self.served:
            tree["upstreams"] = [self.upstream(name) for name in self.some(["u.test", "v.test", "bad name"])]
        if not self.served:
            for _ in range(self.chance.choice([0, 1, 1, 2, 3])):
                self.spoil(tree)
        return tree

    def service(self, name):
        service = {"name": name, "url": f"http://{UPSTREAM}{self.chance.choice(['', '/', '/up', '/up/'])}"}
        if self.maybe(0.3):
            service["tags"] = self.chance.choice(TAGS)
        if self.maybe(0.3):
            service["id"] = self.identity()
        if self.maybe(0.8):
            count = self.chance.randint(1, 3)
            service["routes"] = [self.route(f"{name}-{at}", None) for at in range(count)]
        if self.maybe(0.3):
            service["plugins"] = [self.plugin()]
        return service

    def route(self, name, service):
        route = {"name": name}
        if service is not None:
            route["service"] = service if self.served or self.maybe(0.7) else self.chance.choice([{"name": service}, "nosuch"])
        if self.maybe(0.3):
            route["id"] = self.identity()
        if self.maybe(0.9):
            route["paths"] = self.some(OLD_PATHS + PATHS[:5] if self.old else PATHS, 3)
        if self.maybe(0.3):
            route["hosts"] = self.some(HOSTS)
        if self.maybe(0.2):
            route["methods"] = self.some(METHODS, 3)
        if self.maybe(0.2):
            route["headers"] = copy.deepcopy(self.chance.choice(HEADERS))
        if not {"paths", "hosts", "methods", "headers"} & route.keys():
            route["paths"] = ["/"]
        for field, values in {
            "protocols": PROTOCOLS,
            "strip_path": [True, False],
            "preserve_host": [True, False],
            "regex_priority": [0, 5],
            "https_redirect_status_code": [426, 301],
            "request_buffering": [False],
            "tags": TAGS,
        }.items():
            if self.maybe(0.2):
                route[field] = copy.deepcopy(self.chance.choice(values))
        if self.maybe(0.3):
            route["plugins"] = [self.plugin()]
        return route

    def plugin(self):
        kinds = RUNNABLE if self.served or self.maybe(0.3) else CHECKED
        name = self.chance.choice(sorted(kinds))
        plugin = {"name": name, "config": copy.deepcopy(self.chance.choice(kinds[name]))}
        if self.maybe(0.2):
            plugin["protocols"] = self.chance.choice([["http"], ["https"], ["http", "https"], ["grpc", "http"]])
        if self.maybe(0.1):
            plugin["enabled"] = False
        return plugin

    def consumer(self, name):
        consumer = {"username": name}
        if self.maybe(0.5):
            consumer["custom_id"] = self.chance.choice(["1", "2"]) if not self.served else f"id-{name}"
        if self.maybe(0.7):
            consumer["keyauth_credentials"] = [{"key": f"k{name}"}]
        if self.maybe(0.2) and not self.served:
            consumer["acls"] = [{"group": self.chance.choice(["g", "", 1])}]
        return consumer

    def upstream(self, name):
        upstream = {"name": name, "targets": [{"target": self.chance.choice(["10.0.0.1:80", "t.test", "x y", "[::1]:80"])}]}
        if self.maybe(0.5):
            upstream["hash_on"] = self.chance.choice(["header", "cookie", "none", "ip"])
        if self.maybe(0.3):
            upstream["healthchecks"] = self.chance.choice([[], {"active": {"type": "nope"}}, {"threshold": 101}])
        return upstream

    def spoil(self, tree):
        """One mistake somewhere."""
        places = list(values(tree))
        kind = self.chance.randrange(5)
        holder, key = self.chance.choice(places)
        if kind == 0:
            holder[key] = copy.deepcopy(self.chance.choice(ODD))
        elif kind == 1 and isinstance(holder, dict):
            holder[self.chance.choice(["zz", "_comment", "id", "tags", "nope"])] = copy.deepcopy(self.chance.choice(ODD))
        elif kind == 2 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif kind == 3:
            tree[self.chance.choice(["_format_version", "_transform", "nope", "_info", "targets"])] = copy.deepcopy(
                self.chance.choice(ODD)
            )
        elif isinstance(holder[key], str):
            letter = self.chance.choice(string.printable)
            holder[key] = holder[key] + letter

    def with_probe(self, tree):
        """The same, with the route that says that it is in effect."""
        tree = copy.deepcopy(tree)
        probe = {
            "name": "differential-probe",
            "paths": [PROBE],
            "regex_priority": 1000,
            "plugins": [
                {"name": "request-termination", "config": {"status_code": 200, "message": str(self.number)}},
                # One for all routes would hold the probe up.
                {"name": "key-auth", "config": {"key_names": [PROBE_KEY]}},
            ],
        }
        consumer = {"username": PROBE_KEY, "keyauth_credentials": [{"key": PROBE_KEY}]}
        tree.setdefault("routes", []).append(probe)
        tree.setdefault("consumers", []).append(consumer)
        return tree


def values(node):
    """Every value in a tree, by what holds it and under which key; the header's excepted."""
    if isinstance(node, dict):
        for key in list(node):
            if not str(key).startswith("_"):
                yield node, key
                yield from values(node[key])
    elif isinstance(node, list):
        for at in range(len(node)):
            yield node, at
            yield from values(node[at])


def with_upstream(node, address):
    """The document with the address of the echo server."""
    if isinstance(node, dict):
        return {key: with_upstream(value, address) for key, value in node.items()}
    if isinstance(node, list):
        return [with_upstream(value, address) for value in node]
    if isinstance(node, str):
        return node.replace(UPSTREAM, address)
    return node


def smaller(tree):
    """Trees with one entry or field less, the largest parts first."""
    places = sorted(values(tree), key=lambda place: -len(repr(place[0][place[1]])))
    for at in range(len(places)):
        candidate = copy.deepcopy(tree)
        same = sorted(values(candidate), key=lambda place: -len(repr(place[0][place[1]])))
        holder, key = same[at]
        del holder[key]
        yield candidate
