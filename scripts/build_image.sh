#!/bin/sh
# Makes a container image of a release archive of Linux: Containerfile, with buildah, podman or docker, whichever is there.
#
# usage: build_image.sh ARCHIVE [NAME]     NAME: by default pglite-port:VERSION
#        build_image.sh --context DIR ARCHIVE     only the directory that it is built in
set -eu
umask 022

fail() {
  echo "build_image: $1" >&2
  exit "${2:-1}"
}

root=$(cd "$(dirname "$0")/.." && pwd)
context=""
if [ "${1:-}" = --context ]; then
  [ $# -eq 3 ] || fail "--context needs a directory and an archive" 64
  context=$2
  shift 2
fi
[ $# -ge 1 ] && [ $# -le 2 ] || fail "name a release archive of scripts/build_release.sh" 64
[ -f "$1" ] || fail "there is no archive $1" 66
name=$(basename "$1" .tar.gz)
target=linux-${name##*-linux-}
version=${name#pglite-port-}
version=${version%-"$target"}
[ "$name" = "pglite-port-$version-$target" ] || fail "$1 is no release archive for Linux" 66

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if [ -n "$context" ]; then
  mkdir "$context" || fail "$context must be a new directory" 73
else
  context=$scratch/context
  mkdir "$context"
fi
tar -xzf "$1" -C "$scratch"
source=$scratch/pglite-port-$version
install -D -m 755 "$source/bin/$target/pglite-port" "$context/root/bin/pglite-port"
install -D -m 644 -t "$context/root/usr/share/doc/pglite-port" "$source/LICENSE" "$source/THIRD_PARTY_NOTICES.md"
install -d "$context/root/etc"
echo 'pglite:x:65532:65532::/data:/bin/pglite-port' >"$context/root/etc/passwd"
echo 'pglite:x:65532:' >"$context/root/etc/group"
install -d -m 1777 "$context/root/tmp"
install -d -m 700 "$context/data"
cp "$root/Containerfile" "$context"
[ "$context" = "$scratch/context" ] || exit 0

image=${2:-pglite-port:$version}
# The program's processor and not this machine's; the time of the archive, so that the same archive makes the same image.
time=$(stat -c %Y "$source/LICENSE")
platform=linux/${target#linux-}
if command -v buildah >/dev/null; then
  buildah bud --quiet --platform "$platform" --timestamp "$time" --tag "$image" "$context"
elif command -v podman >/dev/null; then
  podman build --quiet --platform "$platform" --timestamp "$time" --tag "$image" "$context"
elif command -v docker >/dev/null; then
  docker build --quiet --platform "$platform" --file "$context/Containerfile" --tag "$image" "$context"
else
  fail "there is no buildah, podman or docker" 69
fi
