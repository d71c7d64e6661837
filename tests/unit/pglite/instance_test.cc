// One instance: requests, errors, what cannot be opened, what is left after trouble.
#include <fstream>

#include "client.h"

namespace pglite::postgres {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class InstanceTest : public testing::Test {
 protected:
  void SetUp() override {
    instance = open_instance();
    ASSERT_NE(instance, nullptr);
    client.emplace(*instance);
  }

  std::unique_ptr<Instance> instance;
  std::optional<InstanceClient> client;
};

TEST_F(InstanceTest, AnswersAQuery) {
  const Answer answer = client->query("SELECT 1 + 1, NULL, 'x'");
  EXPECT_TRUE(answer.status.ok());
  EXPECT_EQ(answer.types, "TDCZ");
  EXPECT_EQ(answer.rows[0], "2|null|x");
  EXPECT_EQ(client->value("SELECT current_user || current_database()"), "postgrespostgres");
}

TEST_F(InstanceTest, SeveralMessagesInARequest) {
  EXPECT_EQ(client->send(wire::query("SELECT 1") + wire::query("SELECT 2")).types, "TDCZTDCZ");
  const std::string batch = wire::parse("", "SELECT $1::int * 2") +
                            wire::bind("", "", std::vector<wire::Parameter>{{.value = "21"}}) +
                            wire::execute("") + wire::sync();
  const Answer answer = client->send(batch);
  EXPECT_EQ(answer.types, "12DCZ");
  EXPECT_EQ(answer.rows[0], "42");
  EXPECT_EQ(client->send("").types, "");
  EXPECT_EQ(client->send(wire::flush()).types, "");
}

TEST_F(InstanceTest, ARequestMustBeWholeMessages) {
  const std::string query = wire::query("SELECT 1");
  for (const std::string& bad :
       {query.substr(0, query.size() - 1), query + "Q", std::string("garbage"),
        std::string("Q\0\0\0\3", 5), std::string("\0\0\0\1", 4), query + std::string(1, '\0')}) {
    const Answer answer = client->send(bad);
    EXPECT_EQ(answer.status.code(), StatusCode::kInvalidArgument) << bad;
    EXPECT_EQ(answer.types, "") << bad;
  }
  EXPECT_EQ(client->value("SELECT 1"), "1");
}

TEST_F(InstanceTest, AfterCloseItIsGone) {
  EXPECT_TRUE(instance->close().ok());
  EXPECT_EQ(client->query("SELECT 1").status.code(), StatusCode::kEngineGone);
  EXPECT_TRUE(instance->close().ok());
}

TEST_F(InstanceTest, TerminateIsNoAnswerAndTheSessionStays) {
  EXPECT_EQ(client->send(wire::terminate()).types, "");
  EXPECT_EQ(client->value("SELECT 1"), "1");
}

// --- Startup packets ---

TEST_F(InstanceTest, AStartupPacketIsAnswered) {
  const std::pair<std::string_view, std::string_view> parameters[] = {{"user", "postgres"},
                                                                      {"database", "postgres"}};
  const Answer answer = client->send(wire::startup_packet(parameters));
  EXPECT_TRUE(answer.status.ok()) << answer.status.message();
  EXPECT_THAT(answer.types, StartsWith("R"));
  EXPECT_THAT(answer.types, testing::EndsWith("Z"));
  EXPECT_EQ(client->value("SELECT 1"), "1");
}

TEST_F(InstanceTest, MessagesMayFollowAStartupPacket) {
  const std::pair<std::string_view, std::string_view> parameters[] = {{"user", "postgres"}};
  const Answer answer = client->send(wire::startup_packet(parameters) + wire::query("SELECT 5"));
  ASSERT_TRUE(answer.status.ok()) << answer.status.message();
  EXPECT_THAT(answer.types, testing::MatchesRegex("R.*ZTDCS*Z"));
  EXPECT_EQ(answer.text(), "5");
  EXPECT_EQ(client->value("SELECT 6"), "6");
}

TEST_F(InstanceTest, RequestsForEncryptionAreDeclined) {
  for (const std::string& request : {wire::ssl_request(), wire::gssenc_request()}) {
    std::string answer;
    const Status status =
        instance->exec_protocol(request, [&](std::string_view bytes) { answer += bytes; });
    EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(answer, "N");
  }
  EXPECT_EQ(client->value("SELECT 1"), "1");
}

TEST_F(InstanceTest, ACancelRequestHasNoAnswer) {
  const Answer answer = client->send(wire::cancel_request(1, 2));
  EXPECT_TRUE(answer.status.ok()) << answer.status.message();
  EXPECT_EQ(answer.types, "");
  EXPECT_EQ(client->value("SELECT 1"), "1");
}

// --- PostgreSQL's errors ---

TEST_F(InstanceTest, AnErrorIsAnAnswer) {
  const Answer answer = client->query("SELECT 1/0");
  EXPECT_TRUE(answer.status.ok());
  EXPECT_EQ(answer.errors[0], "22012 division by zero");
  EXPECT_THAT(answer.types, testing::EndsWith("EZ"));
  EXPECT_EQ(client->value("SELECT 1"), "1");
}

TEST_F(InstanceTest, ManyErrors) {
  for (int i = 0; i < 2000; ++i) {
    ASSERT_EQ(client->value("SELECT nothing"), "42703 column \"nothing\" does not exist");
  }
  EXPECT_EQ(client->value("SELECT 1"), "1");
}

TEST_F(InstanceTest, ErrorsCaughtInPlpgsql) {
  EXPECT_EQ(client->value("DO $$ BEGIN FOR i IN 1..2000 LOOP BEGIN PERFORM 1/0; EXCEPTION WHEN "
                          "division_by_zero THEN NULL; END; END LOOP; END $$"),
            "CZ");
  EXPECT_EQ(client->value("SELECT 1"), "1");
}

TEST_F(InstanceTest, ErrorsThatOurSupplementOfPostgresRaises) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(client->value("SELECT convert_to('\xc3\xa9\xe6\x97\xa5', 'WIN1252')"),
              "22P05 character with byte sequence 0xe6 0x97 0xa5 in encoding \"UTF8\" has no "
              "equivalent in encoding \"WIN1252\"");
    EXPECT_EQ(client->value("SELECT convert_from('\\x81', 'GBK')"),
              "22021 invalid byte sequence for encoding \"GBK\": 0x81");
    EXPECT_EQ(client->value("SELECT convert_to('\xc3\xa9', 'WIN1252')"), "\\xe9");
  }
  EXPECT_EQ(
      client->value("DO $$ BEGIN PERFORM convert_to('\xe6\x97\xa5', 'WIN1252'); EXCEPTION WHEN "
                    "untranslatable_character THEN NULL; END $$"),
      "CZ");
}

