#include "wire/backend.h"

#include "wire/byte_order.h"

namespace pglite::wire {
namespace {

// A cursor over a body. It remembers whether it ever ran past the end.
class Body {
 public:
  explicit Body(std::string_view bytes) : rest_(bytes) {}

  std::string_view take(size_t count) {
    if (count > rest_.size()) {
      good_ = false;
      rest_ = {};
      return {};
    }
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  uint16_t u16() {
    const std::string_view bytes = take(2);
    return good_ ? load_u16(bytes) : uint16_t{0};
  }

  uint32_t u32() {
    const std::string_view bytes = take(4);
    return good_ ? load_u32(bytes) : 0;
  }

  char byte() {
    const std::string_view bytes = take(1);
    return good_ ? bytes[0] : '\0';
  }

  std::string_view string() {
    const size_t end = rest_.find('\0');
    if (end == std::string_view::npos) {
      take(rest_.size() + 1);
      return {};
    }
    const std::string_view text = take(end);
    take(1);
    return text;
  }

  [[nodiscard]] bool good() const { return good_; }
  [[nodiscard]] bool finished() const { return good_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool good_ = true;
};

}  // namespace

uint64_t BackendScanner::body_length() const {
  const uint32_t length = load_u32(header_ + 1);
  return length < 4 ? 0 : length - 4;
}

bool BackendReader::feed(std::string_view bytes,
                         const std::function<void(const BackendMessage&)>& handle) {
  while (true) {
    if (!partial_.empty()) {
      // Complete the message that the last piece ended in, and no more than that.
      size_t wanted = 5;
      if (partial_.size() >= 5) wanted = size_t{1} + load_u32(partial_.data() + 1);
      const size_t step = std::min(wanted - partial_.size(), bytes.size());
      partial_.append(bytes.substr(0, step));
      bytes.remove_prefix(step);
      if (partial_.size() < 5) return true;
      const uint32_t length = load_u32(partial_.data() + 1);
      if (length < 4) return false;
      if (partial_.size() < size_t{1} + length) {
        if (bytes.empty()) return true;
        continue;
      }
      const std::string whole = std::move(partial_);
      partial_.clear();
      handle({whole[0], std::string_view(whole).substr(5), whole});
      continue;
    }
    if (bytes.empty()) return true;
    if (bytes.size() < 5) {
      partial_.assign(bytes);
      return true;
    }
    const uint32_t length = load_u32(bytes.substr(1));
    if (length < 4) return false;
    const size_t size = size_t{1} + length;
    if (bytes.size() < size) {
      partial_.assign(bytes);
      return true;
    }
    handle({bytes[0], bytes.substr(5, size - 5), bytes.substr(0, size)});
    bytes.remove_prefix(size);
  }
}

bool parse_row_description(std::string_view bytes, std::vector<Column>* columns) {
  Body body(bytes);
  columns->clear();
  const uint16_t count = body.u16();
  for (uint16_t i = 0; i < count && body.good(); ++i) {
    Column column;
    column.name = body.string();
    column.table_oid = body.u32();
    column.attribute = body.u16();
    column.type_oid = body.u32();
    column.type_size = static_cast<int16_t>(body.u16());
    column.type_modifier = static_cast<int32_t>(body.u32());
    column.binary = body.u16() == 1;
    columns->push_back(column);
  }
  return body.finished();
}

bool parse_data_row(std::string_view bytes, std::vector<std::optional<std::string_view>>* values) {
  Body body(bytes);
  values->clear();
  const uint16_t count = body.u16();
  for (uint16_t i = 0; i < count && body.good(); ++i) {
    const uint32_t length = body.u32();
    if (length == 0xffffffff) {
      values->emplace_back(std::nullopt);
    } else {
      values->emplace_back(body.take(length));
    }
  }
  return body.finished();
}

bool parse_command_complete(std::string_view bytes, std::string_view* tag) {
  Body body(bytes);
  *tag = body.string();
  return body.finished();
}

bool parse_ready_for_query(std::string_view bytes, char* transaction_status) {
  Body body(bytes);
  *transaction_status = body.byte();
  return body.finished();
}

bool parse_parameter_status(std::string_view bytes, std::string_view* name,
                            std::string_view* value) {
  Body body(bytes);
  *name = body.string();
  *value = body.string();
  return body.finished();
}

bool parse_copy_response(std::string_view bytes, CopyResponse* copy) {
  Body body(bytes);
  copy->binary = body.byte() == 1;
  copy->column_count = body.u16();
  body.take(size_t{2} * copy->column_count);
  return body.finished();
}

bool parse_notification(std::string_view bytes, Notification* notification) {
  Body body(bytes);
  notification->pid = body.u32();
  notification->channel = body.string();
  notification->payload = body.string();
  return body.finished();
}

bool parse_error(std::string_view bytes, ErrorFields* fields) {
  Body body(bytes);
  *fields = {};
  while (body.good()) {
    const char code = body.byte();
    if (code == '\0') break;
    const std::string_view text = body.string();
    switch (code) {
      case 'S':
        fields->severity = text;
        break;
      case 'C':
        fields->sqlstate = text;
        break;
      case 'M':
        fields->message = text;
        break;
      case 'D':
        fields->detail = text;
        break;
      case 'H':
        fields->hint = text;
        break;
      case 'P':
        fields->position = text;
        break;
      case 'p':
        fields->internal_position = text;
        break;
      case 'q':
        fields->internal_query = text;
        break;
      case 'W':
        fields->where = text;
        break;
      default:
        break;  // the manual: unrecognised fields are to be ignored
    }
  }
  return body.finished();
}

}  // namespace pglite::wire
