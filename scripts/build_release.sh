#!/bin/sh
# Makes release archives: pglite-port-VERSION-TARGET.tar.gz for each target, and SHA256SUMS of all that are there.
#
# usage: build_release.sh [--out DIR] [--program FILE] [--checksums FILE] [--verify] [TARGET...]
#
#   --out DIR         where they go; build/dist
#   --program FILE    pack this program of one target, instead of building it
#   --checksums FILE  also set the lines of what was made in FILE, as in elixir/checksums.txt
#   --verify          build everything a second time, from a clone in another directory and without caches of what was
#                     compiled, and compare the archives byte by byte
#   TARGET            by default all that there are: linux-amd64 and so on, or `native` for that of this machine
#
# An archive is the same bytes whoever builds it: see docs/releasing.md.
set -eu
umask 022

# A new target is a line here, and what its preset needs (CMakePresets.json). The preset builds the program: `release` for
# the machine that this is, which has the first word, others with a toolchain file. The command strips it.
#   target       preset       strip
targets="
    linux-amd64  release      llvm-strip-22
    linux-arm64  linux-arm64  llvm-strip-22
    darwin-amd64 darwin-amd64 llvm-strip-22
    darwin-arm64 darwin-arm64 llvm-strip-22
"

fail() {
  echo "build_release: $1" >&2
  exit "${2:-1}"
}

