#include "cli/local_session.h"

#include <utility>

namespace pglite::cli {

void LocalSession::cancel() {
  const std::lock_guard lock(mutex_);
  if (instance_) instance_->cancel();
}

Status LocalSession::replace(const Options& options) {
  std::unique_ptr<Instance> old;
  {
    const std::lock_guard lock(mutex_);
    old = std::exchange(instance_, nullptr);
  }
  Status status = old ? old->close() : Status();
  old.reset();
  if (!status.ok()) return status;
  std::unique_ptr<Instance> opened;
  status = open_(options, &opened);
  const std::lock_guard lock(mutex_);
  instance_ = std::move(opened);
  return status;
}

Status LocalSession::connect(const std::string& database, const std::string& user) {
  if (options_.data_dir == "memory://") {
    return Status::invalid_argument(
        "a database in memory has one session, and is gone with it; use a directory (-D), or "
        "serve");
  }
  Options options = options_;
  options.create = false;
  if (!database.empty()) options.database = database;
  if (!user.empty()) options.username = user;
  Status status = replace(options);
  if (status.ok()) {
    options_ = options;
  } else if (!instance_) {
    static_cast<void>(replace(options_));
  }
  return status;
}

std::string LocalSession::place() const {
  return options_.data_dir == "memory://" ? "in memory" : "in the directory " + options_.data_dir;
}

}  // namespace pglite::cli
