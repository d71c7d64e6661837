#include <dlfcn.h>
#include <fcntl.h>
#include <mach-o/dyld.h>
#include <mach-o/loader.h>

#include <climits>
#include <cstdlib>
#include <memory>

#include "os/program_file.h"

namespace pglite::os {

namespace {

// Where in its file the byte is that lies `distance` behind the beginning of the loaded object. A
// file holds the object of one architecture from its beginning on, as those that we link do.
Result<uint64_t> offset_in_file(const mach_header_64& header, uint64_t distance) {
  const auto* at = reinterpret_cast<const std::byte*>(&header + 1);
  uint64_t text = 0;  // the address that the object was linked for
  for (int pass = 0; pass < 2; ++pass) {
    const std::byte* command_at = at;
    for (uint32_t i = 0; i < header.ncmds; ++i) {
      const auto& command = *reinterpret_cast<const load_command*>(command_at);
      command_at += command.cmdsize;
      if (command.cmd != LC_SEGMENT_64) continue;
      const auto& segment = reinterpret_cast<const segment_command_64&>(command);
      if (pass == 0 && segment.fileoff == 0 && segment.filesize != 0) text = segment.vmaddr;
      if (pass == 0 || segment.vmaddr < text) continue;
      const uint64_t begin = segment.vmaddr - text;
      if (distance >= begin && distance - begin < segment.filesize) {
        return segment.fileoff + (distance - begin);
      }
    }
  }
  return error(std::errc::no_such_file_or_directory);
}

}  // namespace

Result<std::string> program_path() {
  uint32_t size = PATH_MAX;
  std::string path(size, '\0');
  while (_NSGetExecutablePath(path.data(), &size) != 0) path.resize(size);
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr),
                                                         &std::free);
  if (!real) return last_error();
  return std::string(real.get());
}

Result<FilePlace> find_loaded_file(const void* address) {
  Dl_info object{};
  if (::dladdr(address, &object) == 0) return error(std::errc::no_such_file_or_directory);
  const auto& header = *static_cast<const mach_header_64*>(object.dli_fbase);
  if (header.magic != MH_MAGIC_64) return error(std::errc::no_such_file_or_directory);
  const auto offset = offset_in_file(
      header, reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(object.dli_fbase));
  if (!offset) return error(offset.error());
  auto fd = owned(retry([&] { return ::open(object.dli_fname, O_RDONLY | O_CLOEXEC); }));
  if (!fd) return error(fd.error());
  return FilePlace{.fd = std::move(*fd), .offset = *offset};
}

}  // namespace pglite::os
