#!/usr/bin/env bash
# Installs what a fresh machine lacks: just (a PyPI wheel, else from crates.io), PostgreSQL,
# Prometheus, curl, make and sqlite3 for the tests, PyYAML (wheel or package), clients of the Admin API
# (wheels, in .venv), nginx, haproxy and wrk to compare with, and compose where a Docker engine runs.
# Safe to run again; starts no service.
set -euo pipefail
cd "$(dirname "$0")/.."

docker=false
if docker info >/dev/null 2>&1; then docker=true; fi

want_packages=(postgresql)
for tool in curl make sqlite3 haproxy wrk; do
  command -v "$tool" >/dev/null || want_packages+=("$tool")
done
if ! command -v prometheus >/dev/null || ! command -v promtool >/dev/null; then
  want_packages+=(prometheus)
fi
if "$docker" && ! docker compose version >/dev/null 2>&1 && ! command -v docker-compose >/dev/null; then
  want_packages+=(docker-compose)
fi
command -v nginx >/dev/null || want_packages+=(nginx-light)

if ! command -v just >/dev/null; then
  python3 -m pip install --quiet --disable-pip-version-check rust-just ||
    python3 -m pip install --quiet --disable-pip-version-check --break-system-packages rust-just ||
    cargo install --quiet --locked just
  # The tests run the pages as they are written, and they say `just`.
  if ! command -v just >/dev/null; then
    echo "setup: just could not be installed: https://just.systems says how" >&2
    exit 1
  fi
fi

if ! python3 -c 'import yaml' 2>/dev/null; then
  python3 -m pip install --quiet --disable-pip-version-check pyyaml ||
    want_packages+=(python3-yaml)
fi

python3 -c 'import ensurepip' 2>/dev/null || want_packages+=(python3-venv)

# The versions of tests/clients/requirements.txt, in an environment of their own; again when they change.
install_clients() {
  local wanted=tests/clients/requirements.txt installed=.venv/requirements.txt
  cmp --silent "$wanted" "$installed" && return
  python3 -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement "$wanted"
  cp "$wanted" "$installed"
}

missing=()
for package in "${want_packages[@]}"; do
  dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  install_clients
  exit 0
fi

if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "setup: please install: ${missing[*]}" >&2
  exit 1
fi

# Debian starts servers when it installs them; this policy forbids that for the time being.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# No database cluster of the system's own: the tests make theirs.
mkdir -p /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] ||
  echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
# Nor a Prometheus that starts with the machine: the tests start theirs.
unit=/etc/systemd/system/prometheus.service
if [[ " ${missing[*]} " == *" prometheus "* && -d ${unit%/*} && ! -e $unit && ! -L $unit ]]; then
  ln -s /dev/null "$unit"
fi
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
install_clients
