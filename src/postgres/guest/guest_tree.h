// The file tree that a PostgreSQL guest sees.
//
//   /pglite, /home   PGlite's bundle, borrowed from the program
//   /pglite/data     the data directory: in memory, or a directory of the host
//   /dev             null, zero, random, urandom, stdin, stdout, stderr, tty, shm/
//   /tmp
//
// Over /dev/shm, a Postmaster mounts files that processes can map.
#ifndef PGLITE_POSTGRES_GUEST_GUEST_TREE_H_
#define PGLITE_POSTGRES_GUEST_GUEST_TREE_H_

#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "postgres/version.h"
#include "vfs/devices.h"
#include "vfs/image.h"
#include "vfs/memory_filesystem.h"
#include "vfs/mount_table.h"
#include "wasm/module_store.h"

namespace pglite::postgres {

struct GuestTree {
  std::shared_ptr<vfs::MemoryFileSystem> memory;
  std::shared_ptr<vfs::MountTable> root;
  // Where libraries in the tree get their code from; null: what is linked in.
  std::shared_ptr<wasm::ModuleStore> modules;
};

// `bundle` must outlive the tree. `stderr_line` receives what guests write to stderr, a line at
// a time.
vfs::Result<GuestTree> make_guest_tree(std::span<const std::byte> bundle,
                                       std::function<void(std::string_view)> stderr_line,
                                       vfs::Unpacking unpacking = vfs::Unpacking::kAtOnce);
// The same with another device for stderr.
vfs::Result<GuestTree> make_guest_tree(std::span<const std::byte> bundle,
                                       std::shared_ptr<vfs::Device> standard_error,
                                       vfs::Unpacking unpacking = vfs::Unpacking::kAtOnce);

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_GUEST_GUEST_TREE_H_
