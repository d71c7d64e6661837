// Clusters that start from snapshots, and are kept as such.
#include <sys/stat.h>

#include <algorithm>

#include "pglite/snapshot.h"
#include "postgres/snapshot/snapshot_file.h"
#include "session_client.h"
#include "vfs/image.h"

namespace pglite::postgres {
namespace {

std::shared_ptr<const Snapshot> close_and_keep(Cluster& cluster) {
  std::shared_ptr<const Snapshot> snapshot;
  const Status status = cluster.close_and_keep(&snapshot);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(status.ok(), snapshot != nullptr);
  return snapshot;
}

Options from(std::shared_ptr<const Snapshot> snapshot) {
  Options options;
  options.snapshot = std::move(snapshot);
  return options;
}

// Names and sizes of the WAL segments in a snapshot.
std::vector<std::pair<std::string, uint64_t>> wal_in(const Snapshot& snapshot) {
  vfs::MemoryFileSystem files;
  EXPECT_TRUE(vfs::load_image(dynamic_cast<const SnapshotFile&>(snapshot).tree_image(), files,
                              kDataDirectory));
  const std::string wal = std::string(kDataDirectory) + "/pg_wal";
  std::vector<std::pair<std::string, uint64_t>> found;
  const auto directory = files.open(wal, {.read = true, .directory = true}, 0).value();
  const auto entries = directory->entries().value();
  for (const vfs::DirectoryEntry& entry : entries) {
    if (!S_ISREG(entry.mode)) continue;
    found.emplace_back(entry.name, files.metadata(wal + "/" + entry.name, true)->size);
  }
  return found;
}

class ClusterSnapshot : public ClusterTest {
 protected:
  void SetUp() override {
    options.settings = {"max_prepared_transactions=2"};
    ClusterTest::SetUp();
  }
};

TEST_F(ClusterSnapshot, HasWhatWasCommitted) {
  SessionClient one = session();
  SessionClient two = session();
  one.run("CREATE TABLE t (a int); INSERT INTO t VALUES (1)");
  one.run("CREATE UNLOGGED TABLE u AS SELECT 7 AS a");
  one.run("CREATE ROLE app LOGIN");
  one.run("CREATE DATABASE shop OWNER app");
  one.run("BEGIN; INSERT INTO t VALUES (2); PREPARE TRANSACTION 'pending'");
  two.run("BEGIN; INSERT INTO t VALUES (3)");
  const auto snapshot = close_and_keep(*cluster);
  ASSERT_NE(snapshot, nullptr);
  EXPECT_EQ(one.query("SELECT 1").status.code(), StatusCode::kEngineGone);
  EXPECT_EQ(cluster->run(Clock::now()).code(), StatusCode::kEngineGone);
  cluster.reset();

  Options copies = from(snapshot);
  copies.settings = options.settings;
  for (const char* end : {"COMMIT", "ROLLBACK"}) {
    const auto copy = open_cluster(copies);
    ASSERT_NE(copy, nullptr);
    SessionClient client = connect(*copy);
    EXPECT_EQ(client.value("SELECT sum(a) FROM t"), "1");
    EXPECT_EQ(client.value("SELECT a FROM u"), "7");
    EXPECT_EQ(client.run(std::string(end) + " PREPARED 'pending'"), std::string(end) + " PREPARED");
    EXPECT_EQ(client.value("SELECT sum(a) FROM t"), end == std::string("COMMIT") ? "3" : "1");
    SessionClient other = connect(*copy, {.username = "app", .database = "shop"});
    EXPECT_EQ(other.value("SELECT current_user, current_database()"), "app|shop");
  }
  copies.database = "shop";
  const auto instance = open_instance(copies);
  ASSERT_NE(instance, nullptr);
  EXPECT_EQ(InstanceClient(*instance).value("SELECT current_database(), count(*) FROM "
                                            "pg_catalog.pg_prepared_xacts"),
            "shop|1");
}

TEST_F(ClusterSnapshot, OfACopy) {
  session().run("CREATE TABLE t AS SELECT 1 AS a");
  auto snapshot = close_and_keep(*cluster);
  for (int i = 2; i < 5; ++i) {
    const auto copy = open_cluster(from(snapshot));
    ASSERT_NE(copy, nullptr);
    snapshot.reset();  // what the copy borrows from stays
    SessionClient client = connect(*copy);
    EXPECT_EQ(client.value("SELECT count(*) FROM t"), std::to_string(i - 1));
    client.run("INSERT INTO t VALUES (1); CHECKPOINT");
    snapshot = close_and_keep(*copy);
    ASSERT_NE(snapshot, nullptr);
  }
}

TEST_F(ClusterSnapshot, CopiesAreIndependent) {
  session().run("CREATE TABLE t AS SELECT generate_series(1, 100) AS a");
  const auto snapshot = close_and_keep(*cluster);
  const auto one = open_cluster(from(snapshot));
  const auto two = open_cluster(from(snapshot));
  ASSERT_TRUE(one != nullptr && two != nullptr);
  SessionClient a = connect(*one);
  SessionClient b = connect(*two);
  a.run("DELETE FROM t WHERE a > 10");
  b.run("INSERT INTO t VALUES (101)");
  EXPECT_EQ(a.value("SELECT count(*) FROM t"), "10");
  EXPECT_EQ(b.value("SELECT count(*) FROM t"), "101");
  const std::string identifier = "SELECT system_identifier FROM pg_control_system()";
  EXPECT_NE(a.value(identifier), b.value(identifier));
}

TEST_F(ClusterSnapshot, HasNoWalThatIsOld) {
  SessionClient client = session();
  client.run("CREATE TABLE t AS SELECT repeat('x', 1000) AS v FROM generate_series(1, 60000)");
  client.run("CHECKPOINT");
  client.run("DROP TABLE t; CHECKPOINT");
  const auto snapshot = close_and_keep(*cluster);
  ASSERT_NE(snapshot, nullptr);
  // One was enough, and a recycled one would be 16 MB of what is not needed.
  const auto segments = wal_in(*snapshot);
  EXPECT_THAT(segments, testing::SizeIs(1)) << segments.back().first;
  EXPECT_EQ(connect(*open_cluster(from(snapshot)))
                .value("SELECT count(*) FROM pg_class WHERE "
                       "relname = 't'"),
            "0");
}

// What a slot wants is there still.
TEST(ClusterSnapshotWal, KeepsWhatASlotWants) {
  Options options;
  options.settings = {"wal_level=logical"};
  const auto cluster = open_cluster(options);
  ASSERT_NE(cluster, nullptr);
  SessionClient client = connect(*cluster);
  client.run("SELECT pg_create_logical_replication_slot('slot', 'pgoutput')");
  client.run("CREATE TABLE t (a int); CREATE PUBLICATION p FOR TABLE t");
  client.run("INSERT INTO t VALUES (1)");
  client.run("SELECT pg_switch_wal(); CHECKPOINT");
  client.run("SELECT pg_switch_wal()");
  const std::string changes =
      "SELECT count(*) > 0 FROM pg_logical_slot_peek_binary_changes('slot', NULL, NULL, "
      "'proto_version', '1', 'publication_names', 'p')";
  ASSERT_EQ(client.value(changes), "t");
  const auto snapshot = close_and_keep(*cluster);
  ASSERT_NE(snapshot, nullptr);
  EXPECT_GE(wal_in(*snapshot).size(), 2);
  Options copy = from(snapshot);
  copy.settings = options.settings;
  EXPECT_EQ(connect(*open_cluster(copy)).value(changes), "t");
}

TEST(SessionSnapshot, StartsACluster) {
  const auto instance = open_instance();
  ASSERT_NE(instance, nullptr);
  InstanceClient client(*instance);
  client.query("CREATE TABLE t AS SELECT generate_series(1, 1000) AS a");
  client.query("CREATE UNLOGGED TABLE u AS SELECT 7 AS a");
  client.query("CREATE TEMPORARY TABLE gone AS SELECT 1 AS a");
  client.query("CREATE ROLE app; SET synchronous_commit = off");
  client.query("INSERT INTO t VALUES (0)");
  client.query("SET SESSION AUTHORIZATION app; SET default_transaction_read_only = on");
  std::shared_ptr<const Snapshot> snapshot;
  ASSERT_TRUE(instance->snapshot(&snapshot).ok());
  for (int i = 0; i < 2; ++i) {
    const auto cluster = open_cluster(from(snapshot));
    ASSERT_NE(cluster, nullptr);
    SessionClient session = connect(*cluster);
    EXPECT_EQ(session.value("SELECT count(*), (SELECT a FROM u), current_user FROM t"),
              "1001|7|postgres");
    EXPECT_EQ(session.value("SELECT count(*) FROM pg_class WHERE relname = 'gone'"), "0");
    EXPECT_EQ(session.run("INSERT INTO t VALUES (1)"), "INSERT 0 1");
  }
  // The instance is what it was.
  EXPECT_EQ(client.value("SELECT current_user, count(*) FROM pg_class WHERE relname = 'gone'"),
            "app|1");
}

TEST(SessionSnapshot, MakesNoNames) {
  const auto instance = open_instance();
  Options options;
  ASSERT_TRUE(instance->snapshot(&options.snapshot).ok());
  options.username = "nobody";
  options.database = "nothing";
  const auto cluster = open_cluster(options);
  ASSERT_NE(cluster, nullptr);
  EXPECT_EQ(connect(*cluster).value("SELECT count(*) FROM pg_roles, pg_database WHERE rolname = "
                                    "'nobody' OR datname = 'nothing'"),
            "0");
}

TEST(ClusterSnapshotRules, OfMemoryOnly) {
  const TemporaryDirectory directory;
  const auto cluster = open_cluster(in_directory(directory.path()));
  ASSERT_NE(cluster, nullptr);
  std::shared_ptr<const Snapshot> snapshot;
  EXPECT_EQ(cluster->close_and_keep(&snapshot).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(snapshot, nullptr);
  EXPECT_EQ(connect(*cluster).value("SELECT 1"), "1");  // it goes on
  EXPECT_TRUE(cluster->close().ok());

  const auto instance = open_instance();
  Options options = in_directory(directory.path());
  ASSERT_TRUE(instance->snapshot(&options.snapshot).ok());
  EXPECT_EQ(open_fails(options).code(), StatusCode::kInvalidArgument);
  std::unique_ptr<Cluster> other;
  EXPECT_EQ(Cluster::open(options, &other).code(), StatusCode::kInvalidArgument);
}

TEST_F(ClusterSnapshot, NotOfOneThatIsClosedOrCrashed) {
  SessionClient client = session();
  std::shared_ptr<const Snapshot> snapshot;
  ASSERT_TRUE(cluster->close().ok());
  EXPECT_EQ(cluster->close_and_keep(&snapshot).code(), StatusCode::kEngineGone);
  cluster = open_cluster();
  cluster->abandon();
  EXPECT_EQ(cluster->close_and_keep(&snapshot).code(), StatusCode::kEngineGone);
  EXPECT_EQ(snapshot, nullptr);
}

TEST(SessionSnapshot, SettingsAreForFilesOnly) {
  const auto instance = open_instance();
  Options options;
  ASSERT_TRUE(instance->snapshot(&options.snapshot).ok());
  options.settings = {"work_mem=9MB"};
  EXPECT_EQ(open_fails(options).code(), StatusCode::kInvalidArgument);
  auto cluster = open_cluster(options);
  ASSERT_NE(cluster, nullptr);
  EXPECT_EQ(connect(*cluster).value("SHOW work_mem"), "9MB");
  options.snapshot = close_and_keep(*cluster);
  const auto booted = open_instance(options);
  ASSERT_NE(booted, nullptr);
  EXPECT_EQ(InstanceClient(*booted).value("SHOW work_mem"), "9MB");
  // And what it has is a session's snapshot.
  std::unique_ptr<Instance> copy;
  ASSERT_TRUE(booted->clone(&copy).ok());
  EXPECT_EQ(InstanceClient(*copy).value("SHOW work_mem"), "9MB");
}

}  // namespace
}  // namespace pglite::postgres
