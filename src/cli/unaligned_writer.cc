// psql's unaligned format (fe_utils/print.c, print_unaligned_text and print_unaligned_vertical):
// values as they are, with a bar between them, or, expanded, each on a line behind its column's
// name.
#include <utility>

#include "cli/result_writer.h"

namespace pglite::cli {
namespace {

class UnalignedWriter : public ResultWriter {
 public:
  UnalignedWriter(const Display& display, Output& out) : display_(display), out_(out) {}

  void begin(const std::vector<wire::Column>& columns) override {
    expanded_ = display_.expanded == Expanded::kOn;
    names_.clear();
    row_count_ = 0;
    for (const wire::Column& column : columns) names_.emplace_back(column.name);
    if (display_.tuples_only) return;
    if (!caption_.title.empty()) out_.write(caption_.title + "\n");
    if (expanded_) return;
    for (size_t i = 0; i < names_.size(); ++i) write_field(i, names_[i]);
    out_.write("\n");
  }

  void row(const Row& row) override {
    if (expanded_ && row_count_ > 0) out_.write("\n");
    ++row_count_;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string_view value = row[i].value_or(display_.null_text);
      if (expanded_) {
        out_.write(names_[i] + "|");
        out_.write(value);
        out_.write("\n");
      } else {
        write_field(i, value);
      }
    }
    if (!expanded_) out_.write("\n");
  }

  void end(bool complete) override {
    const Caption caption = std::exchange(caption_, {});
    if (!complete || display_.tuples_only) return;
    for (const std::string& footer : caption.footers) out_.write(footer + "\n");
    if (caption.footers.empty() && caption.has_row_count && !expanded_) {
      out_.write("(" + std::to_string(row_count_) + (row_count_ == 1 ? " row)\n" : " rows)\n"));
    }
  }

  void command(std::string_view tag, bool has_rows) override {
    if (display_.quiet || !tag_is_shown(tag, has_rows)) return;
    out_.write(tag);
    out_.write("\n");
  }

  void set_caption(const Caption& caption) override { caption_ = caption; }

 private:
  void write_field(size_t i, std::string_view value) {
    if (i > 0) out_.write("|");
    out_.write(value);
  }

  const Display& display_;
  Output& out_;
  Caption caption_;
  std::vector<std::string> names_;
  bool expanded_ = false;
  uint64_t row_count_ = 0;
};

}  // namespace

std::unique_ptr<ResultWriter> make_unaligned_writer(const Display& display, Output& out) {
  return std::make_unique<UnalignedWriter>(display, out);
}

}  // namespace pglite::cli
