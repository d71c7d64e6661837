#include "pglite/pg_dump.h"

#include "pglite/compressed.h"
#include "pglite/without_exceptions.h"
#include "postgres/programs/pg_dump.h"

namespace pglite {

Status dump_sql(const DumpSession& session, const std::vector<std::string>& arguments,
                Compression compression, const ByteSink& sink,
                const std::function<void(std::string_view line)>& messages) {
  return without_exceptions([&] {
    return write_compressed(compression, sink, [&](const ByteSink& output) {
      return postgres::run_pg_dump({.arguments = arguments,
                                    .username = session.username,
                                    .database = session.database,
                                    .exec = session.exec,
                                    .cancel = session.cancel,
                                    .output = output,
                                    .messages = messages});
    });
  });
}

}  // namespace pglite
