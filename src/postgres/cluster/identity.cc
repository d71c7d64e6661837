#include "postgres/cluster/identity.h"

#include <cstring>
#include <span>

#include "os/clock.h"
#include "os/random.h"
#include "postgres/cluster/control_file.h"

namespace pglite::postgres {

namespace {

// XLogLongPageHeaderData: magic, info, tli, pageaddr, rem_len, then the system identifier.
constexpr size_t kWalInfoOffset = 2;
constexpr uint16_t kWalLongHeader = 2;
constexpr size_t kWalIdentifierOffset = 24;

}  // namespace

Status make_identity(ClusterIdentity* identity) {
  struct {
    uint32_t low;
    std::array<std::byte, 32> nonce;
  } random{};
  if (const auto filled = os::fill_random(std::as_writable_bytes(std::span(&random, 1))); !filled) {
    return Status::io_error("the system gives no random bytes, which a cluster's identity needs: " +
                            std::make_error_code(filled.error()).message());
  }
  identity->system_identifier = static_cast<uint64_t>(os::wall_clock().tv_sec) << 32 | random.low;
  identity->nonce = random.nonce;
  return {};
}

Status read_identity(vfs::FileSystem& filesystem, std::string_view data_directory,
                     ClusterIdentity* identity) {
  ControlFile control;
  Status status = read_control_file(filesystem, data_directory, &control);
  if (status.ok()) *identity = {control.system_identifier, control.nonce};
  return status;
}

Status read_shut_down(vfs::FileSystem& filesystem, std::string_view data_directory,
                      bool* shut_down) {
  ControlFile control;
  Status status = read_control_file(filesystem, data_directory, &control);
  if (status.ok()) *shut_down = control.state == ControlFile::kShutDown;
  return status;
}

Status write_identity(vfs::FileSystem& filesystem, std::string_view data_directory,
                      const ClusterIdentity& identity) {
  ControlFile control;
  Status status = read_control_file(filesystem, data_directory, &control);
  if (!status.ok()) return status;
  const uint64_t old_identifier = control.system_identifier;
  control.system_identifier = identity.system_identifier;
  control.nonce = identity.nonce;
  const auto failed = [&](std::string_view what, std::errc error) {
    return Status::io_error(std::string(what) + ": " + std::make_error_code(error).message());
  };
  auto file = filesystem.open(std::string(data_directory) + "/" + std::string(names::kControl),
                              {.write = true}, 0);
  if (!file) return failed("pg_control", file.error());
  // What is behind the structure is zeros and stays where it is.
  const auto bytes = encode(control);
  if (auto written = (*file)->write(std::span(bytes).first(sizeof control), 0); !written) {
    return failed("pg_control", written.error());
  }

  const std::string wal = std::string(data_directory) + "/" + std::string(names::kWal);
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
