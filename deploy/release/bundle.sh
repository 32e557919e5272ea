#!/usr/bin/env bash
# Makes the signed offline bundle in dist/, from the commit that is checked out. `make bundle` calls it.
#
#   RELEASE_KEY  file of the key to sign with (python -m deploy.release.bundle new-key); without it the bundle is made and not
#                signed, which can be done elsewhere
#   BASE         base image by digest, see docs/how-to/images.md; "none" leaves the images out
#   STORAGE      more options of buildah, for instance --storage-driver=vfs --root=DIR
set -euo pipefail
cd "$(dirname "$0")/../.."
python="${PYTHON:-.venv/bin/python}"
: "${BASE:?name the base image by its digest (docs/how-to/images.md), or BASE=none for a bundle without images}"
case "$BASE" in none | *@sha256:*) ;; *) echo "bundle: BASE is a tag, which may be another image tomorrow; name it by its digest" >&2; exit 1 ;; esac
[ -z "$(git status --porcelain)" ] || { echo "bundle: there are changes that no commit has; commit or remove them" >&2; exit 1; }

version="$("$python" -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')"
out="dist/collegium-$version"
[ ! -e "$out" ] || { echo "bundle: $out is there already; remove it first" >&2; exit 1; }
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

echo "bundle: gathering the wheels (about 300 MB)" >&2
"$python" -m deploy.release.wheelhouse fill "$work/wheelhouse"
options=()
if [ "$BASE" != none ]; then
  mkdir -p "$work/context" "$work/images"
  cp -r deploy/containers/. "$work/context"
  cp -r "$work/wheelhouse" "$work/context/wheelhouse"
  for program in silo aggregator; do
    echo "bundle: building collegium-$program" >&2
    # shellcheck disable=SC2086 # STORAGE is a list of options
    buildah ${STORAGE:-} bud --quiet --isolation chroot --timestamp 0 --format docker --pull=missing \
      --build-arg BASE="$BASE" --build-arg VERSION="$version" --build-arg REVISION="$(git rev-parse HEAD)" \
      --tag "collegium-$program:$version" --file "$work/context/$program.Dockerfile" "$work/context" >&2
    # shellcheck disable=SC2086
    buildah ${STORAGE:-} push --quiet "collegium-$program:$version" \
      "docker-archive:$work/images/collegium-$program.tar:collegium-$program:$version" >&2
  done
  options=(--images "$work/images")
fi
mkdir -p dist
"$python" -m deploy.release.bundle make "$out" --wheelhouse "$work/wheelhouse" "${options[@]}"
if [ -z "${RELEASE_KEY:-}" ]; then
  echo "bundle: $out is not signed; where the key is, run: python -m deploy.release.bundle sign $out --key FILE" >&2
  echo "bundle: and here, with its release.sig: python -m deploy.release.bundle pack $out" >&2
  exit 0
fi
"$python" -m deploy.release.bundle sign "$out" --key "$RELEASE_KEY"
"$python" -m deploy.release.bundle pack "$out"
