// A file system that fails: one operation once, or all of a kind from a moment on until it is
// mended.
#ifndef PGLITE_TESTS_DURABILITY_FAULTY_FILESYSTEM_H_
#define PGLITE_TESTS_DURABILITY_FAULTY_FILESYSTEM_H_

#include <memory>
#include <string>
#include <vector>

#include "forwarding_filesystem.h"

namespace pglite::durability {

enum class Fault {
  kNoSpace,
  kQuota,
  kIoError,
  kInterrupted,
  kTooManyFiles,
  kShortWrite,
  kWriteError,  // EIO for calls that change something
  kFullDisk,    // ENOSPC for calls that need more space; existing bytes can be overwritten
  kReadOnly,
  kTooManyFilesInSystem,
};
// What can happen once, and what lasts.
inline constexpr Fault kFaults[] = {Fault::kNoSpace,     Fault::kQuota,        Fault::kIoError,
                                    Fault::kInterrupted, Fault::kTooManyFiles, Fault::kShortWrite};
inline constexpr Fault kLastingFaults[] = {
    Fault::kNoSpace,  Fault::kQuota,    Fault::kIoError,      Fault::kWriteError,
    Fault::kFullDisk, Fault::kReadOnly, Fault::kTooManyFiles, Fault::kTooManyFilesInSystem};
const char* name(Fault fault);

// What can fail, counted together.
enum class Call {
  kOpen,
  kMake,
  kRead,
  kWrite,
  kTruncate,
  kSync,
  kRemove,
  kRename,
  kList,
  kMetadata,
  kOpenToWrite,
  kGrow,   // a write beyond the end of the file
  kExtend  // a truncation that makes the file longer
};

// Whether a file system may fail such a call with such a fault: no read finds the disk full. EINTR
// comes where a file system can be waited for: signals interrupt NFS and FUSE mounts there.
bool applies(Fault fault, Call call);

class FaultyFileSystem : public ForwardingFileSystem {
 public:
  explicit FaultyFileSystem(std::shared_ptr<vfs::FileSystem> inner);

  // The `n`-th call from now on (0: the next) that `fault` applies to fails with it.
  void arm(Fault fault, size_t n);
  // The same, and so do all calls after it that `fault` applies to, until disarm().
  void break_down(Fault fault, size_t n);
  void disarm() { state_->armed = false; }
  // The call that failed first, with its path; empty while none has.
  [[nodiscard]] const std::string& failed() const { return state_->failed; }
  // Calls so far, by kind and in order.
  [[nodiscard]] const std::vector<Call>& calls() const { return state_->calls; }

  Result<std::unique_ptr<vfs::File>> open(std::string_view path, vfs::OpenFlags flags,
                                          uint32_t permissions) override;
  Result<vfs::Metadata> metadata(std::string_view path, bool follow) override;
  Result<void> make_directory(std::string_view path, uint32_t permissions) override;
  Result<void> remove_file(std::string_view path) override;
  Result<void> remove_directory(std::string_view path) override;
  Result<void> rename(std::string_view from, std::string_view to) override;
  Result<void> make_hard_link(std::string_view from, std::string_view to) override;
  Result<void> truncate(std::string_view path, uint64_t size) override;
  Result<void> sync_all() override;

 private:
  friend class FaultyFile;
  struct State {
    bool armed = false;
    bool lasting = false;
    Fault fault{};
    size_t left = 0;
    std::string failed;
    std::vector<Call> calls;

    // True when this call is the one to fail.
    bool strike(Call call, std::string_view path);
    [[nodiscard]] std::errc code() const;
  };

  std::shared_ptr<State> state_;  // shared with opened files
};

}  // namespace pglite::durability

#endif  // PGLITE_TESTS_DURABILITY_FAULTY_FILESYSTEM_H_
