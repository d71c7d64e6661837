#include "cli/result_writer.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace pglite::cli {
namespace {

constexpr std::pair<std::string_view, Format> kNames[] = {{"table", Format::kTable},
                                                          {"unaligned", Format::kUnaligned},
                                                          {"csv", Format::kCsv},
                                                          {"json", Format::kJson}};

}  // namespace

std::optional<Format> format_named(std::string_view name) {
  const auto* const found =
      std::ranges::find(kNames, name, &std::pair<std::string_view, Format>::first);
  if (found == std::end(kNames)) return std::nullopt;
  return found->second;
}

std::string_view name_of(Format format) {
  return std::ranges::find(kNames, format, &std::pair<std::string_view, Format>::second)->first;
}

bool tag_is_shown(std::string_view tag, bool has_rows) {
  return !has_rows || tag.starts_with("INSERT") || tag.starts_with("UPDATE") ||
         tag.starts_with("DELETE") || tag.starts_with("MERGE");
}

std::unique_ptr<ResultWriter> make_writer(const Display& display, Output& out) {
  switch (display.format) {
    case Format::kTable:
      return make_table_writer(display, out);
    case Format::kUnaligned:
      return make_unaligned_writer(display, out);
    case Format::kCsv:
      return make_csv_writer(display, out);
    case Format::kJson:
      return make_json_writer(out);
  }
  return nullptr;
}

}  // namespace pglite::cli
