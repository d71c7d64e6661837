#include "server/statement.h"

#include <memory>

#include "wire/backend.h"
#include "wire/frontend_message.h"

namespace pglite::server {

Status run_statement(Cluster& cluster, const std::vector<std::string>& settings,
                     std::string_view sql, const std::function<void(const Row&)>& on_row) {
  SessionOptions options;
  options.settings = settings;
  std::unique_ptr<Session> session;
  Status status = cluster.connect(options, &session);
  if (!status.ok()) return status;
  std::string error;
  wire::BackendReader reader;
  status = session->exec(wire::query(sql), [&](std::string_view bytes) {
    reader.feed(bytes, [&](const wire::BackendMessage& message) {
      Row row;
      wire::ErrorFields fields;
      if (message.type == 'D' && on_row && wire::parse_data_row(message.body, &row)) {
        on_row(row);
      } else if (message.type == 'E' && wire::parse_error(message.body, &fields)) {
        error = fields.message;
      }
    });
  });
  return status.ok() && !error.empty() ? Status::invalid_argument(error) : status;
}

}  // namespace pglite::server
