// Many sessions on a data directory: what is there after a close, and after a crash.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <set>
#include <thread>

#include "pglite/storage.h"
#include "postgres/guest/layout.h"
#include "postgres/sessions/client.h"
#include "postgres/sessions/postmaster.h"
#include "session_client.h"

namespace pglite::postgres {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

class SessionDirectory : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    made_ = std::make_unique<TemporaryDirectory>();
    EXPECT_TRUE(open_cluster(in_directory(made_->path()))->close().ok());
  }
  static void TearDownTestSuite() { made_.reset(); }

  SessionDirectory() : path(temporary.path() / "db"), options(in_directory(path)) {
    fs::copy(made_->path(), path, fs::copy_options::recursive);
    options.debug = 1;
    options.log = [this](int, std::string_view line) { log.emplace_back(line); };
  }

  // Opens the cluster; its log begins anew.
  std::unique_ptr<Cluster> open() {
    log.clear();
    return open_cluster(options);
  }
  // Whether the cluster that was opened last had been closed in order before.
  [[nodiscard]] bool was_closed() const {
    const auto has = [&](const char* text) {
      return std::ranges::any_of(
          log, [&](const std::string& line) { return line.find(text) != std::string::npos; });
    };
    EXPECT_NE(has("database system was shut down at"), has("automatic recovery in progress"));
    return has("database system was shut down at");
  }
  // Runs `f` in a process of its own. At its end `f` calls crash(), before anything is destroyed.
  template <class F>
  static void in_a_process_that_crashes(F f) {
    const pid_t child = fork();
    if (child == 0) {
      f();
      _exit(2);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
  }

  static void crash() { _exit(testing::Test::HasFailure() ? 1 : 0); }

  static std::unique_ptr<TemporaryDirectory> made_;
  TemporaryDirectory temporary;
  fs::path path;
  Options options;
  std::vector<std::string> log;
};

std::unique_ptr<TemporaryDirectory> SessionDirectory::made_;

// --- Closing ---

TEST_F(SessionDirectory, KeepsWhatWasCommitted) {
  for (int round = 1; round <= 3; ++round) {
    auto cluster = open();
    EXPECT_TRUE(was_closed());
    SessionClient a = connect(*cluster);
    SessionClient b = connect(*cluster);
    if (round == 1) a.run("CREATE TABLE t (n int)");
    a.run("INSERT INTO t VALUES (1)");
    b.run("INSERT INTO t VALUES (2)");
    b.run("BEGIN; INSERT INTO t VALUES (3)");
    EXPECT_EQ(a.value("SELECT count(*), sum(n) FROM t"),
              std::to_string(2 * round) + "|" + std::to_string(3 * round));
    EXPECT_TRUE(cluster->close().ok());
    EXPECT_FALSE(fs::exists(path / "postmaster.pid"));
  }
}

TEST_F(SessionDirectory, IsClosedWithTheCluster) {
  {
    auto cluster = open();
    SessionClient a = connect(*cluster);
    a.run("CREATE TABLE t AS SELECT 1 AS n");
    a.reset();
  }
  auto cluster = open();
  EXPECT_TRUE(was_closed());
  EXPECT_EQ(connect(*cluster).value("SELECT n FROM t"), "1");
}

TEST_F(SessionDirectory, KeepsItsStatistics) {
  {
    auto cluster = open();
    SessionClient a = connect(*cluster);
    SessionClient b = connect(*cluster);
    a.run("CREATE TABLE t (n int)");
    for (SessionClient* each : {&a, &b}) {
      each->run("INSERT INTO t SELECT generate_series(1, 100)");
      each->run("DELETE FROM t WHERE n <= 10");
    }
    EXPECT_TRUE(cluster->close().ok());
  }
  auto cluster = open();
  SessionClient a = connect(*cluster);
  EXPECT_EQ(a.value("SELECT n_tup_ins, n_tup_del FROM pg_stat_user_tables"), "200|20");
  EXPECT_EQ(a.value("SELECT xact_commit > 4 FROM pg_stat_database WHERE datname = 'postgres'"),
            "t");
}

