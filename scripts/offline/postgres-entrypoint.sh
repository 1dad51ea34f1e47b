#!/bin/sh
# The entrypoint of the stand-in for the PostgreSQL image: what docker-compose.yml asks of the
# official one (POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB, PGDATA), and no more.
set -eu

if [ "$1" != postgres ]; then exec "$@"; fi
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA" /run/postgresql
  chown postgres:postgres "$PGDATA" /run/postgresql
  chmod 700 "$PGDATA"
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  : "${POSTGRES_PASSWORD:?must be set}"
  user=${POSTGRES_USER:-postgres}
  database=${POSTGRES_DB:-$user}
  # What a start that was cut short has left.
  find "$PGDATA" -mindepth 1 -delete
  draft=$PGDATA/draft
  password=$(mktemp)
  printf '%s\n' "$POSTGRES_PASSWORD" >"$password"
  initdb --pgdata="$draft" --username="$user" --pwfile="$password" --encoding=UTF8 \
    --auth-local=trust --auth-host=scram-sha-256
  rm "$password"
  echo 'host all all all scram-sha-256' >>"$draft/pg_hba.conf"
  echo "listen_addresses = '*'" >>"$draft/postgresql.conf"
  if [ "$database" != postgres ]; then
    echo "CREATE DATABASE \"$database\"" | postgres --single -D "$draft" postgres >/dev/null
  fi
  # The file that says that there is a database comes last.
  find "$draft" -mindepth 1 -maxdepth 1 ! -name PG_VERSION -exec mv -t "$PGDATA" {} +
  mv "$draft/PG_VERSION" "$PGDATA"
  rmdir "$draft"
fi
exec "$@"
