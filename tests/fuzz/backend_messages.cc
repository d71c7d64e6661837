// The readers of what PostgreSQL sends: a compromised guest can send anything.
#include "target.h"
#include "wire/backend.h"
#include "wire/byte_order.h"
#include "wire/frontend_message.h"

namespace pglite::fuzz {
namespace {

using namespace wire;
using namespace std::literals;

struct Message {
  char type;
  std::string bytes;
  bool operator==(const Message&) const = default;
};

// False where the reader refuses.
bool read(std::string_view bytes, size_t piece, std::vector<Message>* messages) {
  BackendReader reader;
  while (!bytes.empty()) {
    const std::vector<char> part = exact_copy(bytes.substr(0, piece));
    bytes.remove_prefix(part.size());
    if (!reader.feed({part.data(), part.size()}, [&](const BackendMessage& message) {
          FUZZ_CHECK(message.bytes.size() == 5 + message.body.size());
          FUZZ_CHECK(message.bytes[0] == message.type);
          messages->push_back({message.type, std::string(message.bytes)});
        })) {
      return false;
    }
  }
  return true;
}

bool within(std::string_view part, std::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

void parse_all(std::string_view bytes) {
  const std::vector<char> copy = exact_copy(bytes.substr(5));
  const std::string_view body(copy.data(), copy.size());
  std::vector<Column> columns;
  if (parse_row_description(body, &columns)) {
    for (const Column& column : columns) FUZZ_CHECK(within(column.name, body));
  }
  std::vector<std::optional<std::string_view>> values;
  if (parse_data_row(body, &values)) {
    for (const auto& value : values) FUZZ_CHECK(!value || within(*value, body));
  }
  std::string_view name;
  std::string_view value;
  if (parse_command_complete(body, &name)) FUZZ_CHECK(within(name, body));
  if (parse_parameter_status(body, &name, &value)) {
    FUZZ_CHECK(within(name, body) && within(value, body));
  }
  char status = 0;
  if (parse_ready_for_query(body, &status)) FUZZ_CHECK(body.size() == 1);
  CopyResponse copy_response;
  if (parse_copy_response(body, &copy_response)) {
    FUZZ_CHECK(body.size() == 3 + size_t{2} * copy_response.column_count);
  }
  Notification notification;
  if (parse_notification(body, &notification)) {
    FUZZ_CHECK(within(notification.channel, body) && within(notification.payload, body));
  }
  ErrorFields error;
  if (parse_error(body, &error)) {
    FUZZ_CHECK(within(error.message, body) && within(error.where, body));
  }
}

}  // namespace

std::vector<std::string> seeds() {
  const std::string row_description =
      message('T', "\0\1name\0\0\0\0\1\0\2\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"s);
  const std::string data_row = message('D', "\0\2\0\0\0\1x\xff\xff\xff\xff"s);
  const std::string done = message('C', "SELECT 1\0"s) + message('Z', "I");
  const std::string error = message('E', "SERROR\0C22012\0Mdivision by zero\0P8\0\0"s);
  const std::string others = message('S', "TimeZone\0UTC\0"s) +
                             message('A', "\0\0\0\1channel\0payload\0"s) +
                             message('G', "\0\0\2\0\0\0\1"s);
  std::vector<std::string> inputs;
  for (const char piece : {'\1', '\3', '\x64'}) {
    inputs.push_back(std::string(1, piece) + row_description + data_row + done + error + others);
  }
  return inputs;
}

}  // namespace pglite::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pglite::fuzz;
  Input input(data, size);
  const size_t piece = std::max<size_t>(1, input.get<uint8_t>());
  const std::string_view bytes = input.rest();

  std::vector<Message> whole;
  std::vector<Message> in_pieces;
  const bool good = read(bytes, bytes.size(), &whole);
  FUZZ_CHECK(read(bytes, piece, &in_pieces) == good);
  FUZZ_CHECK(whole == in_pieces);
  for (const Message& message : whole) parse_all(message.bytes);

  // The scanner finds the same ends as long as lengths are possible.
  pglite::wire::BackendScanner scanner;
  std::vector<std::pair<char, size_t>> ends;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    scanner.scan(bytes.substr(at, piece), [&](char type, size_t consumed) {
      FUZZ_CHECK(consumed <= piece);
      ends.emplace_back(type, at + consumed);
    });
  }
  FUZZ_CHECK(ends.size() >= whole.size());
  size_t end = 0;
  for (size_t i = 0; i < whole.size(); ++i) {
    end += whole[i].bytes.size();
    FUZZ_CHECK(ends[i] == std::pair(whole[i].type, end));
  }
  if (good) FUZZ_CHECK(scanner.at_boundary() == (end == bytes.size()));
  return 0;
}
