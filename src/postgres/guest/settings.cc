#include "postgres/guest/settings.h"

#include "postgres/guest/layout.h"

namespace pglite::postgres {

uint32_t Settings::address(const char* name) {
  if (const auto known = addresses_.find(name); known != addresses_.end()) return known->second;
  const auto find = find_symbol(process_, symbols::kFindOption);
  if (!find) return 0;
  uint32_t option = 0;
  process_.run(
      [&] { (void)process_.call([&] { option = find(process_.push_string(name), 0, 1, 0); }); });
  if (option == 0) return 0;
  const auto variable =
      process_.memory().load(wasm::GuestPtr<uint32_t>{option + kLayout.config_generic_variable});
  if (variable && *variable != 0) addresses_.emplace(name, *variable);
  return variable.value_or(0);
}

std::optional<bool> Settings::boolean(const char* name) {
  const auto value = load<uint8_t>(name);
  if (!value) return std::nullopt;
  return *value != 0;
}

}  // namespace pglite::postgres
