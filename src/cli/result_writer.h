// The three ways `pglite-port sql` shows a result.
//
// csv and json write each row as it comes, in constant memory. table must know every column's width
// before the first line, so it keeps the rows of one result.
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

enum class Format { kTable, kCsv, kJson };
// "table", "csv", "json".
std::optional<Format> format_named(std::string_view name);

using Row = std::vector<std::optional<std::string_view>>;  // none: NULL

class ResultWriter {
 public:
  virtual ~ResultWriter() = default;
  // A result is begin, rows, end. What the arguments point to is valid during the call only.
  virtual void begin(const std::vector<wire::Column>& columns) = 0;
  // `row` has as many values as there are columns.
  virtual void row(const Row& row) = 0;
  // All rows came, or an error stopped them.
  virtual void end(bool complete) = 0;
  // The command tag of a finished command ("INSERT 0 1"); `has_rows`: it belongs to a result.
  virtual void command(std::string_view tag, bool has_rows) = 0;
};

std::unique_ptr<ResultWriter> make_table_writer(Output& out);
std::unique_ptr<ResultWriter> make_csv_writer(Output& out);
std::unique_ptr<ResultWriter> make_json_writer(Output& out);
std::unique_ptr<ResultWriter> make_writer(Format format, Output& out);

// A JSON string with its quotes; bytes that are not UTF-8 become U+FFFD.
std::string json_string(std::string_view text);
// Whether `text` is a number in JSON's grammar (PostgreSQL's NaN and Infinity are not).
bool is_json_number(std::string_view text);

}  // namespace pglite::cli

#endif  // PGLITE_CLI_RESULT_WRITER_H_
