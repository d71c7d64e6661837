#include "postgres/cluster/staging.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <optional>

#include "postgres/cluster/control_file.h"
#include "postgres/cluster/identity.h"
#include "postgres/version.h"
#include "vfs/image.h"
#include "vfs/memory_filesystem.h"
#include "vfs/tree.h"

namespace pglite::postgres {
namespace {

// The two names of the staging directory, by Staging::Kind.
struct Names {
  std::string_view staging;
  std::string_view complete;
};
constexpr std::string_view kTablespaces = "/pg_tblspc";  // links, of a server that made them
constexpr std::array<Names, 2> kNames{
    Names{.staging = names::kTemplateStaging, .complete = names::kTemplateComplete},
    Names{.staging = names::kRestoreStaging, .complete = names::kRestoreComplete}};

std::string at_top(std::string_view name) {
  return vfs::child_path("/", name);
}

vfs::Result<std::vector<vfs::DirectoryEntry>> list(vfs::FileSystem& files, std::string_view path) {
  const auto directory = files.open(path, {.read = true, .directory = true, .no_follow = true}, 0);
  if (!directory) return vfs::error(directory.error());
  return (*directory)->entries();
}

// Nothing where it is no file.
vfs::Result<std::string> read_version(vfs::FileSystem& files, std::string_view name) {
  auto content = read_own_file(files, name);
  if (!content && content.error() == std::errc::operation_not_permitted) return std::string();
  if (content) content->resize(std::min(content->find('\n'), content->size()));
  return content;
}

// The way out for a cluster of another version: only its own PostgreSQL can read it.
Status check_major_version(const std::string& version, const std::string& what) {
  if (version == kMajorVersion) return {};
  const bool readable = !version.empty() && version.size() < 20 &&
                        std::ranges::all_of(version, [](char c) { return c > ' ' && c < 127; });
  if (!readable) {
    return Status::incompatible(what + " has an unreadable version in its " +
                                std::string(names::kVersion) + ", where PostgreSQL " +
                                std::string(kMajorVersion) + " has \"" +
                                std::string(kMajorVersion) + "\": restore a backup");
  }
  const std::string known = version == "16" ? " (0.2)" : version == "17" ? " (0.3 and 0.4)" : "";
  return Status::incompatible(
      what + " was made by PostgreSQL " + version + ", this is PostgreSQL " +
      std::string(kMajorVersion) + ": open it with a PGlite of its own version" + known +
      ", dump it to SQL there (pgDump of @electric-sql/pglite-tools) and run the SQL here, in a " +
      "new directory");
}

// The cluster at `root` may be of the right version, and of a PostgreSQL for another machine. What
// cannot be read of it is PostgreSQL's to report.
Status check_machine(vfs::FileSystem& files, const std::string& root, const std::string& what) {
  ControlFile control;
  if (!read_control_file(files, root, &control).ok() || control.float8_by_value == 0) return {};
  return Status::incompatible(
      what +
      " was made by a native PostgreSQL, whose 64-bit files PGlite's 32-bit PostgreSQL cannot "
      "read: start that server, and run its SQL here in a new directory, as in: pg_dump DATABASE | "
      "pglite-port sql -D NEW");
}

// Whether what an archive made can be opened.
Status check_restored(const StagedCluster& cluster) {
  const std::string name = vfs::child_path(cluster.path(), names::kVersion);
  const auto version = read_version(cluster.files(), name);
  if (!version && version.error() == std::errc::no_such_file_or_directory) {
    return Status::incompatible("the archive is not one of a data directory: it has no " +
                                std::string(names::kVersion));
  }
  if (!version) {
    return Status::io_error("the archive cannot be read: " + std::string(names::kVersion) + ": " +
                            std::make_error_code(version.error()).message());
  }
  Status status = check_major_version(*version, "the archive");
  if (!status.ok()) return status;
  bool shut_down = false;
  status = read_shut_down(cluster.files(), cluster.path(), &shut_down);
  if (status.ok()) return check_machine(cluster.files(), cluster.path(), "the archive's cluster");
  if (status.code() == StatusCode::kIoError) {
    // Missing, or not to be read.
    const auto there =
        cluster.files().metadata(cluster.path() + "/" + std::string(names::kControl), false);
    const bool missing = !there && (there.error() == std::errc::no_such_file_or_directory ||
                                    there.error() == std::errc::not_a_directory);
    if (!missing) return status;
  }
  return Status::incompatible("the archive has no usable cluster: " + status.message());
}

}  // namespace

vfs::Result<std::string> read_own_file(vfs::FileSystem& files, std::string_view name) {
  constexpr auto kNoFile = std::errc::operation_not_permitted;
  const std::string path = name.starts_with('/') ? std::string(name) : at_top(name);
  const auto file = files.open(path, {.read = true, .no_follow = true}, 0);
  if (!file) {
    if (file.error() == std::errc::too_many_symbolic_link_levels) return vfs::error(kNoFile);
    if (file.error() != std::errc::permission_denied) return vfs::error(file.error());
    // What is neither a file nor a directory is not opened at all.
    const auto there = files.metadata(path, false);
    const bool is_other = there && !S_ISREG(there->mode);
    return vfs::error(is_other ? kNoFile : file.error());
  }
  std::string content(4096, '\0');
  const auto size = (*file)->read(std::as_writable_bytes(std::span(content)), 0);
  if (!size) {
    return vfs::error(size.error() == std::errc::is_a_directory ? kNoFile : size.error());
  }
  content.resize(*size);
  return content;
}

Status Staging::failed(std::string_view what, std::errc error) const {
  return Status::io_error("data directory \"" + shown_path_ + "\" " + std::string(what) + ": " +
                          std::make_error_code(error).message());
}

Status Staging::find(Content* content) {
  *content = Content::kNothing;
  auto version = read_version(files_, names::kVersion);
  if (!version && version.error() == std::errc::no_such_file_or_directory) return {};
  if (!version) return failed("cannot be read: " + std::string(names::kVersion), version.error());
  version_ = std::move(*version);
  *content = Content::kCluster;
  return {};
}

Status Staging::check_version() const {
  const std::string what = "data directory \"" + shown_path_ + "\"";
  Status status = check_major_version(version_, what);
  return status.ok() ? check_machine(files_, "", what) : status;
}

// PostgreSQL would say of them that something is missing, and that sounds like damage.
Status Staging::check_links() const {
  const auto is_needed = [](std::string_view name) {
    return name.starts_with("pg_") || name == "base" || name == "global" ||
           name == "postgresql.conf";
  };
  for (const std::string_view directory : {std::string_view("/"), kTablespaces}) {
    const auto entries = list(files_, directory);
    if (!entries) continue;
    for (const vfs::DirectoryEntry& entry : *entries) {
      if (!S_ISLNK(entry.mode) || (directory == "/" && !is_needed(entry.name))) continue;
      const std::string path = vfs::child_path(directory, entry.name);
      if (files_.metadata(path, true)) continue;
      const auto target = files_.read_symbolic_link(path);
      return Status::incompatible(
          "data directory \"" + shown_path_ + "\": its " + path.substr(1) + " is a symbolic link" +
          (target ? " to \"" + *target + "\"" : "") +
          ", and nothing outside of the directory is opened (docs/security.md); put what it leads "
          "to in its place, nothing is damaged");
    }
  }
  return {};
}

Status Staging::settle(Content* content, bool* is_new) {
  if (*content == Content::kCluster) {
    // What is left when the very last step of a move into place was interrupted.
    for (const Names& names : kNames) (void)files_.remove_directory(at_top(names.complete));
    const auto unfinished = files_.metadata(at_top(names::kUnfinished), false);
    if (!unfinished && unfinished.error() != std::errc::no_such_file_or_directory) {
      return failed("cannot be read", unfinished.error());
    }
    *is_new = unfinished.has_value();
    return {};
  }
  const auto entries = list(files_, "/");
  if (!entries) return failed("cannot be read", entries.error());
  const Names* complete = nullptr;
  bool has_other = false;
  for (const vfs::DirectoryEntry& entry : *entries) {
    const auto names = std::ranges::find_if(kNames, [&](const Names& n) {
      return entry.name == n.staging || entry.name == n.complete;
    });
    if (names == kNames.end()) {
      has_other = true;
    } else if (entry.name == names->complete) {
      complete = &*names;
    } else if (const auto removed = vfs::remove_tree(files_, at_top(entry.name)); !removed) {
      return failed("cannot be cleaned", removed.error());
    }
  }
  if (complete != nullptr) {
    // The cluster is there, in two places, and as new as if its move had not been interrupted.
    // Whoever made it may have had another durability.
    if (const auto synced = vfs::make_durable(files_, "/"); !synced) {
      return failed("cannot be made durable", synced.error());
    }
    Status status = move_into_place(at_top(complete->complete));
    if (!status.ok()) return status;
    *content = Content::kCluster;
    *is_new = complete == &kNames[static_cast<size_t>(Kind::kTemplate)];
    return {};
  }
  if (has_other) {
    return Status::incompatible("directory \"" + shown_path_ +
                                "\" is neither empty nor a PostgreSQL data directory: it has no " +
                                std::string(names::kVersion));
  }
  return {};
}

Status Staging::move_into_place(const std::string& complete) {
  const auto entries = list(files_, complete);
  if (!entries) return failed("cannot be filled", entries.error());
  const auto move = [&](std::string_view name) {
    return files_.rename(vfs::child_path(complete, name), at_top(name));
  };
  for (const vfs::DirectoryEntry& entry : *entries) {
    if (entry.name == names::kVersion) continue;
    if (const auto moved = move(entry.name); !moved)
      return failed("cannot be filled", moved.error());
  }
  // With PG_VERSION it counts as a cluster.
  if (const auto synced = vfs::sync_directory(files_, "/"); !synced) {
    return failed("cannot be made durable", synced.error());
  }
  if (const auto moved = move(names::kVersion); !moved) {
    return failed("cannot be filled", moved.error());
  }
  // Where names become durable one by one, the staging directory must not be gone before PG_VERSION
  // is out of it.
  if (const auto synced = vfs::sync_directory(files_, "/"); !synced) {
    return failed("cannot be made durable", synced.error());
  }
  if (const auto removed = files_.remove_directory(complete); !removed) {
    return failed("cannot be filled", removed.error());
  }
  if (const auto synced = vfs::sync_directory(files_, "/"); !synced) {
    return failed("cannot be made durable", synced.error());
  }
  return {};
}

Status Staging::make(Kind kind, const Fill& fill) {
  const Names& names = kNames.at(static_cast<size_t>(kind));
  const std::string staging = at_top(names.staging);
  const std::string complete = at_top(names.complete);
  if (const auto made = files_.make_directory(staging, 0700); !made) {
    return failed("is not writable", made.error());
  }
  StagedCluster cluster(files_, staging, shown_path_);
  Status status = fill(cluster);
  if (status.ok() && kind == Kind::kRestore) status = check_restored(cluster);
  // PostgreSQL syncs what it writes from here on by itself.
  if (status.ok()) {
    const auto synced = vfs::make_durable(files_, staging);
    if (!synced) status = failed("cannot be made durable", synced.error());
  }
  if (status.ok()) {
    const auto renamed = files_.rename(staging, complete);
    if (!renamed) status = failed("cannot be filled", renamed.error());
  }
  if (!status.ok()) {
    (void)vfs::remove_tree(files_, staging);  // or the next one does
    return status;
  }
  // From here on there is no way back: a removal that is interrupted would leave half a cluster
  // that counts as complete.
  if (const auto synced = vfs::sync_directory(files_, "/"); !synced) {
    return failed("cannot be made durable", synced.error());
  }
  return move_into_place(complete);
}

Status Staging::finish() {
  const auto removed = files_.remove_file(at_top(names::kUnfinished));
  if (!removed && removed.error() == std::errc::no_such_file_or_directory) return {};
  if (!removed) return failed("cannot be finished", removed.error());
  const auto synced = vfs::sync_directory(files_, "/");
  return synced ? Status() : failed("cannot be finished", synced.error());
}

Status fill_from_template(std::span<const std::byte> cluster_image, bool unfinished,
                          StagedCluster& target) {
  vfs::MemoryFileSystem cluster;
  if (!vfs::load_image(cluster_image, cluster, "/")) {
    return Status::engine_gone("the template data directory is damaged");
  }
  ClusterIdentity identity;
  Status status = make_identity(&identity);
  if (status.ok()) status = write_identity(cluster, "", identity);
  if (status.ok()) status = copy_tree(cluster, "/", target);
  if (!status.ok() || !unfinished) return status;
  const auto nothing = [](std::span<std::byte>, size_t*) { return Status(); };
  return target.write_file(std::string(names::kUnfinished), 0600, 0, nothing);
}

}  // namespace pglite::postgres
