#!/usr/bin/env bash
# Formatting, lints, and the fence: a data plane contains no database, a control plane no LMDB.
set -euo pipefail

cargo fmt --all --check
cargo clippy --workspace --all-targets -- -D warnings
for plane in control-plane data-plane data-plane,lua; do
  cargo clippy --no-default-features --features "$plane" --lib --bins -- -D warnings
done

absent() { # feature, package
  if cargo tree --no-default-features --features "$1" -e normal -i "$2" 2>/dev/null | grep -q .; then
    echo "check: a $1 build contains $2" >&2
    exit 1
  fi
}
for package in sea-orm sea-orm-migration sqlx libsqlite3-sys; do absent data-plane "$package"; done
absent control-plane heed
absent control-plane lmdb-master-sys
echo "check: formatting, lints and the fence hold"