TEST_F(InstanceTest, DeepRecursionIsAnErrorAndNormalWorkGoesOn) {
  client->query(
      "CREATE FUNCTION deep(n int) RETURNS int LANGUAGE plpgsql AS "
      "$$ BEGIN RETURN deep(n + 1); END $$");
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(client->value("SELECT deep(0)"), StartsWith("54001 "));
    EXPECT_EQ(client->value("SELECT sum(n) FROM generate_series(1, 1000) n"), "500500");
  }
  std::string expression = "SELECT 1";
  for (int i = 0; i < 100'000; ++i) expression += "+1";
  EXPECT_THAT(client->value(expression), testing::AnyOf("100001", StartsWith("54001 ")));
  EXPECT_EQ(client->value("SELECT repeat('(', 3)"), "(((");
  const std::string nested = "SELECT " + std::string(50'000, '(') + "1" + std::string(50'000, ')');
  EXPECT_THAT(client->value(nested),
              testing::AnyOf("1", StartsWith("54001 "), StartsWith("42601 memory exhausted")));
  EXPECT_EQ(client->value("SELECT 2"), "2");
}

// CREATE SUBSCRIPTION loads libpqwalreceiver.so, which cannot be linked.
TEST_F(InstanceTest, ALibraryThatCannotBeLinkedHarmsNoOther) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(client->value("CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p"),
                HasSubstr("undefined symbol"));
  }
  EXPECT_EQ(client->value("DO $$ BEGIN PERFORM 1; END $$"), "CZ");
  EXPECT_EQ(client->value("SELECT to_tsvector('english', 'running')"), "'run':1");
}

// --- The caller's own code ---

TEST_F(InstanceTest, ASinkThatThrowsEndsTheInstanceInOrder) {
  const Status status = instance->exec_protocol(
      wire::query("SELECT 1"), [](std::string_view) { throw std::runtime_error("full"); });
  EXPECT_EQ(status.code(), StatusCode::kEngineGone);
  EXPECT_THAT(status.message(), HasSubstr("full"));
  EXPECT_EQ(client->query("SELECT 1").status.code(), StatusCode::kEngineGone);
  (void)instance->close();
}

TEST_F(InstanceTest, ASinkMayThrowAnything) {
  const Status status =
      instance->exec_protocol(wire::query("SELECT 1"), [](std::string_view) { throw 5; });
  EXPECT_EQ(status.code(), StatusCode::kEngineGone);
}

