#include "wasm/module_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <span>

#include "wasm/module_registry.h"

namespace pglite::wasm {

namespace {

constexpr size_t kSha256Digits = 64;
constexpr std::string_view kMainModule = "pglite";

// Whether only the user and root can write to it.
os::Result<void> check_owner(int fd) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return os::last_error();
  const bool is_ours = status.st_uid == geteuid() || status.st_uid == 0;
  if (!is_ours || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return os::error(std::errc::operation_not_permitted);
  }
  return {};
}

os::Result<os::UniqueFd> open_owned(int directory, const char* name, int flags) {
  auto fd = os::owned(os::retry(
      [&] { return openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | flags); }));
  if (!fd) return fd;
  if (auto checked = check_owner(fd->get()); !checked) return os::error(checked.error());
  return fd;
}

const guest_host_symbol* find_symbol(std::span<const guest_host_symbol> symbols,
                                     std::string_view name) {
  const auto found =
      std::ranges::lower_bound(symbols, name, {}, [](const guest_host_symbol& symbol) {
        return std::string_view(symbol.name);
      });
  return found != symbols.end() && found->name == name ? &*found : nullptr;
}

const guest_host_symbol* find_host_symbol(std::string_view name) {
  return find_symbol({guest_host_symbols, guest_host_symbol_count}, name);
}

}  // namespace

tl::expected<const guest_module*, std::string> find_linked_module(std::string_view sha256) {
  if (const guest_module* linked = find_module_by_sha256(sha256)) return linked;
  return tl::unexpected("the library is not one that this program was built with (sha256 " +
                        std::string(sha256) + ")");
}

std::string library_directory(std::string_view cache) {
  return cache.empty() ? std::string() : std::string(cache) + "/modules/" + guest_abi_identity;
}

os::Result<os::UniqueFd> open_library_file(const std::string& directory, const std::string& name) {
  auto opened = open_owned(AT_FDCWD, directory.c_str(), O_DIRECTORY);
  if (!opened || name.empty()) return opened;
  return open_owned(opened->get(), name.c_str(), O_NONBLOCK);
}

ModuleStore::ModuleStore(std::string directory)
    : directory_(std::move(directory)), main_(find_module_by_name(kMainModule)) {}

bool ModuleStore::is_main_linked() const {
  return main_library_ == nullptr;
}

tl::expected<void, std::string> ModuleStore::choose_main(std::string_view sha256) {
  if (main_->sha256 == sha256) return {};
  const auto library = loaded(sha256);
  if (!library) return tl::unexpected(library.error());
  if (!(*library)->module->fused) {
    return tl::unexpected(std::string("it is a library and no program"));
  }
  main_library_ = *library;
  main_ = main_library_->module;
  return {};
}

tl::expected<const guest_module*, std::string> ModuleStore::find(std::string_view sha256) {
  auto linked = find_linked_module(sha256);
  if (is_main_linked() && (linked || directory_.empty())) return linked;
  const auto library = loaded(sha256);
  if (!library) return tl::unexpected(library.error());
  return (*library)->module;
}

tl::expected<const guest_library*, std::string> ModuleStore::loaded(std::string_view sha256) {
  // It may come from a snapshot, and becomes a file's name.
  const bool is_sha256 = sha256.size() == kSha256Digits &&
                         sha256.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  if (!is_sha256 || directory_.empty()) return tl::unexpected(std::string("it is not known"));
  if (const auto known = loaded_.find(sha256); known != loaded_.end()) return known->second.head;
  auto library = load(sha256);
  if (!library) return tl::unexpected(library.error());
  const guest_library* head = library->head;
  loaded_.emplace(sha256, std::move(*library));
  return head;
}

tl::expected<ModuleStore::Library, std::string> ModuleStore::load(std::string_view sha256) const {
  const std::string name = std::string(sha256) + ".so";
  const std::string path = directory_ + "/" + name;
  auto file = open_library_file(directory_, name);
  if (!file && file.error() == std::errc::no_such_file_or_directory) {
    return tl::unexpected("the module is not one that this program was built with (sha256 " +
                          std::string(sha256) + "): give its file to \"pglite-port compile\"");
  }
  if (!file && file.error() == std::errc::operation_not_permitted) {
    return tl::unexpected("others than you can write to \"" + path +
                          "\" or its directory, so it is not loaded");
  }
  if (!file) {
    return tl::unexpected("\"" + path + "\": " + std::make_error_code(file.error()).message());
  }
  auto library =
      os::NativeLibrary::load(file->get(), [this](const char* wanted) { return symbol(wanted); });
  if (!library) return tl::unexpected("\"" + path + "\" " + library.error());
  const auto* head = static_cast<const guest_library*>(library->entry(sizeof(guest_library)));
  if (head == nullptr || head->abi_identity != std::string_view(guest_abi_identity) ||
      head->module->sha256 != sha256) {
    return tl::unexpected("\"" + path + "\" is of another program or module");
  }
  return Library{std::move(*library), head};
}

// The program's own, or "main.SIGNATURE.NAME", a function of the main module of that signature.
const void* ModuleStore::symbol(const char* name) const {
  std::string_view rest(name);
  if (constexpr std::string_view kMain = "main."; rest.starts_with(kMain)) {
    rest.remove_prefix(kMain.size());
    const size_t dot = rest.find('.');
    if (dot == std::string_view::npos) return nullptr;
    const guest_host_symbol* type =
        find_host_symbol("wasm_func_type_" + std::string(rest.substr(0, dot)));
    const guest_export* found = find_export(*main_, rest.substr(dot + 1));
    const bool is_it = type != nullptr && found != nullptr && found->function != nullptr &&
                       found->type == type->address;
    return is_it ? reinterpret_cast<const void*>(found->function) : nullptr;
  }
  const guest_host_symbol* known = find_host_symbol(rest);
  if (known != nullptr && known->is_of_main && !is_main_linked()) known = nullptr;
  if (known == nullptr && !is_main_linked()) {
    known = find_symbol({main_library_->supplied, main_library_->supplied_count}, rest);
  }
  return known == nullptr ? nullptr : known->address;
}

}  // namespace pglite::wasm
