// The translated modules that are linked in, by the content of their wasm binaries.
#ifndef PGLITE_WASM_MODULE_REGISTRY_H_
#define PGLITE_WASM_MODULE_REGISTRY_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "wasm/guest_module.h"

namespace pglite::wasm {

// SHA-256, as 64 lower-case hex digits.
std::string sha256(std::span<const std::byte> content);

// Null when this program was not built with that module.
const guest_module* find_module_by_sha256(std::string_view sha256);
const guest_module* find_module_by_name(std::string_view name);

// Null when the module exports nothing of that name.
const guest_export* find_export(const guest_module& module, std::string_view name);

}  // namespace pglite::wasm

#endif  // PGLITE_WASM_MODULE_REGISTRY_H_
