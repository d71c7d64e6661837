#include "postgres/upkeep/autovacuum_need.h"

#include <algorithm>
#include <charconv>

namespace pglite::postgres {

void AutovacuumSettings::apply(std::string_view reloptions) {
  const struct {
    std::string_view name;
    double* value;
    bool at_most;  // the table's value counts where it is lower only
  } numbers[] = {{"vacuum_threshold", &vacuum_threshold, false},
                 {"vacuum_scale_factor", &vacuum_scale_factor, false},
                 {"vacuum_max_threshold", &vacuum_max_threshold, false},
                 {"vacuum_insert_threshold", &vacuum_insert_threshold, false},
                 {"vacuum_insert_scale_factor", &vacuum_insert_scale_factor, false},
                 {"analyze_threshold", &analyze_threshold, false},
                 {"analyze_scale_factor", &analyze_scale_factor, false},
                 {"freeze_max_age", &freeze_max_age, true},
                 {"multixact_freeze_max_age", &multixact_freeze_max_age, true}};
  while (!reloptions.empty()) {
    std::string_view option = reloptions.substr(0, reloptions.find(' '));
    reloptions.remove_prefix(std::min(reloptions.size(), option.size() + 1));
    constexpr std::string_view kPrefix = "autovacuum_";
    if (!option.starts_with(kPrefix)) continue;
    option.remove_prefix(kPrefix.size());
    const size_t equals = std::min(option.find('='), option.size());
    const std::string_view name = option.substr(0, equals);
    const std::string_view value = option.substr(std::min(equals + 1, option.size()));
    // PostgreSQL stores a boolean as it was written: what it takes for false begins like this.
    if (name == "enabled") {
      const char first = value.empty() ? 't' : static_cast<char>(value[0] | 0x20);
      const bool off = value.size() >= 2 && (value[1] | 0x20) == 'f';
      enabled = enabled && first != 'f' && first != 'n' && value != "0" && !off;
    }
    for (const auto& number : numbers) {
      if (name != number.name) continue;
      double parsed = 0;
      if (std::from_chars(value.data(), value.data() + value.size(), parsed).ec != std::errc()) {
        continue;
      }
      *number.value = number.at_most ? std::min(*number.value, parsed) : parsed;
    }
  }
}

AutovacuumNeed autovacuum_need(const TableFacts& table, const AutovacuumSettings& settings) {
  AutovacuumNeed need;
  need.wraparound = table.age > settings.freeze_max_age ||
                    table.multixact_age > settings.multixact_freeze_max_age;
  need.vacuum = need.wraparound;
  if (!settings.enabled) return need;
  const double tuples = std::max(table.tuples, 0.0);
  double vacuum_at = settings.vacuum_threshold + settings.vacuum_scale_factor * tuples;
  if (settings.vacuum_max_threshold >= 0) {
    vacuum_at = std::min(vacuum_at, settings.vacuum_max_threshold);
  }
  double unfrozen = 1;
  if (table.pages > 0) unfrozen = 1 - std::min(table.all_frozen_pages / table.pages, 1.0);
  const double insert_at =
      settings.vacuum_insert_threshold + settings.vacuum_insert_scale_factor * tuples * unfrozen;
  need.vacuum = need.vacuum || table.dead > vacuum_at ||
                (settings.vacuum_insert_threshold >= 0 && table.inserted_since_vacuum > insert_at);
  need.analyze = table.modified_since_analyze >
                 settings.analyze_threshold + settings.analyze_scale_factor * tuples;
  return need;
}

}  // namespace pglite::postgres
