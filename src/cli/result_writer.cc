#include "cli/result_writer.h"

namespace pglite::cli {

std::optional<Format> format_named(std::string_view name) {
  if (name == "table") return Format::kTable;
  if (name == "csv") return Format::kCsv;
  if (name == "json") return Format::kJson;
  return std::nullopt;
}

std::unique_ptr<ResultWriter> make_writer(Format format, Output& out) {
  switch (format) {
    case Format::kTable:
      return make_table_writer(out);
    case Format::kCsv:
      return make_csv_writer(out);
    case Format::kJson:
      return make_json_writer(out);
  }
  return nullptr;
}

}  // namespace pglite::cli
