#include "cli/result_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/display_text.h"
#include "cli/type_oid.h"
#include "scripted_instance.h"

namespace pglite::cli {
namespace {

using namespace std::literals;

constexpr uint32_t kTextOid = 25;
using Columns = std::vector<std::pair<std::string, uint32_t>>;

std::string show(const Display& display, const Columns& columns, const std::vector<Row>& rows,
                 bool complete = true, const Caption& caption = {}) {
  const MemoryFile file;
  {
    Output out(file.fd(), "stdout");
    const auto writer = make_writer(display, out);
    std::vector<wire::Column> described;
    for (const auto& [name, type_oid] : columns) {
      wire::Column column;
      column.name = name;
      column.type_oid = type_oid;
      described.push_back(column);
    }
    writer->set_caption(caption);
    writer->begin(described);
    for (const Row& row : rows) writer->row(row);
    writer->end(complete);
  }
  return file.content();
}

std::string show(Format format, const Columns& columns, const std::vector<Row>& rows,
                 bool complete = true) {
  return show(Display{.format = format}, columns, rows, complete);
}

// What psql prints was seen with psql 15 on the same results.
TEST(TableWriter, AlignsAsPsqlDoes) {
  EXPECT_EQ(show(Format::kTable, {{"n", kInt4Oid}, {"täst", kTextOid}, {"nul", kTextOid}},
                 {{"1", "x", std::nullopt}, {"-12", "漢字1", "y"}}),
            "  n  | täst  | nul \n"
            "-----+-------+-----\n"
            "   1 | x     | \n"
            " -12 | 漢字1 | y\n"
            "(2 rows)\n\n");
}

TEST(TableWriter, ValuesOfSeveralLines) {
  EXPECT_EQ(
      show(Format::kTable,
           {{"multi", kTextOid}, {"num", kNumericOid}, {"ctl", kTextOid}, {"two\nlines", kTextOid}},
           {{"a\nb\n", "12.5", "tab\there\rcr\x01", "x\ny"}}),
      " multi | num  |         ctl          |  two +\n"
      "       |      |                      | lines \n"
      "-------+------+----------------------+-------\n"
      " a    +| 12.5 | tab     here\\rcr\\x01 | x    +\n"
      " b    +|      |                      | y\n"
      "       |      |                      | \n"
      "(1 row)\n\n");
}

TEST(TableWriter, WithoutRowsOrColumns) {
  EXPECT_EQ(show(Format::kTable, {{"id", kInt4Oid}, {"v", kTextOid}}, {}),
            " id | v \n----+---\n(0 rows)\n\n");
  EXPECT_EQ(show(Format::kTable, {}, {{}}), "--\n(1 row)\n\n");
}

TEST(TableWriter, ShowsNothingOfAResultThatFailed) {
  EXPECT_EQ(show(Format::kTable, {{"id", kInt4Oid}}, {{"1"}}, false), "");
}

TEST(TableWriter, Tags) {
  const MemoryFile file;
  {
    Output out(file.fd(), "stdout");
    const Display display;
    const auto writer = make_table_writer(display, out);
    writer->command("CREATE TABLE", false);
    writer->command("SELECT 1", true);
    writer->command("INSERT 0 1", true);
    writer->command("SELECT 5", false);  // CREATE TABLE AS
  }
  EXPECT_EQ(file.content(), "CREATE TABLE\nINSERT 0 1\nSELECT 5\n");
}

const Columns kTwo = {{"abcdef", kInt4Oid}, {"t", kTextOid}, {"n", kTextOid}};
const std::vector<Row> kTwoRows = {{"1", "x\ny", std::nullopt}, {"22", "longer text", "z"}};

// As psql 18 prints them.
TEST(TableWriter, Expanded) {
  Display display{.expanded = Expanded::kOn};
  EXPECT_EQ(show(display, kTwo, kTwoRows),
            "-[ RECORD 1 ]-------\n"
            "abcdef | 1\n"
            "t      | x          +\n"
            "       | y\n"
            "n      | \n"
            "-[ RECORD 2 ]-------\n"
            "abcdef | 22\n"
            "t      | longer text\n"
            "n      | z\n\n");
  EXPECT_EQ(show(display, kTwo, {}), "(0 rows)\n\n");
  display.tuples_only = true;
  display.null_text = "NULL";
  EXPECT_EQ(show(display, kTwo, kTwoRows),
            "abcdef | 1\n"
            "t      | x          +\n"
            "       | y\n"
            "n      | NULL\n"
            "-------+------------\n"
            "abcdef | 22\n"
            "t      | longer text\n"
            "n      | z\n\n");
}

TEST(TableWriter, ExpandedWhereTheScreenIsTooNarrow) {
  Display display{.expanded = Expanded::kAuto, .screen_width = 26};
  EXPECT_THAT(show(display, kTwo, kTwoRows), ::testing::StartsWith(" abcdef |      t      | n \n"));
  display.screen_width = 25;
  EXPECT_THAT(show(display, kTwo, kTwoRows), ::testing::StartsWith("-[ RECORD 1 ]-"));
}

TEST(TableWriter, TuplesOnly) {
  EXPECT_EQ(show(Display{.tuples_only = true}, kTwo, kTwoRows),
            "      1 | x          +| \n"
            "        | y           | \n"
            "     22 | longer text | z\n\n");
}

TEST(TableWriter, Captions) {
  EXPECT_EQ(
      show(Display{}, kTwo, {{"1", "longer text", "z"}}, true, {"Foo", {"Indexes:", "    i"}}),
      "           Foo\n"
      " abcdef |      t      | n \n"
      "--------+-------------+---\n"
      "      1 | longer text | z\n"
      "Indexes:\n"
      "    i\n\n");
}

TEST(UnalignedWriter, AsPsql) {
  Display display{.format = Format::kUnaligned};
  EXPECT_EQ(show(display, kTwo, kTwoRows), "abcdef|t|n\n1|x\ny|\n22|longer text|z\n(2 rows)\n");
  display.tuples_only = true;
  EXPECT_EQ(show(display, kTwo, kTwoRows), "1|x\ny|\n22|longer text|z\n");
  display.expanded = Expanded::kOn;
  EXPECT_EQ(show(display, kTwo, kTwoRows),
            "abcdef|1\nt|x\ny\nn|\n\nabcdef|22\nt|longer text\nn|z\n");
}

TEST(CsvWriter, TuplesOnly) {
  EXPECT_EQ(show(Display{.format = Format::kCsv, .tuples_only = true}, kTwo, {{"1", "a", "b"}}),
            "1,a,b\n");
}

TEST(CsvWriter, QuotesWhatNeedsIt) {
  EXPECT_EQ(show(Format::kCsv, {{"a", kInt4Oid}, {"b,c", kTextOid}, {"q\"", kTextOid}},
                 {{"1", "", std::nullopt}, {"2", "x\"y", "l\nm"}, {"3", "r\r", "\\."}}),
            "a,\"b,c\",\"q\"\"\"\n"
            "1,\"\",\n"
            "2,\"x\"\"y\",\"l\nm\"\n"
            "3,\"r\r\",\"\\.\"\n");
  EXPECT_EQ(show(Format::kCsv, {}, {{}}), "");
}

TEST(JsonWriter, TypesByOid) {
  EXPECT_EQ(show(Format::kJson,
                 {{"i", kInt8Oid},
                  {"n", kNumericOid},
                  {"f", kFloat8Oid},
                  {"b", kBoolOid},
                  {"j", kJsonbOid},
                  {"t", kTextOid},
                  {"z", kInt4Oid}},
                 {{"9223372036854775807", "1.500000000000000000000001", "1e+300", "t",
                   R"({"k": [1]})", "12", std::nullopt},
                  {"-1", "NaN", "-Infinity", "f", "null", "", "0"}}),
            "[\n"
            R"({"i":9223372036854775807,"n":1.500000000000000000000001,"f":1e+300,"b":true,)"
            R"("j":{"k": [1]},"t":"12","z":null},)"
            "\n"
            R"({"i":-1,"n":"NaN","f":"-Infinity","b":false,"j":null,"t":"","z":0})"
            "\n]\n");
  EXPECT_EQ(show(Format::kJson, {{"a", kInt4Oid}}, {}), "[]\n");
  EXPECT_EQ(show(Format::kJson, {}, {{}}), "[\n{}\n]\n");
}

TEST(JsonString, Escapes) {
  EXPECT_EQ(json_string("q\" b\\ \n\t\r\x01\x1f/ é 🐘"), R"("q\" b\\ \n\t\r\u0001\u001f/ é 🐘")");
  EXPECT_EQ(json_string("\xff\xc3("), "\"\xef\xbf\xbd\xef\xbf\xbd(\"");
  EXPECT_EQ(json_string(""), "\"\"");
}

TEST(JsonNumber, Grammar) {
  for (std::string_view good : {"0", "-0", "10", "1.5", "-1.50", "1e5", "1E-05", "0.1e+20"}) {
    EXPECT_TRUE(is_json_number(good)) << good;
  }
  for (std::string_view no :
       {"", "-", "NaN", "Infinity", "01", ".5", "1.", "1e", "+1", "1 ", "0x1"}) {
    EXPECT_FALSE(is_json_number(no)) << no;
  }
}

TEST(DisplayText, Widths) {
  const auto width = [](std::string_view text) { return display_lines(text)[0].width; };
  EXPECT_EQ(width("abc"), 3U);
  EXPECT_EQ(width("é"), 1U);
  EXPECT_EQ(width("e\u0301"), 1U) << "a combining accent";
  EXPECT_EQ(width("漢字"), 4U);
  EXPECT_EQ(width("🐘"), 2U);
  EXPECT_EQ(display_lines("a\tb")[0].text, "a       b");
  EXPECT_EQ(display_lines("\x7f\u0085\xff")[0].text, "\\x7F\\u0085\\xFF");
  EXPECT_EQ(display_lines("a\n")[1].text, "");
  EXPECT_EQ(display_lines("").size(), 1U);
}

}  // namespace
}  // namespace pglite::cli
