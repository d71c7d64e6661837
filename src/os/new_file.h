// A file that appears complete or not at all.
//
//   auto file = os::NewFile::create("backup.tar");
//   if (file) written = os::write_all(file->fd(), bytes);
//   if (written) done = file->commit();
//
// Until commit() the file has no name where the system has that, and a temporary one beside the
// final one elsewhere: the name, ".new-" and digits. A writer that is killed may leave that one;
// the next one for the same name removes it. A lock on the file tells it from one that is still
// being written.
#ifndef PGLITE_OS_NEW_FILE_H_
#define PGLITE_OS_NEW_FILE_H_

#include <string>

#include "os/result.h"
#include "os/unique_fd.h"

namespace pglite::os {

class NewFile {
 public:
  // Begins a file that will be `path`, readable and writable for its owner only. What is there
  // stays until commit(). Errors: open(2)'s, of a file to be made and of its directory, which must
  // be readable; is_a_directory: `path` is one.
  static Result<NewFile> create(const std::string& path);

  // Without commit(), nothing is left of the file.
  ~NewFile() { forget(); }
  NewFile(NewFile&& other) noexcept;
  NewFile& operator=(NewFile&&) = delete;
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  // Empty and open for reading and writing. Owned by this.
  [[nodiscard]] int fd() const { return fd_.get(); }

  // Writes the file to disk, gives it its name, in place of what has the name, and writes the
  // directory to disk. To be called once. An error means that the caller must not count on the
  // file: it is not there, or, where only the directory could not be written, it is but may be gone
  // after a power cut.
  Result<void> commit();

 private:
  NewFile(UniqueFd directory, std::string name)
      : directory_(std::move(directory)), name_(std::move(name)) {}

  [[nodiscard]] std::string temporary_name(int attempt) const;
  [[nodiscard]] Result<void> open_with_name();
  void remove_leftovers() const;
  void forget() noexcept;

  UniqueFd directory_;     // that the file will be in
  std::string name_;       // in it
  std::string temporary_;  // the name that it has now; empty: none, or its own
  UniqueFd fd_;
};

}  // namespace pglite::os

#endif  // PGLITE_OS_NEW_FILE_H_
