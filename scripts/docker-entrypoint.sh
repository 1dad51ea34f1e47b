#!/bin/sh
# The entrypoint of the image. As in Kong's image, the command may be a whole command line, such as
# `kong migrations bootstrap` or `sh -c '…'`; anything else is a command of langur. A node that is
# started has its access logs on standard output unless its settings name other files: the files of
# the default settings are links, but for those that are there already.
set -eu
prefix=${LANGUR_PREFIX:-${KONG_PREFIX:-/var/lib/langur}}
case " $* " in
  *' start '* | *' docker-start '*)
    if [ -d "$prefix" ] && mkdir -p "$prefix/logs" 2>/dev/null; then
      for log in access.log admin_access.log; do
        [ -e "$prefix/logs/$log" ] || ln -s /dev/stdout "$prefix/logs/$log" 2>/dev/null || true
      done
    fi
    ;;
esac
case "${1:-}" in
  kong | langur | sh | bash | */*) exec "$@" ;;
  *) exec langur "$@" ;;
esac
