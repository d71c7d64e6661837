#include "postgres/cluster/cluster_copy.h"

#include <ctime>
#include <string_view>
#include <system_error>

#include "postgres/cluster/staged_cluster.h"
#include "vfs/tree.h"

namespace pglite::postgres {
namespace {

constexpr std::string_view kCopy = ".before-repair-";
constexpr std::string_view kPartial = ".partial";

std::string time_stamp(std::time_t now) {
  std::tm parts{};
  char text[32] = "";
  (void)std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &parts));
  return text;
}

// What killed repairs of ours left: who holds the directory's lock makes no other copy of it. What
// cannot be removed is in nobody's way.
void remove_partial_copies(vfs::FileSystem& parent, const std::string& prefix) {
  const auto directory = parent.open("/", {.read = true, .directory = true}, 0);
  if (!directory) return;
  const auto entries = (*directory)->entries();
  if (!entries) return;
  for (const vfs::DirectoryEntry& entry : *entries) {
    if (!entry.name.starts_with(prefix) || !entry.name.ends_with(kPartial)) continue;
    (void)vfs::remove_tree(parent, vfs::child_path("/", entry.name));
  }
}

// Gives the partial copy its name.
vfs::Result<void> complete(vfs::FileSystem& parent, const std::string& partial,
                           const std::string& final) {
  if (auto synced = vfs::make_durable(parent, partial); !synced) return synced;
  if (auto renamed = parent.rename(partial, final); !renamed) return renamed;
  auto synced = vfs::sync_directory(parent, "/");
  // Not under a name that says that it is whole.
  if (!synced) (void)parent.rename(final, partial);
  return synced;
}

}  // namespace

Status copy_before_repair(vfs::FileSystem& source, vfs::FileSystem& parent, const std::string& name,
                          const std::string& shown_parent, std::time_t now, std::string* copy) {
  const std::string prefix = name + std::string(kCopy);
  remove_partial_copies(parent, prefix);
  *copy = prefix + time_stamp(now);
  const std::string final = vfs::child_path("/", *copy);
  const std::string partial = final + std::string(kPartial);
  const std::string shown = vfs::child_path(shown_parent, *copy);
  const auto failed = [&](std::errc error) {
    return Status::io_error("the directory cannot be copied to \"" + shown +
                            "\": " + std::make_error_code(error).message() +
                            "; nothing was changed (--no-copy does without a copy)");
  };
  const auto taken = parent.metadata(final, false);
  if (taken) return failed(std::errc::file_exists);
  if (taken.error() != std::errc::no_such_file_or_directory) return failed(taken.error());
  if (const auto made = parent.make_directory(partial, 0700); !made) return failed(made.error());
  StagedCluster target(parent, partial, shown);
  Status status = copy_tree(source, "/", target);
  if (status.ok()) {
    const auto completed = complete(parent, partial, final);
    if (!completed) status = failed(completed.error());
  } else {
    status = Status(status.code(), status.message() +
                                       "; the directory was not copied and nothing changed "
                                       "(--no-copy does without a copy)");
  }
  if (!status.ok()) (void)vfs::remove_tree(parent, partial);
  return status;
}

}  // namespace pglite::postgres