TEST_F(SessionDirectory, IsClosedWhileSessionsAreInTheMiddleOfSomething) {
  auto cluster = open();
  SessionClient a = connect(*cluster, {.settings = {"deadlock_timeout=10ms"}});
  a.run("CREATE TABLE t (n int)");
  a.run("CREATE TABLE u (n int)");
  a.run("BEGIN; LOCK TABLE t");
  SessionClient waits = connect(*cluster, {.settings = {"deadlock_timeout=10ms"}});
  EXPECT_EQ(waits.query("SELECT * FROM t").status.code(), StatusCode::kWaiting);
  SessionClient copies = connect(*cluster);
  EXPECT_EQ(copies.query("COPY u FROM STDIN").types, "G");
  EXPECT_EQ(copies.send(wire::copy_data("1\n")).types, "");
  SessionClient unread = connect(*cluster);
  unread.begin("SELECT repeat('x', 1000) FROM generate_series(1, 100000)");
  SessionClient sleeps = connect(*cluster);
  sleeps.begin("SELECT pg_sleep(1000)");
  SessionClient computes = connect(*cluster);
  computes.begin(kEndless);
  SessionClient inserts = connect(*cluster);
  inserts.begin("INSERT INTO u SELECT generate_series(1, 100000000)");
  SessionClient raw = connect_raw(*cluster);
  EXPECT_TRUE(cluster->run(Clock::now() + 50ms).ok());
  SessionClient begins = connect_raw(*cluster);  // not run yet
  const Clock::time_point start = Clock::now();
  const Status status = cluster->close();
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_LT(Clock::now() - start, 20s);
  cluster = open();
  EXPECT_TRUE(was_closed());
  EXPECT_EQ(connect(*cluster).value("SELECT count(*) FROM u"), "0");
}

TEST_F(SessionDirectory, IsInUseWhileItIsOpen) {
  auto cluster = open();
  std::unique_ptr<Cluster> second;
  const Status status = Cluster::open(in_directory(path), &second);
  EXPECT_EQ(status.code(), StatusCode::kInUse);
  EXPECT_THAT(status.message(), HasSubstr(path.string()));
  EXPECT_EQ(second, nullptr);
  EXPECT_EQ(open_fails(in_directory(path)).code(), StatusCode::kInUse);
  in_a_process_that_crashes([&] {
    std::unique_ptr<Cluster> third;
    EXPECT_EQ(Cluster::open(in_directory(path), &third).code(), StatusCode::kInUse);
    crash();
  });
  EXPECT_EQ(connect(*cluster).value("SELECT 1"), "1");
  EXPECT_TRUE(cluster->close().ok());
  EXPECT_TRUE(Cluster::open(in_directory(path), &second).ok());
}

// --- One session, and many ---

TEST_F(SessionDirectory, InstancesAndClustersTakeTurns) {
  {
    auto instance = open_instance(in_directory(path));
    InstanceClient(*instance).query("CREATE TABLE t (who text); CREATE ROLE plain LOGIN");
    InstanceClient(*instance).query("INSERT INTO t VALUES ('instance')");
    EXPECT_TRUE(instance->close().ok());
  }
  for (int round = 0; round < 2; ++round) {
    {
      auto cluster = open();
      EXPECT_TRUE(was_closed());
      SessionClient a = connect(*cluster);
      a.run("INSERT INTO t VALUES ('cluster')");
      EXPECT_EQ(a.value("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'plain'"), "t");
      EXPECT_EQ(connect(*cluster, {.username = "plain"}).error("SELECT * FROM t"), "42501");
      EXPECT_TRUE(cluster->close().ok());
    }
    auto instance = open_instance(in_directory(path));
    InstanceClient client(*instance);
    EXPECT_EQ(client.value("SELECT count(*) FROM t"), std::to_string(2 * round + 2));
    client.query("INSERT INTO t VALUES ('instance')");
    EXPECT_TRUE(instance->close().ok());
  }
}

TEST_F(SessionDirectory, ACrashOfOneIsRecoveredByTheOther) {
  in_a_process_that_crashes([&] {
    auto cluster = open_cluster(in_directory(path));
    SessionClient a = connect(*cluster);
    a.run("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n");
    connect(*cluster).run("INSERT INTO t VALUES (1001)");
    a.run("BEGIN; DELETE FROM t");
    crash();
  });
  {
    auto instance = open_instance(in_directory(path));
    EXPECT_EQ(InstanceClient(*instance).value("SELECT count(*) FROM t"), "1001");
    EXPECT_TRUE(instance->close().ok());
  }
  in_a_process_that_crashes([&] {
    auto instance = open_instance(in_directory(path));
    InstanceClient(*instance).query("INSERT INTO t VALUES (1002)");
    crash();
  });
  auto cluster = open();
  EXPECT_FALSE(was_closed());
  EXPECT_EQ(connect(*cluster).value("SELECT count(*) FROM t"), "1002");
}

