// What a session keeps of the foreign keys it has checked (utils/adt/ri_triggers.c): a plan for
// each query that checks one, and a description. PostgreSQL keeps both until the session ends, also
// when the foreign key is gone; each is some kilobytes.
#ifndef PGLITE_POSTGRES_UPKEEP_FOREIGN_KEY_CACHE_H_
#define PGLITE_POSTGRES_UPKEEP_FOREIGN_KEY_CACHE_H_

#include <cstdint>

#include "emscripten/process.h"

namespace pglite::postgres {

class ForeignKeyCache {
 public:
  static constexpr uint64_t kPlanSize = 6000;  // bytes, more or less

  explicit ForeignKeyCache(emscripten::Process& process) : process_(process) {}

  // Whether there are plans: looks for PostgreSQL's table of them, and remembers where it is.
  bool find();
  // How many plans there may be, from what their table has allocated; not less than there are, and
  // never less again. A few loads. 0 before find().
  [[nodiscard]] uint64_t most_plans() const;
  // How many plans there are.
  uint64_t plans();
  // Drops all plans, and the descriptions that have become invalid. Nothing may be running. What is
  // still needed is made anew by the next check.
  void forget();

 private:
  // Calls `visit` with the address of each entry of `table`; it may remove that entry.
  template <class Visit>
  void for_each(uint32_t table, Visit visit);
  [[nodiscard]] uint32_t load(uint32_t address) const;

  emscripten::Process& process_;
  uint32_t plans_ = 0;
  uint32_t descriptions_ = 0;
};

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_UPKEEP_FOREIGN_KEY_CACHE_H_
