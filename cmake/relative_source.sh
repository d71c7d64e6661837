#!/bin/sh
# Runs a compiler with the source's path relative to the directory that it works in: the names of static functions in the
# profile (aot/pgo) begin with that path, and ThinLTO takes it into what it calculates. So it must not depend on where the
# checkout is.
#
# usage: relative_source.sh BUILD_DIRECTORY SOURCE_DIRECTORY WAY COMMAND...   WAY leads from the first to the second: ../../
set -eu
build=$1
source=$2
up=${3%/}/
shift 3
count=$#
while [ "$count" -gt 0 ]; do
  argument=$1
  shift
  case $argument in
    "$build"/*.c | "$build"/*.cc) argument=${argument#"$build"/} ;;
    "$source"/*.c | "$source"/*.cc) argument=$up${argument#"$source"/} ;;
  esac
  set -- "$@" "$argument"
  count=$((count - 1))
done
exec "$@"
