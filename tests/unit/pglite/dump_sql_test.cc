// SQL dumps of instances that are open.
#include "client.h"
#include "postgres/programs/pg_dump.h"

namespace pglite::postgres {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class DumpSqlTest : public testing::Test {
 protected:
  DumpSqlTest() {
    Options options;
    options.log = [this](int level, std::string_view line) {
      if (level == 0) messages.emplace_back(line);
    };
    memory = open_instance(options);
  }

  Status dump(const std::vector<std::string>& arguments = {}) {
    text.clear();
    return memory->dump_sql(arguments, Compression::kNone, [this](std::string_view bytes) {
      text += bytes;
      return Status();
    });
  }
  std::string value(std::string_view sql) { return InstanceClient(*memory).value(sql); }

  std::vector<std::string> messages;
  std::unique_ptr<Instance> memory;
  std::string text;
};

TEST_F(DumpSqlTest, OfAMemoryInstance) {
  InstanceClient(*memory).query("CREATE TABLE t AS SELECT 7 AS a");
  ASSERT_TRUE(dump().ok());
  EXPECT_THAT(text, StartsWith("--\n-- PostgreSQL database dump\n"));
  EXPECT_THAT(text, HasSubstr("COPY public.t (a) FROM stdin;\n7\n\\.\n"));
  EXPECT_THAT(messages, ElementsAre());
  ASSERT_TRUE(dump({"-s"}).ok());
  EXPECT_THAT(text, Not(HasSubstr("COPY")));
}

TEST_F(DumpSqlTest, TheSessionIsAsBefore) {
  InstanceClient client(*memory);
  client.query("CREATE ROLE other SUPERUSER; CREATE SCHEMA \"S,1\"");
  client.query(
      "SET search_path = \"S,1\", public; SET work_mem = '5MB'; SET datestyle = 'SQL, DMY'");
  client.query("SET ROLE other; PREPARE mine AS SELECT 6 * 7; CREATE TEMPORARY TABLE kept (a int)");
  const char* look =
      "SELECT current_setting('search_path'), current_setting('work_mem'), current_setting("
      "'datestyle'), current_setting('extra_float_digits'), current_setting('row_security'), "
      "current_user, (SELECT string_agg(name, ',') FROM pg_prepared_statements)";
  const std::string before = value(look);
  EXPECT_THAT(before, HasSubstr("|5MB|SQL, DMY|1|on|other|mine"));
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{}, {"--role=postgres"}, {"--nonsense"}, {"-t", "nowhere"}}) {
    (void)dump(arguments);
    EXPECT_EQ(value(look), before);
    EXPECT_EQ(value("EXECUTE mine"), "42");
    EXPECT_EQ(value("SELECT count(*) FROM kept"), "0");
    // No transaction was left open.
    EXPECT_EQ(InstanceClient(*memory).query("ROLLBACK").types, "NCZ");
  }
}

TEST_F(DumpSqlTest, WhatPgDumpRefuses) {
  const Status status = dump({"--nonsense"});
  EXPECT_EQ(status.code(), StatusCode::kToolFailed);
  EXPECT_EQ(status.exit_code(), 1);
  EXPECT_EQ(status.message(), "pg_dump failed");
  ASSERT_FALSE(messages.empty());
  EXPECT_EQ(messages[0], "pg_dump: unrecognized option: nonsense");
  EXPECT_EQ(value("SELECT 1"), "1");
}

TEST_F(DumpSqlTest, AFunctionThatItLacksIsATrapOfItsOwn) {
  const Status status = dump({"-E", "auto"});
  EXPECT_EQ(status.code(), StatusCode::kEngineGone);
  EXPECT_THAT(status.message(), StartsWith("pg_dump failed: it trapped"));
  EXPECT_EQ(value("SELECT 1"), "1");
  EXPECT_TRUE(dump().ok());
}

