#include "postgres/guest/superuser.h"

#include <optional>

#include "postgres/guest/layout.h"
#include "postgres/guest/postgres_process.h"

namespace pglite::postgres {

namespace {

using wasm::GuestPtr;

struct User {
  uint32_t id;
  uint32_t security_context;
  bool operator==(const User&) const = default;
};

std::optional<User> current_user(emscripten::Process& process) {
  const auto get = find_symbol(process, symbols::kGetUserIdAndSecContext);
  const auto allocate = find_symbol(process, symbols::kStackAlloc);
  std::optional<User> user;
  if (!get || !allocate) return user;
  process.run([&] {
    const uint32_t stack_pointer = *process.env().stack_pointer;
    (void)process.call([&] {
      const uint32_t pair = allocate(16);
      get(pair, pair + 4);
      const auto id = process.memory().load(GuestPtr<uint32_t>{pair});
      const auto context = process.memory().load(GuestPtr<uint32_t>{pair + 4});
      if (id && context) user = {.id = *id, .security_context = *context};
    });
    *process.env().stack_pointer = stack_pointer;
  });
  return user;
}

// Gives the session's user back when it goes out of scope.
class BorrowedPermissions {
 public:
  BorrowedPermissions(Backend& backend, const SetUserFunction& set_user, User user)
      : backend_(backend), set_user_(set_user), user_(user) {}
  ~BorrowedPermissions() { (void)give_back(); }
  BorrowedPermissions(const BorrowedPermissions&) = delete;
  BorrowedPermissions& operator=(const BorrowedPermissions&) = delete;

  Status give_back() {
    if (given_back_) return {};
    given_back_ = true;
    // A session that has ended has no user any more, and runs nothing.
    if (Status gone = backend_.failure(); !gone.ok()) return gone;
    emscripten::Process& process = backend_.process();
    wasm::Outcome outcome;
    process.run(
        [&] { outcome = process.call([&] { set_user_(user_.id, user_.security_context); }); });
    if (!outcome.returned()) {
      return backend_.declare_gone("the superuser's permissions could not be given back: " +
                                   describe(outcome));
    }
    if (current_user(process) != user_) {
      return backend_.declare_gone("the superuser's permissions could not be given back");
    }
    return {};
  }

 private:
  Backend& backend_;
  const SetUserFunction& set_user_;
  const User user_;
  bool given_back_ = false;
};

}  // namespace

Status as_superuser(Backend& backend, const std::function<Status()>& work) {
  return as_superuser(backend, work,
                      find_symbol(backend.process(), symbols::kSetUserIdAndSecContext));
}

Status as_superuser(Backend& backend, const std::function<Status()>& work,
                    const SetUserFunction& set_user) {
  emscripten::Process& process = backend.process();
  const std::optional<User> user = current_user(process);
  if (!user || !set_user) return Status::invalid_argument("the session has no user");
  BorrowedPermissions borrowed(backend, set_user, *user);
  wasm::Outcome outcome;
  process.run([&] {
    outcome = process.call([&] { set_user(kLayout.bootstrap_superuser, user->security_context); });
  });
  Status status;
  if (outcome.returned()) {
    status = work();
  } else {
    status =
        backend.declare_gone("the superuser's permissions could not be had: " + describe(outcome));
  }
  const Status given_back = borrowed.give_back();
  return given_back.ok() ? status : given_back;
}

}  // namespace pglite::postgres
