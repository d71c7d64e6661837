// psql's aligned format with its default settings (fe_utils/print.c, print_aligned_text: border 1,
// ASCII lines, no wrapping, footer on).
//
//    n  | text
//   ----+-------
//     1 | first+     a newline inside a value: "+", and the rest on the next line
//       | line
//   (1 row)
#include <algorithm>

#include "cli/display_text.h"
#include "cli/result_writer.h"
#include "cli/type_oid.h"
#include "wire/byte_order.h"

namespace pglite::cli {
namespace {

bool is_right_aligned(uint32_t type_oid) {
  switch (type_oid) {
    case kInt2Oid:
    case kInt4Oid:
    case kInt8Oid:
    case kFloat4Oid:
    case kFloat8Oid:
    case kNumericOid:
    case kOidOid:
    case kXidOid:
    case kXid8Oid:
    case kCidOid:
    case kMoneyOid:
      return true;
    default:
      return false;
  }
}

class TableWriter : public ResultWriter {
 public:
  explicit TableWriter(Output& out) : out_(out) {}

  void begin(const std::vector<wire::Column>& columns) override {
    columns_.clear();
    for (const wire::Column& column : columns) {
      columns_.push_back({display_lines(column.name), 0, is_right_aligned(column.type_oid)});
      widen(columns_.back(), columns_.back().header);
    }
    cells_.clear();
    row_count_ = 0;
  }

  void row(const Row& row) override {
    ++row_count_;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string_view value = row[i].value_or(std::string_view());
      widen(columns_[i], display_lines(value));
      wire::append_u32(cells_, static_cast<uint32_t>(value.size()));
      cells_ += value;
    }
  }

  void end(bool complete) override {
    if (complete) print();
    cells_ = {};
  }

  void command(std::string_view tag, bool has_rows) override {
    // As psql: the footer of a query's result already says what its tag would say.
    const bool wanted = !has_rows || tag.starts_with("INSERT") || tag.starts_with("UPDATE") ||
                        tag.starts_with("DELETE") || tag.starts_with("MERGE");
    if (!wanted) return;
    out_.write(tag);
    out_.write("\n");
  }

 private:
  struct ColumnLayout {
    std::vector<DisplayLine> header;
    size_t width = 0;
    bool right = false;
  };

  static void widen(ColumnLayout& column, const std::vector<DisplayLine>& lines) {
    for (const DisplayLine& line : lines) column.width = std::max(column.width, line.width);
  }

  void print() {
    print_header();
    std::vector<std::vector<DisplayLine>> cells(columns_.size());
    std::string_view rest = cells_;
    for (uint64_t i = 0; i < row_count_ && !columns_.empty(); ++i) {
      for (std::vector<DisplayLine>& cell : cells) {
        const uint32_t size = wire::load_u32(rest);
        cell = display_lines(rest.substr(4, size));
        rest.remove_prefix(size_t{4} + size);
      }
      print_row(cells);
    }
    out_.write("(" + std::to_string(row_count_) + (row_count_ == 1 ? " row)\n\n" : " rows)\n\n"));
  }

  void print_header() {
    size_t height = 0;
    for (const ColumnLayout& column : columns_) height = std::max(height, column.header.size());
    for (size_t number = 0; number < height; ++number) {
      line_.clear();
      for (size_t i = 0; i < columns_.size(); ++i) {
        const ColumnLayout& column = columns_[i];
        line_ += i == 0 ? " " : "| ";
        if (number < column.header.size()) {
          const DisplayLine& text = column.header[number];
          const size_t space = column.width - text.width;
          line_.append(space / 2, ' ').append(text.text).append((space + 1) / 2, ' ');
        } else {
          line_.append(column.width, ' ');
        }
        line_ += number + 1 < column.header.size() ? '+' : ' ';
      }
      end_line();
    }
    line_ = "-";
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (i > 0) line_ += "-+-";
      line_.append(columns_[i].width, '-');
    }
    line_ += "-";
    end_line();
  }

  void print_row(const std::vector<std::vector<DisplayLine>>& cells) {
    size_t height = 1;
    for (const std::vector<DisplayLine>& cell : cells) height = std::max(height, cell.size());
    for (size_t number = 0; number < height; ++number) {
      line_.clear();
      for (size_t i = 0; i < cells.size(); ++i) {
        const ColumnLayout& column = columns_[i];
        const bool last = i + 1 == cells.size();
        const bool continued = number + 1 < cells[i].size();
        line_ += i == 0 ? " " : "| ";
        if (number >= cells[i].size()) {
          if (!last) line_.append(column.width, ' ');
        } else {
          const DisplayLine& text = cells[i][number];
          const size_t space = column.width - text.width;
          if (column.right) line_.append(space, ' ');
          line_ += text.text;
          // Nothing stands behind the last column, except the mark of a continued value.
          if (!column.right && (!last || continued)) line_.append(space, ' ');
        }
        if (continued) {
          line_ += '+';
        } else if (!last) {
          line_ += ' ';
        }
      }
      end_line();
    }
  }

  void end_line() {
    line_ += '\n';
    out_.write(line_);
  }

  Output& out_;
  std::vector<ColumnLayout> columns_;
  std::string cells_;  // of all rows: size and bytes of each; NULL looks like an empty string
  uint64_t row_count_ = 0;
  std::string line_;
};

}  // namespace

std::unique_ptr<ResultWriter> make_table_writer(Output& out) {
  return std::make_unique<TableWriter>(out);
}

}  // namespace pglite::cli