TEST_F(DumpSqlTest, NotInATransaction) {
  InstanceClient client(*memory);
  client.query("BEGIN");
  EXPECT_EQ(dump().code(), StatusCode::kInvalidArgument);
  client.query("ROLLBACK");
  client.query("CREATE TABLE c (a int)");
  client.query("COPY c FROM STDIN");
  EXPECT_EQ(dump().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(text, "");
}

// The rest of a long answer is not waited for.
TEST_F(DumpSqlTest, WhatTheSinkSaysIsReturned) {
  InstanceClient(*memory).query(
      "CREATE TABLE big AS SELECT repeat(md5(g::text), 100) FROM generate_series(1, 20000) g");
  size_t taken = 0;
  const auto full = [&](std::string_view bytes) {
    EXPECT_EQ(InstanceClient(*memory).send(wire::query("SELECT 1")).status.code(),
              StatusCode::kInvalidArgument);
    taken += bytes.size();
    return taken < size_t{1} << 20 ? Status() : Status::io_error("full");
  };
  EXPECT_EQ(memory->dump_sql({}, Compression::kNone, full).message(), "full");
  EXPECT_LT(taken, size_t{2} << 20);
  EXPECT_EQ(value("SELECT count(*) FROM big"), "20000");
  const auto throws = [](std::string_view) -> Status { throw std::runtime_error("no"); };
  EXPECT_EQ(memory->dump_sql({}, Compression::kGzip, throws).message(),
            "the dump cannot be delivered: no");
  EXPECT_EQ(value("SELECT 1"), "1");
}

TEST_F(DumpSqlTest, CanBeCancelled) {
  InstanceClient(*memory).query(
      "CREATE TABLE big AS SELECT repeat(md5(g::text), 100) FROM generate_series(1, 20000) g");
  const Status status = memory->dump_sql({}, Compression::kNone, [&](std::string_view) {
    memory->cancel();
    return Status();
  });
  EXPECT_EQ(status.code(), StatusCode::kToolFailed);
  EXPECT_THAT(messages, testing::Contains(HasSubstr("canceling statement due to user request")));
  EXPECT_EQ(value("SELECT 1"), "1");
}

TEST_F(DumpSqlTest, AsTheInstancesRoleInItsDatabase) {
  Options options;
  options.username = "alice";
  options.database = "shop";
  memory = open_instance(options);
  InstanceClient(*memory).query("CREATE TABLE t (a int)");
  ASSERT_TRUE(dump().ok());
  EXPECT_THAT(text, HasSubstr("ALTER TABLE public.t OWNER TO alice;"));
  ASSERT_TRUE(dump({"-d", "shop", "-U", "alice"}).ok());
  EXPECT_EQ(dump({"-d", "postgres"}).code(), StatusCode::kToolFailed);
}

// pg_dump with a session that fails at the request of that number, or (`silent`) does not answer
// it.
Status dump_with_failure(size_t failing, bool silent, size_t* requests) {
  auto memory = open_instance();
  InstanceClient(*memory).query("CREATE TABLE t AS SELECT g FROM generate_series(1, 40000) g");
  PgDumpConfig config;
  config.username = config.database = "postgres";
  *requests = 0;
  config.exec = [&](std::string_view request, const ResponseSink& sink) {
    if ((*requests)++ < failing) return memory->exec_protocol(request, sink);
    return silent ? Status() : Status::engine_gone("it trapped");
  };
  config.cancel = [] {};
  config.messages = [](std::string_view) {};
  std::string text;
  config.output = [&](std::string_view bytes) {
    text += bytes;
    return Status();
  };
  const Status status = run_pg_dump(config);
  EXPECT_EQ(status.ok(), text.find("database dump complete") != std::string::npos) << failing;
  return status;
}

TEST(DumpSql, ASessionThatEndsAtAnyRequestIsNoDump) {
  size_t requests = 0;
  ASSERT_TRUE(dump_with_failure(SIZE_MAX, false, &requests).ok());
  const size_t all = requests;
  ASSERT_GT(all, 20U);
  for (size_t failing = 0; failing < all; ++failing) {
    EXPECT_EQ(dump_with_failure(failing, false, &requests).message(), "it trapped");
    EXPECT_EQ(requests, failing + 1);
    EXPECT_EQ(dump_with_failure(failing, true, &requests).code(), StatusCode::kToolFailed);
  }
}

TEST(DumpSql, OnlyOfAClusterThatIsThere) {
  const TemporaryDirectory temporary;
  Options options = in_directory(temporary.path() / "missing");
  options.create = false;
  EXPECT_EQ(open_fails(options).code(), StatusCode::kIoError);
  options.data_dir = temporary.path().string();
  EXPECT_EQ(open_fails(options).code(), StatusCode::kIncompatible);
  EXPECT_TRUE(std::filesystem::is_empty(temporary.path()));
}

}  // namespace
}  // namespace pglite::postgres
