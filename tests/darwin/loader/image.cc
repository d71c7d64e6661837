#include "image.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "os/unique_fd.h"

namespace pglite::loader {

namespace {

// mach-o/loader.h
constexpr uint32_t kMagic64 = 0xfeedfacf;
constexpr uint32_t kProcessorX86_64 = 0x01000007;
constexpr uint32_t kExecutable = 2;
constexpr uint32_t kSegment64 = 0x19;
constexpr uint32_t kDyldInformation = 0x22 | 0x80000000;
constexpr uint32_t kMain = 0x28 | 0x80000000;
constexpr uint32_t kReadOnlyLater = 0x10;  // SG_READ_ONLY
constexpr uint8_t kInitialisers = 0x09;
constexpr uint8_t kThreadData = 0x11;
constexpr uint8_t kThreadZeros = 0x12;

struct Header {
  uint32_t magic, processor, subtype, kind, command_count, command_size, flags, reserved;
};
struct Command {
  uint32_t kind, size;
};
struct SegmentCommand {
  Command command;
  char name[16];
  uint64_t address, size, file_offset, file_size;
  int32_t most_protection, protection;
  uint32_t section_count, flags;
};
struct SectionCommand {
  char name[16];
  char segment[16];
  uint64_t address, size;
  uint32_t offset, alignment, relocations, relocation_count, flags, reserved[3];
};
struct DyldCommand {
  Command command;
  uint32_t rebase, rebase_size, bind, bind_size, weak, weak_size, lazy, lazy_size, exported,
      exported_size;
};
struct MainCommand {
  Command command;
  uint64_t entry, stack_size;
};

[[noreturn]] void refuse(const std::string& why) {
  throw std::runtime_error(why);
}

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// The bytes of dyld's small languages.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}
  [[nodiscard]] bool at_end() const { return bytes_.empty(); }
  uint8_t byte() {
    if (bytes_.empty()) refuse("dyld's information ends too early");
    const auto value = static_cast<uint8_t>(bytes_.front());
    bytes_ = bytes_.subspan(1);
    return value;
  }
  uint64_t number() {
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      const uint8_t part = byte();
      value |= static_cast<uint64_t>(part & 0x7f) << shift;
      if ((part & 0x80) == 0) return value;
    }
  }
  int64_t signed_number() {
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t part = 0;
    do {
      part = byte();
      value |= static_cast<uint64_t>(part & 0x7f) << shift;
      shift += 7;
    } while ((part & 0x80) != 0);
    if ((part & 0x40) != 0 && shift < 64) value |= ~uint64_t{0} << shift;
    return static_cast<int64_t>(value);
  }
  const char* string() {
    const auto* const text = reinterpret_cast<const char*>(bytes_.data());
    while (byte() != 0) {
    }
    return text;
  }

 private:
  std::span<const std::byte> bytes_;
};

template <class T>
const T& at(std::span<const std::byte> file, size_t offset) {
  if (offset > file.size() || file.size() - offset < sizeof(T)) refuse("the file is too short");
  return *reinterpret_cast<const T*>(file.data() + offset);
}

