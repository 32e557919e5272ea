#!/usr/bin/env bash
# Builds both images and has them train together, locked down; prints a table. Root; no engine's daemon; Debian's packages
# buildah podman runc debootstrap iproute2 util-linux. What can be kept between runs (the base, the wheels) lies in
# COLLEGIUM_CONTAINER_CACHE. After it was fetched nothing has a network but loopback.
#
# Exit code 0 with a message where the tools are not there, unless COLLEGIUM_REQUIRE_CONTAINERS=1.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH="$PATH:/usr/sbin:/sbin"
python="${PYTHON:-.venv/bin/python}"
cache="${COLLEGIUM_CONTAINER_CACHE:-$HOME/.cache/collegium-containers}"

refuse() {
  echo "container-test: $1" >&2
  [ "${COLLEGIUM_REQUIRE_CONTAINERS:-0}" = 1 ] && exit 1
  exit 0
}
[ "$(id -u)" = 0 ] || refuse "not run: it needs root, to make a base and a network namespace"
for tool in buildah podman runc debootstrap ip unshare flock; do
  command -v "$tool" >/dev/null || refuse "not run: there is no $tool"
done
unshare -n true 2>/dev/null || refuse "not run: this machine lets nobody make a network namespace"

mkdir -p "$cache"
exec 9>"$cache/lock"
flock -n 9 || { echo "container-test: another run holds $cache" >&2; exit 1; }

# The base of a release is an image named by digest; here it is what Debian's archive gives, checked by its signatures.
if ! [ -e "$cache/base.tar" ]; then
  echo "container-test: making a base of Debian 12 (about 100 MB to fetch)" >&2
  rm -rf --one-file-system "$cache/base"
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$cache/base" >"$cache/base.log" 2>&1 ||
    { tail -3 "$cache/base.log" >&2; refuse "not run: no base could be made, see $cache/base.log"; }
  rm -rf "$cache/base/var/cache/apt" "$cache/base/var/lib/apt/lists" "$cache/base/var/log"
  tar -C "$cache/base" -c --sort=name --mtime=@0 -f "$cache/base.tar.new" .
  mv "$cache/base.tar.new" "$cache/base.tar"
  rm -rf --one-file-system "$cache/base"
fi

rm -rf "$cache/wheelhouse"
if [ -d "$cache/wheels" ]; then export PIP_FIND_LINKS="$cache/wheels ${PIP_FIND_LINKS:-}"; fi
echo "container-test: gathering the wheels" >&2
if ! "$python" -m deploy.release.wheelhouse fill "$cache/wheelhouse" 2>"$cache/wheelhouse.log"; then
  tail -5 "$cache/wheelhouse.log" >&2
  ! grep -q "DO NOT MATCH THE HASHES" "$cache/wheelhouse.log" || { echo "container-test: a wheel is not the locked one" >&2; exit 1; }
  refuse "not run: the wheels could not be fetched, see $cache/wheelhouse.log"
fi
mkdir -p "$cache/wheels"
for wheel in "$cache"/wheelhouse/wheels/*.whl; do
  case "$wheel" in */collegium-*) ;; *) [ -e "$cache/wheels/${wheel##*/}" ] || cp "$wheel" "$cache/wheels/" ;; esac
done

COLLEGIUM_CONTAINER_CACHE="$cache" exec unshare -n bash -c 'ip link set lo up && exec "$@"' sh \
  "$python" -m pytest -q -s -x -n 0 -p no:cacheprovider --timeout 1200 tests/containers "$@"
