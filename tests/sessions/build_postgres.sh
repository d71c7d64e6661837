#!/bin/sh
# Builds PostgreSQL 18.6 from Debian's source package, with contrib and what its test suites need, and prints the
# directory it is in: $XDG_CACHE_HOME/pglite-port/postgres-VERSION-contrib. The sources are in src there. Quick when it
# is there already.
set -eu

version=18.6
package=postgresql-18
sha256=555610c24d53e4316da5b7d3fc25c279d96856d5e0e23ee308c328c5fa881d9f

prefix=${XDG_CACHE_HOME:-$HOME/.cache}/pglite-port/postgres-$version-contrib
if [ -e "$prefix/complete" ]; then
  echo "$prefix"
  exit
fi
exec 3>&1 >&2
rm -rf "$prefix"
"$(dirname "$0")/../../scripts/debian_source" "$package" "${package}_$version.orig.tar.bz2" "$sha256" "$prefix/src"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Configured as the guest is, as far as the suites can tell.
cd "$work"
"$prefix/src/configure" --quiet --prefix="$prefix" --without-readline --with-icu --with-libxml \
  --with-openssl --with-uuid=e2fs \
  CC="${CC:-clang-22}" CFLAGS=-O2
nice make -s -j "${JOBS:-2}" -C src
make -s -C src install
nice make -s -j "${JOBS:-2}" -C contrib
make -s -C contrib install
touch "$prefix/complete"
echo "$prefix" >&3