TEST_F(SessionDirectory, ANewClusterHasItsNames) {
  fs::remove_all(path);
  options.username = "a role";
  options.database = "a database";
  for (int i = 0; i < 2; ++i) {
    auto cluster = open();
    SessionClient a = connect(*cluster, {.username = "a role", .database = "a database"});
    EXPECT_EQ(a.value("SELECT current_user, current_database()"), "a role|a database");
    EXPECT_TRUE(cluster->close().ok());
    // Names are for new clusters only.
    options.username = "other";
    options.database = "other";
  }
  auto cluster = open();
  EXPECT_THAT(connect_fails(*cluster, {.username = "other"}).message(),
              HasSubstr("role \"other\" does not exist"));
}

// --- Crashes ---

TEST_F(SessionDirectory, ACrashLosesNothingThatWasCommitted) {
  in_a_process_that_crashes([&] {
    auto cluster = open_cluster(in_directory(path));
    std::vector<SessionClient> sessions;
    for (int i = 0; i < 5; ++i) sessions.push_back(connect(*cluster));
    sessions[0].run("CREATE TABLE t (session int, n int, PRIMARY KEY (session, n))");
    for (int n = 0; n < 20; ++n) {
      for (size_t i = 0; i < sessions.size(); ++i) {
        sessions[i].run("INSERT INTO t VALUES (" + std::to_string(i) + ", " + std::to_string(n) +
                        ")");
        if (n == 10 && i == 2) sessions[i].run("CHECKPOINT");
      }
    }
    sessions[0].run("CREATE DATABASE other");
    sessions[1].run("BEGIN; DELETE FROM t; CREATE TABLE lost (n int)");
    sessions[2].run("BEGIN; INSERT INTO t VALUES (7, 7)");
    EXPECT_EQ(sessions[3].query("COPY t FROM STDIN").types, "G");
    sessions[4].begin("UPDATE t SET n = n + 1000");
    EXPECT_TRUE(cluster->run(Clock::now()).ok());
    crash();
  });
  auto cluster = open();
  EXPECT_FALSE(was_closed());
  SessionClient a = connect(*cluster);
  EXPECT_EQ(a.value("SELECT count(*), max(n) FROM t"), "100|19");
  EXPECT_EQ(a.error("SELECT * FROM lost"), "42P01");
  EXPECT_EQ(connect(*cluster, {.database = "other"}).value("SELECT 1"), "1");
  EXPECT_EQ(a.value("SELECT count(*) FROM pg_locks WHERE pid <> pg_backend_pid()"), "0");
  EXPECT_TRUE(cluster->close().ok());
  cluster = open();
  EXPECT_TRUE(was_closed());
}

// Six sessions write, and say what was acknowledged; then the process is killed.
TEST_F(SessionDirectory, AKillAtAnyMomentLosesNothingThatWasCommitted) {
  for (const int milliseconds : {40, 150}) {
    fs::remove_all(path);
    fs::copy(made_->path(), path, fs::copy_options::recursive);
    {
      auto cluster = open();
      connect(*cluster).run("CREATE TABLE t (n int PRIMARY KEY, pair int)");
    }
    int channel[2];
    ASSERT_EQ(pipe(channel), 0);
    const pid_t child = fork();
    if (child == 0) {
      Options quiet = options;
      quiet.log = nullptr;
      quiet.durability = Durability::kFull;
      auto cluster = open_cluster(quiet);
      std::vector<SessionClient> sessions;
      std::vector<int> numbers(6, -1);
      for (size_t i = 0; i < numbers.size(); ++i) sessions.push_back(connect(*cluster));
      (void)run_until(*cluster, [&] {
        for (size_t i = 0; i < sessions.size(); ++i) {
          if (!sessions[i]->wants_input()) continue;
          int& number = numbers[i];
          if (number >= 0) (void)!::write(channel[1], &number, sizeof number);
          (void)sessions[i].taken();
          number = number < 0 ? static_cast<int>(i) : number + 6;
          const std::string text = std::to_string(number);
          sessions[i].begin("BEGIN; INSERT INTO t VALUES (" + text + ", 0); UPDATE t SET pair = " +
                            text + " WHERE n = " + text + "; COMMIT");
        }
        return false;
      });
      _exit(1);
    }
    ::close(channel[1]);
    int number = 0;
    ASSERT_EQ(::read(channel[0], &number, sizeof number), ssize_t{sizeof number});
    std::set<int> acknowledged = {number};
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    while (::read(channel[0], &number, sizeof number) == ssize_t{sizeof number}) {
      acknowledged.insert(number);
    }
    ::close(channel[0]);
    auto cluster = open();
    EXPECT_FALSE(was_closed());
    SessionClient a = connect(*cluster);
    const Answer rows = a.query("SELECT n FROM t");
    std::set<int> found;
    for (const std::string& row : rows.rows) found.insert(std::stoi(row));
    EXPECT_TRUE(std::ranges::includes(found, acknowledged)) << acknowledged.size();
    EXPECT_LE(found.size(), acknowledged.size() + 6);
    EXPECT_EQ(a.value("SELECT count(*) FROM t WHERE pair <> n"), "0");
  }
}

