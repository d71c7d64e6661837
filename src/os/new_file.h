// A file that appears complete or not at all.
//
//   auto file = os::NewFile::create("backup.tar");
//   if (file) written = os::write_all(file->fd(), bytes);
//   if (written) done = file->commit();
//
// Where the system has files without a name, the file has none until commit(). Elsewhere it has a
// temporary name beside the final one: the final name, ".new-" and digits. A writer that is killed
// may leave its temporary file; the next writer of the same name removes it. A file that is still
// being written is locked, so nobody removes it.
#ifndef PGLITE_OS_NEW_FILE_H_
#define PGLITE_OS_NEW_FILE_H_

#include <string>

#include "os/result.h"
#include "os/unique_fd.h"

namespace pglite::os {

class NewFile {
 public:
  // Begins a file that will be `path`, readable and writable for its owner only. A file that is
  // there stays until commit(). Errors are those of open(2) for the new file and for its directory,
  // which must be readable. is_a_directory: `path` is a directory.
  static Result<NewFile> create(const std::string& path);

  // Without commit(), nothing is left of the file.
  ~NewFile() { forget(); }
  NewFile(NewFile&& other) noexcept;
  NewFile& operator=(NewFile&&) = delete;
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  // Empty and open for reading and writing. Owned by this.
  [[nodiscard]] int fd() const { return fd_.get(); }

  // Writes the file to disk, gives it its name, in place of a file that has the name, and writes
  // the directory to disk. Call it once. After an error, the caller must not count on the file: it
  // is not there, or, where only the directory could not be written, it is there but may be gone
  // after a power cut.
  Result<void> commit();

 private:
  NewFile(UniqueFd directory, std::string name)
      : directory_(std::move(directory)), name_(std::move(name)) {}

  [[nodiscard]] std::string temporary_name(int attempt) const;
  [[nodiscard]] Result<void> open_with_name();
  void remove_leftovers() const;
  void forget() noexcept;

  UniqueFd directory_;     // the file will be in it
  std::string name_;       // in the directory
  std::string temporary_;  // the file has this name; empty: it has none, or its final one
  UniqueFd fd_;
};

}  // namespace pglite::os

#endif  // PGLITE_OS_NEW_FILE_H_
