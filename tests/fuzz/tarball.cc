// The tar reader, alone and behind gunzip.
#include <algorithm>

#include "tarball/gzip.h"
#include "tarball/tar.h"
#include "target.h"

namespace pglite::fuzz {
namespace {

using tarball::GunzipReader;
using tarball::GzipWriter;
using tarball::TarEntry;
using tarball::TarReader;
using tarball::TarWriter;

constexpr size_t kBlock = 512;
// The first byte of an input says how the rest is read.
constexpr uint8_t kSealed = 1;    // the checksums of headers are made right first
constexpr uint8_t kUnzipped = 2;  // through gunzip: what is plain goes through it as it is
constexpr uint8_t kZipped = 4;    // it is zipped first, so that gunzip finds no fault
constexpr int kPieceShift = 3;    // the other bits: how many bytes the source gives at once

// Puts the right checksum into each header that the reader will see.
void seal(std::string& archive) {
  for (size_t at = 0; at + kBlock <= archive.size();) {
    char* header = archive.data() + at;
    if (std::all_of(header, header + kBlock, [](char c) { return c == '\0'; })) return;
    std::memset(header + 148, ' ', 8);
    unsigned sum = 0;
    for (size_t i = 0; i < kBlock; ++i) sum += static_cast<unsigned char>(header[i]);
    std::snprintf(header + 148, 8, "%06o", sum);
    uint64_t size = 0;
    for (size_t i = 124; i < 136 && header[i] >= '0' && header[i] <= '7'; ++i) {
      size = size << 3 | static_cast<uint64_t>(header[i] - '0');
    }
    at += kBlock + (size + kBlock - 1) / kBlock * kBlock;
  }
}

ByteSource pieces_of(std::string_view bytes, size_t piece) {
  return [bytes, piece](char* buffer, size_t size, size_t* count) mutable -> Status {
    *count = std::min({size, piece, bytes.size()});
    std::memcpy(buffer, bytes.data(), *count);
    bytes.remove_prefix(*count);
    return {};
  };
}

struct Entry {
  TarEntry entry;
  std::string content;
};

void check_name(const TarEntry& entry) {
  if (entry.name.empty()) FUZZ_CHECK(entry.is_directory);
  FUZZ_CHECK(entry.name.size() <= 256);
  for (std::string_view rest = entry.name; !rest.empty();) {
    const size_t slash = rest.find('/');
    const std::string_view component = rest.substr(0, slash);
    FUZZ_CHECK(!component.empty() && component != "." && component != "..");
    FUZZ_CHECK(component.find('\0') == std::string_view::npos);
    if (slash == std::string_view::npos) break;
    rest.remove_prefix(slash + 1);
    FUZZ_CHECK(!rest.empty());
  }
}

Status read_all(const ByteSource& source, std::vector<Entry>* entries) {
  TarReader reader(source);
  while (true) {
    TarEntry entry;
    bool end = false;
    if (Status status = reader.next(&entry, &end); !status.ok()) return status;
    if (end) return {};
    check_name(entry);
    FUZZ_CHECK(entry.mode <= 0777);
    // Some contents are skipped.
    std::string content;
    const bool is_read = entry.mode % 2 == 0;
    while (is_read) {
      char buffer[1000];
      size_t count = 0;
      if (Status status = reader.read(buffer, sizeof buffer, &count); !status.ok()) return status;
      if (count == 0) break;
      content.append(buffer, count);
    }
    if (is_read) FUZZ_CHECK(content.size() == entry.size);
    entries->push_back({entry, std::move(content)});
  }
}

std::string written(const std::vector<Entry>& entries, Status* status) {
  std::string archive;
  TarWriter writer([&](std::string_view bytes) {
    archive += bytes;
    return Status();
  });
  for (const Entry& entry : entries) {
    TarEntry header = entry.entry;
    header.size = entry.content.size();  // 0 where it was skipped
    if (*status = writer.begin(header); !status->ok()) return {};
    if (*status = writer.write(entry.content); !status->ok()) return {};
  }
  *status = writer.finish();
  return archive;
}

std::string zipped(std::string_view bytes) {
  std::string out;
  GzipWriter writer([&](std::string_view piece) {
    out += piece;
    return Status();
  });
  FUZZ_CHECK(writer.write(bytes).ok() && writer.finish().ok());
  return out;
}

}  // namespace

std::vector<std::string> seeds() {
  Status status;
  const std::vector<Entry> entries = {
      {{.name = "", .is_directory = true, .mode = 0700, .size = 0, .mtime = 1}, ""},
      {{.name = "PG_VERSION", .is_directory = false, .mode = 0600, .size = 3, .mtime = 2}, "18\n"},
      {{.name = "base/1", .is_directory = true, .mode = 0700, .size = 0, .mtime = 3}, ""},
      {{.name = "base/1/16384", .is_directory = false, .mode = 0601, .size = 0, .mtime = 4},
       std::string(1025, 'x')},
  };
  const std::string archive = written(entries, &status);
  FUZZ_CHECK(status.ok());
  const std::string gnu = [&] {
    std::string changed = archive;
    for (size_t at = 0; at + kBlock <= changed.size(); at += kBlock) {
      if (changed.compare(at + 257, 5, "ustar") == 0) changed.replace(at + 257, 8, "ustar  \0", 8);
    }
    return changed;
  }();
  const auto with = [](int flags, const std::string& rest) {
    return std::string(1, static_cast<char>(flags)) + rest;
  };
  return {with(0, archive),
          with(kSealed, gnu),
          with(kUnzipped, archive),
          with(kSealed | kZipped, archive),
          with(kUnzipped | 7 << kPieceShift, zipped(archive)),
          with(kSealed, archive.substr(0, kBlock) + std::string(2 * kBlock, '\0'))};
}

}  // namespace pglite::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pglite;
  using namespace pglite::fuzz;
  Input input(data, size);
  const auto how = input.get<uint8_t>();
  std::string archive(input.rest());
  if ((how & kSealed) != 0) seal(archive);
  if ((how & kZipped) != 0) archive = zipped(archive);
  const size_t most = size_t{1} << (how >> kPieceShift & 31);
  const ByteSource plain = pieces_of(archive, most);
  std::vector<Entry> entries;
  Status status;
  if ((how & (kUnzipped | kZipped)) != 0) {
    GunzipReader unzipped(plain);
    status = read_all([&](char* buffer, size_t room,
                          size_t* count) { return unzipped.read(buffer, room, count); },
                      &entries);
  } else {
    status = read_all(plain, &entries);
  }
  FUZZ_CHECK(status.ok() || status.code() == StatusCode::kIncompatible);
  if (!status.ok()) return 0;

  // What was read can be written and read again.
  const std::string again = written(entries, &status);
  if (!status.ok()) return 0;  // a name that is too long for PGlite
  std::vector<Entry> reread;
  FUZZ_CHECK(read_all(pieces_of(again, again.size()), &reread).ok());
  FUZZ_CHECK(reread.size() == entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    FUZZ_CHECK(reread[i].entry.name == entries[i].entry.name);
    FUZZ_CHECK(reread[i].entry.is_directory == entries[i].entry.is_directory);
    FUZZ_CHECK(reread[i].entry.mode == entries[i].entry.mode);
    FUZZ_CHECK(reread[i].content == entries[i].content);
  }
  return 0;
}
