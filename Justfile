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
    cargo build && scripts/with-postgres.sh python3 -m unittest discover -s tests/observability

# Real clients of the Admin API, on SQLite and PostgreSQL
test-clients:
    cargo build && scripts/with-postgres.sh .venv/bin/python -m unittest discover -s tests/clients

# Facts of a real Kong, and two nodes beside one another
test-differential:
    cargo build && python3 -m unittest discover -s tests/differential

# Two nodes that get the same documents and requests; `just differential --help`
differential *args:
    tests/differential/run.py {{args}}

# Control plane, data plane and an echo upstream on this machine
quickstart:
    cargo run --release -- quickstart

# The composition: PostgreSQL, two control planes, data planes, Prometheus, Grafana; waits until it is healthy
up:
    scripts/composition.py up

# The same where no image registry is reached: without Grafana, with a binary that is built already
up-offline binary=env("LANGUR_BINARY", "target/release/langur"):
    scripts/composition.py up --offline --binary {{binary}}

# Removes the composition with all that it kept
down:
    scripts/composition.py down

# Stops the composition and keeps everything; `just up` goes on
stop:
    scripts/compose.sh --profile load stop

logs *args:
    scripts/compose.sh logs --tail=100 --follow {{args}}

ps:
    scripts/compose.sh ps

# That many data planes
scale-data-plane count:
    scripts/composition.py scale {{count}}

# Requests of several services and consumers, until `just load-off`
load:
    scripts/compose.sh --profile load up -d --no-build --no-deps load

load-off:
    scripts/compose.sh --profile load stop load

# A data plane restarts and serves while no control plane runs; then all are in sync again
disconnect-demo:
    scripts/composition.py disconnect-demo

# Stand-ins for the base images, from Debian packages
images-offline folder="target/images":
    scripts/images-offline.sh {{folder}}

# The composition end to end, with the binary of the debug build
test-composition:
    cargo build
    tests/composition/test_composition.py
    tests/composition/test_kong_compose.py

# Conformance against the recorded answers of a real Kong, where they are
conformance *args:
    scripts/conformance.sh {{args}}

# Against nginx and haproxy, and of control planes; writes docs/benchmarks.md
bench *args:
    benches/run.py {{args}}
