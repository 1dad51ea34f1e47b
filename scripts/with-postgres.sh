#!/usr/bin/env bash
# Runs a command with a PostgreSQL server of its own: started on a free port as an
# unprivileged user, thrown away afterwards. The command finds it in LANGUR_TEST_POSTGRES.
set -euo pipefail

bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1 || true)
[ -n "$bin" ] || bin=$(dirname "$(command -v initdb || true)")
if [ ! -x "$bin/initdb" ]; then
  echo "with-postgres: no PostgreSQL here; run scripts/setup.sh first" >&2
  exit 1
fi

dir=$(mktemp -d)
as_owner=()
if [ "$(id -u)" = 0 ]; then
  id postgres >/dev/null 2>&1 || useradd --system --no-create-home postgres
  chown postgres "$dir"
  as_owner=(runuser -u postgres --)
fi
read -r host port < <("$(dirname "$0")/loopback.py")
trap '"${as_owner[@]}" "$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$dir"' EXIT

# The server is disposable: what the tests kill is Langur, not PostgreSQL.
"${as_owner[@]}" "$bin/initdb" -D "$dir/data" -U langur --auth=trust --no-sync >/dev/null
if ! "${as_owner[@]}" "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 180 start \
  -o "-p $port -k $dir -c listen_addresses=$host -c fsync=off -c max_connections=300" >/dev/null; then
  echo "with-postgres: the server does not start:" >&2
  cat "$dir/log" >&2
  exit 1
fi

export LANGUR_TEST_POSTGRES="postgres://langur@$host:$port/postgres"
"$@"