// The system writes in threads while other sessions run: whoever goes meanwhile leaves nothing.
TEST_F(SessionDirectory, SessionsMayGoWhileTheSystemWrites) {
  options.durability = Durability::kFull;
  auto cluster = open();
  SessionClient a = connect(*cluster);
  a.run("CREATE TABLE t (n int)");
  int left = 0;
  for (int i = 0; i < 40; ++i) {
    std::vector<SessionClient> sessions;
    for (int n = 0; n < 4; ++n) {
      sessions.push_back(connect(*cluster));
      sessions.back().begin("INSERT INTO t VALUES (1)");
    }
    const Clock::time_point end = Clock::now() + std::chrono::microseconds(i * 50);
    while (Clock::now() < end) EXPECT_TRUE(cluster->run(end).ok());
    for (SessionClient& each : sessions) left += each->wants_input() ? 1 : 0;
  }
  EXPECT_TRUE(run_until(*cluster, [&] {
                return a.value(
                           "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client"
                           " backend' AND pid <> pg_backend_pid()") == "0";
              }).ok());
  EXPECT_GE(std::stoi(a.value("SELECT count(*) FROM t")), left);
  // And a checkpoint, which is waited for, and a close.
  a.run("CHECKPOINT");
  a.begin("INSERT INTO t VALUES (2)");
  SessionClient b = connect_raw(*cluster);
  (void)cluster->run(Clock::now());
  EXPECT_TRUE(cluster->close().ok());
  cluster = open();
  EXPECT_TRUE(was_closed());
}

TEST_F(SessionDirectory, CommitsShareWhatTheSystemWrites) {
  options.durability = Durability::kFull;
  auto cluster = open();
  std::vector<SessionClient> sessions;
  for (int i = 0; i < 8; ++i) sessions.push_back(connect(*cluster));
  sessions[0].run("CREATE TABLE t (n int)");
  std::vector<int> left(sessions.size(), 25);
  EXPECT_TRUE(run_until(*cluster, [&] {
                bool done = true;
                for (size_t i = 0; i < sessions.size(); ++i) {
                  if (!sessions[i]->wants_input()) {
                    done = false;
                    continue;
                  }
                  EXPECT_THAT(sessions[i].taken().errors, IsEmpty());
                  if (left[i] == 0) continue;
                  done = false;
                  --left[i];
                  sessions[i].begin("INSERT INTO t VALUES (1)");
                }
                return done;
              }).ok());
  EXPECT_EQ(sessions[0].value("SELECT count(*) FROM t"), "200");
}

// --- A process of PostgreSQL crashes ---

// PANIC: the WAL cannot be written.
class SessionCrash : public SessionDirectory {
 protected:
  void break_wal() {
    fs::rename(path / "pg_wal", temporary.path() / "pg_wal");
    std::ofstream(path / "pg_wal") << "in the way";
  }
  void mend_wal() {
    fs::remove(path / "pg_wal");
    fs::rename(temporary.path() / "pg_wal", path / "pg_wal");
  }
};

