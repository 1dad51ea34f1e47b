"""What makes the figures: requests, writes, and connections that are held."""

import contextlib
import http.client
import pathlib
import socket
import ssl
import threading
import urllib.parse

# How long an answer may take, in seconds.
ANSWER = 60


class Load:
    """Requests to each data plane, and writes unless told otherwise, until it is stopped."""

    def __init__(self, stack, requests, writes=True):
        self.stack, self.requests = stack, requests
        self.stopping = threading.Event()
        self.trouble = []
        work = [(self.request, proxy) for proxy in stack.proxies] + [(self.write,)] * writes
        self.threads = [
            threading.Thread(target=self.guard, args=each, daemon=True) for each in work
        ]
        for thread in self.threads:
            thread.start()

    def guard(self, work, *arguments):
        try:
            work(*arguments)
        except Exception as err:
            self.trouble.append(err)

    def request(self, proxy):
        connection = http.client.HTTPConnection(*address_of(proxy), timeout=ANSWER)
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


def address_of(url):
    parts = urllib.parse.urlsplit(url)
    return parts.hostname, parts.port


class Held:
    """Connections that stay as they are: to each proxy one between two requests and one amid a
    request's head, and some to the Admin API."""

    def __init__(self, stack):
        self.sockets = [socket.create_connection(address_of(stack.admin_url)) for _ in range(20)]
        self.idle = []
        for proxy in stack.proxies:
            connection = http.client.HTTPConnection(*address_of(proxy), timeout=ANSWER)
            connection.request("GET", "/balanced")
            connection.getresponse().read()
            self.idle.append(connection)
            half = socket.create_connection(address_of(proxy))
            half.sendall(b"GET /balanced HTTP/1.1\r\nHost: ")
            self.sockets.append(half)

    def close(self):
        for each in [*self.sockets, *self.idle]:
            each.close()


class Unanswered:
    """Writes whose answers nobody has waited for yet, each on a connection of its own."""

    def __init__(self, stack, count):
        self.connections = []
        for n in range(count):
            connection = http.client.HTTPConnection(*address_of(stack.admin_url), timeout=3 * ANSWER)
            headers = {"Content-Type": "application/json"}
            connection.request("PUT", f"/consumers/w{n}", f'{{"username": "w{n}"}}', headers)
            self.connections.append(connection)

    def statuses(self):
        found = [connection.getresponse().status for connection in self.connections]
        for connection in self.connections:
            connection.close()
        return found


class SilentDataPlane:
    """One that opens the link and says no hello."""

    REQUEST = (
        "GET /langur/v1/config HTTP/1.1\r\nHost: cluster\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        "Sec-WebSocket-Protocol: langur.v1\r\n\r\n"
    )

    def __init__(self, folder: pathlib.Path, address):
        self.folder, self.address = folder, address
        self.open()

    def open(self):
        folder = self.folder
        context = ssl.create_default_context(cafile=folder / "cluster.crt")
        context.check_hostname = False
        context.load_cert_chain(folder / "cluster.crt", folder / "cluster.key")
        plain = socket.create_connection(self.address, timeout=ANSWER)
        self.link = context.wrap_socket(plain)
        self.link.sendall(self.REQUEST.encode())
        answer = self.link.recv(4096)
        assert answer.startswith(b"HTTP/1.1 101 "), answer

    def open_again(self):
        """Opens another link when the control plane has had enough of this one."""
        self.link.settimeout(0)
        with contextlib.suppress(ssl.SSLWantReadError):
            while self.link.recv(4096):
                pass
            self.link.close()
            self.open()

    def close(self):
        self.link.close()