absolute() {
  case $1 in
    /*) echo "$1" ;;
    *) echo "$PWD/$1" ;;
  esac
}

# row TARGET: its preset and its command, or nothing.
row() {
  echo "$targets" | awk -v target="$1" '$1 == target { print $2, $3 }'
}

this_machine() {
  case $(uname -m) in
    x86_64) machine=amd64 ;;
    aarch64) machine=arm64 ;;
    *) machine=$(uname -m) ;;
  esac
  echo "$(uname -s | tr '[:upper:]' '[:lower:]')-$machine"
}

# sha256 FILE
sha256() {
  sha256sum "$1" | cut -d ' ' -f 1
}

root=$(cd "$(dirname "$0")/.." && pwd)
out=$root/build/dist
program=""
checksums=""
verify=""
wanted=""
while [ $# -gt 0 ]; do
  case $1 in
    --out | --program | --checksums)
      [ $# -ge 2 ] || fail "$1 needs a value" 64
      case $1 in
        --out) out=$(absolute "$2") ;;
        --program) program=$(absolute "$2") ;;
        --checksums) checksums=$(absolute "$2") ;;
      esac
      shift
      ;;
    --verify) verify=1 ;;
    -*) fail "unknown option '$1': --out, --program, --checksums and --verify are known" 64 ;;
    native) wanted="$wanted $(this_machine)" ;;
    *) wanted="$wanted $1" ;;
  esac
  shift
done
wanted=${wanted:-$(echo "$targets" | awk 'NF { print $1 }')}

known=$(echo "$targets" | awk 'NF { printf "%s%s", comma, $1; comma = ", " }')
for target in $wanted; do
  [ -n "$(row "$target")" ] || fail "there is no target '$target' (known: $known); scripts/build_release.sh has the table" 64
done
# shellcheck disable=SC2086  # a list of words
set -- $wanted
[ -z "$program" ] || [ $# -eq 1 ] || fail "--program is for one target, not for $#" 64
[ -z "$program" ] || [ -f "$program" ] || fail "there is no program at $program" 66
[ -z "$program" ] || [ -z "$verify" ] || fail "--verify builds, and --program does not" 64
[ -z "$checksums" ] || [ -f "$checksums" ] || fail "there is no file $checksums" 66
cd "$root"

# None is left out because this machine cannot make it.
for target in $wanted; do
  # shellcheck disable=SC2046  # two words
  set -- $(row "$target")
  [ -n "$program" ] || command -v cmake >/dev/null || fail "there is no cmake: scripts/setup build release"
  command -v "$2" >/dev/null || fail "there is no $2, which $target needs: scripts/setup build release"
done

# What is built must be what the commit says.
if [ -z "$program" ] && [ -n "$(git status --porcelain)" ]; then
  fail "there are changes that are not committed: a release is made of a commit (git status)"
fi

# The Mix compiler asks for archives by the package's version.
version=$(sed -n 's/^project(.* VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
package=$(sed -n 's/^ *@version "\(.*\)"$/\1/p' elixir/mix.exs)
[ -n "$version" ] || fail "CMakeLists.txt has no version"
[ "$version" = "$package" ] || fail "the version is $version in CMakeLists.txt and $package in elixir/mix.exs"
time=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}

# set_lines TARGET PROGRAM ARCHIVE: in the file of checksums, in the place of what is there for that target.
set_lines() {
  awk -v target="$1" '$2 != target "/pglite-port" && $2 !~ "^pglite-port-[0-9.]+-" target "[.]tar[.]gz$"' \
    "$checksums" >"$scratch/checksums"
  echo "$(sha256 "$3")  $(basename "$3")" >>"$scratch/checksums"
  echo "$(sha256 "$2")  $1/pglite-port" >>"$scratch/checksums"
  cat "$scratch/checksums" >"$checksums"
}

# build TARGET PRESET STRIP
build() {
  built=$program
  if [ -z "$built" ]; then
    preset=$2
    if [ "$1" = "$(this_machine)" ]; then
      preset=release
    elif [ "$preset" = release ]; then
      fail "$1 is built on such a machine, not on $(this_machine)"
    fi
    case $preset in
      # Another system's takes its images from this machine's (docs/architecture.md).
      linux-arm64)
        scripts/setup cross-arm64
        scripts/sysroot arm64 build/sysroot/arm64
        cmake --preset release -DBUILD_TESTING=OFF
        cmake --build --preset release --target pglite_images
        ;;
      darwin-*)
        scripts/setup cross-darwin
        scripts/darwin_sysroot "$2"
        cmake --preset release -DBUILD_TESTING=OFF
        cmake --build --preset release --target pglite_images
        ;;
    esac
    cmake --preset "$preset" -DBUILD_TESTING=OFF
    cmake --build --preset "$preset" --target pglite-port
    built=build/$preset/pglite-port
  fi >&2
  name=pglite-port-$version
  archive=$name-$1.tar.gz
  stripped=$scratch/$1/$name/bin/$1/pglite-port
  install -d "$(dirname "$stripped")"
  "$3" -o "$stripped" "$built"
  chmod 755 "$stripped"
  install -m 644 LICENSE THIRD_PARTY_NOTICES.md CHANGELOG.md "$scratch/$1/$name"
  sed "s/@TARGET@/$1/g; s/@VERSION@/$version/g" packaging/README.in >"$scratch/$1/$name/README"
  install -d "$scratch/$1/$name/man" "$scratch/$1/$name/completions"
  install -m 644 docs/man/pglite-port.1 "$scratch/$1/$name/man"
  install -m 644 completions/* "$scratch/$1/$name/completions"
  tar --create --format=ustar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$time" \
    --directory "$scratch/$1" "$name" | gzip -9n >"$scratch/$archive"
  mv "$scratch/$archive" "$out/$archive"
  [ -z "$checksums" ] || set_lines "$1" "$stripped" "$out/$archive"
  echo "$out/$archive"
}

mkdir -p "$out"
# On the same file system: what is there is whole.
scratch=$(mktemp -d "$out/.build.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
for target in $wanted; do
  # shellcheck disable=SC2046  # two words
  build "$target" $(row "$target")
done
(cd "$out" && sha256sum pglite-port-*.tar.gz) >"$scratch/SHA256SUMS"
mv "$scratch/SHA256SUMS" "$out/SHA256SUMS"

[ -n "$verify" ] || exit 0
# Other paths, other caches; the downloads are the same, as they are pinned.
inputs=$(cd "$(python3 aot/fetch.py @electric-sql/pglite)/.." && pwd)
other=$scratch/elsewhere
mkdir -p "$other/cache/pglite-port"
cp -R "$inputs" "$other/cache/pglite-port/inputs"
git clone -q . "$other/checkout"
echo "build_release: building it again in $other/checkout" >&2
# shellcheck disable=SC2086  # a list of words
SOURCE_DATE_EPOCH=$time XDG_CACHE_HOME=$other/cache CCACHE_DISABLE=1 \
  "$other/checkout/scripts/build_release.sh" --out "$other/dist" $wanted
different=""
for target in $wanted; do
  archive=pglite-port-$version-$target.tar.gz
  if cmp "$out/$archive" "$other/dist/$archive"; then
    echo "build_release: $archive is the same bytes again: $(sha256 "$out/$archive")" >&2
  else
    mkdir -p "$out/different"
    mv "$other/dist/$archive" "$out/different/$archive"
    different="$different $archive"
  fi
done
[ -z "$different" ] || fail "not the same bytes when built elsewhere (the others are in $out/different):$different"
