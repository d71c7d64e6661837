// RFC 4180, with a header line and lines that end in LF as everywhere on Unix. NULL is an empty
// field, an empty string a quoted one.
#include "cli/result_writer.h"

namespace pglite::cli {
namespace {

class CsvWriter : public ResultWriter {
 public:
  CsvWriter(const Display& display, Output& out) : display_(display), out_(out) {}

  void begin(const std::vector<wire::Column>& columns) override {
    if (display_.tuples_only) return;
    line_.clear();
    for (size_t i = 0; i < columns.size(); ++i) {
      if (i > 0) line_ += ',';
      append_field(columns[i].name);
    }
    end_line(columns.size());
  }

  void row(const Row& row) override {
    line_.clear();
    for (size_t i = 0; i < row.size(); ++i) {
      if (i > 0) line_ += ',';
      if (const auto& value = row[i]) append_field(*value);
    }
    end_line(row.size());
  }

  void end(bool) override {}
  void command(std::string_view, bool) override {}

 private:
  void append_field(std::string_view value) {
    // "\." alone would end the data for older readers of COPY's CSV.
    if (!value.empty() && value.find_first_of(",\"\r\n") == std::string_view::npos &&
        value != "\\.") {
      line_ += value;
      return;
    }
    line_ += '"';
    for (char c : value) {
      if (c == '"') line_ += '"';
      line_ += c;
    }
    line_ += '"';
  }

  void end_line(size_t field_count) {
    if (field_count == 0) return;
    line_ += '\n';
    out_.write(line_);
  }

  const Display& display_;
  Output& out_;
  std::string line_;
};

}  // namespace

std::unique_ptr<ResultWriter> make_csv_writer(const Display& display, Output& out) {
  return std::make_unique<CsvWriter>(display, out);
}

}  // namespace pglite::cli
