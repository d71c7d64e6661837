// The session of a database in this process, for `sql`.
#ifndef PGLITE_CLI_LOCAL_SESSION_H_
#define PGLITE_CLI_LOCAL_SESSION_H_

#include <pglite/instance.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>

namespace pglite::cli {

class LocalSession {
 public:
  // As Instance::open, with the snapshot loaded.
  using Open = std::function<Status(const Options&, std::unique_ptr<Instance>*)>;
  LocalSession(Open open, Options options) : open_(std::move(open)), options_(std::move(options)) {}

  Status open() { return open_(options_, &instance_); }
  // Null: it is not open.
  [[nodiscard]] Instance* instance() { return instance_.get(); }

  // As Instance::cancel; from any thread, but not from a signal handler.
  void cancel();
  // Opens the directory with another database or role; empty: as before. Where that fails, it is
  // open as before; where not even that is possible, instance() is null.
  Status connect(const std::string& database, const std::string& user);
  // Where the database is, for \conninfo.
  [[nodiscard]] std::string place() const;

 private:
  Status replace(const Options& options);

  Open open_;
  Options options_;
  std::mutex mutex_;  // of who cancels
  std::unique_ptr<Instance> instance_;
};

}  // namespace pglite::cli

#endif  // PGLITE_CLI_LOCAL_SESSION_H_