TEST_F(SessionCrash, APanicEndsTheCluster) {
  auto cluster = open();
  SessionClient a = connect(*cluster);
  SessionClient b = connect(*cluster, {.settings = {"deadlock_timeout=10ms"}});
  SessionClient computes = connect(*cluster);
  a.run("CREATE TABLE t AS SELECT 1 AS n");
  EXPECT_THAT(connect_fails(*cluster, {.username = "nobody"}).message(), HasSubstr("nobody"));
  a.run("BEGIN; UPDATE t SET n = 2");
  EXPECT_EQ(b.query("UPDATE t SET n = 3").status.code(), StatusCode::kWaiting);
  computes.begin(kEndless);
  break_wal();
  SessionClient c = connect(*cluster);
  const Answer answer = c.query("INSERT INTO t SELECT generate_series(1, 1000000)");
  EXPECT_EQ(answer.status.code(), StatusCode::kEngineGone);
  EXPECT_THAT(answer.status.message(), HasSubstr("PANIC"));
  // Nothing runs any more.
  for (SessionClient* each : {&a, &c}) {
    EXPECT_EQ(each->query("SELECT 1").status.code(), StatusCode::kEngineGone);
  }
  EXPECT_EQ(b.resume().status.code(), StatusCode::kEngineGone);
  EXPECT_EQ(cluster->run(Clock::now() + 1s).code(), StatusCode::kEngineGone);
  EXPECT_EQ(connect_fails(*cluster, {}).code(), StatusCode::kEngineGone);
  a->cancel();
  a->terminate();
  a.begin("SELECT 1");
  b.reset();
  (void)cluster->close();
  mend_wal();
  cluster = open();
  EXPECT_FALSE(was_closed());
  EXPECT_EQ(connect(*cluster).value("SELECT string_agg(n::text, ' ') FROM t"), "1");
}

// A trap in the process of one session. Its memory is spoilt so that PostgreSQL's next access lies
// outside of it.
TEST_F(SessionCrash, ATrapEndsTheServer) {
  Options server = options;
  Storage storage(server);
  ASSERT_TRUE(storage.open().ok());
  PostmasterConfig config;
  config.tree = storage.tree();
  config.settings = storage.settings();
  config.log = [&](std::string_view line) { storage.log_server_line(line); };
  config.last_fatal = storage.last_fatal();
  std::unique_ptr<Postmaster> postmaster;
  storage.begin_start();
  ASSERT_TRUE(storage.end_start(Postmaster::start(std::move(config), &postmaster)).ok());
  storage.started(1);
  const auto run = [&](Client& client) {
    const Clock::time_point end = Clock::now() + 30s;
    while (!client.ended() && !client.wants_input() && Clock::now() < end) {
      // Nobody is ready while a thread reads a file.
      if (!postmaster->run_next()) std::this_thread::sleep_for(100us);
    }
  };
  const auto startup = [](std::string_view user) {
    const std::pair<std::string_view, std::string_view> parameters[] = {{"user", user},
                                                                        {"database", "postgres"}};
    return wire::startup_packet(parameters);
  };
  Client* refused = nullptr;
  ASSERT_TRUE(postmaster->connect({}, &refused).ok());
  refused->send(startup("nobody"));
  run(*refused);
  EXPECT_TRUE(refused->ended());
  EXPECT_FALSE(refused->crashed());
  EXPECT_TRUE(postmaster->failure().ok());
  Client* clients[2] = {};
  for (Client*& client : clients) {
    ASSERT_TRUE(postmaster->connect({}, &client).ok());
    client->send(startup("postgres"));
    run(*client);
    ASSERT_TRUE(client->wants_input());
  }
  clients[0]->send(wire::query("CREATE TABLE t AS SELECT 1 AS n"));
  run(*clients[0]);
  ASSERT_TRUE(clients[0]->wants_input());
  clients[0]->send(wire::query("BEGIN; INSERT INTO t VALUES (2)"));
  run(*clients[0]);

  emscripten::Process& process = clients[1]->process();
  const uint32_t context = process.data_address(symbols::kCacheMemoryContext);
  ASSERT_NE(context, 0U);
  ASSERT_TRUE(process.memory().store(wasm::GuestPtr<uint32_t>{context}, uint32_t{0xfffffff0}));
  clients[1]->send(wire::query("SELECT count(*) FROM pg_class, pg_trigger"));
  run(*clients[1]);
  EXPECT_TRUE(clients[1]->ended());
  EXPECT_TRUE(clients[1]->crashed());
  EXPECT_EQ(clients[1]->outcome().kind, wasm::Outcome::Kind::kTrapped);
  EXPECT_EQ(postmaster->failure().code(), StatusCode::kEngineGone);
  EXPECT_THAT(postmaster->failure().message(),
              HasSubstr("pid " + std::to_string(clients[1]->pid())));
  // It is not what another session's process said long before.
  EXPECT_THAT(postmaster->failure().message(), Not(HasSubstr("nobody")));
  clients[0]->send(wire::query("COMMIT"));
  EXPECT_FALSE(postmaster->run_next());
  EXPECT_GT(clients[0]->unread(), 0U);
  Client* more = nullptr;
  EXPECT_EQ(postmaster->connect({}, &more).code(), StatusCode::kEngineGone);
  postmaster->release(clients[1]);
  postmaster.reset();
  storage.close();

  auto cluster = open();
  EXPECT_FALSE(was_closed());
  EXPECT_EQ(connect(*cluster).value("SELECT string_agg(n::text, ' ') FROM t"), "1");
}