TEST_F(InstanceTest, ASinkMustNotUseTheInstance) {
  Status inner;
  Status closed;
  const Status status = instance->exec_protocol(wire::query("SELECT 1"), [&](std::string_view) {
    inner = instance->exec_protocol(wire::query("SELECT 2"), [](std::string_view) {});
    closed = instance->close();
  });
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(inner.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(closed.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(client->value("SELECT 3"), "3");
}

TEST_F(InstanceTest, ASinkMayUseAnotherInstance) {
  auto other = open_instance();
  std::string inner;
  const Status status = instance->exec_protocol(wire::query("SELECT 1"), [&](std::string_view) {
    inner = InstanceClient(*other).value("SELECT 2");
  });
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(inner, "2");
  EXPECT_EQ(client->value("SELECT 3"), "3");
}

TEST(InstanceLog, ALogThatThrowsHarmsNothing) {
  Options options;
  options.debug = 1;
  options.settings = {"log_statement=all"};
  options.log = [](int, std::string_view) { throw std::runtime_error("disk full"); };
  auto instance = open_instance(options);
  ASSERT_NE(instance, nullptr);
  EXPECT_EQ(InstanceClient(*instance).value("SELECT 1"), "1");
  EXPECT_TRUE(instance->close().ok());
}

TEST(InstanceLog, IsByLevelAndLine) {
  Options options;
  options.debug = 1;
  std::vector<std::string> lines;
  options.log = [&](int level, std::string_view line) {
    EXPECT_LE(level, 1);
    EXPECT_EQ(line.find('\n'), std::string_view::npos);
    lines.emplace_back(line);
  };
  auto instance = open_instance(options);
  EXPECT_TRUE(instance->close().ok());
  EXPECT_THAT(lines, testing::Contains(HasSubstr("ready")));
  EXPECT_THAT(lines, testing::Contains(HasSubstr("closed")));
}

// --- What cannot be opened ---

TEST(InstanceOpen, SchemesThatOnlyBrowsersHave) {
  for (const char* location : {"idb://x", "opfs-ahp://x", "http://x", "memory://x"}) {
    Options options;
    options.data_dir = location;
    const Status status = open_fails(options);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(), HasSubstr(location));
  }
  Options options;
  options.data_dir = "";
  EXPECT_EQ(open_fails(options).code(), StatusCode::kInvalidArgument);
  options.data_dir = "file://";
  EXPECT_EQ(open_fails(options).code(), StatusCode::kInvalidArgument);
}

TEST(InstanceOpen, Modules) {
  TemporaryDirectory directory;
  Options options;
  options.wasm_path = (directory.path() / "none.wasm").string();
  EXPECT_EQ(open_fails(options).code(), StatusCode::kIoError);
  options.wasm_path = directory.path().string();
  EXPECT_EQ(open_fails(options).code(), StatusCode::kIoError);
  options.wasm_path = (directory.path() / "other.wasm").string();
  std::ofstream(options.wasm_path) << "wasm of another build";
  EXPECT_EQ(open_fails(options).code(), StatusCode::kIncompatible);
}

TEST(InstanceOpen, BadSettingsSayWhatPostgresSaid) {
  for (const char* setting : {"no_such_setting=1", "work_mem=lots", "nonsense"}) {
    Options options;
    options.settings = {setting};
    const Status status = open_fails(options);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(), HasSubstr("a setting is refused: ")) << setting;
  }
  Options options;
  options.settings = {"work_mem=12345kB"};
  auto instance = open_instance(options);
  EXPECT_EQ(InstanceClient(*instance).value("SHOW work_mem"), "12345kB");
}

TEST(InstanceOpen, ManyOneAfterTheOther) {
  for (int i = 0; i < 30; ++i) {
    auto instance = open_instance();
    ASSERT_NE(instance, nullptr);
    ASSERT_EQ(InstanceClient(*instance).value("SELECT 1"), "1");
  }
}

// --- Roles and databases of a new cluster ---

TEST(InstanceNames, AreMadeInANewCluster) {
  for (const auto& [username, database] : {std::pair<std::string, std::string>{"bob", "app"},
                                           {"postgres", "app"},
                                           {"bob", "postgres"},
                                           {"O'Brien \"x\"", "my \"db\"'s"},
                                           {"-dash", "-D"},
                                           {"--help", "--single"},
                                           {"postgres", "template1"}}) {
    Options options;
    options.username = username;
    options.database = database;
    auto instance = open_instance(options);
    ASSERT_NE(instance, nullptr) << username << " " << database;
    InstanceClient client(*instance);
    EXPECT_EQ(client.query("SELECT current_user, current_database()").text(),
              username + "|" + database);
    EXPECT_EQ(client.value("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"), "t");
    EXPECT_TRUE(instance->close().ok());
  }
}

TEST(InstanceNames, MustExistInAnOldOne) {
  TemporaryDirectory directory;
  Options options = in_directory(directory.path());
  options.username = "bob";
  options.database = "app";
  {
    auto instance = open_instance(options);
    ASSERT_NE(instance, nullptr);
    EXPECT_EQ(InstanceClient(*instance).query("CREATE TABLE t AS SELECT 7 AS n").tags[0],
              "SELECT 1");
    EXPECT_TRUE(instance->close().ok());
  }
  {
    auto instance = open_instance(options);
    ASSERT_NE(instance, nullptr);
    EXPECT_EQ(InstanceClient(*instance).value("SELECT n FROM t"), "7");
  }
  options.database = "nowhere";
  EXPECT_THAT(open_fails(options).message(), HasSubstr("database \"nowhere\" does not exist"));
  options.database = "app";
  options.username = "nobody";
  EXPECT_THAT(open_fails(options).message(), HasSubstr("role \"nobody\" does not exist"));
  // A failed open let the directory go.
  options.username = "postgres";
  auto instance = open_instance(options);
  EXPECT_EQ(InstanceClient(*instance).value("SELECT current_user"), "postgres");
}

}  // namespace
}  // namespace pglite::postgres
