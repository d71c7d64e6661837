// A PostgreSQL over a data directory that a test gives, and a child process to try things in.
#ifndef PGLITE_TESTS_DURABILITY_SERVER_H_
#define PGLITE_TESTS_DURABILITY_SERVER_H_

#include <functional>
#include <memory>
#include <string>

#include "postgres/guest/backend.h"
#include "vfs/memory_filesystem.h"

namespace pglite::durability {

// The template data directory at the root of a file system of its own.
std::shared_ptr<vfs::MemoryFileSystem> make_data_directory();

// What opening a data directory does before PostgreSQL starts (data_directory.cc): removes the lock
// file of a guest that is gone.
void remove_lock_file(vfs::FileSystem& data);

class Server {
 public:
  // Boots as an instance with Durability::kFull does. Destroying it is like killing the process:
  // nothing is shut down.
  Status start(std::shared_ptr<vfs::FileSystem> data, const std::string& database = "postgres",
               bool fsync = true);

  postgres::Backend& backend() { return *backend_; }
  // What PostgreSQL wrote to its log.
  [[nodiscard]] const std::string& log() const { return *log_; }

 private:
  std::shared_ptr<std::string> log_ = std::make_shared<std::string>();
  std::shared_ptr<std::string> last_fatal_ = std::make_shared<std::string>();
  std::unique_ptr<postgres::Backend> backend_;
};

// Runs `body` in a fork of this process and gives what it returned. A child that dies by a signal
// or runs longer than `seconds` gives a text that says so.
std::string in_child(int seconds, const std::function<std::string()>& body);

// Runs body(i) for 0 <= i < count, each in a child, `jobs` at a time, and gives finished(i, text)
// in the order of their ends.
void in_children(size_t count, int jobs, int seconds,
                 const std::function<std::string(size_t)>& body,
                 const std::function<void(size_t, const std::string&)>& finished);

// A number from the environment.
size_t setting(const char* name, size_t otherwise);

}  // namespace pglite::durability

#endif  // PGLITE_TESTS_DURABILITY_SERVER_H_
