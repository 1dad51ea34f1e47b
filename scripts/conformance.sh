#!/usr/bin/env bash
# Replays the recorded answers of a real Kong against Langur, where the recordings are
# (../shared/conformance, or LANGUR_CONFORMANCE), and holds the number of agreeing rows per group
# against tests/conformance.json: a group may only get better.
set -euo pipefail
exec python3 "$(dirname "$0")/conformance.py" "$@"
