#include "vfs/descriptor_table.h"

#include <algorithm>
#include <limits>

namespace pglite::vfs {

namespace {

constexpr int64_t kMaximumOffset = std::numeric_limits<int64_t>::max();

}  // namespace

Result<std::span<const DirectoryEntry>> OpenFile::listing() {
  if (position == 0 || !cached_listing) {
    auto entries = file->entries();
    if (!entries) return error(entries.error());
    cached_listing = std::move(*entries);
  }
  return std::span<const DirectoryEntry>(*cached_listing);
}

Result<int> DescriptorTable::open(std::shared_ptr<OpenFile> file, int minimum, bool close_on_exec) {
  if (minimum < 0 || minimum >= limit_) return error(std::errc::invalid_argument);
  int descriptor = std::max(minimum, lowest_free_);
  while (find(descriptor) != nullptr) ++descriptor;
  if (descriptor >= limit_) return error(std::errc::too_many_files_open);
  if (static_cast<size_t>(descriptor) >= slots_.size()) {
    slots_.resize(static_cast<size_t>(descriptor) + 1);
  }
  slots_[descriptor] = {.file = std::move(file), .close_on_exec = close_on_exec};
  // With a minimum above it, the lowest free one is still free.
  if (minimum <= lowest_free_) lowest_free_ = descriptor + 1;
  ++open_count_;
  return descriptor;
}

Result<int> DescriptorTable::dup(int descriptor, int minimum, bool close_on_exec) {
  auto file = share(descriptor);
  if (!file) return error(file.error());
  return open(std::move(*file), minimum, close_on_exec);
}

Result<int> DescriptorTable::dup_to(int from, int to, bool close_on_exec) {
  auto file = share(from);
  if (!file) return error(file.error());
  if (to < 0 || to >= limit_) return error(std::errc::bad_file_descriptor);
  if (from == to) return to;
  if (find(to) != nullptr) {
    slots_[to] = {.file = std::move(*file), .close_on_exec = close_on_exec};
    return to;
  }
  return open(std::move(*file), to, close_on_exec);
}

Result<void> DescriptorTable::close(int descriptor) {
  if (find(descriptor) == nullptr) return error(std::errc::bad_file_descriptor);
  // Freed first: closing the file may run code of a device.
  const Slot closed = std::exchange(slots_[descriptor], {});
  lowest_free_ = std::min(lowest_free_, descriptor);
  --open_count_;
  return {};
}

void DescriptorTable::close_all() {
  const std::vector<Slot> closed = std::exchange(slots_, {});
  lowest_free_ = 0;
  open_count_ = 0;
}

Result<std::shared_ptr<OpenFile>> DescriptorTable::share(int descriptor) const {
  if (find(descriptor) == nullptr) return error(std::errc::bad_file_descriptor);
  return slots_[descriptor].file;
}

Result<bool> DescriptorTable::close_on_exec(int descriptor) const {
  if (find(descriptor) == nullptr) return error(std::errc::bad_file_descriptor);
  return slots_[descriptor].close_on_exec;
}

Result<void> DescriptorTable::set_close_on_exec(int descriptor, bool close_on_exec) {
  if (find(descriptor) == nullptr) return error(std::errc::bad_file_descriptor);
  slots_[descriptor].close_on_exec = close_on_exec;
  return {};
}

Result<size_t> DescriptorTable::read(int descriptor, std::span<std::byte> buffer) {
  OpenFile* file = find(descriptor);
  if (file == nullptr || !file->readable) return error(std::errc::bad_file_descriptor);
  auto count = file->file->read(buffer, file->position);
  if (count) file->position += *count;
  return count;
}

Result<size_t> DescriptorTable::write(int descriptor, std::span<const std::byte> data) {
  OpenFile* file = find(descriptor);
  if (file == nullptr || !file->writable) return error(std::errc::bad_file_descriptor);
  if (file->append && file->file->seekable()) {
    const auto metadata = file->file->metadata();
    if (!metadata) return error(metadata.error());
    file->position = metadata->size;
  }
  auto count = file->file->write(data, file->position);
  if (count) file->position += *count;
  return count;
}

Result<File*> DescriptorTable::readable_at(int descriptor, int64_t offset) const {
  OpenFile* file = find(descriptor);
  if (file == nullptr || !file->readable) return error(std::errc::bad_file_descriptor);
  if (offset < 0) return error(std::errc::invalid_argument);
  if (!file->file->seekable()) return error(std::errc::invalid_seek);
  return file->file.get();
}

Result<size_t> DescriptorTable::pread(int descriptor, std::span<std::byte> buffer, int64_t offset) {
  const auto file = readable_at(descriptor, offset);
  if (!file) return error(file.error());
  return (*file)->read(buffer, static_cast<uint64_t>(offset));
}

Result<size_t> DescriptorTable::pread_at_once(int descriptor, std::span<std::byte> buffer,
                                              int64_t offset) {
  const auto file = readable_at(descriptor, offset);
  if (!file) return error(file.error());
  return (*file)->read_at_once(buffer, static_cast<uint64_t>(offset));
}

Result<size_t> DescriptorTable::pwrite(int descriptor, std::span<const std::byte> data,
                                       int64_t offset) {
  OpenFile* file = find(descriptor);
  if (file == nullptr || !file->writable) return error(std::errc::bad_file_descriptor);
  if (offset < 0) return error(std::errc::invalid_argument);
  if (!file->file->seekable()) return error(std::errc::invalid_seek);
  return file->file->write(data, static_cast<uint64_t>(offset));
}

Result<uint64_t> DescriptorTable::seek(int descriptor, int64_t offset, Whence whence) {
  OpenFile* file = find(descriptor);
  if (file == nullptr) return error(std::errc::bad_file_descriptor);
  if (!file->file->seekable()) return error(std::errc::invalid_seek);
  uint64_t base = 0;
  if (whence == Whence::kCurrent) {
    base = file->position;
  } else if (whence == Whence::kEnd) {
    const auto metadata = file->file->metadata();
    if (!metadata) return error(metadata.error());
    base = metadata->size;
  }
  // Positions and sizes are within int64_t, so that nothing below overflows.
  if (offset < 0) {
    const uint64_t back = ~static_cast<uint64_t>(offset) + 1;
    if (back > base) return error(std::errc::invalid_argument);
    file->position = base - back;
  } else {
    if (static_cast<uint64_t>(offset) > static_cast<uint64_t>(kMaximumOffset) - base) {
      return error(std::errc::value_too_large);
    }
    file->position = base + static_cast<uint64_t>(offset);
  }
  if (file->position == 0) file->cached_listing.reset();
  return file->position;
}

}  // namespace pglite::vfs
