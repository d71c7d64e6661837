// Dynamic shared memory: what PostgreSQL's processes make and map while they run.
#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "session_client.h"

namespace pglite::postgres {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;

// How much of the system's this program has.
struct Usage {
  size_t mappings = 0;         // of everything
  size_t shared_mappings = 0;  // of shared memory that processes have made
  size_t shared_memory = 0;    // in KiB, that this program has touched
};

Usage usage() {
  Usage result;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    ++result.mappings;
    if (line.find("pglite-port-shared") != std::string::npos) ++result.shared_mappings;
  }
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    constexpr std::string_view kName = "RssShmem:";
    if (line.starts_with(kName)) result.shared_memory = std::stoul(line.substr(kName.size()));
  }
  return result;
}

class SharedMemory : public ClusterTest {
 protected:
  void TearDown() override {
    cluster.reset();
    EXPECT_EQ(usage().shared_mappings, 0U);
  }

  // A session that runs all it can in parallel, by two workers.
  SessionClient parallel_session() {
    SessionClient client = session(
        {.settings = {"parallel_setup_cost=0", "parallel_tuple_cost=0",
                      "min_parallel_table_scan_size=0", "max_parallel_workers_per_gather=2"}});
    return client;
  }
  // When all workers have ended, too. What is left are the statistics, which all processes map, and
  // what a session keeps for its next workers.
  Usage settled_usage() {
    settle(*cluster);
    return usage();
  }
  // All of a plan, as EXPLAIN has it.
  static std::string plan(SessionClient& client, std::string_view sql) {
    std::string text;
    for (const std::string& row :
         client.query("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, BUFFERS OFF) " + std::string(sql))
             .rows) {
      text += row + "\n";
    }
    return text;
  }
};

// Makes `count` tables with one row in each, from s_`first` on.
std::string make_tables(int first, int count) {
  return "DO $$ BEGIN FOR i IN " + std::to_string(first) + ".." +
         std::to_string(first + count - 1) +
         " LOOP"
         "  EXECUTE format('CREATE TABLE s_%s (n int)', i);"
         "  EXECUTE format('INSERT INTO s_%s VALUES (1)', i);"
         "  IF i % 25 = 0 THEN COMMIT; END IF;"
         " END LOOP; END $$";
}

constexpr std::string_view kFlush = "SELECT pg_stat_force_next_flush()";
// Of how many tables another session has counted the row.
constexpr std::string_view kCounted =
    "SELECT count(*) FROM pg_stat_user_tables WHERE relname LIKE 's\\_%' AND n_tup_ins = 1";

// They are too many for the main segment: PostgreSQL adds segments of its own.
TEST_F(SharedMemory, HoldsTheStatisticsOfThousandsOfTables) {
  auto writer = std::make_optional(session());
  SessionClient reader = session();
  EXPECT_EQ(reader.value(kCounted), "0");
  writer->run(make_tables(1, 3000));
  writer->run(kFlush);
  EXPECT_EQ(reader.value(kCounted), "3000");
  EXPECT_GE(usage().shared_mappings, 2U);
  // Who has made a segment may leave it, and who comes later finds it.
  writer.reset();
  SessionClient late = session();
  EXPECT_EQ(late.value(kCounted), "3000");
  late.run(make_tables(3001, 100));
  late.run(kFlush);
  EXPECT_EQ(reader.value(kCounted), "3100");
  reader.run("SELECT pg_stat_reset()");
  EXPECT_EQ(late.value(kCounted), "0");
}

TEST_F(SharedMemory, CarriesParallelQueries) {
  SessionClient client = parallel_session();
  client.run("CREATE TABLE t AS SELECT n, n % 7 AS g FROM generate_series(1, 20000) AS n");
  client.run("ANALYZE t");
  client.run("SELECT count(*) FROM t");
  const Usage before = settled_usage();
  const std::string sql = "SELECT sum(n), count(DISTINCT g) FROM t WHERE g <> 3";
  const std::string text = plan(client, sql);
  EXPECT_THAT(text, HasSubstr("Workers Launched: 2"));
  EXPECT_THAT(text, HasSubstr("Parallel Seq Scan"));
  EXPECT_EQ(client.value(sql), session().value(sql));
  EXPECT_EQ(client.value("SELECT g, count(*) FROM t GROUP BY g ORDER BY g"), "0|2857");
  // More rows than the queues between the processes hold.
  EXPECT_EQ(client.query("SELECT n, repeat('x', 100) FROM t WHERE g < 5").rows.size(), 14286U);
  EXPECT_EQ(settled_usage().shared_mappings, before.shared_mappings);
}

