// pglite/repair.h: when a new WAL is the way out, a copy before it, and the proof after it.
#include "pglite/repair.h"

#include <ctime>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "pglite/instance.h"
#include "pglite/without_exceptions.h"
#include "postgres/build/images.h"
#include "postgres/cluster/cluster_copy.h"
#include "postgres/cluster/data_directory.h"
#include "postgres/cluster/start_failure.h"
#include "postgres/cluster/wal_reset.h"
#include "postgres/version.h"
#include "vfs/image.h"
#include "vfs/memory_filesystem.h"

namespace pglite {
namespace {

namespace fs = std::filesystem;
using postgres::ControlFile;
using postgres::DataDirectory;
using postgres::StartFailure;
using postgres::WalReset;

// Opens the directory and closes it.
StartFailure try_open(const Options& options, const std::string& path) {
  std::vector<std::string> lines;
  Options trial;
  trial.data_dir = options.data_dir;
  trial.durability = options.durability;
  trial.settings = options.settings;
  trial.wasm_path = options.wasm_path;
  trial.database = postgres::kTemplateDatabase;  // there as long as CREATE DATABASE is to work
  trial.debug = 1;
  trial.log = [&](int level, std::string_view line) {
    lines.emplace_back(line);
    if (level <= options.debug && options.debug > 0 && options.log) options.log(level, line);
  };
  std::unique_ptr<Instance> instance;
  Status status = Instance::open(trial, &instance);
  if (status.ok()) status = instance->close();
  if (status.ok()) return {};
  StartFailure failure = postgres::explain_start_failure(path, lines, status);
  failure.status = status;
  return failure;
}

Status built_in_control_file(ControlFile* control) {
  vfs::MemoryFileSystem cluster;
  if (!vfs::load_image(postgres::data_directory_image(), cluster, "/")) {
    return Status::engine_gone("the template data directory is damaged");
  }
  return postgres::read_control_file(cluster, "", control);
}

// Beside the directory. `*path` is the copy's.
Status copy_directory(const DataDirectory& directory, std::string* path) {
  std::error_code error;
  const fs::path original = fs::canonical(directory.path(), error);
  if (error) {
    return Status::io_error("data directory \"" + directory.path() +
                            "\" cannot be found: " + error.message());
  }
  std::unique_ptr<vfs::HostFileSystem> parent;
  Status status = directory.open_parent(&parent);
  std::string name;
  if (status.ok()) {
    status =
        postgres::copy_before_repair(*directory.filesystem(), *parent, original.filename().string(),
                                     original.parent_path().string(), ::time(nullptr), &name);
  }
  *path = (original.parent_path() / name).string();
  return status;
}

Status reset(const Options& options, const RepairRequest& request, const ReportSink& report) {
  std::string path;
  Status status = postgres::host_path(options.data_dir, &path);
  if (!status.ok()) return status;
  const vfs::SyncPolicy durability = postgres::sync_policy_of(options.durability);
  std::unique_ptr<DataDirectory> directory;
  status = DataDirectory::open_existing(path, durability, &directory);
  if (!status.ok()) return status;
  if (!request.force && !request.dry_run) {
    directory.reset();
    const StartFailure failure = try_open(options, path);
    using Kind = StartFailure::Kind;
    if (failure.status.ok()) {
      return Status::invalid_argument("data directory \"" + path +
                                      "\" opens: its WAL was not reset (--force does it "
                                      "nevertheless, and loses what only the WAL holds)");
    }
    if (failure.kind == Kind::kOther) return failure.status;
    if (failure.kind != Kind::kWal && failure.kind != Kind::kControlFile) {
      return Status(failure.status.code(),
                    failure.status.message() + "; a new WAL does not mend that");
    }
    report("PostgreSQL does not start: " + failure.reason);
    status = DataDirectory::open_existing(path, durability, &directory);
  }

  ControlFile built_in;
  WalReset plan;
  if (status.ok()) status = built_in_control_file(&built_in);
  if (status.ok()) status = postgres::plan_wal_reset(*directory->filesystem(), built_in, &plan);
  for (const std::string& finding : plan.findings) report(finding);
  if (!status.ok()) return status;
  if (request.dry_run) {
    report("nothing was changed");
    return {};
  }
  if (plan.guessed && !request.force) {
    return Status::incompatible(
        "the values for a new pg_control had to be guessed; nothing was changed (--force takes "
        "them)");
  }

  if (request.copy) {
    std::string copy;
    status = copy_directory(*directory, &copy);
    if (!status.ok()) return status;
    report("the directory as it was is in " + copy);
  }
  status = postgres::apply_wal_reset(*directory->filesystem(), plan);
  if (!status.ok()) return status;
  directory.reset();
  report("the WAL was reset");
  // The first one may only just have come through: what it writes at its end is the second one's
  // beginning.
  for (int i = 0; i < 2; ++i) {
    status = try_open(options, path).status;
    if (!status.ok()) return status;
  }
  report("the directory opens");
  if (plan.was_shut_down) {
    report("it had been shut down before the damage: its files were complete without the WAL");
  } else {
    report(
        "WARNING: the data may be inconsistent. Transactions after the last checkpoint are lost, "
        "or are there in part. Do not go on with this directory: dump it as SQL (pgDump of "
        "@electric-sql/pglite-tools), run the SQL in a new directory, and check what is there.");
  }
  return {};
}

}  // namespace

Status reset_wal(const Options& options, const RepairRequest& request, const ReportSink& report) {
  return without_exceptions([&] { return reset(options, request, report); });
}

}  // namespace pglite
