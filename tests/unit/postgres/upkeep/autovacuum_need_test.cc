#include "postgres/upkeep/autovacuum_need.h"

#include <gtest/gtest.h>

#include <string>

namespace pglite::postgres {
namespace {

TEST(AutovacuumNeed, ThresholdsAreExceededNotReached) {
  const AutovacuumSettings settings;
  TableFacts table{.tuples = 1000};
  EXPECT_FALSE(autovacuum_need(table, settings).vacuum);
  table.dead = 250;
  EXPECT_FALSE(autovacuum_need(table, settings).vacuum);
  table.dead = 251;
  EXPECT_TRUE(autovacuum_need(table, settings).vacuum);
  EXPECT_FALSE(autovacuum_need(table, settings).analyze);
  table = {.tuples = 1000, .modified_since_analyze = 150};
  EXPECT_FALSE(autovacuum_need(table, settings).analyze);
  table.modified_since_analyze = 151;
  EXPECT_TRUE(autovacuum_need(table, settings).analyze);
  EXPECT_FALSE(autovacuum_need(table, settings).vacuum);
}

TEST(AutovacuumNeed, HugeTablesHaveAMaximum) {
  AutovacuumSettings settings;
  TableFacts table{.tuples = 1e10, .dead = 100'000'001};
  EXPECT_TRUE(autovacuum_need(table, settings).vacuum);
  settings.vacuum_max_threshold = -1;
  EXPECT_FALSE(autovacuum_need(table, settings).vacuum);
}

TEST(AutovacuumNeed, InsertionsCountWithTheUnfrozenShare) {
  AutovacuumSettings settings;
  TableFacts table{.tuples = 10'000, .pages = 100, .inserted_since_vacuum = 2500};
  EXPECT_FALSE(autovacuum_need(table, settings).vacuum);
  table.all_frozen_pages = 50;  // 1000 + 0.2 * 10000 * 0.5 = 2000
  EXPECT_TRUE(autovacuum_need(table, settings).vacuum);
  settings.vacuum_insert_threshold = -1;
  EXPECT_FALSE(autovacuum_need(table, settings).vacuum);
}

TEST(AutovacuumNeed, UnknownSizesAreZero) {
  EXPECT_TRUE(autovacuum_need({.tuples = -1, .dead = 51}, {}).vacuum);
  EXPECT_FALSE(autovacuum_need({.tuples = -1, .dead = 50}, {}).vacuum);
}

TEST(AutovacuumNeed, OldTablesEvenWhereItIsOff) {
  AutovacuumSettings off;
  off.enabled = false;
  EXPECT_FALSE(autovacuum_need({.dead = 1e9, .modified_since_analyze = 1e9}, off).vacuum);
  EXPECT_TRUE(autovacuum_need({.age = 200'000'001}, off).vacuum);
  EXPECT_TRUE(autovacuum_need({.multixact_age = 400'000'001}, off).wraparound);
  EXPECT_FALSE(autovacuum_need({.age = 200'000'000}, off).wraparound);
}

TEST(AutovacuumNeed, StorageParameters) {
  AutovacuumSettings settings;
  settings.apply(
      "fillfactor=70 autovacuum_vacuum_threshold=9 autovacuum_vacuum_scale_factor=0 "
      "autovacuum_freeze_max_age=1000000000 autovacuum_vacuum_cost_delay=5");
  EXPECT_TRUE(settings.enabled);
  EXPECT_EQ(settings.vacuum_threshold, 9);
  EXPECT_EQ(settings.vacuum_scale_factor, 0);
  EXPECT_EQ(settings.freeze_max_age, 200'000'000) << "only lower values count";
  for (const char* text : {"false", "off", "no", "0", "OFF", "f"}) {
    AutovacuumSettings off;
    off.apply(std::string("autovacuum_enabled=") + text);
    EXPECT_FALSE(off.enabled) << text;
  }
  for (const char* text : {"true", "on", "yes", "1"}) {
    AutovacuumSettings on;
    on.apply(std::string("autovacuum_enabled=") + text);
    EXPECT_TRUE(on.enabled) << text;
  }
  settings.apply("autovacuum_vacuum_threshold= autovacuum_ = ");
  EXPECT_EQ(settings.vacuum_threshold, 9);
}

}  // namespace
}  // namespace pglite::postgres
