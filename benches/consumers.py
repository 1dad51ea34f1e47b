"""A configuration that is mostly consumers with a key each: memory of a data plane, starts, the first change after one."""
import json, statistics, sys, time

from bench import LOAD_CORE, SERVE_CORE, answers, memory_mb, request, wait_for

CHANGES = 20


def configuration(count):
    return {
        "_format_version": "3.0",
        "services": [{"name": "bench", "url": "http://127.0.0.1:9"}],
        "plugins": [{"name": "key-auth"}],
        "consumers": [{"username": f"consumer-{n}", "keyauth_credentials": [{"key": f"key-of-consumer-{n:07}"}]} for n in range(count)],
    }


def data_plane(cluster):
    rows = json.loads(request(cluster["admin"], "GET", "/clustering/data-planes")[1])["data"]
    return rows[0] if rows else {"connected": False, "revision": -1, "state": "?"}


def memory(process):
    """Its own memory, and the pages of its cache file that it has mapped, in MB: the kernel takes those back when it wants to."""
    return {which: memory_mb(process.pid, which) for which in ("RssAnon", "RssFile", "VmHWM")}


def changes(cluster, name):
    """Milliseconds from sending a write until the data plane has it in effect, of one change after another."""
    times = []
    for n in range(CHANGES):
        started = time.monotonic()
        status, answer = request(cluster["admin"], "POST", "/consumers?wait=effective", {"username": f"{name}-{n}"})
        times.append((time.monotonic() - started) * 1000)
        if status != 201:
            sys.exit(f"the change {n} was answered with {status}: {answer[:300]!r}")
    return times


def start_control_plane(bench, cluster):
    """Seconds until it answers."""
    started = time.monotonic()
    cluster["cp"] = bench.langur(LOAD_CORE, cluster["cp_settings"])
    wait_for("the control plane answers", lambda: answers(cluster["admin"], "/services?size=1", 200), cluster["cp"])
    return time.monotonic() - started


def start_data_plane(bench, cluster, revision):
    """Seconds until it serves, and until it is connected with this revision in effect."""
    started = time.monotonic()
    cluster["dp"] = bench.langur(SERVE_CORE, cluster["dp_settings"])
    status = cluster["dp_settings"]["status_listen"]
    wait_for("the data plane serves", lambda: answers(status, "/status/ready", 200), cluster["dp"], seconds=300)
    serves = time.monotonic() - started

    def in_effect():
        row = data_plane(cluster)
        return row["connected"] and row["revision"] == revision

    wait_for("the data plane has the configuration", in_effect, cluster["dp"], seconds=300)
    return serves


def measure(bench, count):
    name = f"consumers-{count}"
    cluster = bench.start_control_plane(name, LOAD_CORE)
    bench.stop(cluster["cp"])
    cluster["dp_settings"] = bench.data_plane_settings(cluster, "dp")
    path = f"{bench.dir}/{name}.json"
    with open(path, "w") as file:
        json.dump(configuration(count), file)
    imported = bench.langur(SERVE_CORE, cluster["cp_settings"], "config", "db_import", path)
    if imported.wait():
        sys.exit(f"db_import failed: {open(imported.log).read()}")
    found = {"control plane starts": start_control_plane(bench, cluster)}
    # It answers before it has read everything; what follows is to measure the data plane.
    wait_for("the control plane is ready", lambda: answers(cluster["cp_settings"]["status_listen"], "/status/ready", 200), cluster["cp"], seconds=300)
    found["control plane, MB"] = memory_mb(cluster["cp"].pid, "RssAnon")
    found["whole configuration received"] = start_data_plane(bench, cluster, 1)
    time.sleep(1)
    found["received"] = memory(cluster["dp"])
    received = changes(cluster, "received")
    bench.stop(cluster["dp"])
    found["started from its cache"] = start_data_plane(bench, cluster, 1 + CHANGES)
    time.sleep(1)
    found["cached"] = memory(cluster["dp"])
    cached = changes(cluster, "cached")
    for kind, times in (("received", received), ("cached", cached)):
        found[f"changes, {kind}"] = (times[0], statistics.median(times[1:]), max(times[1:]))
    bench.stop(cluster["cp"])
    found["control plane starts again"] = start_control_plane(bench, cluster)
    for process in (cluster["dp"], cluster["cp"]):
        bench.stop(process)
    return found


def bench_consumers(bench, out):
    out.append("Consumers with one key each, key-auth for all of them, one service and one route; SQLite. Memory is what the data plane has of its "
               "own (RssAnon); what it maps of its cache file besides is the kernel's to take back. A change is a new consumer, with `wait=effective`: "
               "milliseconds until the data plane has acknowledged it, which is after it was written to its cache. No figure of Kong's for this is "
               "known to us.\n")
    out.append("| consumers | control plane answers after, s | data plane serves what it received, s | the same from its cache, s | data plane, MB: "
               "received (per consumer, KB), from its cache (per consumer, KB) | at most, MB | first change after a start, ms: received, from its cache | "
               "later ones, median |\n|---|---|---|---|---|---|---|---|")
    found = {count: measure(bench, count) for count in (1, *bench.options.consumers)}
    base = found[1]
    for count, one in found.items():
        each = lambda which: f"{one[which]['RssAnon']:.0f}" + (
            f" ({(one[which]['RssAnon'] - base[which]['RssAnon']) * 1024 / count:.2f})" if count > 1 else "")
        first = [one[f"changes, {which}"][0] for which in ("received", "cached")]
        later = statistics.median([one[f"changes, {which}"][1] for which in ("received", "cached")])
        out.append(f"| {count} | {one['control plane starts again']:.1f} | {one['whole configuration received']:.1f} | {one['started from its cache']:.1f} | "
                   f"{each('received')}, {each('cached')} | {max(one[which]['VmHWM'] for which in ('received', 'cached')):.0f} | "
                   f"{first[0]:.1f}, {first[1]:.1f} | {later:.1f} |")
        print(out[-1], flush=True)
