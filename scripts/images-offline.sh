#!/usr/bin/env bash
# Stand-ins for the base images of docker-compose.yml, where no image registry can be reached:
# built from Debian packages, under the very tags that the compose file and the Dockerfiles name.
# An image that is there already, of whatever origin, is left alone; so a second run does nothing.
#
#   scripts/images-offline.sh [FOLDER]    FOLDER keeps the root file system; default target/images
#
# Needs root, Docker, and the Debian mirror of this machine's apt sources.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
folder=${1:-target/images}
offline=$PWD/scripts/offline

say() { echo "images-offline: $*"; }
fail() { echo "images-offline: $*" >&2; exit 1; }

# The tag that the files name for a repository, so that it is written down once.
tag() {
  local found
  found=$(sed -nE "s#^(FROM| +image:) ($1:[^ ]+).*#\2#p" Dockerfile.packed docker-compose.yml | sort -u)
  [ "$(wc -l <<<"$found")" = 1 ] && [ -n "$found" ] || fail "no single tag for $1 in the compose file and Dockerfile.packed: $found"
  echo "$found"
}
debian=$(tag debian)
postgres=$(tag postgres)
prometheus=$(tag prom/prometheus)
python=$(tag python)
haproxy=$(tag haproxy)

missing=()
for image in "$debian" "$postgres" "$prometheus" "$python" "$haproxy"; do
  if docker image inspect "$image" >/dev/null 2>&1; then say "$image is there"; else missing+=("$image"); fi
done
[ ${#missing[@]} -gt 0 ] || exit 0

[ "$(id -u)" = 0 ] || fail "only root can make a root file system"
if ! command -v debootstrap >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
fi

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
suite=${debian#debian:}
suite=${suite%-slim}
base=$folder/$suite.tar
work=$(mktemp -d "$folder/work.XXXXXX")
trap 'rm -rf "$work"' EXIT

mirror() {
  apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    awk '$1 == "Debian" && $2 == "Debian" && !found++ { print $3 }'
}

make_base() {
  local from
  from=$(mirror)
  [ -n "$from" ] || { apt-get update -qq && from=$(mirror); }
  [ -n "$from" ] || fail "this machine's apt sources name no Debian mirror"
  say "$suite with debootstrap"
  debootstrap --variant=minbase "$suite" "$work/base" "$from" >"$folder/debootstrap.log" ||
    fail "debootstrap failed: $folder/debootstrap.log"
  # Nothing is started in there, and PostgreSQL's package makes no database of its own.
  printf '#!/bin/sh\nexit 101\n' >"$work/base/usr/sbin/policy-rc.d"
  chmod +x "$work/base/usr/sbin/policy-rc.d"
  mkdir -p "$work/base/etc/postgresql-common"
  echo "create_main_cluster = false" >"$work/base/etc/postgresql-common/createcluster.conf"
  tar -C "$work/base" --numeric-owner -cf "$base.new" .
  mv "$base.new" "$base"
  rm -rf "$work/base"
}
[ -s "$base" ] || make_base

# A copy of the base with these packages in it; prints the version of the first one.
root_with() { # name, package...
  local root=$work/$1
  shift
  mkdir "$root"
  tar -C "$root" --numeric-owner -xf "$base"
  cp /etc/resolv.conf /etc/hosts "$root/etc/"
  if [ $# -gt 0 ]; then
    {
      chroot "$root" apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 chroot "$root" \
          apt-get install -y -qq --no-install-recommends "$@"
    } </dev/null >"$folder/install.log" 2>&1 || fail "installing $* failed: $folder/install.log"
    chroot "$root" dpkg-query -W -f '${Version}\n' "$1"
  fi
  chroot "$root" apt-get clean
  # Nor this machine's names, which the installation needed.
  rm -rf "$root"/var/lib/apt/lists/* "$root/etc/apt/sources.list" "$root"/etc/{resolv.conf,hosts,hostname}
}

# The tag promises a version; a stand-in that holds another one would test something else.
same_version() { # image, version in the tag, version of the package
  [[ "$3" == "$2"* ]] || fail "$1: this mirror has version $3"
}

import() { # name, image, changes...
  local name=$1 image=$2 changes=()
  shift 2
  for change in 'LABEL stand-in="Debian packages"' 'ENV LANG=C.UTF-8' "$@"; do changes+=(--change "$change"); done
  tar -C "$work/$name" --numeric-owner -c . | docker import "${changes[@]}" - "$image" >/dev/null
  rm -rf "${work:?}/$name"
  say "$image made"
}

make() {
  local version
  case $1 in
    "$debian")
      root_with debian
      import debian "$debian" 'CMD ["bash"]'
      ;;
    "$python")
      version=$(root_with python python3-minimal python3)
      same_version "$python" "$(sed -E 's/.*:([0-9.]+).*/\1/' <<<"$python")" "$version"
      import python "$python" 'CMD ["python3"]'
      ;;
    "$haproxy")
      version=$(root_with haproxy haproxy)
      same_version "$haproxy" "$(sed -E 's/.*:([0-9.]+).*/\1/' <<<"$haproxy")" "$version"
      import haproxy "$haproxy" 'USER haproxy' 'CMD ["haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]'
      ;;
    "$postgres")
      local major
      major=$(sed -E 's/.*:([0-9]+).*/\1/' <<<"$postgres")
      version=$(root_with postgres "postgresql-$major")
      install -m 755 "$offline/postgres-entrypoint.sh" "$work/postgres/usr/local/bin/docker-entrypoint.sh"
      import postgres "$postgres" "ENV PATH=/usr/lib/postgresql/$major/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
        'ENV PGDATA=/var/lib/postgresql/data' 'VOLUME /var/lib/postgresql/data' 'EXPOSE 5432' \
        'ENTRYPOINT ["docker-entrypoint.sh"]' 'CMD ["postgres"]'
      ;;
    "$prometheus")
      version=$(root_with prometheus prometheus)
      same_version "$prometheus" "${prometheus##*:v}" "$version"
      install -d -o 65534 -g 65534 "$work/prometheus/prometheus"
      import prometheus "$prometheus" 'USER 65534' 'WORKDIR /prometheus' 'VOLUME /prometheus' 'EXPOSE 9090' \
        'ENTRYPOINT ["prometheus"]' \
        'CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]'
      ;;
  esac
}
for image in "${missing[@]}"; do make "$image"; done
