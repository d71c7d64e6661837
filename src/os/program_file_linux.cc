#include <fcntl.h>
#include <link.h>

#include <string>

#include "os/file.h"
#include "os/program_file.h"

namespace pglite::os {

namespace {

struct Search {
  uintptr_t address = 0;
  std::string path = {};  // empty: not found
  uint64_t offset = 0;
};

// For dl_iterate_phdr: 1 ends the search.
int look_into(dl_phdr_info* object, size_t, void* data) {
  auto& search = *static_cast<Search*>(data);
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const auto& segment = object->dlpi_phdr[i];
    const uintptr_t start = object->dlpi_addr + segment.p_vaddr;
    if (segment.p_type != PT_LOAD || search.address < start ||
        search.address >= start + segment.p_filesz) {
      continue;
    }
    const bool has_name = object->dlpi_name != nullptr && *object->dlpi_name != '\0';
    search.path = has_name ? object->dlpi_name : "/proc/self/exe";
    search.offset = segment.p_offset + (search.address - start);
    return 1;
  }
  return 0;
}

}  // namespace

Result<std::string> program_path() {
  return read_symbolic_link(AT_FDCWD, "/proc/self/exe");
}

Result<FilePlace> find_loaded_file(const void* address) {
  Search search{.address = reinterpret_cast<uintptr_t>(address)};
  dl_iterate_phdr(look_into, &search);
  if (search.path.empty()) return error(std::errc::no_such_file_or_directory);
  auto fd = owned(retry([&] { return ::open(search.path.c_str(), O_RDONLY | O_CLOEXEC); }));
  if (!fd) return error(fd.error());
  return FilePlace{.fd = std::move(*fd), .offset = search.offset};
}

}  // namespace pglite::os
