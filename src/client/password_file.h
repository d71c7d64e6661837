// The password file, ~/.pgpass (manual, "The Password File").
#ifndef PGLITE_CLIENT_PASSWORD_FILE_H_
#define PGLITE_CLIENT_PASSWORD_FILE_H_

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace pglite::client {

// What a line of the file must fit.
struct PasswordKey {
  std::string_view host;  // "localhost" for Unix sockets in the usual directory
  std::string_view port;
  std::string_view database;
  std::string_view user;
};

// The password of the first line that fits, if there is one.
std::optional<std::string> find_password(std::string_view content, const PasswordKey& key);

// The same, of a file. One that others may read is not looked at, and `warn` says so; one that is
// not there has no password.
std::optional<std::string> find_password_in(const std::string& path, const PasswordKey& key,
                                            const std::function<void(std::string_view)>& warn);

}  // namespace pglite::client

#endif  // PGLITE_CLIENT_PASSWORD_FILE_H_
