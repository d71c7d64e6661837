// ELF, System V ABI, for 64-bit little-endian processors.
#include <elf.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "os/native_library.h"
#include "os/virtual_memory.h"

namespace pglite::os {

namespace {

#if defined(__x86_64__)
constexpr uint16_t kMachine = EM_X86_64;
constexpr uint32_t kRelative = R_X86_64_RELATIVE;
constexpr bool is_address(uint32_t type) {
  return type == R_X86_64_64 || type == R_X86_64_GLOB_DAT || type == R_X86_64_JUMP_SLOT;
}
#elif defined(__aarch64__)
constexpr uint16_t kMachine = EM_AARCH64;
constexpr uint32_t kRelative = R_AARCH64_RELATIVE;
constexpr bool is_address(uint32_t type) {
  return type == R_AARCH64_ABS64 || type == R_AARCH64_GLOB_DAT || type == R_AARCH64_JUMP_SLOT;
}
#else
#error "which relocations has this processor?"
#endif

// More is no library of ours: it keeps sums of addresses and sizes far from overflowing.
constexpr uint64_t kMaximumSize = uint64_t{1} << 32;

// What the dynamic section says, in addresses of the library.
struct Dynamic {
  uint64_t symbols = 0;
  uint64_t strings = 0, strings_size = 0;
  uint64_t relocations[2] = {};  // those of data, those of calls
  uint64_t relocations_size[2] = {};
};

class Loader {
 public:
  Loader(int fd, const NativeLibrary::Symbols& symbols) : fd_(fd), symbols_(symbols) {}
  ~Loader() {
    if (base_ != nullptr) unmap(base_, size_);
  }
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // Null, or what is wrong.
  const char* load() {
    if (const char* wrong = read_header()) return wrong;
    if (const char* wrong = map_segments()) return wrong;
    if (const char* wrong = read_dynamic()) return wrong;
    for (int i = 0; i < 2; ++i) {
      if (const char* wrong = relocate(dynamic_.relocations[i],
                                       dynamic_.relocations_size[i] / sizeof(Elf64_Rela))) {
        return wrong;
      }
    }
    return protect();
  }

  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] size_t entry() const { return header_.e_entry; }
  std::byte* release() { return std::exchange(base_, nullptr); }
  // The symbol that load() has failed for; empty: it was something else.
  [[nodiscard]] const std::string& undefined() const { return undefined_; }

 private:
  const char* read_header() {
    struct stat status{};
    if (fstat(fd_, &status) != 0) return "cannot be read";
    file_size_ = static_cast<uint64_t>(status.st_size);
    if (pread(fd_, &header_, sizeof header_, 0) != sizeof header_ ||
        std::memcmp(header_.e_ident, ELFMAG, SELFMAG) != 0) {
      return "is no ELF file";
    }
    if (header_.e_ident[EI_CLASS] != ELFCLASS64 || header_.e_ident[EI_DATA] != ELFDATA2LSB ||
        header_.e_type != ET_DYN || header_.e_machine != kMachine ||
        header_.e_phentsize != sizeof(Elf64_Phdr)) {
      return "is no shared object for this processor";
    }
    segments_.resize(header_.e_phnum);
    const size_t bytes = segments_.size() * sizeof(Elf64_Phdr);
    if (pread(fd_, segments_.data(), bytes, static_cast<off_t>(header_.e_phoff)) !=
        static_cast<ssize_t>(bytes)) {
      return "is truncated";
    }
    return nullptr;
  }

  const char* map_segments() {
    const uint64_t page = page_size();
    uint64_t end = 0;
    for (const Elf64_Phdr& segment : segments_) {
      if (segment.p_type == PT_TLS) return "has thread-local data";
      if (segment.p_type != PT_LOAD && segment.p_type != PT_DYNAMIC &&
          segment.p_type != PT_GNU_RELRO) {
        continue;
      }
      if (segment.p_vaddr > kMaximumSize || segment.p_memsz > kMaximumSize ||
          segment.p_offset > file_size_ || segment.p_filesz > file_size_ - segment.p_offset ||
          (segment.p_type == PT_LOAD && segment.p_filesz > segment.p_memsz)) {
        return "is truncated";
      }
      if (segment.p_type == PT_LOAD) end = std::max(end, segment.p_vaddr + segment.p_memsz);
    }
    if (end == 0) return "has nothing to load";
    size_ = (end + page - 1) / page * page;
    const auto base = reserve_address_space(size_);
    if (!base) return "does not fit into memory";
    base_ = *base;
    for (const Elf64_Phdr& segment : segments_) {
      if (segment.p_type != PT_LOAD) continue;
      if (const char* wrong = map_segment(segment, page)) return wrong;
    }
    return nullptr;
  }

