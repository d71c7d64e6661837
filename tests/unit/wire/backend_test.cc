#include "wire/backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "wire/byte_order.h"
#include "wire/frontend_message.h"

namespace pglite::wire {
namespace {

using ::testing::ElementsAre;
using ::testing::Optional;
using namespace std::literals;

std::string answer() {
  return message('C', "SELECT 1\0"s) + message('I', "") + message('D', std::string(300, 'x')) +
         message('Z', "I");
}

TEST(BackendReader, GivesWholeMessagesWhateverThePieces) {
  const std::string whole = answer();
  for (size_t piece = 1; piece <= whole.size(); ++piece) {
    BackendReader reader;
    std::string types;
    std::string again;
    for (size_t at = 0; at < whole.size(); at += piece) {
      ASSERT_TRUE(
          reader.feed(std::string_view(whole).substr(at, piece), [&](const BackendMessage& m) {
            types += m.type;
            again += message(m.type, m.body);
          }));
    }
    EXPECT_EQ(types, "CIDZ");
    EXPECT_EQ(again, whole);
  }
}

TEST(BackendReader, RefusesAnImpossibleLength) {
  EXPECT_FALSE(BackendReader().feed("Z\0\0\0\3"s, [](const BackendMessage&) {}));
  BackendReader reader;
  EXPECT_TRUE(reader.feed("Z\0\0"s, [](const BackendMessage&) {}));
  EXPECT_FALSE(reader.feed("\0\3"s, [](const BackendMessage&) {}));
}

TEST(BackendScanner, SeesWhereMessagesEnd) {
  const std::string whole = answer();
  for (size_t piece = 1; piece <= whole.size(); ++piece) {
    BackendScanner scanner;
    std::string types;
    std::vector<size_t> ends;
    for (size_t at = 0; at < whole.size(); at += piece) {
      scanner.scan(std::string_view(whole).substr(at, piece), [&](char type, size_t consumed) {
        types += type;
        ends.push_back(at + consumed);
      });
      EXPECT_EQ(scanner.at_boundary(),
                !ends.empty() && ends.back() == std::min(at + piece, whole.size()));
    }
    EXPECT_EQ(types, "CIDZ");
    EXPECT_THAT(ends, ElementsAre(14, 19, 324, 330));
  }
}

TEST(Parse, RowDescription) {
  std::string body = "\0\2"s;
  body += "id\0\0\0\x40\0\0\1\0\0\0\x17\0\4\xff\xff\xff\xff\0\0"s;
  body += "\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\0\0\0\x05\0\1"s;
  std::vector<Column> columns;
  ASSERT_TRUE(parse_row_description(body, &columns));
  ASSERT_EQ(columns.size(), 2U);
  EXPECT_EQ(columns[0].name, "id");
  EXPECT_EQ(columns[0].table_oid, 0x4000U);
  EXPECT_EQ(columns[0].attribute, 1);
  EXPECT_EQ(columns[0].type_oid, 23U);
  EXPECT_EQ(columns[0].type_size, 4);
  EXPECT_EQ(columns[0].type_modifier, -1);
  EXPECT_FALSE(columns[0].binary);
  EXPECT_EQ(columns[1].name, "");
  EXPECT_EQ(columns[1].type_size, -1);
  EXPECT_EQ(columns[1].type_modifier, 5);
  EXPECT_TRUE(columns[1].binary);
  body.pop_back();
  EXPECT_FALSE(parse_row_description(body, &columns));
}

TEST(Parse, DataRow) {
  std::vector<std::optional<std::string_view>> values;
  ASSERT_TRUE(parse_data_row("\0\3\0\0\0\2ab\xff\xff\xff\xff\0\0\0\0"sv, &values));
  EXPECT_THAT(values, ElementsAre(Optional(std::string_view("ab")), std::nullopt,
                                  Optional(std::string_view())));
  EXPECT_FALSE(parse_data_row("\0\1\0\0\0\3ab"sv, &values));
  EXPECT_FALSE(parse_data_row("\0\1\x7f\xff\xff\xff"sv, &values));
  EXPECT_FALSE(parse_data_row("", &values));
}

TEST(Parse, ErrorFields) {
  ErrorFields fields;
  const std::string_view body =
      "SERROR\0VERROR\0C42P01\0Mno such table\0Ddetail\0Hhint\0P15\0Wwhere\0\0"sv;
  ASSERT_TRUE(parse_error(body, &fields));
  EXPECT_EQ(fields.severity, "ERROR");
  EXPECT_EQ(fields.sqlstate, "42P01");
  EXPECT_EQ(fields.message, "no such table");
  EXPECT_EQ(fields.detail, "detail");
  EXPECT_EQ(fields.hint, "hint");
  EXPECT_EQ(fields.position, "15");
  EXPECT_EQ(fields.where, "where");
  EXPECT_EQ(fields.internal_query, "");
  EXPECT_FALSE(parse_error("SERROR", &fields));
}

TEST(Parse, SmallMessages) {
  std::string_view tag;
  EXPECT_TRUE(parse_command_complete("SELECT 1\0"sv, &tag));
  EXPECT_EQ(tag, "SELECT 1");
  EXPECT_FALSE(parse_command_complete("SELECT 1", &tag));

  char status = 0;
  EXPECT_TRUE(parse_ready_for_query("T", &status));
  EXPECT_EQ(status, 'T');
  EXPECT_FALSE(parse_ready_for_query("", &status));

  CopyResponse copy;
  EXPECT_TRUE(parse_copy_response("\1\0\2\0\1\0\1"sv, &copy));
  EXPECT_TRUE(copy.binary);
  EXPECT_EQ(copy.column_count, 2);
  EXPECT_FALSE(parse_copy_response("\0\0\2\0\0"sv, &copy));

  Notification notification;
  EXPECT_TRUE(
      parse_notification("\0\0\0\x2a"
                         "ch\0pay\0"sv,
                         &notification));
  EXPECT_EQ(notification.pid, 42U);
  EXPECT_EQ(notification.channel, "ch");
  EXPECT_EQ(notification.payload, "pay");

  std::string_view name;
  std::string_view value;
  EXPECT_TRUE(parse_parameter_status("TimeZone\0UTC\0"sv, &name, &value));
  EXPECT_EQ(name, "TimeZone");
  EXPECT_EQ(value, "UTC");
}

}  // namespace
}  // namespace pglite::wire
