#!/usr/bin/env bash
# Packs a binary that is built already into an image, by Dockerfile.packed.
#
#   scripts/pack-image.sh [BINARY [TAG]]    default target/release/langur, langur:local
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${1:-target/release/langur}
tag=${2:-langur:local}
authorities=/etc/ssl/certs/ca-certificates.crt

[ -x "$binary" ] || { echo "pack-image: $binary is not there; build it first: cargo build --release" >&2; exit 1; }
[ -r "$authorities" ] || { echo "pack-image: $authorities is not there; install ca-certificates" >&2; exit 1; }
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
install -m 755 "$binary" "$context/langur"
install -m 644 "$authorities" "$context/"
install -m 755 scripts/docker-entrypoint.sh "$context/"
docker build --quiet --file Dockerfile.packed --tag "$tag" "$context" >/dev/null
echo "pack-image: $tag made of $binary"
