// pglite/snapshot.h
#include "pglite/snapshot.h"

#include "os/file.h"
#include "pglite/without_exceptions.h"
#include "postgres/snapshot/snapshot_file.h"

namespace pglite {

namespace {

Status load(const std::string& path, std::shared_ptr<const Snapshot>* out) {
  auto fd = os::open_regular_file(path);
  if (!fd && fd.error().code == std::errc::invalid_argument) {
    return Status::incompatible("\"" + path + "\" is not a snapshot: " + fd.error().reason);
  }
  if (!fd) {
    return Status::io_error("snapshot \"" + path + "\" cannot be read: " + fd.error().reason);
  }
  std::shared_ptr<const postgres::SnapshotFile> snapshot;
  Status status = postgres::SnapshotFile::open(std::move(*fd), path, &snapshot);
  if (status.ok()) *out = std::move(snapshot);
  return status;
}

}  // namespace

Status Snapshot::load(const std::string& path, std::shared_ptr<const Snapshot>* out) {
  return without_exceptions([&] { return pglite::load(path, out); });
}

}  // namespace pglite
