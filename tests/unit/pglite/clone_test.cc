// Snapshots and clones through the public API, and cancel.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "client.h"

namespace pglite::postgres {
namespace {

class CloneTest : public testing::Test {
 protected:
  void SetUp() override {
    original = open_instance();
    ASSERT_NE(original, nullptr);
    InstanceClient client(*original);
    client.query(
        "CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 100)");
  }

  std::unique_ptr<Instance> clone() {
    std::unique_ptr<Instance> copy;
    const Status status = original->clone(&copy);
    EXPECT_TRUE(status.ok()) << status.message();
    return copy;
  }

  std::unique_ptr<Instance> original;
};

TEST_F(CloneTest, IsIndependentBothWays) {
  const auto copy = clone();
  ASSERT_NE(copy, nullptr);
  InstanceClient(*copy).query("DELETE FROM t WHERE a > 10");
  InstanceClient(*original).query("INSERT INTO t VALUES (101)");
  EXPECT_EQ(InstanceClient(*copy).value("SELECT count(*) FROM t"), "10");
  EXPECT_EQ(InstanceClient(*original).value("SELECT count(*) FROM t"), "101");
  EXPECT_TRUE(original->close().ok());
  EXPECT_EQ(InstanceClient(*copy).value("SELECT max(a) FROM t"), "10");
}

TEST_F(CloneTest, IsOfTheMomentItIsTaken) {
  const auto before = clone();
  const auto same = clone();
  InstanceClient(*original).query("INSERT INTO t VALUES (101)");
  const auto after = clone();
  EXPECT_EQ(InstanceClient(*before).value("SELECT count(*) FROM t"), "100");
  EXPECT_EQ(InstanceClient(*same).value("SELECT count(*) FROM t"), "100");
  EXPECT_EQ(InstanceClient(*after).value("SELECT count(*) FROM t"), "101");
  EXPECT_NE(InstanceClient(*before).value("SELECT random()"),
            InstanceClient(*same).value("SELECT random()"));
}

TEST_F(CloneTest, OfAClone) {
  const auto first = clone();
  InstanceClient(*first).query("INSERT INTO t VALUES (200)");
  std::unique_ptr<Instance> second;
  ASSERT_TRUE(first->clone(&second).ok());
  EXPECT_EQ(InstanceClient(*second).value("SELECT sum(a) FROM t"), "5250");
}

TEST(CloneOfDatabaseTest, StaysInIt) {
  Options options;
  options.database = "shop";
  options.username = "owner";
  const auto shop = open_instance(options);
  std::unique_ptr<Instance> copy;
  const Status status = shop->clone(&copy);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(InstanceClient(*copy).value("SELECT current_database(), current_user"), "shop|owner");
}

TEST_F(CloneTest, NotInsideATransaction) {
  InstanceClient(*original).query("BEGIN");
  std::unique_ptr<Instance> copy;
  EXPECT_EQ(original->clone(&copy).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(copy, nullptr);
  InstanceClient(*original).query("ROLLBACK");
  EXPECT_NE(clone(), nullptr);
}

TEST_F(CloneTest, ASnapshotOutlivesTheInstanceAndItsFile) {
  std::shared_ptr<const Snapshot> snapshot;
  ASSERT_TRUE(original->snapshot(&snapshot).ok());
  const std::string path = std::filesystem::temp_directory_path() / "clone_test.snapshot";
  ASSERT_TRUE(snapshot->save(path).ok());
  snapshot.reset();
  original.reset();
  Options options;
  const Status loaded = Snapshot::load(path, &options.snapshot);
  ASSERT_TRUE(loaded.ok()) << loaded.message();
  ASSERT_EQ(unlink(path.c_str()), 0);
  for (int i = 0; i < 3; ++i) {
    std::unique_ptr<Instance> copy;
    ASSERT_TRUE(Instance::open(options, &copy).ok());
    EXPECT_EQ(InstanceClient(*copy).value("SELECT count(*) FROM t"), "100");
  }
}

TEST(CancelTest, EndsWhatRuns) {
  const auto instance = open_instance();
  for (const char* sql : {"SELECT pg_sleep(600)", "DO $$ BEGIN LOOP NULL; END LOOP; END $$"}) {
    std::atomic<bool> done = false;
    // Cancels until it is noticed: the first may come before the query begins.
    std::thread canceller([&] {
      while (!done) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        instance->cancel();
      }
    });
    const Answer answer = InstanceClient(*instance).query(sql);
    done = true;
    canceller.join();
    EXPECT_THAT(answer.text(), testing::StartsWith("57014")) << sql;
  }
  // Those that came too late hit nobody.
  EXPECT_EQ(InstanceClient(*instance).value("SELECT 2"), "2");
}

TEST(OpenTest, AHundredTimesLeavesNothing) {
  // What is resident and ours alone: pages of the program are shared, and come as they are used.
  const auto resident = [] {
    std::ifstream statm("/proc/self/statm");
    long size = 0;
    long all = 0;
    long shared = 0;
    statm >> size >> all >> shared;
    return (all - shared) * (sysconf(_SC_PAGESIZE) / 1024);  // KiB
  };
  for (int i = 0; i < 20; ++i) EXPECT_EQ(InstanceClient(*open_instance()).value("SELECT 1"), "1");
  const long before = resident();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(InstanceClient(*open_instance()).value("SELECT 1"), "1");
#if __has_feature(address_sanitizer)
  constexpr long kMost = 300 << 10;  // what was freed stays in quarantine, up to 256 MiB
#else
  constexpr long kMost = 8 << 10;
#endif
  EXPECT_LT(resident() - before, kMost);
}

}  // namespace
}  // namespace pglite::postgres
