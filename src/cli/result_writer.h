// The ways `pglite-port sql` shows a result.
//
// unaligned, csv and json write each row as it comes, in constant memory. table must know every
// column's width before the first line, so it keeps the rows of one result.
#ifndef PGLITE_CLI_RESULT_WRITER_H_
#define PGLITE_CLI_RESULT_WRITER_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/output.h"
#include "wire/backend.h"

namespace pglite::cli {

enum class Format { kTable, kUnaligned, kCsv, kJson };
// "table", "unaligned", "csv", "json".
std::optional<Format> format_named(std::string_view name);
std::string_view name_of(Format format);

enum class Expanded { kOff, kOn, kAuto };  // kAuto: where a row is wider than the screen

// How results look.
struct Display {
  Format format = Format::kTable;
  Expanded expanded = Expanded::kOff;  // table and unaligned: a line for each value
  bool tuples_only = false;            // no headers, titles and footers
  bool quiet = false;                  // no command tags
  std::string null_text{};             // what NULL looks like in table and unaligned
  size_t screen_width = 0;             // for kAuto; 0: not known
};

// What stands above and below a table.
struct Caption {
  std::string title;
  std::vector<std::string> footers;
  bool has_row_count = true;  // where there are no footers
};

struct Extent {
  size_t lines = 0;
  size_t width = 0;
};

using Row = std::vector<std::optional<std::string_view>>;  // none: NULL

class ResultWriter {
 public:
  virtual ~ResultWriter() = default;
  // A result is begin, rows, end. What the arguments point to is valid during the call only.
  virtual void begin(const std::vector<wire::Column>& columns) = 0;
  // `row` has as many values as there are columns.
  virtual void row(const Row& row) = 0;
  // What end(true) would write, where the writer has kept the rows until then.
  [[nodiscard]] virtual std::optional<Extent> extent() const { return std::nullopt; }
  // All rows came, or an error stopped them.
  virtual void end(bool complete) = 0;
  // The command tag of a finished command ("INSERT 0 1"); `has_rows`: it belongs to a result.
  virtual void command(std::string_view tag, bool has_rows) = 0;
  // For the next result.
  virtual void set_caption(const Caption& caption) { (void)caption; }
};

// Each looks at `display` when a result begins and when it ends; the format stays.
std::unique_ptr<ResultWriter> make_table_writer(const Display& display, Output& out);
std::unique_ptr<ResultWriter> make_unaligned_writer(const Display& display, Output& out);
std::unique_ptr<ResultWriter> make_csv_writer(const Display& display, Output& out);
std::unique_ptr<ResultWriter> make_json_writer(Output& out);
// Of the display's format.
std::unique_ptr<ResultWriter> make_writer(const Display& display, Output& out);

// Whether psql shows this command tag: of a query's result, the footer already says what it would
// say.
bool tag_is_shown(std::string_view tag, bool has_rows);

// A JSON string with its quotes; bytes that are not UTF-8 become U+FFFD.
std::string json_string(std::string_view text);
// Whether `text` is a number in JSON's grammar (PostgreSQL's NaN and Infinity are not).
bool is_json_number(std::string_view text);

}  // namespace pglite::cli

#endif  // PGLITE_CLI_RESULT_WRITER_H_
