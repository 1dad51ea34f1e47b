#!/usr/bin/env bash
# docker compose, whichever of v2 (a plugin of docker) and v1 (docker-compose) is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
if docker compose version >/dev/null 2>&1; then exec docker compose "$@"; fi
command -v docker-compose >/dev/null || { echo "compose: neither docker compose nor docker-compose is installed" >&2; exit 1; }
exec docker-compose "$@"