std::vector<std::byte> copied(std::span<const std::byte> file, uint32_t offset, uint32_t size) {
  if (offset > file.size() || file.size() - offset < size) refuse("the file is too short");
  const auto bytes = file.subspan(offset, size);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

Image::Image(const std::string& path) {
  const os::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status{};
  if (!fd || fstat(fd.get(), &status) != 0) fail(path.c_str());
  const auto size = static_cast<size_t>(status.st_size);
  void* const mapped = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (mapped == MAP_FAILED) fail(path.c_str());
  map(fd.get(), {static_cast<const std::byte*>(mapped), size});
  munmap(mapped, size);
}

void Image::map(int fd, std::span<const std::byte> file) {
  const auto& header = at<Header>(file, 0);
  if (header.magic != kMagic64 || header.processor != kProcessorX86_64 ||
      header.kind != kExecutable) {
    refuse("this is no program of macOS for x86-64");
  }
  std::vector<const SegmentCommand*> wanted;
  const DyldCommand* dyld = nullptr;
  size_t offset = sizeof(Header);
  for (uint32_t i = 0; i < header.command_count; ++i) {
    const auto& command = at<Command>(file, offset);
    if (command.kind == kSegment64) wanted.push_back(&at<SegmentCommand>(file, offset));
    if (command.kind == kDyldInformation) dyld = &at<DyldCommand>(file, offset);
    if (command.kind == kMain) entry_ = at<MainCommand>(file, offset).entry;
    offset += command.size;
  }
  if (wanted.size() < 2 || dyld == nullptr || entry_ == 0) refuse("load commands are missing");

  // The first one is page zero.
  const uint64_t first = wanted[1]->address;
  size_ = wanted.back()->address + wanted.back()->size - first;
  constexpr int kReserved = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* const room = mmap(nullptr, size_, PROT_NONE, kReserved, -1, 0);
  if (room == MAP_FAILED) fail("mmap");
  begin_ = static_cast<std::byte*>(room);
  slide_ = reinterpret_cast<uintptr_t>(room) - first;
  const auto loaded = [&](uint64_t address) { return begin_ + (address - first); };
  segments_.push_back({});
  for (const auto* segment : std::span(wanted).subspan(1)) {
    std::byte* const start = loaded(segment->address);
    const int protection = segment->protection;
    if (mprotect(start, segment->size, protection) != 0) fail("mprotect");
    if (segment->file_size != 0 &&
        mmap(start, segment->file_size, protection, MAP_PRIVATE | MAP_FIXED, fd,
             static_cast<off_t>(segment->file_offset)) == MAP_FAILED) {
      fail("mmap");
    }
    segments_.push_back({.start = start,
                         .size = segment->size,
                         .protection = protection,
                         .is_read_only_later = (segment->flags & kReadOnlyLater) != 0});
    const auto* section = reinterpret_cast<const SectionCommand*>(segment + 1);
    for (uint32_t i = 0; i < segment->section_count; ++i, ++section) {
      const Section found{.start = loaded(section->address), .size = section->size};
      const auto kind = static_cast<uint8_t>(section->flags);
      if (kind == kInitialisers) initialisers_ = found;
      if (std::string_view(section->name, strnlen(section->name, 16)) == "__unwind_info") {
        unwind_ = found;
      }
      if (kind != kThreadData && kind != kThreadZeros) continue;
      if (thread_data_.start == nullptr) thread_data_.start = found.start;
      if (kind == kThreadData) thread_data_.size = found.start + found.size - thread_data_.start;
      thread_size_ = found.start + found.size - thread_data_.start;
    }
  }
  bind_opcodes_ = copied(file, dyld->bind, dyld->bind_size);
  lazy_bind_opcodes_ = copied(file, dyld->lazy, dyld->lazy_size);
  rebase(copied(file, dyld->rebase, dyld->rebase_size));
}

std::byte* Image::place(size_t segment, uint64_t offset) const {
  if (segment >= segments_.size() || offset > segments_[segment].size ||
      segments_[segment].size - offset < sizeof(void*)) {
    refuse("dyld's information names a place that is not in the program");
  }
  return segments_[segment].start + offset;
}

void Image::rebase(std::span<const std::byte> opcodes) {
  Reader reader(opcodes);
  size_t segment = 0;
  uint64_t offset = 0;
  const auto slide = [&](uint64_t count, uint64_t skip) {
    for (uint64_t i = 0; i < count; ++i) {
      std::byte* const at = place(segment, offset);
      uint64_t address = 0;
      std::memcpy(&address, at, sizeof address);
      address += slide_;
      std::memcpy(at, &address, sizeof address);
      offset += sizeof address + skip;
    }
  };
  while (!reader.at_end()) {
    const uint8_t byte = reader.byte();
    const uint8_t immediate = byte & 0x0f;
    switch (byte & 0xf0) {
      case 0x00:
        return;
      case 0x10:  // the kind: pointers are the only one
        break;
      case 0x20:
        segment = immediate;
        offset = reader.number();
        break;
      case 0x30:
        offset += reader.number();
        break;
      case 0x40:
        offset += immediate * sizeof(void*);
        break;
      case 0x50:
        slide(immediate, 0);
        break;
      case 0x60:
        slide(reader.number(), 0);
        break;
      case 0x70:
        slide(1, reader.number());
        break;
      case 0x80: {
        const uint64_t count = reader.number();
        slide(count, reader.number());
        break;
      }
      default:
        refuse("a rebase is of a kind that is not known");
    }
  }
}

void Image::bind(const Resolve& resolve) {
  bind(bind_opcodes_, false, resolve);
  bind(lazy_bind_opcodes_, true, resolve);
}

void Image::bind(std::span<const std::byte> opcodes, bool is_lazy, const Resolve& resolve) {
  Reader reader(opcodes);
  const char* name = "";
  size_t segment = 0;
  uint64_t offset = 0;
  int64_t addend = 0;
  const auto put = [&](uint64_t skip) {
    std::byte* const at = place(segment, offset);
    const uint64_t address = reinterpret_cast<uintptr_t>(resolve(name)) + addend;
    std::memcpy(at, &address, sizeof address);
    offset += sizeof address + skip;
  };
  while (!reader.at_end()) {
    const uint8_t byte = reader.byte();
    const uint8_t immediate = byte & 0x0f;
    switch (byte & 0xf0) {
      case 0x00:  // between two lazy ones, too
        if (!is_lazy) return;
        break;
      case 0x10:
      case 0x30:
        break;
      case 0x20:
        reader.number();
        break;
      case 0x40:
        name = reader.string();
        break;
      case 0x50:
        break;
      case 0x60:
        addend = reader.signed_number();
        break;
      case 0x70:
        segment = immediate;
        offset = reader.number();
        break;
      case 0x80:
        offset += reader.number();
        break;
      case 0x90:
        put(0);
        break;
      case 0xa0:
        put(reader.number());
        break;
      case 0xb0:
        put(immediate * sizeof(void*));
        break;
      case 0xc0: {
        const uint64_t count = reader.number();
        const uint64_t skip = reader.number();
        for (uint64_t i = 0; i < count; ++i) put(skip);
        break;
      }
      default:
        refuse("a binding is of a kind that is not known");
    }
  }
}

void Image::protect() {
  for (const Segment& segment : segments_) {
    if (segment.is_read_only_later && mprotect(segment.start, segment.size, PROT_READ) != 0) {
      fail("mprotect");
    }
  }
}

Image::Main Image::main() const {
  return reinterpret_cast<Main>(begin_ + entry_);
}

std::vector<Image::Initialiser> Image::initialisers() const {
  const auto* const first = reinterpret_cast<const Initialiser*>(initialisers_.start);
  const auto all = std::span(first, initialisers_.size / sizeof(Initialiser));
  return {all.begin(), all.end()};
}

std::span<const std::byte> Image::thread_template() const {
  return {thread_data_.start, thread_data_.size};
}

std::span<const std::byte> Image::unwind_information() const {
  return {unwind_.start, unwind_.size};
}

bool Image::contains(const void* address) const {
  const auto* const byte = static_cast<const std::byte*>(address);
  return byte >= begin_ && byte < begin_ + size_;
}

}  // namespace pglite::loader
