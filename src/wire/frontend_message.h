// Builds frontend messages (PostgreSQL manual, "Message Formats"). Strings must not contain NUL:
// the wire ends them with one.
#ifndef PGLITE_WIRE_FRONTEND_MESSAGE_H_
#define PGLITE_WIRE_FRONTEND_MESSAGE_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "wire/message.h"

namespace pglite::wire {

// Protocol 3.0, with parameters such as {"user", "postgres"}.
std::string startup_packet(
    std::span<const std::pair<std::string_view, std::string_view>> parameters);
std::string ssl_request();
std::string gssenc_request();
std::string cancel_request(uint32_t pid, uint32_t key);

std::string query(std::string_view sql);
std::string parse(std::string_view statement, std::string_view sql,
                  std::span<const uint32_t> parameter_types = {});

struct Parameter {
  std::optional<std::string_view> value;  // none: NULL
  bool binary = false;
};
// All result columns come in one format.
std::string bind(std::string_view portal, std::string_view statement,
                 std::span<const Parameter> parameters = {}, bool binary_results = false);
// `kind` is 'S' for a prepared statement, 'P' for a portal.
std::string describe(char kind, std::string_view name);
std::string close(char kind, std::string_view name);
// At most `row_limit` rows, 0: all.
std::string execute(std::string_view portal, uint32_t row_limit = 0);
std::string flush();
std::string sync();
std::string terminate();
std::string copy_data(std::string_view data);
std::string copy_done();
std::string copy_fail(std::string_view reason);

}  // namespace pglite::wire

#endif  // PGLITE_WIRE_FRONTEND_MESSAGE_H_
