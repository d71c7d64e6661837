// Instance::idle as an embedder calls it.
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "client.h"

namespace pglite::postgres {
namespace {

using namespace std::chrono_literals;
using Clock = Instance::Clock;

// Waits for requests that never come, until `done`; the status of the last idle().
template <class Done>
Status idle_until(Instance& instance, Done done, std::string* said = nullptr) {
  const Clock::time_point end = Clock::now() + 60s;
  // Not always as long as it might: `done` is to be asked again.
  constexpr auto kStep = 500ms;
  while (!done() && Clock::now() < end) {
    const Clock::time_point next = Clock::now() + kStep;
    std::this_thread::sleep_until(std::min(next, instance.idle_deadline().value_or(end)));
    const Status status = instance.idle([&](std::string_view bytes) {
      if (said != nullptr) *said += bytes;
    });
    if (!status.ok()) return status;
  }
  EXPECT_LT(Clock::now(), end);
  return {};
}

TEST(Idle, NothingIsDueWhereNothingWasDone) {
  auto instance = open_instance();
  EXPECT_EQ(instance->idle_deadline(), std::nullopt);
  EXPECT_TRUE(instance->idle([](std::string_view) {}).ok());
}

TEST(Idle, TreatsTablesAndSaysNothing) {
  Options options;
  options.settings = {"autovacuum_naptime=1s"};
  auto instance = open_instance(options);
  InstanceClient client(*instance);
  client.query("CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 1000)");
  client.query("DELETE FROM t");
  std::string said;
  const auto vacuumed = [&] {
    return client.value("SELECT autovacuum_count > 0 FROM pg_stat_user_tables") == "t";
  };
  EXPECT_TRUE(idle_until(*instance, vacuumed, &said).ok());
  EXPECT_EQ(said, "");
  EXPECT_TRUE(instance->close().ok());
}

TEST(Idle, WhatIsCutShortIsDoneLater) {
  auto instance = open_instance();
  InstanceClient client(*instance);
  client.query("CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 1000)");
  client.query("DELETE FROM t");
  // Through the first look at the tables, five seconds after the start, and the timer by which
  // PostgreSQL hands its statistics in, after ten.
  std::thread canceller([&] {
    for (const auto end = Clock::now() + 12s; Clock::now() < end;) {
      instance->cancel();
      std::this_thread::sleep_for(10us);
    }
  });
  const auto vacuumed = [&] {
    return client.value("SELECT autovacuum_count > 0 FROM pg_stat_user_tables") == "t";
  };
  std::string said;
  const auto begun = Clock::now();
  const auto passed = [&] { return Clock::now() - begun > 12s; };
  EXPECT_TRUE(idle_until(*instance, passed, &said).ok());
  canceller.join();
  EXPECT_EQ(said, "");
  EXPECT_EQ(client.query("SELECT 1").types, "TDCZ");
  EXPECT_TRUE(idle_until(*instance, vacuumed).ok());
}

TEST(Idle, ACancelThatComesTooLateHitsNobody) {
  auto instance = open_instance();
  InstanceClient client(*instance);
  for (int i = 0; i < 3; ++i) {
    instance->cancel();
    EXPECT_EQ(client.query("SELECT 1").types, "TDCZ");
  }
  // At any moment, also where PostgreSQL only notes it, because it must not be interrupted there.
  client.query("CREATE TABLE t (a int)");
  const std::string statements[] = {
      "INSERT INTO t SELECT generate_series(1, 300)", "CHECKPOINT", "VACUUM t",
      "ALTER TABLE t ADD COLUMN b int; ALTER TABLE t DROP COLUMN b", "TRUNCATE t"};
  for (int i = 0; i < 1000; ++i) {
    std::atomic<bool> runs = false;
    std::thread canceller([&, i] {
      while (!runs) {
      }
      for (const auto end = Clock::now() + (i * 7919 % 500) * 1us; Clock::now() < end;) {
      }
      instance->cancel();
    });
    runs = true;
    const Answer answer = client.query(statements[i % std::size(statements)]);
    EXPECT_EQ(std::ranges::count(answer.types, 'Z'), 1) << answer.types;
    canceller.join();
    EXPECT_EQ(client.query("SELECT 1").types, "TDCZ");
  }
}

TEST(Idle, ATransactionIsLeftAlone) {
  auto instance = open_instance();
  InstanceClient client(*instance);
  client.query("CREATE TABLE t (a int)");
  EXPECT_NE(instance->idle_deadline(), std::nullopt);
  client.query("BEGIN");
  client.query("INSERT INTO t VALUES (1)");
  EXPECT_EQ(instance->idle_deadline(), std::nullopt);
  EXPECT_TRUE(instance->idle([](std::string_view) {}).ok());
  client.query("COMMIT");
  EXPECT_NE(instance->idle_deadline(), std::nullopt);
}

TEST(Idle, ASessionThatWaitsTooLongEnds) {
  auto instance = open_instance();
  InstanceClient client(*instance);
  client.query("SET idle_session_timeout = '50ms'");
  std::string said;
  const Status status = idle_until(*instance, [] { return false; }, &said);
  EXPECT_EQ(status.code(), StatusCode::kSessionEnded) << status.message();
  EXPECT_THAT(said, ::testing::HasSubstr("57P05"));
  EXPECT_EQ(client.query("SELECT 1").status.code(), StatusCode::kSessionEnded);
  EXPECT_EQ(instance->idle_deadline(), std::nullopt);
  EXPECT_TRUE(instance->close().ok());
}

TEST(Idle, WithoutItTheLogIsCutAllTheSame) {
  auto instance = open_instance();
  InstanceClient client(*instance);
  client.query("CREATE TABLE t (a int, b text)");
  for (int i = 0; i < 25; ++i) {
    client.query("INSERT INTO t SELECT g, repeat('y', 500) FROM generate_series(1, 20000) g");
    client.query("TRUNCATE t");
  }
  EXPECT_LT(std::stol(client.value("SELECT sum(size) FROM pg_ls_waldir()")), 200L << 20);
}

TEST(Idle, NotFromWithinItself) {
  auto instance = open_instance();
  Status inner;
  const Status status = instance->exec_protocol(wire::query("SELECT 1"), [&](std::string_view) {
    inner = instance->idle([](std::string_view) {});
    EXPECT_EQ(instance->idle_deadline(), std::nullopt);
  });
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(inner.code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace pglite::postgres
