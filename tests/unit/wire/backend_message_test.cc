#include "wire/backend_message.h"

#include <gtest/gtest.h>

#include "wire/startup_packet.h"

namespace pglite::wire {
namespace {

using namespace std::string_literals;

TEST(BackendMessage, Encodes) {
  EXPECT_EQ(authentication_ok(), "R\0\0\0\x08\0\0\0\0"s);
  EXPECT_EQ(backend_key_data(42, "\1\2\3\4"), "K\0\0\0\x0c\0\0\0\x2a\1\2\3\4"s);
  EXPECT_EQ(backend_key_data(42, std::string(32, 'k')),
            "K\0\0\0\x28\0\0\0\x2a"s + std::string(32, 'k'))
      << "protocol 3.2";
  EXPECT_EQ(parameter_status("TimeZone", "UTC"), "S\0\0\0\x11TimeZone\0UTC\0"s);
  EXPECT_EQ(command_complete("SELECT 1"), "C\0\0\0\x0dSELECT 1\0"s);
  EXPECT_EQ(ready_for_query('T'), "Z\0\0\0\5T"s);
  const std::string_view options[] = {"_pq_.a", "_pq_.b"};
  EXPECT_EQ(negotiate_protocol_version(kNewestProtocolMinor, options),
            "v\0\0\0\x1a\0\3\0\2\0\0\0\2_pq_.a\0_pq_.b\0"s);
  EXPECT_EQ(negotiate_protocol_version(0, {}), "v\0\0\0\x0c\0\3\0\0\0\0\0\0"s);
}

TEST(BackendMessage, ReportsHaveTheFieldsThatAreThere) {
  EXPECT_EQ(error_response("FATAL", "08004", "no"), "E\0\0\0\x1eSFATAL\0VFATAL\0C08004\0Mno\0\0"s);
  ErrorFields fields;
  EXPECT_EQ(error_response(fields), "E\0\0\0\5\0"s);
  fields.severity = "NOTICE";
  fields.hint = "h";
  EXPECT_EQ(notice_response(fields), "N\0\0\0\x18SNOTICE\0VNOTICE\0Hh\0\0"s);
}

TEST(BackendMessage, IsWhatTheParsersRead) {
  ErrorFields sent;
  sent.severity = "ERROR";
  sent.sqlstate = "42601";
  sent.message = "syntax";
  sent.detail = "detail";
  sent.hint = "hint";
  sent.position = "7";
  sent.internal_position = "8";
  sent.internal_query = "select";
  sent.where = "where";
  ErrorFields read;
  const std::string report = error_response(sent);
  ASSERT_TRUE(parse_error(std::string_view(report).substr(5), &read));
  EXPECT_EQ(read.severity, sent.severity);
  EXPECT_EQ(read.sqlstate, sent.sqlstate);
  EXPECT_EQ(read.message, sent.message);
  EXPECT_EQ(read.detail, sent.detail);
  EXPECT_EQ(read.hint, sent.hint);
  EXPECT_EQ(read.position, sent.position);
  EXPECT_EQ(read.internal_position, sent.internal_position);
  EXPECT_EQ(read.internal_query, sent.internal_query);
  EXPECT_EQ(read.where, sent.where);

  std::string_view name;
  std::string_view value;
  const std::string status = parameter_status("a", "b");
  EXPECT_TRUE(parse_parameter_status(std::string_view(status).substr(5), &name, &value));
  EXPECT_EQ(name, "a");
  EXPECT_EQ(value, "b");
  char transaction = 0;
  const std::string ready = ready_for_query('E');
  EXPECT_TRUE(parse_ready_for_query(std::string_view(ready).substr(5), &transaction));
  EXPECT_EQ(transaction, 'E');
  std::string_view tag;
  const std::string complete = command_complete("COPY 3");
  EXPECT_TRUE(parse_command_complete(std::string_view(complete).substr(5), &tag));
  EXPECT_EQ(tag, "COPY 3");
}

}  // namespace
}  // namespace pglite::wire
