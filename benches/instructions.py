#!/usr/bin/env python3
"""Counts the user-space instructions that a request costs a data plane.

    benches/instructions.py [--binary FILE] [--case NAME] [--check] [--write] [--keep DIRECTORY]

A node without a database runs under valgrind's callgrind, once with few requests and once with many on one kept
connection, and both times as long: the difference, divided by the difference of the requests, is what one request
costs. It does not depend on what else the machine does and repeats within a few per cent. `--write` keeps the counts
in benches/instructions.json; `--check` fails where a count is more than 5 % above the one that is kept there. `--keep`
leaves callgrind's files in a directory, for callgrind_annotate.
"""
import argparse, json, os, re, shutil, signal, socket, subprocess, sys, tempfile, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
KEPT = os.path.join(HERE, "instructions.json")
FEW, MANY = 500, 5500
# Seconds that a node lives in each run; valgrind makes it about 50 times slower.
LIFE = 45
TOLERANCE = 1.05
CASES = {
    "GET": ("GET", "/plain/x", b""),
    "GET, key-auth and rate-limiting": ("GET", "/guarded/x", b""),
    "POST 16 KiB": ("POST", "/plain/x", b"x" * 16384),
}
CONFIGURATION = {
    "_format_version": "3.0",
    "services": [{
        "name": "upstream", "host": "127.0.0.1", "port": 0,
        "routes": [
            {"name": "plain", "paths": ["/plain"]},
            {"name": "guarded", "paths": ["/guarded"], "plugins": [
                {"name": "key-auth"},
                {"name": "rate-limiting", "config": {"hour": 1000000, "policy": "local"}},
            ]},
        ],
    }],
    "consumers": [{"username": "alice", "keyauth_credentials": [{"key": "secret"}]}],
}


def serve_upstream(listener):
    """Answers 1 KiB to every request; knows requests well enough to find their ends."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n" + b"x" * 1024

    def serve(connection):
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                piece = connection.recv(65536)
                if not piece:
                    return
                data += piece
            head, data = data.split(b"\r\n\r\n", 1)
            length = re.search(rb"content-length: *(\d+)", head, re.I)
            missing = int(length.group(1)) if length else 0
            while len(data) < missing:
                data += connection.recv(65536)
            data = data[missing:]
            connection.sendall(answer)

    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port, count, method, path, body):
    """So many requests, one after the other, on one connection; each must be answered with 200."""
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    request = f"{method} {path} HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: bench\r\nAccept: */*\r\napikey: secret\r\n{length}\r\n".encode() + body
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count):
            connection.sendall(request)
            data = b""
            while b"\r\n\r\n" not in data:
                data += connection.recv(65536)
            head, rest = data.split(b"\r\n\r\n", 1)
            assert head.startswith(b"HTTP/1.1 200"), head
            missing = int(re.search(rb"content-length: *(\d+)", head, re.I).group(1))
            while len(rest) < missing:
                rest += connection.recv(65536)


def run(binary, upstream, count, case, keep):
    """Instructions of a whole run."""
    prefix = tempfile.mkdtemp(prefix="langur-instructions-")
    configuration = json.loads(json.dumps(CONFIGURATION))
    configuration["services"][0]["port"] = upstream
    declared = os.path.join(prefix, "kong.json")
    with open(declared, "w") as file:
        json.dump(configuration, file)
    port = free_port()
    settings = {"ROLE": "traditional", "DATABASE": "off", "DECLARATIVE_CONFIG": declared, "PREFIX": prefix, "PROXY_ACCESS_LOG": "off",
                "ADMIN_ACCESS_LOG": "off", "PROXY_LISTEN": f"127.0.0.1:{port}", "ADMIN_LISTEN": f"127.0.0.1:{free_port()}", "STATUS_LISTEN": "off",
                "NGINX_WORKER_PROCESSES": "1", "LOG_LEVEL": "error"}
    env = {"PATH": os.environ["PATH"], **{f"LANGUR_{name}": value for name, value in settings.items()}}
    out = os.path.join(keep or prefix, f"callgrind.{re.sub('[^A-Za-z0-9]+', '_', case)}.{count}.out")
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", binary, "start"]
    started = time.monotonic()
    with open(os.path.join(prefix, "log"), "w+") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() - started > LIFE:
                        log.seek(0)
                        sys.exit(f"the node does not start:\n{log.read()}")
                    time.sleep(0.1)
            ask(port, count, *CASES[case])
            left = LIFE - (time.monotonic() - started)
            if left < 0:
                print(f"warning: {count} requests took {-left:.0f} s longer than a run lasts", file=sys.stderr)
            time.sleep(max(0, left))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        log.seek(0)
        text = log.read()
    shutil.rmtree(prefix, ignore_errors=True)
    return int(re.search(r"Collected : (\d+)", text).group(1))


def count(binary, cases=None, keep=None):
    """Instructions per request by case."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    threading.Thread(target=serve_upstream, args=(listener,), daemon=True).start()
    upstream = listener.getsockname()[1]
    counted = {}
    for case in cases or CASES:
        few, many = (run(binary, upstream, requests, case, keep) for requests in (FEW, MANY))
        counted[case] = round((many - few) / (MANY - FEW))
        print(f"{case}: {counted[case]} instructions", flush=True)
    return counted


def kept_counts():
    if not os.path.exists(KEPT):
        return {}
    with open(KEPT) as file:
        return json.load(file)


def bench_instructions(bench, out):
    """The part of `run.py`: the counts beside those that are kept."""
    kept = kept_counts()
    out.append("User-space instructions per request, counted by callgrind: one worker of a node with both planes and without a database, so the counting")
    out.append("of requests on the control plane's side is part of it. Kept: `benches/instructions.json`.\n")
    out.append("| case | instructions | kept |\n|---|---|---|")
    for case, counted in count(bench.binary).items():
        out.append(f"| {case} | {counted} | {kept.get(case, '–')} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(os.path.dirname(HERE), "target")), "release", "langur"))
    parser.add_argument("--case", action="append", choices=CASES, help="all when none is named")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--keep")
    options = parser.parse_args()
    kept = kept_counts()
    counted = count(options.binary, options.case, options.keep)
    worse = [case for case in counted if counted[case] > kept.get(case, counted[case]) * TOLERANCE]
    for case, instructions in counted.items():
        if case in kept:
            print(f"{case}: {100 * (instructions / kept[case] - 1):+.1f} % against the kept count")
    if options.write:
        with open(KEPT, "w") as file:
            json.dump({**kept, **counted}, file, indent=2)
            file.write("\n")
    if options.check and worse:
        sys.exit(f"more instructions than {os.path.basename(KEPT)} allows: {', '.join(worse)}")


if __name__ == "__main__":
    main()
