// Runs a program of macOS for x86-64 in a process of Linux: what it wants of libSystem is played by
// Linux's own functions. For tests; nothing here guards against a hostile program.
//
// usage: darwin_loader PROGRAM [ARGUMENT...]
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>
#include <unordered_map>

#include "darwin.h"
#include "image.h"
#include "threads.h"
#include "unwinding.h"

namespace pglite::loader {

namespace {

// What the program asks about itself.
struct Program {
  std::string path;
  const Image* image = nullptr;
};

Program& program() {
  static Program loaded;
  return loaded;
}

int executable_path(char* buffer, uint32_t* size) {
  const std::string& path = program().path;
  const bool fits = path.size() < *size;
  if (fits) std::memcpy(buffer, path.c_str(), path.size() + 1);
  *size = static_cast<uint32_t>(path.size() + 1);
  return fits ? 0 : -1;
}

int object_of(const void* address, Dl_info* result) {
  if (!program().image->contains(address)) return 0;
  *result = {.dli_fname = program().path.c_str(),
             .dli_fbase = const_cast<std::byte*>(program().image->begin()),
             .dli_sname = nullptr,
             .dli_saddr = nullptr};
  return 1;
}

// OpenSSL holds on to the object that it is in. There is no other.
void* open_object(const char* path, int /*mode*/) {
  const bool is_own = path == nullptr || program().path == path;
  return is_own ? const_cast<std::byte*>(program().image->begin()) : nullptr;
}

[[noreturn]] void missing(const char* name) {
  std::fprintf(stderr, "loader: the program calls %s, which nothing plays\n", name);
  std::abort();
}

// A function that says which one it stands for.
const void* stand_in(const char* name) {
  // mov $name, %rdi; mov $missing, %rax; jmp *%rax
  std::array<uint8_t, 22> instructions = {0x48, 0xbf, 0, 0, 0, 0, 0, 0, 0, 0,    0x48,
                                          0xb8, 0,    0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0};
  const char* const kept = strdup(name);
  const auto target = reinterpret_cast<uintptr_t>(&missing);
  std::memcpy(instructions.data() + 2, static_cast<const void*>(&kept), sizeof kept);
  std::memcpy(instructions.data() + 12, &target, sizeof target);
  void* const page = mmap(nullptr, instructions.size(), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) std::abort();
  std::memcpy(page, instructions.data(), instructions.size());
  mprotect(page, instructions.size(), PROT_READ | PROT_EXEC);
  return page;
}

class LibSystem {
 public:
  LibSystem() {
    const auto own = std::to_array<Export>({
        {"_NSGetExecutablePath", code(executable_path)},
        {"dladdr", code(object_of)},
        {"dlopen", code(open_object)},
    });
    for (const Exports exports :
         {file_exports(), memory_exports(), process_exports(), queue_exports(), signal_exports(),
          socket_exports(), text_exports(), thread_exports(), unwind_exports(), Exports(own)}) {
      for (const Export& exported : exports) known_[exported.name] = exported.address;
    }
    for (const char* const name : same_functions()) known_[name] = dlsym(RTLD_DEFAULT, name);
  }

  const void* operator()(std::string_view symbol) {
    if (symbol.starts_with('_')) symbol.remove_prefix(1);
    const void*& address = known_[std::string(symbol)];
    if (address == nullptr) address = stand_in(std::string(symbol).c_str());
    return address;
  }

 private:
  std::unordered_map<std::string, const void*> known_;
};

int run(int argc, char** argv) {
  std::array<char, PATH_MAX> path{};
  if (realpath(argv[0], path.data()) == nullptr) {
    std::perror(argv[0]);
    return 127;
  }
  // They live as long as the process: the program's last functions run at its very end.
  auto* const image = new Image(path.data());
  program() = {.path = path.data(), .image = image};
  prepare_thread_variables(*image);
  begin_thread_variables();
  LibSystem library;
  image->bind([&](const char* name) { return library(name); });
  image->protect();
  describe_frames(*image);
  const std::string executable = "executable_path=" + program().path;
  std::array<char*, 2> apple = {strdup(executable.c_str()), nullptr};
  for (const Image::Initialiser initialise : image->initialisers()) {
    initialise(argc, argv, environ, apple.data(), nullptr);
  }
  std::exit(image->main()(argc, argv, environ, apple.data()));
}

}  // namespace

}  // namespace pglite::loader

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: darwin_loader PROGRAM [ARGUMENT...]\n", stderr);
    return 64;
  }
  try {
    return pglite::loader::run(argc - 1, argv + 1);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "loader: %s\n", error.what());
    return 127;
  }
}
