#include "postgres/identity.h"

#include <sys/random.h>

#include <boost/crc.hpp>
#include <cstring>
#include <ctime>
#include <memory>
#include <span>

namespace pglite::postgres {

namespace {

// struct ControlFileData of PostgreSQL 18 as PGlite lays it out. The checksum covers all before it.
constexpr uint32_t kControlVersion = 1800;
constexpr size_t kControlVersionOffset = 8;
constexpr size_t kStateOffset = 16;
constexpr uint32_t kShutDown = 1;  // DB_SHUTDOWNED
constexpr size_t kNonceOffset = 257;
constexpr size_t kCrcOffset = 292;
constexpr size_t kControlSize = 296;
// XLogLongPageHeaderData: magic, info, tli, pageaddr, rem_len, then the system identifier.
constexpr size_t kWalInfoOffset = 2;
constexpr uint16_t kWalLongHeader = 2;
constexpr size_t kWalIdentifierOffset = 24;

uint32_t crc32c_of(std::span<const std::byte> bytes) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(bytes.data(), bytes.size());
  return static_cast<uint32_t>(crc.checksum());
}

void fill_random(void* target, size_t size) {
  auto* bytes = static_cast<std::byte*>(target);
  while (size > 0) {
    const ssize_t count = getrandom(bytes, size, 0);
    if (count <= 0) continue;
    bytes += count;
    size -= static_cast<size_t>(count);
  }
}

struct ControlFile {
  std::unique_ptr<vfs::File> file;
  std::array<std::byte, kControlSize> bytes{};
};

Status open_control_file(vfs::FileSystem& filesystem, std::string_view data_directory, bool write,
                         ControlFile* control) {
  const std::string path = std::string(data_directory) + "/global/pg_control";
  auto file = filesystem.open(path, {.read = true, .write = write}, 0);
  if (!file) {
    return Status::io_error(path + ": " + std::make_error_code(file.error()).message());
  }
  control->file = std::move(*file);
  const auto size = control->file->read(control->bytes, 0);
  if (!size || *size != kControlSize) return Status::incompatible(path + " is too short");
  uint32_t version = 0;
  std::memcpy(&version, control->bytes.data() + kControlVersionOffset, sizeof version);
  if (version != kControlVersion) {
    return Status::incompatible(path + " has version " + std::to_string(version) + ", not " +
                                std::to_string(kControlVersion));
  }
  uint32_t stored = 0;
  std::memcpy(&stored, control->bytes.data() + kCrcOffset, sizeof stored);
  if (stored == crc32c_of(std::span(control->bytes).first(kCrcOffset))) return {};
  return Status::incompatible(path + " is damaged: its checksum is wrong");
}

}  // namespace

ClusterIdentity make_identity() {
  ClusterIdentity identity;
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  uint32_t random = 0;
  fill_random(&random, sizeof random);
  identity.system_identifier = static_cast<uint64_t>(now.tv_sec) << 32 | (random & UINT32_MAX);
  fill_random(identity.nonce.data(), identity.nonce.size());
  return identity;
}

Status read_identity(vfs::FileSystem& filesystem, std::string_view data_directory,
                     ClusterIdentity* identity) {
  ControlFile control;
  Status status = open_control_file(filesystem, data_directory, false, &control);
  if (!status.ok()) return status;
  std::memcpy(&identity->system_identifier, control.bytes.data(), 8);
  std::memcpy(identity->nonce.data(), control.bytes.data() + kNonceOffset, identity->nonce.size());
  return {};
}

Status read_shut_down(vfs::FileSystem& filesystem, std::string_view data_directory,
                      bool* shut_down) {
  ControlFile control;
  Status status = open_control_file(filesystem, data_directory, false, &control);
  if (!status.ok()) return status;
  uint32_t state = 0;
  std::memcpy(&state, control.bytes.data() + kStateOffset, sizeof state);
  *shut_down = state == kShutDown;
  return {};
}

Status write_identity(vfs::FileSystem& filesystem, std::string_view data_directory,
                      const ClusterIdentity& identity) {
  ControlFile control;
  Status status = open_control_file(filesystem, data_directory, true, &control);
  if (!status.ok()) return status;
  uint64_t old_identifier = 0;
  std::memcpy(&old_identifier, control.bytes.data(), 8);
  std::memcpy(control.bytes.data(), &identity.system_identifier, 8);
  std::memcpy(control.bytes.data() + kNonceOffset, identity.nonce.data(), identity.nonce.size());
  const uint32_t crc = crc32c_of(std::span(control.bytes).first(kCrcOffset));
  std::memcpy(control.bytes.data() + kCrcOffset, &crc, sizeof crc);
  const auto failed = [&](std::string_view what, std::errc error) {
    return Status::io_error(std::string(what) + ": " + std::make_error_code(error).message());
  };
  if (auto written = control.file->write(control.bytes, 0); !written) {
    return failed("pg_control", written.error());
  }

  const std::string wal = std::string(data_directory) + "/pg_wal";
  auto directory = filesystem.open(wal, {.read = true, .directory = true}, 0);
  if (!directory) return failed("pg_wal", directory.error());
  const auto entries = (*directory)->entries();
  if (!entries) return failed("pg_wal", entries.error());
  for (const vfs::DirectoryEntry& entry : *entries) {
    if (entry.name.size() != 24) continue;  // segments are named by 24 hex digits
    auto segment = filesystem.open(wal + "/" + entry.name, {.read = true, .write = true}, 0);
    if (!segment) return failed(entry.name, segment.error());
    std::array<std::byte, kWalIdentifierOffset + 8> header{};
    const auto size = (*segment)->read(header, 0);
    uint16_t info = 0;
    uint64_t identifier = 0;
    std::memcpy(&info, header.data() + kWalInfoOffset, sizeof info);
    std::memcpy(&identifier, header.data() + kWalIdentifierOffset, sizeof identifier);
    if (!size || *size != header.size() || !(info & kWalLongHeader) ||
        identifier != old_identifier) {
      continue;  // allocated, not yet written
    }
    const auto written = (*segment)->write(std::as_bytes(std::span(&identity.system_identifier, 1)),
                                           kWalIdentifierOffset);
    if (!written) return failed(entry.name, written.error());
  }
  return {};
}

}  // namespace pglite::postgres
