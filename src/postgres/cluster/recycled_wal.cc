#include "postgres/cluster/recycled_wal.h"

#include <cstdio>
#include <string>
#include <system_error>

#include "postgres/cluster/control_file.h"

namespace pglite::postgres {

namespace {

std::string segment_name(uint32_t timeline, uint64_t segment, uint32_t segment_size) {
  const uint64_t per_high = (uint64_t{1} << 32) / segment_size;
  char name[kWalSegmentNameSize + 1];
  std::snprintf(name, sizeof name, "%08X%08X%08X", timeline,
                static_cast<uint32_t>(segment / per_high),
                static_cast<uint32_t>(segment % per_high));
  return name;
}

}  // namespace

Status remove_recycled_wal(vfs::FileSystem& filesystem, std::string_view data_directory) {
  ControlFile control;
  Status status = read_control_file(filesystem, data_directory, &control);
  if (!status.ok()) return status;
  if (control.wal_segment_size == 0) return Status::incompatible("pg_control has no segment size");
  // The record of the checkpoint is shorter than a page.
  const uint64_t end = control.checkpoint + kWalBlockSize;
  const std::string last = segment_name(control.checkpoint_copy.timeline,
                                        end / control.wal_segment_size, control.wal_segment_size);
  const std::string wal = std::string(data_directory) + "/" + std::string(names::kWal);
  const auto failed = [&](std::errc error) {
    return Status::io_error(wal + ": " + std::make_error_code(error).message());
  };
  auto directory = filesystem.open(wal, {.read = true, .directory = true}, 0);
  if (!directory) return failed(directory.error());
  const auto entries = (*directory)->entries();
  if (!entries) return failed(entries.error());
  for (const vfs::DirectoryEntry& entry : *entries) {
    const bool is_segment = entry.name.size() == last.size() &&
                            entry.name.find_first_not_of("0123456789ABCDEF") == std::string::npos;
    if (!is_segment || entry.name <= last) continue;
    if (auto removed = filesystem.remove_file(wal + "/" + entry.name); !removed) {
      return failed(removed.error());
    }
  }
  return {};
}

}  // namespace pglite::postgres