// PostgreSQL's own processes count as well.
TEST_F(SessionCrash, ACheckpointThatPanicsEndsTheCluster) {
  auto cluster = open();
  SessionClient a = connect(*cluster);
  a.run("CREATE TABLE t AS SELECT 1 AS n");
  fs::rename(path / "global/pg_control", temporary.path() / "pg_control");
  fs::create_directory(path / "global/pg_control");
  const Answer answer = a.query("CHECKPOINT");
  EXPECT_EQ(answer.status.code(), StatusCode::kEngineGone);
  EXPECT_THAT(answer.status.message(), HasSubstr("PANIC"));
  (void)cluster->close();
  fs::remove(path / "global/pg_control");
  fs::rename(temporary.path() / "pg_control", path / "global/pg_control");
  cluster = open();
  EXPECT_FALSE(was_closed());
  EXPECT_EQ(connect(*cluster).value("SELECT n FROM t"), "1");
}

// A checkpoint that fails with an error is the error of whoever has asked for it.
TEST_F(SessionCrash, ACheckpointThatFailsIsAnError) {
  auto cluster = open();
  SessionClient a = connect(*cluster);
  a.run("CREATE TABLE t AS SELECT 1 AS n");
  const std::string file = a.value("SELECT pg_relation_filepath('t')");
  fs::rename(path / file, temporary.path() / "t");
  fs::create_directory(path / file);
  Answer answer = a.query("CHECKPOINT");
  EXPECT_TRUE(answer.status.ok()) << answer.status.message();
  EXPECT_THAT(answer.errors, ElementsAre(HasSubstr("checkpoint request failed")));
  fs::remove(path / file);
  fs::rename(temporary.path() / "t", path / file);
  a.run("CHECKPOINT");
  EXPECT_EQ(a.value("SELECT n FROM t"), "1");
  EXPECT_TRUE(cluster->close().ok());
  cluster = open();
  EXPECT_TRUE(was_closed());
}

// --- Configuration ---

TEST_F(SessionDirectory, FollowsItsConfiguration) {
  {
    auto cluster = open();
    SessionClient a = connect(*cluster);
    SessionClient b = connect(*cluster);
    a.run("ALTER SYSTEM SET work_mem = '7MB'");
    EXPECT_EQ(b.value("SHOW work_mem"), "4MB");
    EXPECT_TRUE(cluster->reload().ok());
    settle(*cluster);
    EXPECT_EQ(b.value("SHOW work_mem"), "7MB");
    EXPECT_EQ(connect(*cluster).value("SHOW work_mem"), "7MB");
    a.run("ALTER SYSTEM SET work_mem = '8MB'");
    EXPECT_EQ(a.value("SELECT pg_reload_conf()"), "t");
    settle(*cluster);
    EXPECT_EQ(b.value("SHOW work_mem"), "8MB");
    EXPECT_EQ(connect(*cluster).value("SHOW work_mem"), "8MB");
    EXPECT_TRUE(cluster->close().ok());
  }
  auto cluster = open();
  EXPECT_EQ(connect(*cluster).value("SHOW work_mem"), "8MB");
}

TEST_F(SessionDirectory, AConfigurationThatIsWrongIsSaidAndTheDirectoryIsFree) {
  const std::string before = [&] {
    std::ifstream file(path / "postgresql.conf");
    return std::string(std::istreambuf_iterator<char>(file), {});
  }();
  std::ofstream(path / "postgresql.conf", std::ios::app) << "\nno_such_setting = 1\n";
  std::unique_ptr<Cluster> cluster;
  const Status status = Cluster::open(in_directory(path), &cluster);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.message(), HasSubstr("no_such_setting"));
  std::ofstream(path / "postgresql.conf") << before;
  EXPECT_TRUE(Cluster::open(in_directory(path), &cluster).ok());
}

}  // namespace
}  // namespace pglite::postgres
