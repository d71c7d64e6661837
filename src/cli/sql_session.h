// What runs the SQL of `pglite-port sql`: an Instance, or a session of a server that runs
// elsewhere.
#ifndef PGLITE_CLI_SQL_SESSION_H_
#define PGLITE_CLI_SQL_SESSION_H_

#include <pglite/bytes.h>
#include <pglite/status.h>

#include <functional>
#include <string>
#include <string_view>

namespace pglite::cli {

struct SqlSession {
  // As Instance::exec_protocol.
  std::function<Status(std::string_view request, const ResponseSink& sink)> exec{};
  bool standard_strings = true;   // standard_conforming_strings, at the beginning
  bool reports_settings = false;  // those that a server reports, as they change
  // Where set: called on the way through `exec`, once, when nobody reads the answer any more.
  std::function<void()> give_up{};
  // Asks for what runs to be given up. From any thread. Empty: that cannot be.
  std::function<void()> cancel{};
  // At a prompt: whether an interrupt has come since this was asked last.
  std::function<bool()> interrupted{};
  // Goes on with another session in this one's place; empty: the database or the role of this one.
  // Where that fails, this one goes on, unless is_lost says that there is none any more.
  std::function<Status(const std::string& database, const std::string& user)> connect{};
  bool is_lost = false;
  std::string place{};  // where the database is, as in: in memory
};

}  // namespace pglite::cli

#endif  // PGLITE_CLI_SQL_SESSION_H_