// One table of 40 MB, which three processes build and read.
TEST_F(SharedMemory, HoldsTheHashTableOfAParallelJoin) {
  SessionClient client = parallel_session();
  client.run(
      "CREATE TABLE t AS SELECT n, md5(n::text) || md5(n::text) AS text "
      "FROM generate_series(1, 300000) AS n");
  client.run("ANALYZE t");
  client.run(
      "SET work_mem = '64MB'; SET hash_mem_multiplier = 1; SET enable_mergejoin = off; "
      "SET enable_nestloop = off");
  client.run("SELECT count(*) FROM t");
  const Usage before = settled_usage();
  const std::string sql =
      "SELECT count(*), sum(a.n), count(DISTINCT length(b.text)) "
      "FROM t AS a JOIN t AS b ON a.n = b.n + 1 WHERE a.text <> b.text";
  const std::string text = plan(client, sql);
  EXPECT_THAT(text, HasSubstr("Parallel Hash Join"));
  EXPECT_THAT(text, HasSubstr("Workers Launched: 2"));
  EXPECT_THAT(text, ContainsRegex("Batches: 1  Memory Usage: [3-9][0-9][0-9][0-9][0-9]kB"));
  EXPECT_EQ(client.value(sql), "299999|45000149999|1");
  const Usage after = settled_usage();
  EXPECT_EQ(after.shared_mappings, before.shared_mappings);
  EXPECT_LE(after.shared_memory, before.shared_memory + 16384);
}

TEST_F(SharedMemory, IsGivenBack) {
  SessionClient client = parallel_session();
  client.run(
      "CREATE TABLE t AS SELECT n, repeat('x', 50) AS text FROM generate_series(1, 40000) n");
  client.run("ANALYZE t");
  client.run("SET enable_mergejoin = off; SET enable_nestloop = off");
  const auto round = [&] {
    EXPECT_EQ(client.value("SELECT count(*) FROM t a JOIN t b USING (n) WHERE a.text = b.text"),
              "40000");
    EXPECT_EQ(client.error("SELECT sum(1 / (n - 39999)) FROM t"), "22012");
    EXPECT_EQ(client.value("SELECT count(*) FROM t"), "40000");
  };
  for (int i = 0; i < 5; ++i) round();
  const Usage before = settled_usage();
  for (int i = 0; i < 50; ++i) round();
  const Usage after = settled_usage();
  EXPECT_EQ(after.shared_mappings, before.shared_mappings);
  EXPECT_LE(after.mappings, before.mappings + 5);
  EXPECT_LE(after.shared_memory, before.shared_memory + 1024);
}

// The system refuses a segment of more than 2 MB, as it does where it has no memory.
TEST_F(SharedMemory, AFailureToMakeItIsTheStatementsError) {
  SessionClient client = parallel_session();
  client.run(
      "CREATE TABLE t AS SELECT n, md5(n::text) AS text FROM generate_series(1, 200000) AS n");
  client.run("ANALYZE t");
  client.run(
      "SET work_mem = '64MB'; SET hash_mem_multiplier = 1; SET enable_mergejoin = off; "
      "SET enable_nestloop = off");
  const std::string sql = "SELECT count(*) FROM t a JOIN t b USING (n) WHERE a.text = b.text";
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{.rlim_cur = rlim_t{2} << 20, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(client.query(sql).text(), HasSubstr("could not resize shared memory segment"));
  }
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  const Usage failed = settled_usage();
  EXPECT_EQ(client.value(sql), "200000");
  EXPECT_EQ(settled_usage().shared_mappings, failed.shared_mappings);
}

constexpr std::string_view kLongJoin = "SELECT count(*) FROM t a, t b WHERE a.n + b.n > 1";

// Its workers end with it.
TEST_F(SharedMemory, IsGivenBackByASessionThatEndsInTheMiddle) {
  SessionClient other = session();
  const size_t before = settled_usage().shared_mappings;
  {
    SessionClient client = parallel_session();
    client.run("CREATE TABLE t AS SELECT n FROM generate_series(1, 100000) n");
    client.run("ANALYZE t");
    const size_t connected = settled_usage().shared_mappings;
    client.begin(kLongJoin);
    // What belongs to the session, and the query's in three processes.
    const auto runs = [&] { return usage().shared_mappings >= connected + 4; };
    EXPECT_TRUE(run_until(*cluster, runs).ok());
    client->cancel();
  }
  const auto is_given_back = [&] { return usage().shared_mappings <= before; };
  EXPECT_TRUE(run_until(*cluster, is_given_back).ok());
  EXPECT_EQ(other.value("SELECT count(*) FROM t"), "100000");
}

// TearDown() looks whether all is given back.
TEST_F(SharedMemory, EndsWithTheCluster) {
  SessionClient client = parallel_session();
  client.run("CREATE TABLE t AS SELECT n FROM generate_series(1, 100000) n");
  client.run("ANALYZE t");
  const size_t connected = settled_usage().shared_mappings;
  client.begin(kLongJoin);
  const auto runs = [&] { return usage().shared_mappings >= connected + 4; };
  EXPECT_TRUE(run_until(*cluster, runs).ok());
  client.reset();
}

}  // namespace
}  // namespace pglite::postgres
