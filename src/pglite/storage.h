// What lies under a server: the cluster's files, in memory or in a directory that is locked, in the
// tree that the guest sees; and the server log, which comes out of that tree.
#ifndef PGLITE_PGLITE_STORAGE_H_
#define PGLITE_PGLITE_STORAGE_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pglite/extension_files.h"
#include "pglite/options.h"
#include "pglite/status.h"
#include "postgres/cluster/data_directory.h"
#include "postgres/cluster/synced_filesystem.h"
#include "postgres/guest/guest_tree.h"
#include "postgres/guest/log_pipe.h"
#include "postgres/snapshot/snapshot_file.h"

namespace pglite {

class Storage {
 public:
  // `options` must outlive it. Its log is called while a server runs on the tree.
  explicit Storage(const Options& options) : options_(options) {}
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  // Checks the options that are about the server, and opens the data directory, or an empty one in
  // memory. Failures are those of Instance::open.
  Status open();
  // memory://: puts the files of the snapshot into the tree, or the template cluster where it is
  // null. The snapshot must outlive the tree.
  Status load_files(const postgres::SnapshotFile* snapshot);
  // Releases the directory and the files. Nothing of a guest uses them any more.
  void close();

  [[nodiscard]] bool in_memory() const { return in_memory_; }
  // The cluster was just made, or is unfinished. One from a snapshot of the caller's is not new.
  [[nodiscard]] bool is_new() const { return is_new_; }
  // The options name another role or database than every cluster has.
  [[nodiscard]] bool has_own_names() const;
  [[nodiscard]] bool fsync() const { return durability_ == Durability::kFull; }
  [[nodiscard]] postgres::GuestTree& tree() { return tree_; }
  // Whether PostgreSQL is the module that is linked in.
  [[nodiscard]] bool is_module_linked() const { return modules_->is_main_linked(); }
  // Null in memory.
  [[nodiscard]] postgres::DataDirectory* directory() { return directory_.get(); }
  // PostgreSQL's -d.
  [[nodiscard]] int debug_level() const { return options_.debug > 2 ? options_.debug - 2 : 0; }
  // Whether a directory's disk has space for work that nobody waits for: PostgreSQL ends in a PANIC
  // where it cannot write WAL.
  [[nodiscard]] bool has_room() const;
  // The setting shared_preload_libraries that options ask for; empty: they do not.
  [[nodiscard]] std::string preload() const;
  // The settings that a server gets, "name=value".
  [[nodiscard]] std::vector<std::string> settings() const;

  // A server is about to start; explain() looks at what it says from now on.
  void begin_start() { start_log_.clear(); }
  // It has done what it does to recover: `status` of its start, with what it is about if it failed.
  // What it ended with is logged from now on.
  Status end_start(const Status& status);
  // It runs. What it logs from now on is of the level, until closing(): 0 is for everybody.
  void started(int level);
  void closing() { log_level_ = 1; }

  // What the caller's log throws must not unwind through the guest.
  void log(int level, std::string_view line) const;
  void log_server_line(std::string_view line);
  // Until release_last_words(), what PostgreSQL says when it ends (FATAL, PANIC) is kept back:
  // where it is what a status says, it is not said twice.
  void hold_last_words() { holds_last_words_ = true; }
  // Logs what was kept back, unless `status` says it.
  void release_last_words(const Status& status);
  // The last FATAL or PANIC of the server log, from the severity on.
  [[nodiscard]] const std::string* last_fatal() const { return &last_fatal_; }

 private:
  void log_record(const postgres::LogRecord& record);
  void log_text(std::string_view text, int32_t pid);
  // Keeps what is for messages; the level that the line has.
  int note_server_line(std::string_view line);
  [[nodiscard]] bool logs_json() const { return options_.log_format == LogFormat::kJson; }
  // Lays the extensions over PGlite's files.
  Status add_extensions();
  // Finds the main module, and PGlite's files that belong to it.
  Status choose_module();
  Status check_settings() const;

  const Options& options_;
  bool in_memory_ = false;
  bool is_new_ = false;
  Durability durability_ = Durability::kOff;
  std::string last_fatal_;
  bool holds_last_words_ = true;  // from the first start on
  std::string last_words_;        // kept back
  // The server log's first lines while PostgreSQL starts, for the message when it does not.
  bool starting_ = true;
  int log_level_ = 1;     // of the server log
  int32_t json_pid_ = 0;  // the writer of the last record, where that was JSON
  std::vector<std::string> start_log_;
  std::unique_ptr<postgres::DataDirectory> directory_;
  // While PostgreSQL starts, where it recovers.
  std::shared_ptr<postgres::SyncedFileSystem> synced_files_;
  // These outlive the tree.
  std::shared_ptr<wasm::ModuleStore> modules_;
  std::shared_ptr<const ExtensionImage> bundle_;  // of another main module; null: what is linked in
  std::vector<std::shared_ptr<const ExtensionImage>> extensions_;
  postgres::GuestTree tree_;
};

}  // namespace pglite

#endif  // PGLITE_PGLITE_STORAGE_H_
