#include "postgres/guest/guest_tree.h"

#include "vfs/devices.h"

namespace pglite::postgres {

vfs::Result<GuestTree> make_guest_tree(std::span<const std::byte> bundle,
                                       std::function<void(std::string_view)> stderr_line,
                                       vfs::Unpacking unpacking) {
  return make_guest_tree(bundle, std::make_shared<vfs::LineSink>(std::move(stderr_line)),
                         unpacking);
}

vfs::Result<GuestTree> make_guest_tree(std::span<const std::byte> bundle,
                                       std::shared_ptr<vfs::Device> standard_error,
                                       vfs::Unpacking unpacking) {
  GuestTree tree;
  tree.memory = std::make_shared<vfs::MemoryFileSystem>();
  if (auto loaded = vfs::load_image(bundle, *tree.memory, "/", unpacking); !loaded) {
    return vfs::error(loaded.error());
  }
  const auto random = vfs::make_random_device();
  const std::pair<std::string_view, std::shared_ptr<vfs::Device>> devices[] = {
      {"/dev/null", vfs::make_null_device()},
      {"/dev/zero", vfs::make_zero_device()},
      {"/dev/random", random},
      {"/dev/urandom", random},
      {"/dev/stdin", vfs::make_end_of_file_device()},
      // PostgreSQL's single-user mode prompts there, initdb reports its progress.
      {"/dev/stdout", vfs::make_null_device()},
      {"/dev/stderr", standard_error},
      {"/dev/tty", vfs::make_terminal_device(standard_error)},
  };
  for (const char* directory : {"/dev/shm", "/tmp"}) {
    if (auto made = tree.memory->make_directories(directory, 0777); !made) {
      return vfs::error(made.error());
    }
  }
  if (auto made = tree.memory->make_directories(kDataDirectory, 0700); !made) {
    return vfs::error(made.error());
  }
  for (const auto& [path, device] : devices) {
    if (auto added = tree.memory->add_device(path, device); !added) {
      return vfs::error(added.error());
    }
  }
  tree.root = std::make_shared<vfs::MountTable>(tree.memory);
  return tree;
}

}  // namespace pglite::postgres
