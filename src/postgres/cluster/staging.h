// How a cluster comes into a data directory: whole or not at all.
//
// It is made in a directory of its own inside the data directory, its staging directory. When it is
// complete and durable, that gets a second name, and what is in it is moved into its place, entry
// by entry, PG_VERSION last. Whoever dies on the way leaves a directory without PG_VERSION, and a
// staging directory of the first name, which the next one removes, or of the second, which the next
// one moves into place. Two kinds of names tell a copy of the template, whose role and database may
// still be to be made, from a cluster of its own.
//
// Everything here works on a file system, so that tests can let each of its calls fail, and cut the
// power behind each. What must be durable before the next step is synced, and a failed sync is a
// failure; a file system with SyncPolicy::kIgnore lets all syncs succeed without a call.
#ifndef PGLITE_POSTGRES_CLUSTER_STAGING_H_
#define PGLITE_POSTGRES_CLUSTER_STAGING_H_

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "pglite/status.h"
#include "postgres/cluster/staged_cluster.h"
#include "vfs/filesystem.h"

namespace pglite::postgres {

// A file that lies at the top of the data directory itself: its first 4 KiB. ENOENT.
// EPERM when it is no file: a link leads elsewhere.
vfs::Result<std::string> read_own_file(vfs::FileSystem& files, std::string_view name);

class Staging {
 public:
  enum class Content { kNothing, kCluster };
  // What a cluster is made from. kTemplate: it is new. kRestore: it was another one.
  enum class Kind { kTemplate, kRestore };
  // Makes the cluster's files; what it returns, make() returns.
  using Fill = std::function<Status(StagedCluster&)>;

  // `files` is rooted at the data directory, which is ours alone, and must outlive this.
  // `shown_path` stands for the directory in messages.
  Staging(vfs::FileSystem& files, std::string shown_path)
      : files_(files), shown_path_(std::move(shown_path)) {}

  // Whether PG_VERSION is there. Changes nothing. kIoError.
  Status find(Content* content);
  // Of a cluster that find() found. kIncompatible: it is another major version's, or another
  // machine's, and what to do.
  [[nodiscard]] Status check_version() const;
  // kIncompatible: a part of the cluster is a link that is not followed, as it leads outside.
  [[nodiscard]] Status check_links() const;
  // Clears away what was interrupted. What was being made is removed; what was being moved into its
  // place is there afterwards, and `*content` says so. `*is_new`: the cluster's role and database
  // have still to be made. kIncompatible: the directory holds something else. kIoError: the next
  // call goes on where this one has failed.
  Status settle(Content* content, bool* is_new);
  // Makes a cluster in the directory, which is empty. It is there, whole and durable, when this
  // returns OK. Otherwise the directory is empty, or the next find() and settle() see to it that it
  // is empty or that the cluster is there. kIncompatible: what a restore gave is no cluster of this
  // version. kIoError: something cannot be made, written or made durable.
  Status make(Kind kind, const Fill& fill);
  // The role and the database are there: a cluster that is_new is so no longer. kIoError.
  Status finish();

 private:
  [[nodiscard]] Status failed(std::string_view what, std::errc error) const;
  // Moves what is in the complete staging directory to its place, PG_VERSION last, and removes it.
  [[nodiscard]] Status move_into_place(const std::string& complete);

  vfs::FileSystem& files_;
  std::string shown_path_;
  std::string version_;  // what PG_VERSION says; empty: it cannot be read
};

// Fills a new cluster with a copy of the template image, with an identity of its own. `unfinished`:
// it stays new, for later opens as well, until Staging::finish(). kEngineGone: the image is
// damaged.
Status fill_from_template(std::span<const std::byte> cluster_image, bool unfinished,
                          StagedCluster& target);

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_CLUSTER_STAGING_H_
