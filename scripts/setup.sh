#!/usr/bin/env bash
# Installs what a fresh machine lacks: just (a PyPI wheel), PostgreSQL and Prometheus for the
# tests, PyYAML (wheel or package), compose where a Docker engine runs, and with `--bench` also
# nginx, haproxy and wrk. Safe to run again; starts no service.
set -euo pipefail

want_packages=(postgresql prometheus)
if docker info >/dev/null 2>&1 && ! docker compose version >/dev/null 2>&1 && ! command -v docker-compose >/dev/null; then
  want_packages+=(docker-compose)
fi
[ "${1:-}" = "--bench" ] && want_packages+=(nginx-light haproxy wrk)

if ! command -v just >/dev/null; then
  python3 -m pip install --quiet --disable-pip-version-check rust-just ||
    python3 -m pip install --quiet --disable-pip-version-check --break-system-packages rust-just ||
    echo "setup: just could not be installed; every recipe is a plain command in the Justfile" >&2
fi

if ! python3 -c 'import yaml' 2>/dev/null; then
  python3 -m pip install --quiet --disable-pip-version-check pyyaml ||
    want_packages+=(python3-yaml)
fi

missing=()
for package in "${want_packages[@]}"; do
  dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

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
if ! dpkg -s prometheus >/dev/null 2>&1 && [ -d /etc/systemd/system ]; then
  ln -sf /dev/null /etc/systemd/system/prometheus.service
fi
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
