#include "vfs/devices.h"

#include <algorithm>
#include <cstring>

#include "os/random.h"

namespace pglite::vfs {

namespace {

// A device's number as Linux has it in st_rdev, for numbers below 256.
constexpr uint64_t device_number(uint8_t major, uint8_t minor) {
  return uint64_t{major} << 8 | minor;
}

class NullDevice : public Device {
 public:
  Result<size_t> read(std::span<std::byte> /*buffer*/) override { return 0; }
  Result<size_t> write(std::span<const std::byte> data) override { return data.size(); }
  [[nodiscard]] uint64_t device_type() const override { return device_number(1, 3); }
};

class ZeroDevice : public Device {
 public:
  Result<size_t> read(std::span<std::byte> buffer) override {
    std::ranges::fill(buffer, std::byte{0});
    return buffer.size();
  }
  Result<size_t> write(std::span<const std::byte> data) override { return data.size(); }
  [[nodiscard]] uint64_t device_type() const override { return device_number(1, 5); }
};

class RandomDevice : public Device {
 public:
  Result<size_t> read(std::span<std::byte> buffer) override {
    if (const auto filled = os::fill_random(buffer); !filled) return error(filled.error());
    return buffer.size();
  }
  Result<size_t> write(std::span<const std::byte> data) override { return data.size(); }
  [[nodiscard]] uint64_t device_type() const override { return device_number(1, 9); }
};

class EndOfFileDevice : public Device {
 public:
  Result<size_t> read(std::span<std::byte> /*buffer*/) override { return 0; }
  Result<size_t> write(std::span<const std::byte> /*data*/) override {
    return error(std::errc::bad_file_descriptor);
  }
  [[nodiscard]] bool seekable() const override { return false; }
};

class TerminalDevice : public Device {
 public:
  explicit TerminalDevice(std::shared_ptr<Device> output) : output_(std::move(output)) {}
  Result<size_t> read(std::span<std::byte> /*buffer*/) override { return 0; }
  Result<size_t> write(std::span<const std::byte> data) override { return output_->write(data); }
  [[nodiscard]] bool seekable() const override { return false; }
  [[nodiscard]] uint64_t device_type() const override { return device_number(5, 0); }

 private:
  std::shared_ptr<Device> output_;
};

}  // namespace

std::shared_ptr<Device> make_null_device() {
  return std::make_shared<NullDevice>();
}

std::shared_ptr<Device> make_zero_device() {
  return std::make_shared<ZeroDevice>();
}

std::shared_ptr<Device> make_random_device() {
  return std::make_shared<RandomDevice>();
}

std::shared_ptr<Device> make_end_of_file_device() {
  return std::make_shared<EndOfFileDevice>();
}

std::shared_ptr<Device> make_terminal_device(std::shared_ptr<Device> output) {
  return std::make_shared<TerminalDevice>(std::move(output));
}

LineSink::~LineSink() {
  flush();
}

Result<size_t> LineSink::read(std::span<std::byte> /*buffer*/) {
  return 0;
}

Result<size_t> LineSink::write(std::span<const std::byte> data) {
  std::string_view rest(reinterpret_cast<const char*>(data.data()), data.size());
  while (!rest.empty()) {
    const size_t newline = rest.find('\n');
    const std::string_view text = rest.substr(0, newline);
    const std::string_view piece = text.substr(0, kMaximumLine - line_.size());
    rest.remove_prefix(piece.size());
    const bool complete = piece.size() == text.size() && newline != std::string_view::npos;
    if (complete) rest.remove_prefix(1);
    if (complete && line_.empty()) {
      callback_(piece);
      continue;
    }
    line_ += piece;
    if (complete || line_.size() == kMaximumLine) {
      // Emptied first, so that a callback which writes here again does not see the line twice.
      const std::string line = std::exchange(line_, {});
      callback_(line);
    }
  }
  return data.size();
}

void LineSink::flush() {
  if (line_.empty()) return;
  const std::string line = std::exchange(line_, {});
  callback_(line);
}

}  // namespace pglite::vfs
