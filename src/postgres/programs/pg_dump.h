// Runs PostgreSQL's pg_dump: pg_dump.wasm of PGlite's tools, a guest of its own beside the backend.
#ifndef PGLITE_POSTGRES_PROGRAMS_PG_DUMP_H_
#define PGLITE_POSTGRES_PROGRAMS_PG_DUMP_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "pglite/bytes.h"
#include "pglite/status.h"

namespace pglite::postgres {

// All of it must be set. Only `exec` and `output` may throw.
struct PgDumpConfig {
  std::vector<std::string> arguments;  // of its command line, without its name
  // Whom and what the session behind `exec` is; connecting as or to another is refused.
  std::string username;
  std::string database;
  // The session, as Instance::exec_protocol.
  std::function<Status(std::string_view request, const ResponseSink& sink)> exec;
  // Called on the way through `exec`: whatever it runs is not wanted any more.
  std::function<void()> cancel;
  ByteSink output;
  // Receives what it says, a line at a time.
  std::function<void(std::string_view line)> messages;
};

// A failure of `exec` or `output` is returned. kToolFailed: it ended with another status than 0,
// and has said why. kInvalidArgument: it wrote its dump elsewhere than to `output`. kEngineGone: it
// trapped. Only where the status is ok is what `output` got a dump. A transaction may be left open.
Status run_pg_dump(const PgDumpConfig& config);

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_PROGRAMS_PG_DUMP_H_
