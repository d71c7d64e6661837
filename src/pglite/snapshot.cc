// pglite/snapshot.h
#include "pglite/snapshot.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>

#include "postgres/snapshot/snapshot_file.h"

namespace pglite {

Status Snapshot::load(const std::string& path, std::shared_ptr<const Snapshot>* out) {
  os::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    return Status::io_error("snapshot \"" + path + "\" cannot be read: " + std::strerror(errno));
  }
  std::shared_ptr<const postgres::SnapshotFile> snapshot;
  Status status = postgres::SnapshotFile::open(std::move(fd), path, &snapshot);
  if (status.ok()) *out = std::move(snapshot);
  return status;
}

}  // namespace pglite
