#!/bin/sh
# Makes a Debian package of each release archive of Linux that is named, beside it, and prints its name.
#
# usage: build_deb.sh ARCHIVE...     build/dist/pglite-port-VERSION-linux-amd64.tar.gz and the like
#
# The same archive makes the same bytes. The package depends on nothing: the program is linked statically.
set -eu
umask 022

revision=1
maintainer=maintainers@pglite-port.example

fail() {
  echo "build_deb: $1" >&2
  exit "${2:-1}"
}

root=$(cd "$(dirname "$0")/.." && pwd)
[ $# -gt 0 ] || fail "name a release archive of scripts/build_release.sh" 64
command -v dpkg-deb >/dev/null || fail "there is no dpkg-deb: this is no Debian system" 69

# place FILE MODE DESTINATION
place() {
  install -D -m "$2" "$1" "$tree/$3"
}

# fill FILE: a file of packaging/debian with what differs from one package to another
fill() {
  sed "s/@VERSION@/$version-$revision/; s/@UPSTREAM@/$version/; s/@ARCHITECTURE@/$architecture/
    s/@MAINTAINER@/$maintainer/; s/@SIZE@/$size/; s/@DATE@/$date/" "$root/packaging/debian/$1"
}

# build ARCHIVE
build() {
  name=$(basename "$1" .tar.gz)
  target=linux-${name##*-linux-}
  version=${name#pglite-port-}
  version=${version%-"$target"}
  architecture=${target#linux-}
  [ "$name" = "pglite-port-$version-$target" ] && [ -f "$1" ] || fail "$1 is no release archive for Linux" 66
  tar -xzf "$1" -C "$scratch"
  source=$scratch/pglite-port-$version
  tree=$scratch/$name.deb
  share=usr/share

  place "$source/bin/$target/pglite-port" 755 usr/bin/pglite-port
  place "$source/man/pglite-port.1" 644 $share/man/man1/pglite-port.1
  place "$source/completions/pglite-port.bash" 644 $share/bash-completion/completions/pglite-port
  place "$source/completions/_pglite-port" 644 $share/zsh/vendor-completions/_pglite-port
  place "$source/completions/pglite-port.fish" 644 $share/fish/vendor_completions.d/pglite-port.fish
  place "$source/CHANGELOG.md" 644 $share/doc/pglite-port/changelog
  place "$root/packaging/debian/lintian-overrides" 644 $share/lintian/overrides/pglite-port

  time=$(stat -c %Y "$source/CHANGELOG.md")
  date=$(date -u -R -d "@$time")
  size=$(du -k -s --apparent-size "$tree" | cut -f 1)
  cat "$root/packaging/debian/copyright.in" "$source/THIRD_PARTY_NOTICES.md" >"$tree/$share/doc/pglite-port/copyright"
  fill changelog.in >"$tree/$share/doc/pglite-port/changelog.Debian"
  gzip -9n "$tree/$share/man/man1/pglite-port.1" "$tree/$share/doc/pglite-port/changelog" \
    "$tree/$share/doc/pglite-port/changelog.Debian"
  install -d "$tree/DEBIAN"
  fill control.in >"$tree/DEBIAN/control"
  (cd "$tree" && find usr -type f -exec md5sum {} + | LC_ALL=C sort -k 2) >"$tree/DEBIAN/md5sums"

  package=$(dirname "$1")/pglite-port_$version-${revision}_$architecture.deb
  SOURCE_DATE_EPOCH=$time dpkg-deb --root-owner-group -Zxz --threads-max=1 --build "$tree" "$scratch/package" >/dev/null
  mv "$scratch/package" "$package"
  echo "$package"
}

for archive in "$@"; do
  # On the same file system: a package that is there is whole.
  scratch=$(mktemp -d "$(dirname "$archive")/.deb.XXXXXX") || fail "$archive is no release archive" 66
  trap 'rm -rf "$scratch"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  build "$archive"
  rm -rf "$scratch"
done
