// A memory:// database, kept to start copies from: "migrate once, then a fresh database for each
// test".
//
//   std::shared_ptr<const pglite::Snapshot> snapshot;
//   status = instance->snapshot(&snapshot);       // or pglite::Snapshot::load(path, &snapshot)
//   options.snapshot = snapshot;
//   status = pglite::Instance::open(options, &copy);  // milliseconds, as often as you like
//
// There are two kinds, and both start an Instance and a Cluster. Instance::snapshot keeps the
// session too: an instance goes on from it, a cluster has its files. Cluster::close_and_keep keeps
// files only: an instance boots on them, so that it may have settings and any of their databases.
//
// Copies share the pages that they do not write. Each is a cluster of its own: system identifier,
// random state and start times are fresh.
#ifndef PGLITE_SNAPSHOT_H_
#define PGLITE_SNAPSHOT_H_

#include <pglite/status.h>

#include <memory>
#include <string>

namespace pglite {

// Immutable, and safe to use from several threads at once.
class Snapshot {
 public:
  virtual ~Snapshot() = default;
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  // Writes it to a file, which appears complete or not at all.
  virtual Status save(const std::string& path) const = 0;
  // kIoError: the file cannot be read. kIncompatible: it is no snapshot, it is damaged, or another
  // build of pglite-port made it: a snapshot fits the builds of one state of the sources. The file
  // must not be changed while the snapshot or a copy started from it is in use; replacing or
  // removing it is fine.
  static Status load(const std::string& path, std::shared_ptr<const Snapshot>* out);

 protected:
  Snapshot() = default;
};

}  // namespace pglite

#endif  // PGLITE_SNAPSHOT_H_
