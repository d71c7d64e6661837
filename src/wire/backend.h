// Reads what PostgreSQL sends (manual, "Message Formats").
//
// There are two readers. BackendScanner only follows the boundaries and notes the few things the
// port must know; it never keeps a body, so it costs next to nothing on a large answer.
// BackendReader hands out whole messages, for clients (the `sql` command, tests); the parse_*
// functions then take a message apart into views of it.
#ifndef PGLITE_WIRE_BACKEND_H_
#define PGLITE_WIRE_BACKEND_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pglite::wire {

// Follows an answer that comes in pieces of any size.
class BackendScanner {
 public:
  // Calls `at_end_of(type, consumed)` for each message that ends inside `bytes`; `consumed` counts
  // from the start of `bytes` to just behind the message.
  template <class AtEnd>
  void scan(std::string_view bytes, AtEnd&& at_end_of) {
    size_t position = 0;
    while (position < bytes.size()) {
      if (header_size_ < sizeof header_) {
        header_[header_size_++] = bytes[position++];
        if (header_size_ < sizeof header_) continue;
        body_left_ = body_length();
      }
      const uint64_t step = std::min<uint64_t>(body_left_, bytes.size() - position);
      position += step;
      body_left_ -= step;
      if (body_left_ == 0) {
        header_size_ = 0;
        at_end_of(header_[0], position);
      }
    }
  }

  // Whether the bytes so far are whole messages.
  [[nodiscard]] bool at_boundary() const { return header_size_ == 0; }
  void reset() { header_size_ = 0; }

 private:
  [[nodiscard]] uint64_t body_length() const;

  char header_[5];
  size_t header_size_ = 0;
  uint64_t body_left_ = 0;
};

struct BackendMessage {
  char type = 0;
  std::string_view body;   // without type and length
  std::string_view bytes;  // all of it
};

// Collects pieces into whole messages. Holds at most one message that was cut by the end of a
// piece; messages that lie within a piece are not copied.
class BackendReader {
 public:
  // Calls `handle` for each message that is complete now. The views are valid during that call.
  // False: the bytes are no backend messages (an impossible length); the reader is of no more use.
  bool feed(std::string_view bytes, const std::function<void(const BackendMessage&)>& handle);

 private:
  std::string partial_;
};

struct Column {
  std::string_view name;
  uint32_t table_oid = 0;
  uint16_t attribute = 0;
  uint32_t type_oid = 0;
  int16_t type_size = 0;
  int32_t type_modifier = 0;
  bool binary = false;
};

// Each returns false if the body is not what its type says.
bool parse_row_description(std::string_view body, std::vector<Column>* columns);
bool parse_data_row(std::string_view body, std::vector<std::optional<std::string_view>>* values);
bool parse_command_complete(std::string_view body, std::string_view* tag);
// 'I' idle, 'T' in a transaction, 'E' in a failed one.
bool parse_ready_for_query(std::string_view body, char* transaction_status);
bool parse_parameter_status(std::string_view body, std::string_view* name, std::string_view* value);

struct CopyResponse {
  bool binary = false;
  uint16_t column_count = 0;
};
bool parse_copy_response(std::string_view body, CopyResponse* copy);

struct Notification {
  uint32_t pid = 0;
  std::string_view channel;
  std::string_view payload;
};
bool parse_notification(std::string_view body, Notification* notification);

// ErrorResponse and NoticeResponse (manual, "Error and Notice Message Fields"). Fields that are not
// there are empty.
struct ErrorFields {
  std::string_view severity;  // as localised; what to show
  std::string_view sqlstate;
  std::string_view message;
  std::string_view detail;
  std::string_view hint;
  std::string_view position;  // in characters of the query, from 1
  std::string_view internal_position;
  std::string_view internal_query;
  std::string_view where;
};
bool parse_error(std::string_view body, ErrorFields* fields);

}  // namespace pglite::wire

#endif  // PGLITE_WIRE_BACKEND_H_
