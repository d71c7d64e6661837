// pglite/archive.h: a data directory's files to and from a tar file.
#include "pglite/archive.h"

#include <memory>
#include <string>

#include "pglite/instance.h"
#include "pglite/without_exceptions.h"
#include "postgres/cluster/cluster_archive.h"
#include "postgres/cluster/data_directory.h"
#include "postgres/cluster/identity.h"
#include "postgres/version.h"

namespace pglite {
namespace {

using postgres::DataDirectory;

// Takes the directory with a cluster that was shut down.
Status open_at_rest(const Options& options, const std::string& path,
                    std::unique_ptr<DataDirectory>* out) {
  bool recovered = false;
  while (true) {
    Status status =
        DataDirectory::open_existing(path, postgres::sync_policy_of(options.durability), out);
    bool shut_down = false;
    if (status.ok()) status = postgres::read_shut_down(*(*out)->filesystem(), "", &shut_down);
    if (!status.ok() || shut_down) return status;
    out->reset();
    if (recovered) {
      return Status::engine_gone("data directory \"" + path + "\" cannot be shut down cleanly");
    }
    recovered = true;
    Options recovery = options;
    recovery.username = "postgres";                   // the one that every cluster of PGlite's has
    recovery.database = postgres::kTemplateDatabase;  // there as long as CREATE DATABASE is to work
    std::unique_ptr<Instance> instance;
    status = Instance::open(recovery, &instance);
    if (status.ok()) status = instance->close();
    if (!status.ok()) return status;
  }
}

Status dump(const Options& options, Compression compression, const ByteSink& sink) {
  std::string path;
  std::unique_ptr<DataDirectory> directory;
  Status status = postgres::host_path(options.data_dir, &path);
  if (status.ok()) status = open_at_rest(options, path, &directory);
  if (!status.ok()) return status;
  return postgres::write_archive(*directory->filesystem(), "", compression, sink);
}

Status restore(const Options& options, const ByteSource& source) {
  std::string path;
  if (Status status = postgres::host_path(options.data_dir, &path); !status.ok()) return status;
  std::unique_ptr<DataDirectory> directory;
  return DataDirectory::create(
      path, postgres::sync_policy_of(options.durability),
      [&](postgres::StagedCluster& cluster) { return postgres::read_archive(source, cluster); },
      &directory);
}

}  // namespace

Status dump_data_directory(const Options& options, Compression compression, const ByteSink& sink) {
  return without_exceptions([&] { return dump(options, compression, sink); });
}

Status restore_data_directory(const Options& options, const ByteSource& source) {
  return without_exceptions([&] { return restore(options, source); });
}

}  // namespace pglite
