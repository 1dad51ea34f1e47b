#!/usr/bin/env python3
"""Sends requests to every data plane, of several services, routes and consumers, until it is stopped.

It first makes what it needs; every name begins with `load-`. Most requests succeed, some are refused (no key, over the
limit), some fail (an upstream that nobody listens at), so that every panel has something to show. ADMIN_API, PROXY
(host:port; all addresses of the host are used) and RATE (requests per second in all) come from the environment.
"""
import collections
import http.client
import itertools
import os
import random
import signal
import socket
import sys
import threading
import time

import admin

HOST, PORT = os.environ["PROXY"].rsplit(":", 1)
RATE = float(os.environ.get("RATE", "50"))
SENDERS = 4
CONSUMERS = {"load-ann": 5, "load-bob": 3, "load-eve": 1}

# (weight, path, whether a consumer is named)
REQUESTS = [
    (10, "/load/open", False),
    (10, "/load/keyed", True),
    (1, "/load/keyed", False),
    (3, "/load/limited", False),
    (1, "/load/broken", False),
    (1, "/load/closed", False),
]


def configure():
    upstream = os.environ["UPSTREAM"]
    admin.put("/services/load-echo", {"url": upstream})
    admin.put("/services/load-broken", {"url": "http://127.0.0.1:9", "retries": 1, "connect_timeout": 500})
    for name, service in [("open", "echo"), ("keyed", "echo"), ("limited", "echo"), ("closed", "echo"), ("broken", "broken")]:
        admin.put(f"/services/load-{service}/routes/load-{name}", {"paths": [f"/load/{name}"]})
    plugin("keyed", "key-auth", {})
    plugin("limited", "rate-limiting", {"second": 2, "policy": "local"})
    plugin("closed", "request-termination", {"status_code": 503, "message": "closed"})
    for name in CONSUMERS:
        admin.put(f"/consumers/{name}", {})
        if not admin.call("GET", f"/consumers/{name}/key-auth")["data"]:
            admin.call("POST", f"/consumers/{name}/key-auth", {"key": name})


def plugin(route, name, config):
    path = f"/routes/load-{route}/plugins"
    if name not in [found["name"] for found in admin.call("GET", path)["data"]]:
        admin.call("POST", path, {"name": name, "config": config})


def pick():
    weights = [weight for weight, _, _ in REQUESTS]
    _, path, named = random.choices(REQUESTS, weights)[0]
    headers = {}
    if named:
        headers["apikey"] = random.choices(list(CONSUMERS), list(CONSUMERS.values()))[0]
    body = "x" * random.choice([0, 0, 100, 2000])
    return "POST" if body else "GET", path, body, headers


class Sender(threading.Thread):
    """A steady share of the rate, to one data plane after the other."""

    def __init__(self, counts):
        super().__init__(daemon=True)
        self.counts = counts
        self.connections = {}

    def run(self):
        next_at = time.monotonic()
        for turn in itertools.count():
            if turn % 50 == 0:
                self.resolve()
            if self.connections:
                self.send(list(self.connections)[turn % len(self.connections)])
            next_at = max(next_at + SENDERS / RATE, time.monotonic() - 1)
            time.sleep(max(0, next_at - time.monotonic()))

    def resolve(self):
        """Data planes come and go."""
        try:
            found = {address[0] for *_, address in socket.getaddrinfo(HOST, int(PORT), socket.AF_INET, socket.SOCK_STREAM)}
        except OSError:
            return
        for gone in set(self.connections) - found:
            self.connections.pop(gone).close()
        for new in found - set(self.connections):
            self.connections[new] = http.client.HTTPConnection(new, int(PORT), timeout=5)

    def send(self, address):
        method, path, body, headers = pick()
        connection = self.connections[address]
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.read()
            self.counts[answer.status] += 1
        except (OSError, http.client.HTTPException):
            connection.close()
            self.counts["no answer"] += 1


def main():
    # As the first process of a container it would not end by SIGTERM otherwise.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    configure()
    counts = collections.Counter()
    print(f"load: {RATE:g} requests per second", flush=True)
    for _ in range(SENDERS):
        Sender(counts).start()
    while True:
        time.sleep(10)
        print("load:", ", ".join(f"{status}: {count}" for status, count in sorted(counts.items(), key=str)), flush=True)


if __name__ == "__main__":
    main()
