// pglite/repair.h: when a new WAL is the way out, a copy before it, and the proof after it.
#include "pglite/repair.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "os/unique_fd.h"
#include "pglite/instance.h"
#include "pglite/without_exceptions.h"
#include "postgres/build/images.h"
#include "postgres/cluster/data_directory.h"
#include "postgres/cluster/staged_cluster.h"
#include "postgres/cluster/start_failure.h"
#include "postgres/cluster/wal_reset.h"
#include "vfs/image.h"
#include "vfs/memory_filesystem.h"

namespace pglite {
namespace {

namespace fs = std::filesystem;
using postgres::ControlFile;
using postgres::DataDirectory;
using postgres::StartFailure;
using postgres::WalReset;

constexpr std::string_view kCopy = ".before-repair-";
constexpr std::string_view kPartial = ".partial";

// Opens the directory and closes it.
StartFailure try_open(const Options& options, const std::string& path) {
  std::vector<std::string> lines;
  Options trial;
  trial.data_dir = options.data_dir;
  trial.durability = options.durability;
  trial.settings = options.settings;
  trial.wasm_path = options.wasm_path;
  trial.database = "template1";  // there as long as CREATE DATABASE is to work
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

Status copy_failed(const fs::path& copy, int error) {
  return Status::io_error("the directory cannot be copied to \"" + copy.string() +
                          "\": " + std::strerror(error) +
                          "; nothing was changed (--no-copy does without a copy)");
}

// Beside the directory, under its final name when it is complete and (kSync) on disk.
Status copy_directory(const DataDirectory& directory, vfs::SyncPolicy durability,
                      std::string* name) {
  const fs::path original = fs::canonical(directory.path());
  const std::string prefix = original.filename().string() + std::string(kCopy);
  // What killed repairs of ours left: who holds the directory's lock makes no other copy of it.
  std::error_code error;
  std::vector<fs::path> left;
  for (fs::directory_iterator at(original.parent_path(), error), end; !error && at != end;
       at.increment(error)) {
    const std::string entry = at->path().filename().string();
    if (entry.starts_with(prefix) && entry.ends_with(kPartial)) left.push_back(at->path());
  }
  for (const fs::path& path : left) fs::remove_all(path, error);

  const time_t now = ::time(nullptr);
  std::tm parts{};
  char text[32] = "";
  (void)std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &parts));
  const fs::path copy = original.parent_path() / (prefix + text);
  const fs::path partial = copy.string() + std::string(kPartial);
  if (fs::exists(copy, error)) return copy_failed(copy, EEXIST);
  if (mkdir(partial.c_str(), 0700) != 0) return copy_failed(copy, errno);
  postgres::StagedCluster target(partial.string(), copy.string());
  Status status = postgres::copy_tree(*directory.filesystem(), "/", target);
  if (status.ok()) {
    const os::UniqueFd fd(::open(partial.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const os::UniqueFd parent(
        ::open(original.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const bool sync = durability == vfs::SyncPolicy::kSync;
    const bool moved = fd && parent && (!sync || syncfs(fd.get()) == 0) &&
                       ::rename(partial.c_str(), copy.c_str()) == 0 &&
                       (!sync || fsync(parent.get()) == 0);
    if (!moved) status = copy_failed(copy, errno);
  } else {
    status = Status(status.code(), status.message() +
                                       "; the directory was not copied and nothing changed "
                                       "(--no-copy does without a copy)");
  }
  if (!status.ok()) fs::remove_all(partial, error);
  *name = copy.string();
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
    status = copy_directory(*directory, durability, &copy);
    if (!status.ok()) return status;
    report("the directory as it was is in " + copy);
  }
  status = postgres::apply_wal_reset(*directory->filesystem(), plan);
  if (!status.ok()) return status;
  directory.reset();
  report("the WAL was reset");
  status = try_open(options, path).status;
  if (!status.ok()) return status;
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
