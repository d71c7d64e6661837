// Character devices: what a MemoryFileSystem serves under names such as /dev/null.
//
// A device has no open-file state: every descriptor that opens its node shares the one object.
#ifndef PGLITE_VFS_DEVICES_H_
#define PGLITE_VFS_DEVICES_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "vfs/file.h"

namespace pglite::vfs {

class Device {
 public:
  virtual ~Device() = default;

  // 0 is the end of the input.
  virtual Result<size_t> read(std::span<std::byte> buffer) = 0;
  virtual Result<size_t> write(std::span<const std::byte> data) = 0;
  // False for streams and terminals, where seeking fails with ESPIPE.
  [[nodiscard]] virtual bool seekable() const { return true; }
  // st_rdev, in Linux's encoding, which is the guest's.
  [[nodiscard]] virtual uint64_t device_type() const { return 0; }
};

// Reads as empty, swallows writes.
std::shared_ptr<Device> make_null_device();
// Reads as endless zeros, swallows writes.
std::shared_ptr<Device> make_zero_device();
// The system's random bytes (os/random.h): for both /dev/random and /dev/urandom. Writes are
// swallowed.
std::shared_ptr<Device> make_random_device();
// A standard input at its end: reads as empty, writing fails with EBADF.
std::shared_ptr<Device> make_end_of_file_device();

// Gives what is written to a callback, line by line, without the newline: the guest's stdout and
// stderr. A line longer than kMaximumLine bytes is given in pieces of that length, so that a guest
// cannot make the host buffer without bound. Reads as empty.
class LineSink : public Device {
 public:
  static constexpr size_t kMaximumLine = size_t{64} * 1024;
  using Callback = std::function<void(std::string_view line)>;

  explicit LineSink(Callback callback) : callback_(std::move(callback)) {}
  // Flushes: what the callback refers to must outlive the sink.
  ~LineSink() override;
  LineSink(const LineSink&) = delete;
  LineSink& operator=(const LineSink&) = delete;

  Result<size_t> read(std::span<std::byte> buffer) override;
  Result<size_t> write(std::span<const std::byte> data) override;
  [[nodiscard]] bool seekable() const override { return false; }

  // Gives an unfinished last line, if there is one.
  void flush();

 private:
  Callback callback_;
  std::string line_;  // begun and not yet ended by a newline
};

// A terminal nobody types at: reads as empty, writes go to `output`.
std::shared_ptr<Device> make_terminal_device(std::shared_ptr<Device> output);

}  // namespace pglite::vfs

#endif  // PGLITE_VFS_DEVICES_H_