  // Writable for now: relocations are to be made.
  const char* map_segment(const Elf64_Phdr& segment, uint64_t page) {
    if (segment.p_vaddr % page != segment.p_offset % page) return "is made for other pages";
    const uint64_t skew = segment.p_vaddr % page;
    std::byte* const start = base_ + segment.p_vaddr - skew;
    const uint64_t whole = (skew + segment.p_memsz + page - 1) / page * page;
    const uint64_t from_file = (skew + segment.p_filesz + page - 1) / page * page;
    if (segment.p_filesz != 0) {
      if (!map_file_copy(start, from_file, fd_, segment.p_offset - skew)) return "cannot be mapped";
      if ((segment.p_flags & PF_W) != 0) {
        std::memset(start + skew + segment.p_filesz, 0, from_file - skew - segment.p_filesz);
      }
    }
    const uint64_t mapped = segment.p_filesz != 0 ? from_file : 0;
    if (whole > mapped && !map_zero_pages(start + mapped, whole - mapped)) {
      return "cannot be mapped";
    }
    return nullptr;
  }

  // `count` objects at the address, or null where they do not lie in what was loaded.
  template <class T>
  const T* at(uint64_t address, uint64_t count) const {
    if (count > kMaximumSize / sizeof(T) || address % alignof(T) != 0) return nullptr;
    const bool is_loaded = std::ranges::any_of(segments_, [&](const Elf64_Phdr& segment) {
      return segment.p_type == PT_LOAD && address >= segment.p_vaddr &&
             address - segment.p_vaddr <= segment.p_memsz &&
             count * sizeof(T) <= segment.p_memsz - (address - segment.p_vaddr);
    });
    return is_loaded ? reinterpret_cast<const T*>(base_ + address) : nullptr;
  }

  const char* read_dynamic() {
    const auto segment = std::ranges::find(segments_, uint32_t{PT_DYNAMIC}, &Elf64_Phdr::p_type);
    if (segment == segments_.end()) return "has no dynamic section";
    const uint64_t count = segment->p_memsz / sizeof(Elf64_Dyn);
    const auto* entries = at<Elf64_Dyn>(segment->p_vaddr, count);
    if (entries == nullptr) return "is damaged";
    for (const Elf64_Dyn& entry : std::span(entries, count)) {
      switch (entry.d_tag) {
        case DT_NULL:
          return nullptr;
        case DT_SYMTAB:
          dynamic_.symbols = entry.d_un.d_ptr;
          break;
        case DT_STRTAB:
          dynamic_.strings = entry.d_un.d_ptr;
          break;
        case DT_STRSZ:
          dynamic_.strings_size = entry.d_un.d_val;
          break;
        case DT_RELA:
          dynamic_.relocations[0] = entry.d_un.d_ptr;
          break;
        case DT_RELASZ:
          dynamic_.relocations_size[0] = entry.d_un.d_val;
          break;
        case DT_JMPREL:
          dynamic_.relocations[1] = entry.d_un.d_ptr;
          break;
        case DT_PLTRELSZ:
          dynamic_.relocations_size[1] = entry.d_un.d_val;
          break;
        case DT_NEEDED:
          return "needs other libraries";
        case DT_INIT:
        case DT_INIT_ARRAY:
          return "has constructors";
        case DT_REL:
        case DT_RELR:
        case DT_TEXTREL:
          return "has relocations of another kind";
        default:
          break;
      }
    }
    return nullptr;
  }

