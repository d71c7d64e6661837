// psql's aligned format with its default settings (fe_utils/print.c, print_aligned_text and
// print_aligned_vertical: border 1, ASCII lines, no wrapping).
//
//    n  | text
//   ----+-------
//     1 | first+     a newline inside a value: "+", and the rest on the next line
//       | line
//   (1 row)
//
// Expanded:
//
//   -[ RECORD 1 ]
//   n    | 1
//   text | first+
//        | line
#include <algorithm>
#include <utility>

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
  TableWriter(const Display& display, Output& out) : display_(display), out_(out) {}

  void begin(const std::vector<wire::Column>& columns) override {
    columns_.clear();
    header_height_ = 0;
    for (const wire::Column& column : columns) {
      columns_.push_back({display_lines(column.name), 0, 0, is_right_aligned(column.type_oid)});
      widen(columns_.back(), columns_.back().header);
      columns_.back().header_width = columns_.back().width;
      header_height_ = std::max(header_height_, columns_.back().header.size());
    }
    cells_.clear();
    row_count_ = line_count_ = value_line_count_ = value_width_ = 0;
  }

  void row(const Row& row) override {
    ++row_count_;
    size_t height = 1;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string_view value = row[i].value_or(display_.null_text);
      const std::vector<DisplayLine> lines = display_lines(value);
      widen(columns_[i], lines);
      for (const DisplayLine& line : lines) value_width_ = std::max(value_width_, line.width);
      height = std::max(height, lines.size());
      value_line_count_ += lines.size();
      wire::append_u32(cells_, static_cast<uint32_t>(value.size()));
      cells_ += value;
    }
    line_count_ += height;
  }

  [[nodiscard]] std::optional<Extent> extent() const override {
    size_t lines = 1 + (caption_.title.empty() ? 0 : 1) + caption_.footers.size();
    if (is_expanded()) {
      return Extent{lines + value_line_count_ + row_count_,
                    header_column_width() + kBar.size() + value_width_};
    }
    lines += line_count_ + (display_.tuples_only ? 0 : header_height_ + 2);
    return Extent{lines, table_width()};
  }

  void end(bool complete) override {
    if (complete) print();
    cells_ = {};
    caption_ = {};
  }

  void command(std::string_view tag, bool has_rows) override {
    if (display_.quiet || !tag_is_shown(tag, has_rows)) return;
    out_.write(tag);
    out_.write("\n");
  }

  void set_caption(const Caption& caption) override { caption_ = caption; }

 private:
  static constexpr std::string_view kBar = " | ";

  struct ColumnLayout {
    std::vector<DisplayLine> header;
    size_t header_width = 0;
    size_t width = 0;  // of header and values
    bool right = false;
  };

  static void widen(ColumnLayout& column, const std::vector<DisplayLine>& lines) {
    for (const DisplayLine& line : lines) column.width = std::max(column.width, line.width);
  }

  [[nodiscard]] size_t table_width() const {
    size_t width = 2;
    for (const ColumnLayout& column : columns_) width += column.width;
    return width + kBar.size() * (columns_.empty() ? 0 : columns_.size() - 1);
  }
  [[nodiscard]] size_t header_column_width() const {
    size_t width = 0;
    for (const ColumnLayout& column : columns_) width = std::max(width, column.header_width);
    return width;
  }

  [[nodiscard]] bool is_expanded() const {
    return display_.expanded == Expanded::kOn ||
           (display_.expanded == Expanded::kAuto && display_.screen_width > 0 &&
            table_width() > display_.screen_width);
  }

  void print() {
    if (is_expanded()) return print_expanded();
    print_title(table_width());
    if (!display_.tuples_only) print_header();
    for_each_row(
        [&](uint64_t, const std::vector<std::vector<DisplayLine>>& cells) { print_row(cells); });
    print_footers();
  }

  // Calls `print(number, cells)`; the numbers begin at 1.
  template <class Print>
  void for_each_row(Print&& print) {
    std::vector<std::vector<DisplayLine>> cells(columns_.size());
    std::string_view rest = cells_;
    for (uint64_t i = 0; i < row_count_ && !columns_.empty(); ++i) {
      for (std::vector<DisplayLine>& cell : cells) {
        const uint32_t size = wire::load_u32(rest);
        cell = display_lines(rest.substr(4, size));
        rest.remove_prefix(size_t{4} + size);
      }
      print(i + 1, cells);
    }
  }

  // In the middle of `width` columns.
  void print_title(size_t width) {
    if (caption_.title.empty() || display_.tuples_only) return;
    line_.clear();
    for (const DisplayLine& line : display_lines(caption_.title)) {
      if (line.width < width) line_.append((width - line.width) / 2, ' ');
      line_ += line.text;
      end_line();
      line_.clear();
    }
  }

  void print_footers() {
    line_.clear();
    if (!display_.tuples_only) {
      for (const std::string& footer : caption_.footers) line_ += footer + "\n";
      if (caption_.footers.empty() && caption_.has_row_count) {
        line_ += "(" + std::to_string(row_count_) + (row_count_ == 1 ? " row)\n" : " rows)\n");
      }
    }
    end_line();
  }

  void print_expanded() {
    if (row_count_ == 0) return print_footers();
    print_title(0);
    const size_t width = header_column_width();
    std::string ruler(width + 1, '-');
    ruler += '+' + std::string(value_width_ + 1, '-');
    for_each_row([&](uint64_t number, const std::vector<std::vector<DisplayLine>>& cells) {
      if (!display_.tuples_only) {
        line_ = "-[ RECORD " + std::to_string(number) + " ]";
        if (line_.size() < ruler.size()) line_ += ruler.substr(line_.size());
        end_line();
      } else if (number > 1) {
        line_ = ruler;
        end_line();
      }
      for (size_t i = 0; i < cells.size(); ++i) print_field(columns_[i].header, width, cells[i]);
    });
    line_.clear();
    if (!display_.tuples_only) {
      for (const std::string& footer : caption_.footers) line_ += footer + "\n";
    }
    end_line();
  }

  void print_field(const std::vector<DisplayLine>& header, size_t width,
                   const std::vector<DisplayLine>& value) {
    for (size_t number = 0; number < std::max(header.size(), value.size()); ++number) {
      line_.clear();
      const size_t used = number < header.size() ? header[number].width : 0;
      if (number < header.size()) line_ += header[number].text;
      line_.append(width - used, ' ');
      line_ += number + 1 < header.size() ? "+|" : " |";
      if (number < value.size()) {
        line_ += ' ' + value[number].text;
        if (number + 1 < value.size()) {
          line_.append(value_width_ - value[number].width, ' ') += '+';
        }
      }
      end_line();
    }
  }

  void print_header() {
    for (size_t number = 0; number < header_height_; ++number) {
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

  const Display& display_;
  Output& out_;
  Caption caption_;
  std::vector<ColumnLayout> columns_;
  std::string cells_;  // of all rows: size and bytes of each
  uint64_t row_count_ = 0;
  size_t header_height_ = 0;
  size_t line_count_ = 0;        // of all rows side by side
  size_t value_line_count_ = 0;  // of all values below each other
  size_t value_width_ = 0;       // of the widest value
  std::string line_;
};

}  // namespace

std::unique_ptr<ResultWriter> make_table_writer(const Display& display, Output& out) {
  return std::make_unique<TableWriter>(display, out);
}

}  // namespace pglite::cli
