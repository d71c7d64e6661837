#include "wasm/module_registry.h"

#include <sha2.h>
#include <sys/types.h>

#include <algorithm>
#include <array>

namespace pglite::wasm {

namespace {

const guest_module* find(auto&& matches) {
  const std::span modules(guest_modules, guest_module_count);
  const auto found = std::ranges::find_if(modules, matches);
  return found == modules.end() ? nullptr : *found;
}

}  // namespace

std::string sha256(std::span<const std::byte> content) {
  std::array<char, SHA256_DIGEST_STRING_LENGTH> hex{};
  SHA256Data(reinterpret_cast<const uint8_t*>(content.data()), content.size(), hex.data());
  return hex.data();
}

const guest_module* find_module_by_sha256(std::string_view sha256) {
  return find([&](const guest_module* module) { return module->sha256 == sha256; });
}

const guest_module* find_module_by_name(std::string_view name) {
  return find([&](const guest_module* module) { return module->name == name; });
}

const guest_export* find_export(const guest_module& module, std::string_view name) {
  const std::span exports(module.exports, module.export_count);
  const auto found = std::ranges::lower_bound(
      exports, name, {}, [](const guest_export& entry) { return std::string_view(entry.name); });
  return found != exports.end() && found->name == name ? &*found : nullptr;
}

}  // namespace pglite::wasm
