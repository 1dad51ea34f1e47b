#!/usr/bin/env bash
# Replays the recorded answers of a real Kong against Langur, where the recordings are
# (../shared/conformance, or LANGUR_CONFORMANCE), and holds the number of agreeing rows per group
# against tests/conformance.json: a group may only get better. The Admin API on both databases.
set -euo pipefail
scripts=$(dirname "$0")
exec "$scripts/with-postgres.sh" python3 "$scripts/conformance.py" "$@"
