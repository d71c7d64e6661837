#include "emscripten/pipe.h"

#include <algorithm>
#include <cstring>

namespace pglite::emscripten {

namespace {

using vfs::error;
using vfs::Result;

constexpr size_t kCapacity = 65536;

struct Buffer {
  std::vector<std::byte> bytes;
};

class PipeEnd : public PipeFile {
 public:
  PipeEnd(std::shared_ptr<Buffer> buffer, bool reader)
      : buffer_(std::move(buffer)), reader_(reader) {}

  [[nodiscard]] bool ready() const override {
    return reader_ && (!buffer_->bytes.empty() || alone());
  }

  [[nodiscard]] bool is_reader() const override { return reader_; }
  [[nodiscard]] uint64_t identity() const override {
    return reinterpret_cast<uintptr_t>(buffer_.get());
  }

  Result<size_t> read(std::span<std::byte> target, uint64_t) override {
    if (!reader_) return error(std::errc::bad_file_descriptor);
    std::vector<std::byte>& bytes = buffer_->bytes;
    if (bytes.empty()) {
      if (alone()) return 0;
      return error(std::errc::resource_unavailable_try_again);
    }
    const size_t count = std::min(target.size(), bytes.size());
    std::memcpy(target.data(), bytes.data(), count);
    bytes.erase(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(count));
    return count;
  }

  Result<size_t> write(std::span<const std::byte> data, uint64_t) override {
    if (reader_) return error(std::errc::bad_file_descriptor);
    if (alone()) return error(std::errc::broken_pipe);
    std::vector<std::byte>& bytes = buffer_->bytes;
    const size_t count = std::min(data.size(), kCapacity - bytes.size());
    if (count == 0) return error(std::errc::resource_unavailable_try_again);
    bytes.insert(bytes.end(), data.begin(), data.begin() + static_cast<ptrdiff_t>(count));
    return count;
  }

  Result<void> truncate(uint64_t) override { return error(std::errc::invalid_argument); }
  Result<void> sync() override { return error(std::errc::invalid_argument); }
  Result<void> sync_data() override { return error(std::errc::invalid_argument); }
  Result<vfs::Metadata> metadata() override {
    vfs::Metadata metadata;
    metadata.mode = 0010600;  // S_IFIFO
    return metadata;
  }
  Result<void> change_mode(uint32_t) override { return {}; }
  Result<std::vector<vfs::DirectoryEntry>> entries() override {
    return error(std::errc::not_a_directory);
  }
  [[nodiscard]] bool seekable() const override { return false; }

 private:
  [[nodiscard]] bool alone() const { return buffer_.use_count() == 1; }

  std::shared_ptr<Buffer> buffer_;
  bool reader_;
};

}  // namespace

std::pair<std::unique_ptr<PipeFile>, std::unique_ptr<PipeFile>> make_pipe() {
  auto buffer = std::make_shared<Buffer>();
  return {std::make_unique<PipeEnd>(buffer, true), std::make_unique<PipeEnd>(buffer, false)};
}

}  // namespace pglite::emscripten
