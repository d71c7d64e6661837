// Processes share whole pages of the system. Here they are cut as a system with larger pages would
// have them.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "durability/server.h"
#include "durability/sessions.h"

namespace pglite::durability {
namespace {

class PageSize : public ::testing::TestWithParam<uint64_t> {
 protected:
  void SetUp() override {
    sessions.page_size = GetParam();
    ASSERT_TRUE(sessions.start(make_data_directory(), false).ok()) << sessions.log();
    for (Sessions::Session** session : {&one, &other}) {
      ASSERT_TRUE(sessions.connect(session).ok()) << sessions.log();
    }
  }

  std::string value(Sessions::Session& session, const std::string& sql) {
    postgres::SqlResult result;
    const Status status = sessions.query(session, sql, &result);
    EXPECT_TRUE(status.ok()) << status.message() << sessions.log();
    return result.rows.empty() ? std::string() : result.rows[0][0];
  }

  Sessions sessions;
  Sessions::Session* one = nullptr;
  Sessions::Session* other = nullptr;
};

TEST_P(PageSize, SharedMemoryIsWholePages) {
  const std::string all = "SELECT sum(allocated_size) FROM pg_shmem_allocations";
  EXPECT_EQ(std::stoull(value(*one, all)) % GetParam(), 0U);
}

TEST_P(PageSize, SessionsSeeWhatOthersDo) {
  value(*one, "CREATE TABLE t AS SELECT generate_series(1, 50000) AS n");
  EXPECT_EQ(value(*other, "SELECT sum(n) FROM t"), "1250025000");
  value(*other, "BEGIN");
  value(*other, "LOCK t");
  EXPECT_EQ(value(*one, "SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass"), "1");
  value(*other, "DELETE FROM t WHERE n > 10");
  value(*other, "COMMIT");
  EXPECT_EQ(value(*one, "SELECT sum(n) FROM t"), "55");
}

// Memory that is shared as it is needed.
TEST_P(PageSize, WorkersShareMemoryWithTheirLeader) {
  value(*one, "CREATE TABLE t AS SELECT generate_series(1, 200000) AS n");
  value(*one, "SET parallel_setup_cost = 0");
  value(*one, "SET parallel_tuple_cost = 0");
  value(*one, "SET min_parallel_table_scan_size = 0");
  EXPECT_EQ(value(*one, "SELECT sum(n) FROM t"), "20000100000");
}

// The tables in shared memory outgrow their estimates.
TEST_P(PageSize, ThereIsRoomForMoreLocksThanWereCountedOn) {
  value(*one, "BEGIN");
  for (int i = 0; i < 200; ++i) {
    value(*one, "SELECT pg_advisory_lock(n) FROM generate_series(" + std::to_string(i * 20) + ", " +
                    std::to_string(i * 20 + 19) + ") AS n");
  }
  EXPECT_EQ(value(*other, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "4000");
}

INSTANTIATE_TEST_SUITE_P(Systems, PageSize, ::testing::Values(4096, 16384, 65536),
                         ::testing::PrintToStringParamName());

}  // namespace
}  // namespace pglite::durability
