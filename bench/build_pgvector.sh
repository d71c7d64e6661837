#!/bin/sh
# Builds pgvector, of the version that PGlite has, for the native PostgreSQL of tests/sessions/build_postgres.sh, and
# prints that PostgreSQL's directory. Quick when it is there already.
# usage: build_pgvector.sh [SOURCES]        without: those of Debian's source package
set -eu
here=$(cd "$(dirname "$0")" && pwd)
prefix=$("$here/../tests/sessions/build_postgres.sh")
if [ ! -e "$prefix/share/extension/vector.control" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  {
    if [ $# -gt 0 ]; then
      cp -r "$1/." "$work"
    else
      "$here/../scripts/debian_source" pgvector pgvector_0.8.7.orig.tar.gz \
        b028949dce65a39818cf2bccd64c0a2abc68262a2079f598b161de9c82c9510e "$work"
    fi
    # As Debian builds it: not for this machine's processor only.
    make -s -C "$work" PG_CONFIG="$prefix/bin/pg_config" OPTFLAGS= with_llvm=no
    make -s -C "$work" PG_CONFIG="$prefix/bin/pg_config" with_llvm=no install
  } >&2
fi
echo "$prefix"
