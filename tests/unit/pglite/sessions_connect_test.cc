// Who may begin a session of a cluster, and as what it begins.
#include "session_client.h"

namespace pglite::postgres {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

using Parameters = std::vector<std::pair<std::string_view, std::string_view>>;

class SessionConnect : public ClusterTest {
 protected:
  // What PostgreSQL answers to a startup packet.
  Answer answer_to(const Parameters& parameters) {
    return connect_raw(*cluster).send(wire::startup_packet(parameters));
  }
  // The SQLSTATE with which PostgreSQL refuses it.
  std::string refusal(const Parameters& parameters) {
    const Answer answer = answer_to(parameters);
    EXPECT_EQ(answer.status.code(), StatusCode::kSessionEnded);
    return answer.errors.empty() ? answer.types : answer.errors[0].substr(0, 5);
  }
  SessionClient as(std::string_view role) { return session({.username = std::string(role)}); }
};

// --- The startup packet ---

TEST_F(SessionConnect, AStartupPacketIsAnswered) {
  SessionClient client = connect_raw(*cluster);
  const Answer answer =
      client.send(wire::startup_packet(Parameters{{"user", "postgres"}, {"database", "postgres"}}));
  EXPECT_TRUE(answer.status.ok());
  EXPECT_THAT(answer.types, testing::MatchesRegex("RS+KS*Z"));
  EXPECT_TRUE(client->wants_input());
  EXPECT_EQ(client.value("SELECT current_user || current_database()"), "postgrespostgres");
}

TEST_F(SessionConnect, MessagesMayFollowAStartupPacket) {
  SessionClient client = connect_raw(*cluster);
  const Answer answer =
      client.send(wire::startup_packet(Parameters{{"user", "postgres"}}) + wire::query("SELECT 1"));
  EXPECT_THAT(answer.types, EndsWith("ZTDCZ"));
}

TEST_F(SessionConnect, TheDatabaseIsTheUsersWhereNoneIsNamed) {
  SessionClient a = session();
  a.run("CREATE ROLE one LOGIN");
  EXPECT_EQ(refusal({{"user", "one"}}), "3D000");
  a.run("CREATE DATABASE one");
  SessionClient client = connect_raw(*cluster);
  EXPECT_TRUE(client.send(wire::startup_packet(Parameters{{"user", "one"}})).status.ok());
  EXPECT_EQ(client.value("SELECT current_database()"), "one");
}

TEST_F(SessionConnect, EncryptionIsDeclined) {
  for (const std::string& request : {wire::ssl_request(), wire::gssenc_request()}) {
    SessionClient client = connect_raw(*cluster);
    client->send(request);
    settle(*cluster);
    EXPECT_EQ(client->output(), "N");
    client->take(1);
    EXPECT_TRUE(client.send(wire::startup_packet(Parameters{{"user", "postgres"}})).status.ok());
    EXPECT_EQ(client.value("SELECT 1"), "1");
  }
}

TEST_F(SessionConnect, WhatIsNoStartupPacketIsRefused) {
  // Another protocol, no user, and a length that cannot be.
  EXPECT_EQ(refusal({{"database", "postgres"}}), "28000");
  SessionClient old = connect_raw(*cluster);
  std::string packet = wire::startup_packet(Parameters{{"user", "postgres"}});
  packet[5] = 4;
  const Answer answer = old.send(packet);
  EXPECT_EQ(answer.status.code(), StatusCode::kSessionEnded);
  EXPECT_THAT(answer.errors, ElementsAre(StartsWith("0A000")));
  for (const std::string& bytes : {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(8, '\0'),
                                   std::string("\0\0\0\5\1", 5)}) {
    SessionClient client = connect_raw(*cluster);
    client->send(bytes);
    settle(*cluster);
    EXPECT_TRUE(client->ended()) << bytes;
  }
  EXPECT_EQ(session().value("SELECT 1"), "1");
}

TEST_F(SessionConnect, WhoSaysNothingIsNotWaitedForForEver) {
  options.settings = {"authentication_timeout=1s"};
  cluster = open_cluster(options);
  SessionClient silent = connect_raw(*cluster);
  SessionClient client = session();
  settle(*cluster);
  EXPECT_FALSE(silent->ended());
  EXPECT_TRUE(run_until(*cluster, [&] { return silent->ended(); }, 10s).ok());
  EXPECT_EQ(client.value("SELECT 1"), "1");
}

TEST_F(SessionConnect, WhoGoesBeforeItsStartupPacketLeavesNothing) {
  for (int i = 0; i < 20; ++i) {
    SessionClient silent = connect_raw(*cluster);
    if (i % 2 == 0) settle(*cluster);
    if (i % 3 == 0) silent->send(std::string("\0\0\0", 3));
  }
  settle(*cluster);
  SessionClient client = session();
  EXPECT_EQ(client.value("SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND"
                         " backend_type = 'client backend'"),
            "0");
}

// --- Roles and databases ---

TEST_F(SessionConnect, WhatIsNotThereIsRefused) {
  EXPECT_EQ(refusal({{"user", "postgres"}, {"database", "nowhere"}}), "3D000");
  EXPECT_EQ(refusal({{"user", "nobody"}, {"database", "postgres"}}), "28000");
  EXPECT_EQ(connect_fails(*cluster, {.database = "nowhere"}).code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(connect_fails(*cluster, {.database = "nowhere"}).message(),
              HasSubstr("database \"nowhere\" does not exist"));
  EXPECT_THAT(connect_fails(*cluster, {.username = "nobody"}).message(),
              HasSubstr("role \"nobody\" does not exist"));
  EXPECT_EQ(session().value("SELECT 1"), "1");
}

TEST_F(SessionConnect, WhoMayNotLogInIsRefused) {
  SessionClient a = session();
  a.run("CREATE ROLE group_only NOLOGIN");
  EXPECT_EQ(refusal({{"user", "group_only"}, {"database", "postgres"}}), "28000");
  a.run("CREATE ROLE other LOGIN");
  a.run("CREATE DATABASE closed");
  a.run("REVOKE CONNECT ON DATABASE closed FROM PUBLIC");
  EXPECT_EQ(refusal({{"user", "other"}, {"database", "closed"}}), "42501");
  EXPECT_EQ(refusal({{"user", "postgres"}, {"database", "template0"}}), "55000");
}

TEST_F(SessionConnect, ADatabaseOfAnyName) {
  SessionClient a = session();
  a.run("CREATE DATABASE \"an \"\"other ü\"");
  a.run("CREATE ROLE \"a 'role\" LOGIN");
  a.run("CREATE TABLE t AS SELECT 1 AS n");
  SessionClient b = session({.username = "a 'role", .database = "an \"other ü"});
  EXPECT_EQ(b.value("SELECT current_user, session_user, current_database()"),
            "a 'role|a 'role|an \"other ü");
  EXPECT_EQ(b.error("SELECT * FROM t"), "42P01");
}

TEST_F(SessionConnect, APlainRoleCannotBecomeMore) {
  SessionClient a = session();
  a.run("CREATE ROLE plain LOGIN; CREATE TABLE secret (n int)");
  SessionClient b = as("plain");
  const auto stays_plain = [&] {
    EXPECT_EQ(b.value("SELECT session_user, current_user, current_setting('is_superuser')"),
              "plain|plain|off");
    EXPECT_EQ(b.error("SELECT * FROM secret"), "42501");
    EXPECT_EQ(b.error("SELECT * FROM pg_authid"), "42501");
  };
  stays_plain();
  EXPECT_EQ(b.error("SET ROLE postgres"), "42501");
  EXPECT_EQ(b.error("SET SESSION AUTHORIZATION postgres"), "42501");
  EXPECT_EQ(b.error("ALTER ROLE plain SUPERUSER"), "42501");
  EXPECT_EQ(b.error("CREATE ROLE more"), "42501");
  EXPECT_EQ(b.error("GRANT postgres TO plain"), "42501");
  EXPECT_EQ(b.error("ALTER SYSTEM SET work_mem = '1MB'"), "42501");
  EXPECT_EQ(b.error("COPY secret FROM '/pglite/data/PG_VERSION'"), "42501");
  EXPECT_EQ(b.error("SELECT pg_read_file('PG_VERSION')"), "42501");
  EXPECT_EQ(b.error("SET session_authorization = postgres"), "42501");
  EXPECT_EQ(b.error("SET is_superuser = on"), "55P02");
  EXPECT_EQ(b.error("SET allow_system_table_mods = on"), "42501");
  stays_plain();
  for (const char* reset : {"RESET ROLE", "RESET SESSION AUTHORIZATION", "RESET ALL", "DISCARD ALL",
                            "SET SESSION AUTHORIZATION DEFAULT", "SET ROLE NONE"}) {
    b.run(reset);
    stays_plain();
  }
  EXPECT_EQ(refusal({{"user", "plain"}, {"database", "postgres"}, {"session_authorization", "x"}}),
            "22023");
}

TEST_F(SessionConnect, ASuperuserMayBeAnotherForATime) {
  SessionClient a = session();
  a.run("CREATE ROLE plain LOGIN");
  a.run("SET SESSION AUTHORIZATION plain");
  EXPECT_EQ(a.value("SELECT session_user, current_setting('is_superuser')"), "plain|off");
  a.run("RESET SESSION AUTHORIZATION");
  EXPECT_EQ(a.value("SELECT session_user, current_setting('is_superuser')"), "postgres|on");
  a.run("SET ROLE plain");
  EXPECT_EQ(a.value("SELECT session_user, current_user"), "postgres|plain");
  a.run("DISCARD ALL");
  EXPECT_EQ(a.value("SELECT session_user, current_user"), "postgres|postgres");
}

TEST_F(SessionConnect, WhatARoleMayDoChangesAtOnce) {
  SessionClient a = session();
  a.run("CREATE ROLE plain LOGIN; CREATE TABLE t AS SELECT 1 AS n");
  SessionClient b = as("plain");
  EXPECT_EQ(b.error("SELECT n FROM t"), "42501");
  a.run("GRANT SELECT ON t TO plain");
  EXPECT_EQ(b.value("SELECT n FROM t"), "1");
  a.run("REVOKE SELECT ON t FROM plain");
  EXPECT_EQ(b.error("SELECT n FROM t"), "42501");
  a.run("ALTER ROLE plain SUPERUSER");
  EXPECT_EQ(as("plain").value("SELECT n FROM t"), "1");
}

TEST_F(SessionConnect, TheCatalogIsNotForChanges) {
  SessionClient a = session();
  EXPECT_EQ(a.value("SHOW allow_system_table_mods"), "off");
  EXPECT_EQ(a.error("CREATE TABLE pg_catalog.mine (n int)"), "42501");
  EXPECT_EQ(a.error("ALTER TABLE pg_class ADD COLUMN mine int"), "42501");
  EXPECT_EQ(a.error("DROP TABLE pg_class"), "42501");
}

// Of several sessions, only one may be in single-user mode.
TEST_F(SessionConnect, ASessionIsNoStandaloneBackend) {
  SessionClient a = session();
  EXPECT_EQ(a.value("SELECT backend_type FROM pg_stat_activity WHERE pid = pg_backend_pid()"),
            "client backend");
  EXPECT_EQ(a.value("SELECT pg_postmaster_start_time() <= backend_start AND"
                    " backend_start <= now() AND pg_postmaster_start_time() > now() - interval '1h'"
                    " FROM pg_stat_activity WHERE pid = pg_backend_pid()"),
            "t");
  EXPECT_EQ(a.error("SELECT pg_reload_conf()"), "");
}

// --- Clients that are elsewhere ---

class SessionPeer : public SessionConnect {
 protected:
  // What a client gets to its startup packet.
  Answer answer_to(const Peer& peer, std::string_view user) {
    return connect_raw(*cluster, peer)
        .send(wire::startup_packet(Parameters{{"user", user}, {"database", "postgres"}}));
  }
  static Peer internet(std::vector<uint8_t> address, uint16_t port = 12345) {
    return {.kind = Peer::Kind::kInternet, .address = std::move(address), .port = port};
  }
  void open_with(const std::string& rules) {
    options.access_rules = rules;
    cluster = open_cluster(options);
    ASSERT_NE(cluster, nullptr);
  }
  static constexpr Peer kSocket{.kind = Peer::Kind::kUnixSocket};
};

TEST_F(SessionPeer, WithoutRulesThoseOfThisHostAreBelieved) {
  EXPECT_THAT(answer_to(kSocket, "postgres").types, EndsWith("Z"));
  EXPECT_THAT(answer_to(internet({10, 0, 0, 1}), "postgres").errors,
              ElementsAre(StartsWith("28000 no pg_hba.conf entry")));
}

TEST_F(SessionPeer, RulesSayWhoIsBelieved) {
  open_with(
      "local all all reject\n"
      "host all postgres 10.1.0.0/16 trust\n"
      "host all all fd00::/8 trust\n");
  session().run("CREATE ROLE plain LOGIN");  // this process is believed all the same
  EXPECT_THAT(answer_to(kSocket, "postgres").errors, ElementsAre(StartsWith("28000")));
  EXPECT_THAT(answer_to(internet({10, 1, 2, 3}), "postgres").types, EndsWith("Z"));
  EXPECT_THAT(answer_to(internet({10, 1, 2, 3}), "plain").errors, ElementsAre(StartsWith("28000")));
  EXPECT_THAT(answer_to(internet({10, 2, 2, 3}), "postgres").errors,
              ElementsAre(StartsWith("28000")));
  std::vector<uint8_t> v6(16);
  v6[15] = 1;
  EXPECT_THAT(answer_to(internet(v6), "plain").errors, ElementsAre(StartsWith("28000")));
  v6[0] = 0xfd;
  EXPECT_THAT(answer_to(internet(v6), "plain").types, EndsWith("Z"));
  EXPECT_EQ(session().value("SELECT 1"), "1");
}

TEST_F(SessionPeer, APasswordIsAskedFor) {
  open_with("local all all password\n");
  session().run("CREATE ROLE plain LOGIN PASSWORD 'secret'");
  const auto with = [&](std::string_view password) {
    SessionClient client = connect_raw(*cluster, kSocket);
    const Answer asks =
        client.send(wire::startup_packet(Parameters{{"user", "plain"}, {"database", "postgres"}}));
    EXPECT_TRUE(asks.status.ok());
    EXPECT_EQ(asks.types, "R");
    std::string message = "p";
    message += std::string("\0\0\0", 3) + static_cast<char>(password.size() + 5);
    message += std::string(password) + '\0';
    return client.send(message);
  };
  EXPECT_THAT(with("secret").types, EndsWith("Z"));
  EXPECT_THAT(with("guess").errors, ElementsAre(StartsWith("28P01")));
  EXPECT_THAT(with("").errors, ElementsAre(StartsWith("28P01")));
  EXPECT_EQ(session({.username = "plain"}).value("SELECT current_user"), "plain");
}

TEST_F(SessionPeer, PostgresKnowsWhereItsClientsAre) {
  open_with("host all all all trust\nlocal all all trust\n");
  SessionClient watcher = session();
  std::vector<uint8_t> v6(16);
  v6[0] = 0xfd;
  v6[15] = 1;
  const std::pair<Peer, std::string> peers[] = {
      {internet({192, 168, 7, 9}, 4711), "192.168.7.9|4711"},
      {internet(v6, 80), "fd00::1|80"},
      {kSocket, "null|-1"},
      {{}, "null|-1"}};
  for (const auto& [peer, shown] : peers) {
    SessionClient client = connect_raw(*cluster, peer);
    EXPECT_TRUE(client.send(wire::startup_packet(Parameters{{"user", "postgres"}})).status.ok());
    EXPECT_EQ(watcher.value("SELECT client_addr, client_port FROM pg_stat_activity WHERE pid = " +
                            std::to_string(client->pid())),
              shown);
  }
}

TEST_F(SessionPeer, WhatIsNoAddressIsRefused) {
  std::unique_ptr<Session> client;
  for (const size_t size : {0U, 1U, 5U, 17U}) {
    EXPECT_EQ(cluster->accept(internet(std::vector<uint8_t>(size)), &client).code(),
              StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(client, nullptr);
}

TEST_F(SessionPeer, RulesThatAreWrongAreSaid) {
  options.access_rules = "nonsense\n";
  std::unique_ptr<Cluster> wrong;
  const Status status = Cluster::open(options, &wrong);
  EXPECT_EQ(status.code(), StatusCode::kIncompatible);
  EXPECT_THAT(status.message(), HasSubstr("access rules"));
}

TEST_F(SessionPeer, RulesHoldAfterTheConfigurationWasReadAgain) {
  open_with("local all all reject\n");
  session();
  EXPECT_TRUE(cluster->reload().ok());
  settle(*cluster);
  EXPECT_THAT(answer_to(kSocket, "postgres").errors, ElementsAre(StartsWith("28000")));
  EXPECT_EQ(session().value("SELECT 1"), "1");
  EXPECT_THAT(answer_to(kSocket, "postgres").errors, ElementsAre(StartsWith("28000")));
}

// --- Settings ---

TEST_F(SessionConnect, SettingsOfTheStartupPacket) {
  SessionClient a = session({.settings = {"work_mem=1MB", "application_name=an=app", "TimeZone=UTC",
                                          "options=-c search_path=pg_catalog -c jit=off"
                                          " --statement_timeout=5min"}});
  EXPECT_EQ(a.value("SELECT current_setting('work_mem'), current_setting('application_name'),"
                    " current_setting('TimeZone'), current_setting('search_path'),"
                    " current_setting('statement_timeout')"),
            "1MB|an=app|UTC|pg_catalog|5min");
  a.run("SET work_mem = '2MB'");
  a.run("RESET work_mem");
  EXPECT_EQ(a.value("SHOW work_mem"), "1MB");
  a.run("SET work_mem = '2MB'");
  a.run("DISCARD ALL");
  EXPECT_EQ(a.value("SHOW work_mem"), "1MB");
  EXPECT_EQ(session().value("SELECT current_setting('work_mem'), current_setting('search_path')"),
            "4MB|\"$user\", public");
}

TEST_F(SessionConnect, SettingsThatAreWrongAreRefused) {
  session().run("CREATE ROLE plain LOGIN");
  const auto with = [](std::string_view name, std::string_view value) {
    return Parameters{{"user", "plain"}, {"database", "postgres"}, {name, value}};
  };
  EXPECT_EQ(refusal(with("no_such_setting", "1")), "42704");
  EXPECT_EQ(refusal(with("work_mem", "much")), "22023");
  EXPECT_EQ(refusal(with("max_connections", "7")), "55P02");
  EXPECT_EQ(refusal(with("log_statement", "all")), "42501");
  EXPECT_EQ(refusal(with("options", "-c no_such_setting=1")), "42704");
  EXPECT_EQ(refusal(with("options", "-c allow_system_table_mods=on")), "42501");
  EXPECT_EQ(refusal(with("client_encoding", "none")), "22023");
  EXPECT_EQ(connect_fails(*cluster, {.settings = {"work_mem"}}).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(connect_fails(*cluster, {.settings = {"=1"}}).code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(connect_fails(*cluster, {.settings = {"work_mem=much"}}).message(),
              HasSubstr("invalid value for parameter \"work_mem\""));
}

TEST_F(SessionConnect, SettingsOfRolesAndDatabases) {
  SessionClient a = session();
  a.run("CREATE ROLE plain LOGIN");
  a.run("CREATE DATABASE other");
  a.run("ALTER DATABASE other SET work_mem = '5MB'");
  a.run("ALTER ROLE plain SET work_mem = '6MB'");
  a.run("ALTER ROLE plain IN DATABASE other SET work_mem = '7MB'");
  a.run("ALTER ROLE plain SET search_path = mine, public");
  a.run("ALTER ROLE ALL SET jit = off");
  const auto work_mem = [&](const SessionOptions& session_options) {
    return session(session_options).value("SHOW work_mem");
  };
  EXPECT_EQ(work_mem({}), "4MB");
  EXPECT_EQ(work_mem({.database = "other"}), "5MB");
  EXPECT_EQ(work_mem({.username = "plain"}), "6MB");
  EXPECT_EQ(work_mem({.username = "plain", .database = "other"}), "7MB");
  EXPECT_EQ(work_mem({.username = "plain", .database = "other", .settings = {"work_mem=8MB"}}),
            "8MB");
  EXPECT_EQ(as("plain").value("SHOW search_path"), "mine, public");
}

TEST_F(SessionConnect, AnEncodingOfItsOwn) {
  SessionClient a = session({.settings = {"client_encoding=LATIN1"}});
  EXPECT_EQ(a.value("SHOW client_encoding"), "LATIN1");
  EXPECT_EQ(a.value("SELECT 'z\xfcrich', octet_length('\xfc'), length('\xfc')"), "z\xfcrich|2|1");
  EXPECT_EQ(session({.settings = {"client_encoding=SQL_ASCII"}}).value("SHOW client_encoding"),
            "SQL_ASCII");
  EXPECT_EQ(session().value("SHOW client_encoding"), "UTF8");
}

// --- Limits ---

TEST_F(SessionConnect, TheConnectionLimitOfARole) {
  session().run("CREATE ROLE few LOGIN CONNECTION LIMIT 2");
  std::optional<SessionClient> one = as("few");
  SessionClient two = as("few");
  EXPECT_EQ(refusal({{"user", "few"}, {"database", "postgres"}}), "53300");
  one.reset();
  EXPECT_EQ(as("few").value("SELECT 1"), "1");
}

TEST_F(SessionConnect, TheConnectionLimitOfADatabase) {
  SessionClient a = session();
  a.run("CREATE ROLE plain LOGIN");
  a.run("CREATE DATABASE small CONNECTION LIMIT 1");
  SessionClient one = session({.username = "plain", .database = "small"});
  EXPECT_EQ(refusal({{"user", "plain"}, {"database", "small"}}), "53300");
  // It does not bind superusers.
  EXPECT_EQ(session({.database = "small"}).value("SELECT 1"), "1");
  one.reset();
  EXPECT_EQ(session({.username = "plain", .database = "small"}).value("SELECT 1"), "1");
}

TEST_F(SessionConnect, AsManyAsThereMayBe) {
  options.settings = {"max_connections=6", "superuser_reserved_connections=2"};
  cluster = open_cluster(options);
  session().run("CREATE ROLE plain LOGIN");
  std::vector<SessionClient> sessions;
  for (int i = 0; i < 4; ++i) sessions.push_back(as("plain"));
  EXPECT_EQ(refusal({{"user", "plain"}, {"database", "postgres"}}), "53300");
  sessions.push_back(session());
  sessions.push_back(session());
  EXPECT_EQ(refusal({{"user", "postgres"}}), "53300");
  EXPECT_EQ(connect_fails(*cluster, {}).code(), StatusCode::kInvalidArgument);
  sessions.erase(sessions.begin());
  sessions.push_back(session());
  for (SessionClient& each : sessions) EXPECT_EQ(each.value("SELECT 1"), "1");
}

constexpr const char* kOtherClients =
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";

TEST_F(SessionConnect, OneAfterAnotherLeaveNothing) {
  SessionClient a = session();
  a.run("CREATE TABLE t (n int)");
  for (int i = 0; i < 300; ++i) {
    SessionClient each = session();
    if (i % 3 == 0) each.run("INSERT INTO t VALUES (1)");
    if (i % 3 == 1) each.run("BEGIN; INSERT INTO t VALUES (1)");
    if (i % 10 == 0) (void)each.send(wire::terminate());
  }
  EXPECT_EQ(a.value("SELECT count(*) FROM t"), "100");
  settle(*cluster);
  EXPECT_EQ(a.value(kOtherClients), "0");
  EXPECT_EQ(a.value("SELECT count(*) FROM pg_locks WHERE pid <> pg_backend_pid()"), "0");
}

TEST_F(SessionConnect, ManyAtOnce) {
  std::vector<SessionClient> sessions;
  for (int i = 0; i < 90; ++i) sessions.push_back(session());
  EXPECT_EQ(sessions[0].value(kOtherClients), "89");
  sessions[0].run("CREATE TABLE t (n int)");
  for (size_t i = 0; i < sessions.size(); ++i) {
    sessions[i].begin("INSERT INTO t VALUES (" + std::to_string(i) + ")");
  }
  EXPECT_TRUE(run_until(*cluster, [&] {
                return std::ranges::all_of(sessions,
                                           [](auto& each) { return each->wants_input(); });
              }).ok());
  for (SessionClient& each : sessions) EXPECT_THAT(each.taken().errors, IsEmpty());
  EXPECT_EQ(sessions[7].value("SELECT count(DISTINCT n) FROM t"), "90");
  sessions.erase(sessions.begin() + 1, sessions.end());
  settle(*cluster);
  EXPECT_EQ(sessions[0].value(kOtherClients), "0");
}

// --- Login triggers ---

TEST_F(SessionConnect, ALoginTriggerFires) {
  SessionClient a = session();
  a.run("CREATE ROLE plain LOGIN");
  a.run("CREATE TABLE logins (who text); GRANT INSERT ON logins TO plain");
  a.run(
      "CREATE FUNCTION note_login() RETURNS event_trigger LANGUAGE plpgsql AS $$"
      " BEGIN INSERT INTO logins VALUES (session_user); END $$");
  a.run("CREATE EVENT TRIGGER note_login ON login EXECUTE FUNCTION note_login()");
  as("plain");
  session();
  EXPECT_EQ(a.value("SELECT string_agg(who, ' ') FROM logins"), "plain postgres");
  a.run(
      "CREATE OR REPLACE FUNCTION note_login() RETURNS event_trigger LANGUAGE plpgsql AS $$"
      " BEGIN IF session_user = 'plain' THEN RAISE 'go away'; END IF; END $$");
  EXPECT_THAT(connect_fails(*cluster, {.username = "plain"}).message(), HasSubstr("go away"));
  EXPECT_EQ(session().value("SELECT 1"), "1");
}

// --- Opening ---

TEST(SessionOpen, MakesTheRoleAndTheDatabase) {
  Options options;
  options.username = "a role";
  options.database = "a database";
  auto cluster = open_cluster(options);
  SessionClient a = connect(*cluster, {.username = "a role", .database = "a database"});
  EXPECT_EQ(a.value("SELECT current_user, current_database(), current_setting('is_superuser')"),
            "a role|a database|on");
  EXPECT_EQ(a.value("SELECT pg_get_userbyid(datdba) FROM pg_database"
                    " WHERE datname = current_database()"),
            "a role");
}

TEST(SessionOpen, WhatCannotBeOpenedSaysWhy) {
  const auto why = [](const Options& options) {
    std::unique_ptr<Cluster> cluster;
    const Status status = Cluster::open(options, &cluster);
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(cluster, nullptr);
    return status;
  };
  Options options;
  options.settings = {"no_such_setting=1"};
  EXPECT_THAT(why(options).message(), HasSubstr("no_such_setting"));
  options.settings = {"max_connections=nonsense"};
  EXPECT_THAT(why(options).message(), HasSubstr("max_connections"));
  options = {};
  options.data_dir = "http://example.org";
  EXPECT_EQ(why(options).code(), StatusCode::kInvalidArgument);
  options = {};
  options.data_dir = "/nonexistent/directory";
  options.create = false;
  EXPECT_EQ(why(options).code(), StatusCode::kIoError);
}

TEST(SessionOpen, SettingsOfTheServer) {
  Options options;
  options.settings = {"work_mem=3MB", "shared_buffers=16MB", "max_connections=20", "autovacuum=off",
                      "search_path=pg_catalog"};
  auto cluster = open_cluster(options);
  SessionClient a = connect(*cluster);
  EXPECT_EQ(a.value("SELECT current_setting('work_mem'), current_setting('shared_buffers'),"
                    " current_setting('max_connections'), current_setting('search_path')"),
            "3MB|16MB|20|pg_catalog");
  EXPECT_EQ(a.value("SELECT count(*) FROM pg_stat_activity"
                    " WHERE backend_type = 'autovacuum launcher'"),
            "0");
}

}  // namespace
}  // namespace pglite::postgres
