// Statements of the server's own, in a session of their own.
#ifndef PGLITE_SERVER_STATEMENT_H_
#define PGLITE_SERVER_STATEMENT_H_

#include <pglite/cluster.h>
#include <pglite/status.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pglite::server {

using Row = std::vector<std::optional<std::string_view>>;

// Runs `sql` as the superuser postgres and hands its rows to `on_row`. kInvalidArgument: PostgreSQL
// refuses the session or the statement, and the message is PostgreSQL's. kWaiting: it would have to
// wait for a client of the cluster, and is given up.
Status run_statement(Cluster& cluster, const std::vector<std::string>& settings,
                     std::string_view sql, const std::function<void(const Row&)>& on_row = {});

}  // namespace pglite::server

#endif  // PGLITE_SERVER_STATEMENT_H_
