"""Raw requests from a seed, and the server that they end at."""

import http.server
import json
import random
import socket
import threading

PATHS = ["/", "/a", "/a/", "/ab", "/a/b", "/a%20b", "/a//b", "/a/12", "/a/12x", "/b", "/%c3%bc", "/a%2Fb", "/a%2fb", "/a.b",
         "/axb", "/~a", "/a/../b", "/a/./b", "/x/a", "/abc", "/a?x=1", "/a?apikey=ka", "/a?apikey=ka&apikey", "/A"]
HOSTS = ["a.test", "b.test", "x.a.test", "a.com", "a.test:8000", "other.test"]
HEADERS = ["apikey: ka", "apikey: kb", "apikey: wrong", "api-key: ka", "X-A: 1", "X-A: 2", "x-b: v1", "X-B: y", "X-T: 1",
           "X-Forwarded-For: 10.0.0.1", "X-Forwarded-Proto: https", "Authorization: Basic YTpi", "Accept: text/html",
           "Accept: application/xml", "Connection: close, x-a", "Expect: 100-continue", "X-Corr: c"]
METHODS = ["GET", "GET", "GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE"]
# What may be told of an answer; the rest names the product, the time or the connection.
TOLD = {"content-type", "location", "www-authenticate", "upgrade", "allow"}
# What the upstream is told on top of what the client sent.
SENT = {"host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-path", "x-forwarded-prefix",
        "x-consumer-username", "x-consumer-custom-id", "x-credential-identifier", "x-anonymous-consumer", "apikey",
        "authorization", "x-a", "x-b", "x-t", "content-length"}


def requests(seed, number, count):
    """That many requests for a document."""
    chance = random.Random(f"{seed}/{number}/requests")
    return [request(chance) for _ in range(count)]


def request(chance):
    method = chance.choice(METHODS)
    lines = [f"{method} {chance.choice(PATHS)} HTTP/1.1", f"Host: {chance.choice(HOSTS)}"]
    lines += chance.sample(HEADERS, chance.choice([0, 0, 1, 1, 2, 3]))
    if chance.random() < 0.05:
        lines += ["Authorization: a", "Authorization: b"]
    body = chance.choice(["", "x", "hello"]) if method in ("POST", "PUT") else ""
    if method in ("POST", "PUT"):
        lines.append(f"Content-Length: {len(body)}")
    if not any(line.lower().startswith("connection:") for line in lines):
        lines.append("Connection: close")
    return "\r\n".join(lines) + "\r\n\r\n" + body


def send(address, text, patience=20):
    """What came of a request: the status, the told headers, what the upstream saw; or how it went wrong."""
    host, port = address.rsplit(":", 1)
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=patience) as connection:
            connection.sendall(text.encode("utf-8", "surrogateescape"))
            answer = connection.makefile("rb")
            status, headers = head(answer)
            while status == 100:
                status, headers = head(answer)
            if status is None:
                return {"status": None}
            is_head = text.startswith("HEAD ")
            body = b"" if is_head or status in (204, 304) else read_body(answer, headers)
    except OSError as why:
        return {"status": None, "failed": type(why).__name__}
    outcome = {"status": status, "headers": {name: value for name, value in headers if name in TOLD}}
    try:
        document = json.loads(body)
    except ValueError:
        outcome["body"] = body.decode("utf-8", "replace")
        return outcome
    if isinstance(document, dict) and "differential_echo" in document:
        outcome["upstream"] = document["differential_echo"]
    else:
        if isinstance(document, dict):
            # The id of the request.
            document.pop("request_id", None)
        outcome["body"] = document
    return outcome


def head(answer):
    line = answer.readline()
    if not line.startswith(b"HTTP/1."):
        return None, []
    headers = []
    while (field := answer.readline().strip()) != b"":
        name, _, value = field.decode("latin-1").partition(":")
        headers.append((name.strip().lower(), value.strip()))
    return int(line.split()[1]), headers


def read_body(answer, headers):
    fields = dict(headers)
    if "chunked" in fields.get("transfer-encoding", ""):
        body = b""
        while (size := int(answer.readline().split(b";")[0] or b"0", 16)) > 0:
            body += answer.read(size)
            answer.readline()
        return body
    if "content-length" in fields:
        return answer.read(int(fields["content-length"]))
    return answer.read()


class Echo(http.server.BaseHTTPRequestHandler):
    """Tells what arrived."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        seen = sorted([name.lower(), value] for name, value in self.headers.items() if name.lower() in SENT)
        told = {"method": self.command, "target": self.path, "headers": seen, "body": body.decode("utf-8", "replace")}
        text = json.dumps({"differential_echo": told}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_HEAD = do_OPTIONS = do_DELETE = do_PATCH = answer

    def log_message(self, *_):
        pass


class Upstream:
    """The echo server, while it is needed."""

    def __init__(self, address="127.0.0.1:0"):
        host, port = address.rsplit(":", 1)
        self.server = http.server.ThreadingHTTPServer((host, int(port)), Echo)
        self.server.daemon_threads = True
        self.address = f"{host}:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
