#include "cli/script_format.h"

#include <unistd.h>

#include <array>
#include <string_view>

namespace pglite::cli {
namespace {

using namespace std::string_view_literals;

struct Format {
  size_t offset;
  std::string_view magic;
  const char* what;
  const char* remedy;  // with the file's name behind it
};

constexpr size_t kTarMagic = 257;  // ustar and GNU's, in the first header
constexpr Format kFormats[] = {
    {0, "\x1f\x8b"sv, "compressed (gzip)",
     "unpack it first (an archive of a data directory is for pglite-port restore): gzip -dc "},
    {0, "\x28\xb5\x2f\xfd"sv, "compressed (zstd)", "unpack it first: zstd -dc "},
    {0, "\xfd\x37zXZ\0"sv, "compressed (xz)", "unpack it first: xz -dc "},
    {0, "BZh"sv, "compressed (bzip2)", "unpack it first: bzip2 -dc "},
    {0, "PGDMP"sv, "in pg_dump's custom format", "make SQL of it first: pg_restore -f - "},
    {kTarMagic, "ustar"sv, "a tar archive",
     "one of a data directory is for pglite-port restore, one of pg_dump's for pg_restore -f - "},
    {0, "\xff\xfe"sv, "UTF-16", "SQL is read as UTF-8: iconv -f UTF-16 -t UTF-8 "},
    {0, "\xfe\xff"sv, "UTF-16", "SQL is read as UTF-8: iconv -f UTF-16 -t UTF-8 "},
};

}  // namespace

Status check_script(int fd, const std::string& name) {
  std::array<char, 512> begin{};
  const ssize_t size = ::pread(fd, begin.data(), begin.size(), 0);
  if (size <= 0) return {};
  const std::string_view bytes(begin.data(), static_cast<size_t>(size));
  for (const Format& format : kFormats) {
    if (bytes.size() < format.offset || !bytes.substr(format.offset).starts_with(format.magic)) {
      continue;
    }
    return Status::incompatible(name + " is no SQL script, but " + format.what + "; " +
                                format.remedy + name);
  }
  return {};
}

}  // namespace pglite::cli
