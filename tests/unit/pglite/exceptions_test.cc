// Nothing that a caller's sink, source, report or log throws comes out of a public function.
#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>

#include "client.h"
#include "pglite/archive.h"
#include "pglite/repair.h"

namespace pglite::postgres {
namespace {

using testing::HasSubstr;

struct Thrown {
  const char* name;
  void (*raise)();
};

void PrintTo(const Thrown& thrown, std::ostream* out) {
  *out << thrown.name;
}

class Exceptions : public testing::TestWithParam<Thrown> {
 protected:
  // A sink and a log that throw.
  ByteSink byte_sink() const {
    return [](std::string_view) -> Status {
      GetParam().raise();
      return {};
    };
  }
  ResponseSink response_sink() const {
    return [](std::string_view) { GetParam().raise(); };
  }
  static Options throwing_log(Options options = {}) {
    options.debug = 2;
    options.log = [](int, std::string_view) { GetParam().raise(); };
    return options;
  }
};

TEST_P(Exceptions, OfTheSinkOfAnAnswerEndTheInstance) {
  for (const std::string& request :
       {wire::query("SELECT 1"), std::string("\0\0\0\x08\x04\xd2\x16\x2f", 8)}) {
    auto instance = open_instance();
    EXPECT_EQ(instance->exec_protocol(request, response_sink()).code(), StatusCode::kEngineGone);
    EXPECT_EQ(instance->exec_protocol(wire::query("SELECT 1"), [](std::string_view) {}).code(),
              StatusCode::kEngineGone);
    EXPECT_EQ(instance->idle_deadline(), std::nullopt);
    EXPECT_FALSE(instance->idle(response_sink()).ok());
    (void)instance->close();
  }
}

TEST_P(Exceptions, OfTheSinkOfADumpEndTheDumpOnly) {
  auto instance = open_instance();
  InstanceClient client(*instance);
  EXPECT_EQ(client.value("SET work_mem = '5MB'"), "CZ");
  for (const Compression compression : {Compression::kNone, Compression::kGzip}) {
    EXPECT_EQ(instance->dump(compression, byte_sink()).code(), StatusCode::kIoError);
    EXPECT_EQ(instance->dump_sql({}, compression, byte_sink()).code(), StatusCode::kIoError);
    EXPECT_EQ(client.value("SHOW work_mem"), "5MB");
  }
  EXPECT_TRUE(instance->close().ok());
}

TEST_P(Exceptions, OfTheLogAreDropped) {
  const TemporaryDirectory directory;
  for (Options options : {Options(), in_directory(directory.path() / "data")}) {
    auto instance = open_instance(throwing_log(options));
    ASSERT_NE(instance, nullptr);
    InstanceClient client(*instance);
    EXPECT_EQ(client.value("CHECKPOINT"), "CZ");
    std::string dump;
    const Status dumped =
        instance->dump_sql({"--verbose"}, Compression::kNone, [&](std::string_view bytes) {
          dump += bytes;
          return Status();
        });
    EXPECT_TRUE(dumped.ok()) << dumped.message();
    EXPECT_THAT(dump, HasSubstr("PostgreSQL database dump complete"));
    EXPECT_TRUE(instance->close().ok());
  }
}

TEST_P(Exceptions, OfArchivesAndRepairsAreStatuses) {
  const TemporaryDirectory directory;
  const Options options = in_directory(directory.path() / "data");
  EXPECT_TRUE(open_instance(options)->close().ok());
  EXPECT_EQ(dump_data_directory(options, Compression::kGzip, byte_sink()).code(),
            StatusCode::kIoError);
  const ByteSource source = [](char*, size_t, size_t*) -> Status {
    GetParam().raise();
    return {};
  };
  EXPECT_EQ(restore_data_directory(in_directory(directory.path() / "new"), source).code(),
            StatusCode::kIoError);
  RepairRequest request;
  request.dry_run = true;
  EXPECT_EQ(reset_wal(options, request, [](std::string_view) { GetParam().raise(); }).code(),
            StatusCode::kIoError);
  // They have let go of the directory.
  EXPECT_TRUE(open_instance(options)->close().ok());
}

const Thrown kThrown[] = {
    {"RuntimeError", [] { throw std::runtime_error("the peer has gone"); }},
    {"BadAlloc", [] { throw std::bad_alloc(); }},
    {"SomethingElse", [] { throw 7; }},
};

INSTANTIATE_TEST_SUITE_P(Kinds, Exceptions, testing::ValuesIn(kThrown),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Snapshot, IsTakenWhateverTheRoleAndItsTimeouts) {
  auto instance = open_instance();
  InstanceClient client(*instance);
  EXPECT_EQ(client.value("CREATE ROLE bob"), "CZ");
  EXPECT_EQ(client.value("SET SESSION AUTHORIZATION bob; SET statement_timeout = '1ms'"), "CCZ");
  // A slow machine is one whose statements take longer than a millisecond: the test's own, too.
  const auto value = [](InstanceClient& of, std::string_view sql) {
    std::string text;
    for (int attempt = 0; attempt < 1000; ++attempt) {
      text = of.value(sql);
      if (!text.starts_with("57014 ")) break;
    }
    return text;
  };
  for (int i = 0; i < 5; ++i) {
    std::unique_ptr<Instance> copy;
    const Status status = instance->clone(&copy);
    ASSERT_TRUE(status.ok()) << status.message();
    InstanceClient other(*copy);
    EXPECT_EQ(value(other, "SELECT current_user, current_setting('statement_timeout')"), "bob|1ms");
    (void)client.query("SELECT");
  }
}

// A user's operators, in front of PostgreSQL's.
TEST(OwnStatements, CallNoOperatorOfTheSessions) {
  Options options;
  options.settings = {"autovacuum_naptime=1s"};
  auto instance = open_instance(options);
  InstanceClient client(*instance);
  std::string traps = "CREATE TABLE public.called (by text); CREATE SCHEMA trap;";
  const struct {
    const char* name;
    const char* left;
    const char* right;
    const char* result;
  } operators[] = {{"=", "name", "name", "bool"},
                   {"=", "text", "text", "bool"},
                   {"=", "oid", "oid", "bool"},
                   {"=", "\"char\"", "\"char\"", "bool"},
                   {"<>", "\"char\"", "\"char\"", "bool"},
                   {"<>", "text", "text", "bool"},
                   {"*", "numeric", "numeric", "numeric"},
                   {"*", "numeric", "int4", "numeric"},
                   {"-", "int8", "int8", "int8"}};
  int number = 0;
  for (const auto& op : operators) {
    const std::string function = "trap.f" + std::to_string(number++);
    const std::string arguments = std::string(op.left) + ", " + op.right;
    traps += "CREATE FUNCTION " + function + "(" + arguments + ") RETURNS " + op.result +
             " LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.called VALUES ('" + op.left +
             op.name + "'); RETURN NULL; END $$; CREATE OPERATOR trap." + op.name +
             " (LEFTARG = " + op.left + ", RIGHTARG = " + op.right + ", FUNCTION = " + function +
             ");";
  }
  const Answer made = client.query(traps);
  ASSERT_TRUE(made.errors.empty()) << made.errors[0];
  ASSERT_EQ(client.value("SET search_path = trap, pg_catalog, public"), "CZ");
  // They are in force.
  ASSERT_EQ(client.value("SELECT 'a'::text = 'a'::text"), "null");
  ASSERT_EQ(client.value("DELETE FROM public.called"), "CZ");
  // Copies, dumps, and what is done while idle: a table that needs a VACUUM is found.
  client.query(
      "CREATE TABLE public.t (a int); INSERT INTO public.t SELECT generate_series(1, 9999)");
  client.query("DELETE FROM public.t");
  std::shared_ptr<const pglite::Snapshot> snapshot;
  EXPECT_FALSE(instance->snapshot(&snapshot).code() == StatusCode::kEngineGone);
  const ByteSink ignore = [](std::string_view) { return Status(); };
  EXPECT_TRUE(instance->dump_sql({}, Compression::kNone, ignore).ok());
  EXPECT_TRUE(instance->dump(Compression::kNone, ignore).ok());
  bool vacuumed = false;
  for (int i = 0; i < 200 && !vacuumed; ++i) {
    const auto due = instance->idle_deadline();
    const auto most = Instance::Clock::now() + std::chrono::milliseconds(200);
    std::this_thread::sleep_until(due ? std::min(*due, most) : most);
    ASSERT_TRUE(instance->idle([](std::string_view) {}).ok());
    vacuumed = client.value(
                   "SELECT pg_catalog.pg_stat_get_autovacuum_count('public.t'::pg_catalog."
                   "regclass) OPERATOR(pg_catalog.>) 0") == "t";
  }
  EXPECT_TRUE(vacuumed);
  EXPECT_EQ(client.query("SELECT by FROM public.called").rows, std::vector<std::string>());
}

}  // namespace
}  // namespace pglite::postgres
