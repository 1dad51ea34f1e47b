#!/bin/sh
# The entrypoint of the image. As in Kong's image, the command may be a whole command line, such as
# `kong migrations bootstrap` or `sh -c '…'`; anything else is a command of langur.
set -eu
case "${1:-}" in
  kong | langur | sh | bash | */*) exec "$@" ;;
  *) exec langur "$@" ;;
esac