  // Null, with undefined_ set or not.
  const std::byte* address_of(uint32_t index, bool* is_found) {
    *is_found = false;
    const auto* symbol = at<Elf64_Sym>(dynamic_.symbols + uint64_t{index} * sizeof(Elf64_Sym), 1);
    const auto* strings = at<char>(dynamic_.strings, dynamic_.strings_size);
    if (symbol == nullptr || strings == nullptr || symbol->st_name >= dynamic_.strings_size) {
      return nullptr;
    }
    const std::string_view rest(strings + symbol->st_name, dynamic_.strings_size - symbol->st_name);
    if (rest.find('\0') == std::string_view::npos) return nullptr;
    const char* const name = rest.data();
    *is_found = true;
    if (const void* known = symbols_(name)) return static_cast<const std::byte*>(known);
    if (symbol->st_shndx != SHN_UNDEF) {
      *is_found = symbol->st_value < size_;
      return base_ + symbol->st_value;
    }
    if (ELF64_ST_BIND(symbol->st_info) == STB_WEAK) return nullptr;
    *is_found = false;
    undefined_ = name;
    return nullptr;
  }

  const char* relocate(uint64_t address, uint64_t count) {
    if (count == 0) return nullptr;
    const auto* relocations = at<Elf64_Rela>(address, count);
    if (relocations == nullptr) return "is damaged";
    for (const Elf64_Rela& relocation : std::span(relocations, count)) {
      const auto type = static_cast<uint32_t>(ELF64_R_TYPE(relocation.r_info));
      if (at<uint64_t>(relocation.r_offset, 1) == nullptr) return "is damaged";
      const std::byte* value = base_;
      if (type != kRelative) {
        if (!is_address(type)) return "has relocations of another kind";
        bool is_found = false;
        value = address_of(static_cast<uint32_t>(ELF64_R_SYM(relocation.r_info)), &is_found);
        if (!is_found) return undefined_.empty() ? "is damaged" : "wants a symbol";
      }
      const uint64_t result = value == nullptr ? 0
                                               : reinterpret_cast<uintptr_t>(value) +
                                                     static_cast<uint64_t>(relocation.r_addend);
      std::memcpy(base_ + relocation.r_offset, &result, sizeof result);
    }
    return nullptr;
  }

  // As the segments say; what is written by relocations only becomes read-only.
  const char* protect() {
    const uint64_t page = page_size();
    const auto set = [&](uint64_t start, uint64_t end, int protection) {
      return end <= start || mprotect(base_ + start, end - start, protection) == 0;
    };
    for (const Elf64_Phdr& segment : segments_) {
      const uint64_t start = segment.p_vaddr / page * page;
      const uint64_t end = segment.p_vaddr + segment.p_memsz;
      if (segment.p_type == PT_LOAD && (segment.p_flags & PF_W) == 0) {
        const int execute = (segment.p_flags & PF_X) != 0 ? PROT_EXEC : 0;
        if (!set(start, (end + page - 1) / page * page, PROT_READ | execute)) {
          return "may not be executed";
        }
      }
      if (segment.p_type == PT_GNU_RELRO && end <= size_ &&
          !set(start, end / page * page, PROT_READ)) {
        return "cannot be protected";
      }
    }
    return nullptr;
  }

  int fd_;
  const NativeLibrary::Symbols& symbols_;
  uint64_t file_size_ = 0;
  Elf64_Ehdr header_{};
  std::vector<Elf64_Phdr> segments_;
  Dynamic dynamic_;
  std::byte* base_ = nullptr;
  size_t size_ = 0;
  std::string undefined_;
};

}  // namespace

bool has_native_libraries() {
  return true;
}

tl::expected<NativeLibrary, std::string> NativeLibrary::load(int fd, const Symbols& symbols) {
  Loader loader(fd, symbols);
  if (const char* wrong = loader.load()) {
    return tl::unexpected(loader.undefined().empty()
                              ? std::string(wrong)
                              : "needs \"" + loader.undefined() + "\", which the program has not");
  }
  const size_t size = loader.size();
  NativeLibrary library(loader.release(), size);
  library.entry_ = loader.entry();
  return library;
}

NativeLibrary::NativeLibrary(NativeLibrary&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)), size_(other.size_), entry_(other.entry_) {}

NativeLibrary::~NativeLibrary() {
  if (base_ != nullptr) unmap(base_, size_);
}

const void* NativeLibrary::entry(size_t size) const {
  return entry_ != 0 && entry_ < size_ && size <= size_ - entry_ ? base_ + entry_ : nullptr;
}

}  // namespace pglite::os
