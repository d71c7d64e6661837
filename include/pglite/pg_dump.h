// PostgreSQL's pg_dump on a session that is not an Instance's: of a server that runs elsewhere,
// say.
#ifndef PGLITE_PG_DUMP_H_
#define PGLITE_PG_DUMP_H_

#include <pglite/bytes.h>
#include <pglite/status.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace pglite {

struct DumpSession {
  // Whom and what the session is; pg_dump is refused another one.
  std::string username;
  std::string database;
  // As Instance::exec_protocol.
  std::function<Status(std::string_view request, const ResponseSink& sink)> exec;
  // Called on the way through `exec`: whatever it runs is not wanted any more.
  std::function<void()> cancel;
};

// Writes the session's database as SQL, as Instance::dump_sql does; what pg_dump has to say goes to
// `messages`, a line at a time. The session's settings and its transaction are pg_dump's
// afterwards: it had better end.
Status dump_sql(const DumpSession& session, const std::vector<std::string>& arguments,
                Compression compression, const ByteSink& sink,
                const std::function<void(std::string_view line)>& messages);

}  // namespace pglite

#endif  // PGLITE_PG_DUMP_H_
