# The one entry. Every recipe is a one-liner that also runs without just.

_list:
    @just --list

# Installs what a fresh machine lacks
setup:
    scripts/setup.sh

fmt:
    cargo fmt --all

# Formatting, lints, and the fence between the planes
check:
    scripts/check.sh

# All tests, with a PostgreSQL server of their own
test *args:
    scripts/with-postgres.sh cargo test --workspace {{args}}

# Alerts and dashboards, by a real Prometheus that scrapes real processes
test-observability:
    cargo build && python3 -m unittest discover -s tests/observability

# Control plane, data plane and an echo upstream on this machine
quickstart:
    cargo run --release -- quickstart

# Conformance against the recorded answers of a real Kong, where they are
conformance:
    scripts/conformance.sh

# Against nginx and haproxy; writes docs/benchmarks.md
bench *args:
    benches/run.py {{args}}
