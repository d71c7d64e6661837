// PostgreSQL's settings (GUC variables), read and replaced in the guest's memory: a statement for
// it would be one that the session's own settings and permissions apply to.
#ifndef PGLITE_POSTGRES_GUEST_SETTINGS_H_
#define PGLITE_POSTGRES_GUEST_SETTINGS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "emscripten/process.h"
#include "wasm/guest_memory.h"

namespace pglite::postgres {

// The built-in settings of one process, which must outlive this. A name that PostgreSQL does not
// know has no value, and no address.
class Settings {
 public:
  explicit Settings(emscripten::Process& process) : process_(process) {}

  // Where the variable behind a setting is. 0: there is none.
  uint32_t address(const char* name);

  // The values. The caller vouches for the type that PostgreSQL gives the setting.
  std::optional<int> integer(const char* name) { return load<int32_t>(name); }  // also enums
  std::optional<double> real(const char* name) { return load<double>(name); }
  std::optional<bool> boolean(const char* name);

 private:
  template <class T>
  std::optional<T> load(const char* name) {
    const uint32_t at = address(name);
    const auto value = process_.memory().load(wasm::GuestPtr<T>{at});
    if (at == 0 || !value) return std::nullopt;
    return *value;
  }

  emscripten::Process& process_;
  std::map<std::string, uint32_t> addresses_;  // variables do not move
};

// A value in the guest's memory that is replaced while this exists. Nothing happens at address 0.
template <class T>
class Replaced {
 public:
  Replaced(const wasm::GuestMemory& memory, uint32_t address, T value)
      : memory_(memory), address_(address) {
    const auto old = memory_.load(wasm::GuestPtr<T>{address_});
    if (address_ == 0 || !old) return;
    old_ = *old;
    (void)memory_.store(wasm::GuestPtr<T>{address_}, value);
  }
  ~Replaced() {
    if (old_) (void)memory_.store(wasm::GuestPtr<T>{address_}, *old_);
  }
  Replaced(const Replaced&) = delete;
  Replaced& operator=(const Replaced&) = delete;

 private:
  wasm::GuestMemory memory_;
  uint32_t address_;
  std::optional<T> old_;
};

// While this exists, no setting of the session's cuts a statement short or writes it to the log:
// our own statements run under it. The session must be at rest at both ends.
class UndisturbedStatements {
 public:
  UndisturbedStatements(emscripten::Process& process, Settings& settings)
      : statement_timeout_(process.memory(), settings.address("statement_timeout"), 0),
        transaction_timeout_(process.memory(), settings.address("transaction_timeout"), 0),
        lock_timeout_(process.memory(), settings.address("lock_timeout"), 0),
        log_statement_(process.memory(), settings.address("log_statement"), 0),
        log_min_duration_(process.memory(), settings.address("log_min_duration_statement"), -1) {}

  // Whether it replaces the setting of this name. A statement that sets it must not run under it.
  static bool replaces(std::string_view name) {
    return name == "statement_timeout" || name == "transaction_timeout" || name == "lock_timeout" ||
           name == "log_statement" || name == "log_min_duration_statement";
  }

 private:
  Replaced<int32_t> statement_timeout_;
  Replaced<int32_t> transaction_timeout_;
  Replaced<int32_t> lock_timeout_;
  Replaced<int32_t> log_statement_;
  Replaced<int32_t> log_min_duration_;
};

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_GUEST_SETTINGS_H_
