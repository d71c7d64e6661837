#include "cli/variables.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace pglite::cli {
namespace {

constexpr std::string_view kPrefix = "PGLITE_";
// Of the build, the tests and the Elixir package (docs/configuration.md).
constexpr std::string_view kOthers[] = {"PGLITE_PORT", "PGLITE_NPM_DIR", "PGLITE_EXPECTED_SKIPS"};
constexpr std::string_view kElixirPrefix = "PGLITE_EX_";

// How many insertions, deletions, replacements and exchanges of neighbours make `a` of `b`: optimal
// string alignment.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before;  // the row before the last
  std::vector<size_t> last(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    std::vector<size_t> row(b.size() + 1);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    before = std::exchange(last, std::move(row));
  }
  return last.back();
}

std::string nearest(std::string_view name, const std::vector<std::string>& known) {
  // What differs in most of its letters was not meant.
  size_t least = (name.size() - kPrefix.size()) / 2 + 1;
  std::string found;
  for (const std::string& one : known) {
    const size_t distance = edit_distance(name, one);
    if (distance >= least) continue;
    least = distance;
    found = one;
  }
  return found;
}

}  // namespace

std::vector<std::string> unknown_variables(const char* const* environment,
                                           const std::vector<std::string>& known) {
  std::vector<std::string> lines;
  for (; *environment != nullptr; ++environment) {
    const std::string_view entry = *environment;
    const size_t equals = std::min(entry.find('='), entry.size());
    const std::string_view name = entry.substr(0, equals);
    const bool is_empty = equals + 1 >= entry.size();
    if (!name.starts_with(kPrefix) || is_empty || name.starts_with(kElixirPrefix) ||
        std::ranges::find(kOthers, name) != std::end(kOthers) ||
        std::ranges::find(known, name) != known.end()) {
      continue;
    }
    std::string line = "the variable " + std::string(name) + " is not known, and has no effect";
    if (const std::string meant = nearest(name, known); !meant.empty()) {
      line += "; the nearest is " + meant;
    }
    lines.push_back(std::move(line));
  }
  std::ranges::sort(lines);
  return lines;
}

}  // namespace pglite::cli
