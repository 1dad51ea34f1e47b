#!/usr/bin/env python3
"""Measures Langur, and nginx and haproxy where they do the same job, and writes docs/benchmarks.md.

    benches/run.py [--only PART,PART] [--rounds 5] [--seconds 4] [--routes 1,10000,100000] [--imports 10000,100000]

One core serves (the candidate, one worker), the other loads (wrk and the upstream). Runs alternate between the
candidates, so that a slow moment of the machine hits all of them; the figure is CPU time per request from the
scheduler's accounting (/proc/PID/task/*/schedstat), because throughput on a shared machine is noise. The data plane
runs as in production: control plane connected, telemetry on. A part that is measured replaces its section of the page.
Needs nginx, haproxy and wrk (scripts/setup.sh), and a PostgreSQL server for what control planes do, which
scripts/with-postgres.sh starts.
"""
import argparse, os, platform, re, shutil, subprocess, sys, time

import admin
import instructions
import consumers
import proxy
from bench import Bench, Never

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGE = os.path.join(ROOT, "docs", "benchmarks.md")
INTRODUCTION = "# Benchmarks\n\nWritten by `just bench` (`benches/run.py` says how it measures; configurations are beside it).\n"
# The sections of the page, in their order: title, what measures it, and what it needs besides wrk.
PARTS = {
    "proxy": ("Proxying", proxy.bench_proxy, {"nginx", "haproxy"}),
    "instructions": ("Instructions per request", instructions.bench_instructions, {"valgrind"}),
    "sizes": ("By number of routes (host and prefix)", proxy.bench_sizes, {"nginx"}),
    "regex": ("By number of regex routes without a host (requests over all of them at random)", proxy.bench_regex, {"nginx"}),
    "imports": ("Imports", admin.bench_imports, {"psql"}),
    "writes": ("Writes", admin.bench_writes, {"psql"}),
    "page": ("A page of 1 000 services", admin.bench_page, {"psql"}),
    "consumers": ("Many consumers", consumers.bench_consumers, set()),
    "fleet": ("Writes while data planes are connected", admin.bench_fleet, set()),
}


def numbers(text):
    return [int(one) for one in text.split(",")]


def parts(text):
    chosen = text.split(",")
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(PARTS)}")
    return chosen


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=parts, default=list(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--changes", type=int, default=40)
    parser.add_argument("--routes", type=numbers, default=[1, 10, 1000, 10000, 100000])
    parser.add_argument("--imports", type=numbers, default=[10000, 100000], help="entities that a file imports")
    parser.add_argument("--admin-imports", type=numbers, default=[10000], help="entities that clients write")
    parser.add_argument("--consumers", type=numbers, default=[300000], help="consumers with a key each")
    parser.add_argument("--fleets", type=numbers, default=[0, 1, 5], help="data planes that are connected")
    parser.add_argument("--profile", default="dist")
    parser.add_argument("--no-write", action="store_true", help="print the tables, leave docs/benchmarks.md alone")
    return parser.parse_args()


def machine(needs, options):
    """What was measured with, and how."""
    version = lambda *command: (lambda p: (p.stdout + p.stderr).strip().splitlines()[0])(subprocess.run(command, capture_output=True, text=True))
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    about = [f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores of {cpu}, {platform.system()} {platform.release()}"]
    about += [version(*command) for command in (["nginx", "-v"], ["haproxy", "-v"]) if command[0] in needs]
    if "psql" in needs:
        about.append(version("psql", "--version").replace("psql (PostgreSQL)", "PostgreSQL") + " with `fsync` off")
    about.append(f"{options.rounds} alternating rounds of {options.seconds} s" if "nginx" in needs else f"runs of {options.seconds} s")
    return "; ".join(about) + "."


def sections_of(page):
    """The sections of the page by title, as they are."""
    found = re.split(r"^## (.*)\n", page, flags=re.M)
    return dict(zip(found[1::2], found[2::2]))


def write(measured):
    """Replaces the sections that were measured; the others stay."""
    sections = sections_of(open(PAGE).read()) if os.path.exists(PAGE) else {}
    sections.update(measured)
    texts = [f"## {title}\n\n{sections[title].strip()}\n" for title, _, _ in PARTS.values() if title in sections]
    with open(PAGE, "w") as file:
        file.write("\n".join([INTRODUCTION, *texts]))


def main():
    chosen = options()
    needs = set.union(*(PARTS[name][2] for name in chosen.only))
    if "psql" in needs and "LANGUR_TEST_POSTGRES" not in os.environ:
        wrapper = os.path.join(ROOT, "scripts", "with-postgres.sh")
        os.execv(wrapper, [wrapper, sys.executable, *sys.argv])
    for tool in {"wrk", "taskset", *needs}:
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: run scripts/setup.sh")
    subprocess.run(["cargo", "build", "--profile", chosen.profile], cwd=ROOT, check=True)
    bench = Bench(ROOT, chosen)
    measured = {}
    try:
        if "nginx" in needs:
            bench.start_upstream()
        for name in chosen.only:
            title, measure, part_needs = PARTS[name]
            lines = [machine(part_needs, chosen), ""]
            measure(bench, lines)
            measured[title] = "\n".join(lines)
    except Never as never:
        sys.exit("\n".join([*bench.logs(), f"never: {never}"]))
    finally:
        bench.close()
    if not chosen.no_write:
        write(measured)
    for title, text in measured.items():
        print(f"## {title}\n\n{text}")


if __name__ == "__main__":
    main()
