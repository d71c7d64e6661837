// How the sessions of a cluster are run: cancels, ends, wrong use, the event loop, threads.
#include <poll.h>
#include <signal.h>
#include <sys/time.h>

#include <atomic>

#include "canceller.h"
#include "session_client.h"

namespace pglite::postgres {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::IsEmpty;
using testing::StartsWith;

constexpr std::string_view kCanceled = "57014 canceling statement due to user request";
constexpr std::string_view kTerminated =
    "57P01 terminating connection due to administrator command";

class SessionFlow : public ClusterTest {
 protected:
  SessionFlow() { options.settings = {"deadlock_timeout=20ms"}; }

  // How many sessions there are, and transactions that are open.
  std::string others(SessionClient& asks) {
    return asks.value(
        "SELECT count(*), count(xact_start) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()");
  }
  Status run_until_idle(SessionClient& client) {
    return run_until(*cluster, [&] { return client->ended() || client->wants_input(); });
  }
};

// --- Cancel ---

class SessionCancel : public SessionFlow {
 protected:
  // Of a request that another thread cancels after a while.
  Answer cancelled(SessionClient& client, std::string_view sql) {
    std::thread canceller([&] {
      std::this_thread::sleep_for(50ms);
      client->cancel();
    });
    Answer answer = client.query(sql);
    canceller.join();
    return answer;
  }
};

TEST_F(SessionCancel, WhatComputes) {
  SessionClient a = session();
  EXPECT_EQ(cancelled(a, kEndless).text(), kCanceled);
  EXPECT_EQ(a.value("SELECT 1"), "1");
}

TEST_F(SessionCancel, WhatSleeps) {
  SessionClient a = session();
  const Clock::time_point start = Clock::now();
  EXPECT_EQ(cancelled(a, "SELECT pg_sleep(1000)").text(), kCanceled);
  EXPECT_LT(Clock::now() - start, 10s);
  EXPECT_EQ(a.value("SELECT 1"), "1");
}

TEST_F(SessionCancel, WhatWaitsForALock) {
  SessionClient a = session();
  SessionClient b = session();
  a.run("CREATE TABLE t (n int)");
  a.run("BEGIN; LOCK TABLE t");
  EXPECT_EQ(b.query("SELECT * FROM t").status.code(), StatusCode::kWaiting);
  std::thread([&] { b->cancel(); }).join();
  EXPECT_EQ(b.resume().text(), kCanceled);
  // While a third one computes, exec() stays in it.
  SessionClient busy = session();
  busy.begin(kEndless);
  EXPECT_EQ(cancelled(b, "SELECT * FROM t").text(), kCanceled);
  EXPECT_FALSE(busy->wants_input());
  a.run("COMMIT");
  EXPECT_EQ(b.value("SELECT count(*) FROM t"), "0");
}

TEST_F(SessionCancel, WhatWaitsForItsReader) {
  SessionClient a = session();
  a.begin("SELECT repeat('x', 1000) FROM generate_series(1, 100000)");
  settle(*cluster);
  a->cancel();
  settle(*cluster);
  // PostgreSQL is told when its reader goes on.
  size_t rows = 0;
  std::vector<std::string> errors;
  while (errors.empty() && rows < 10'000) {
    Answer answer = a.taken();
    rows += answer.rows.size();
    errors = std::move(answer.errors);
    settle(*cluster);
  }
  EXPECT_THAT(errors, ElementsAre(kCanceled));
  EXPECT_TRUE(a->wants_input());
}

TEST_F(SessionCancel, ACopyThatWaitsForItsClient) {
  SessionClient a = session();
  a.run("CREATE TABLE t (n int)");
  EXPECT_EQ(a.query("COPY t FROM STDIN").types, "G");
  a->cancel();
  settle(*cluster);
  EXPECT_EQ(a.taken().types, "");
  // PostgreSQL looks up when the next piece has come, and ignores the rest.
  EXPECT_THAT(a.send(wire::copy_data("1\n") + wire::copy_done()).errors, ElementsAre(kCanceled));
  EXPECT_EQ(a.value("SELECT count(*) FROM t"), "0");
}

TEST_F(SessionCancel, OneThatIsIdleIsNotCancelledLater) {
  SessionClient a = session();
  for (int i = 0; i < 50; ++i) {
    a->cancel();
    if (i % 2 == 0) settle(*cluster);
    EXPECT_EQ(a.query("SELECT 1, pg_sleep(0)").types, "TDCZ");
  }
  a.run("BEGIN");
  a->cancel();
  EXPECT_EQ(a.value("SELECT 1"), "1");
  EXPECT_EQ(a.taken().types, "");
}

TEST_F(SessionCancel, HitsOnlyItsSession) {
  SessionClient a = session();
  SessionClient b = session();
  a.begin(kEndless);
  b.begin("SELECT pg_sleep(0.3)");
  EXPECT_TRUE(cluster->run(Clock::now() + 20ms).ok());
  a->cancel();
  EXPECT_TRUE(run_until_idle(a).ok());
  EXPECT_EQ(a.taken().text(), kCanceled);
  EXPECT_FALSE(b->wants_input());
  EXPECT_TRUE(run_until_idle(b).ok());
  EXPECT_EQ(b.taken().types, "TDCZ");
}

TEST_F(SessionCancel, HitsNoRequestThatBeganAfterItReturned) {
  SessionClient a = session();
  Canceller canceller(*a);
  int cancelled = 0;
  const Clock::time_point start = Clock::now();
  for (int i = 0; i < 100 || cancelled == 0; ++i) {
    if (Clock::now() - start > 30s) break;
    const Answer hit =
        a.query(i % 10 == 0 ? "SELECT count(*) FROM generate_series(1, 100000)" : "SELECT 1");
    ASSERT_TRUE(hit.status.ok()) << hit.status.message();
    for (const std::string& error : hit.errors) {
      EXPECT_EQ(error, kCanceled);
      ++cancelled;
    }
    canceller.rest();
    EXPECT_EQ(a.query("SELECT 1, pg_sleep(0)").types, "TDCZ");
    canceller.go_on();
  }
  EXPECT_GT(cancelled, 0);
}

TEST_F(SessionCancel, FromASignalHandler) {
  static Session* target;
  SessionClient a = session();
  target = &*a;
  struct sigaction action{};
  struct sigaction before{};
  action.sa_handler = [](int) { target->cancel(); };
  sigaction(SIGALRM, &action, &before);
  const auto alarm_soon = [] {
    itimerval timer{};
    timer.it_value.tv_usec = 30'000;
    setitimer(ITIMER_REAL, &timer, nullptr);
  };
  for (const std::string_view sql : {kEndless, std::string_view("SELECT pg_sleep(1000)")}) {
    alarm_soon();
    EXPECT_EQ(a.value(sql), kCanceled);
  }
  EXPECT_EQ(a.value("SELECT 1"), "1");
  sigaction(SIGALRM, &before, nullptr);
}

TEST_F(SessionCancel, MakesTheDescriptorReadable) {
  SessionClient a = session();
  a.begin("SELECT pg_sleep(1000)");
  settle(*cluster);
  pollfd wake = {.fd = cluster->wake_descriptor(), .events = POLLIN, .revents = 0};
  ASSERT_GE(wake.fd, 0);
  EXPECT_EQ(poll(&wake, 1, 0), 0);
  std::thread canceller([&] {
    std::this_thread::sleep_for(30ms);
    a->cancel();
  });
  EXPECT_EQ(poll(&wake, 1, 30'000), 1);
  settle(*cluster);
  canceller.join();
  settle(*cluster);
  EXPECT_EQ(a.taken().text(), kCanceled);
  EXPECT_EQ(poll(&wake, 1, 0), 0);
}

TEST_F(SessionCancel, BetweenSessions) {
  SessionClient a = session();
  SessionClient b = session();
  a.run("CREATE TABLE t (n int); CREATE ROLE plain LOGIN");
  a.run("BEGIN; LOCK TABLE t");
  const std::string call = "SELECT pg_cancel_backend(" + std::to_string(b->pid()) + ")";
  for (const std::string_view sql :
       {kEndless, std::string_view("SELECT pg_sleep(1000)"), std::string_view("SELECT * FROM t")}) {
    b.begin(sql);
    EXPECT_TRUE(cluster->run(Clock::now() + 10ms).ok());
    EXPECT_EQ(a.value(call), "t");
    EXPECT_TRUE(run_until_idle(b).ok());
    EXPECT_EQ(b.taken().text(), kCanceled);
  }
  EXPECT_EQ(a.value(call), "t");
  EXPECT_EQ(b.value("SELECT 1"), "1");
  const Answer unknown = a.query("SELECT pg_cancel_backend(99999)");
  EXPECT_THAT(unknown.rows, ElementsAre("f"));
  EXPECT_EQ(unknown.types, "TNDCZ");
  SessionClient plain = session({.username = "plain"});
  EXPECT_EQ(plain.error(call), "42501");
  a.run("COMMIT");
  EXPECT_EQ(a.value("SELECT pg_cancel_backend(pg_backend_pid())"), kCanceled);
  EXPECT_EQ(a.value("SELECT 1"), "1");
}

// As a driver does it: a connection of its own, with the number and the key of the first.
TEST_F(SessionCancel, ByACancelRequest) {
  SessionClient a = connect_raw(*cluster);
  uint32_t pid = 0;
  uint32_t key = 0;
  const std::pair<std::string_view, std::string_view> user[] = {{"user", "postgres"}};
  wire::BackendReader reader;
  const Status status = a->exec(wire::startup_packet(user), [&](std::string_view bytes) {
    EXPECT_TRUE(reader.feed(bytes, [&](const wire::BackendMessage& message) {
      if (message.type != 'K' || message.body.size() != 8) return;
      const auto number = [&](size_t at) {
        uint32_t value = 0;
        for (size_t i = at; i < at + 4; ++i) {
          value = value << 8 | static_cast<unsigned char>(message.body[i]);
        }
        return value;
      };
      pid = number(0);
      key = number(4);
    }));
  });
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(pid, static_cast<uint32_t>(a->pid()));
  a.begin(kEndless);
  EXPECT_TRUE(cluster->run(Clock::now() + 10ms).ok());
  const auto request = [&](uint32_t with_key) {
    SessionClient other = connect_raw(*cluster);
    other->send(wire::cancel_request(pid, with_key));
    EXPECT_TRUE(run_until(*cluster, [&] { return other->ended(); }).ok());
    EXPECT_EQ(other->output(), "");
    EXPECT_TRUE(cluster->run(Clock::now() + 20ms).ok());
  };
  request(key + 1);
  EXPECT_FALSE(a->wants_input());
  request(key);
  EXPECT_TRUE(run_until_idle(a).ok());
  EXPECT_EQ(a.taken().text(), kCanceled);
}

// --- Ends ---

class SessionEnds : public SessionFlow {};

TEST_F(SessionEnds, ByTerminate) {
  SessionClient a = session();
  SessionClient b = session();
  a.run("CREATE TABLE t (n int)");
  a.run("BEGIN; INSERT INTO t VALUES (1)");
  const Answer answer = a.send(wire::terminate());
  EXPECT_EQ(answer.status.code(), StatusCode::kSessionEnded);
  EXPECT_EQ(answer.types, "");
  EXPECT_TRUE(a->ended());
  EXPECT_EQ(others(b), "0|0");
  EXPECT_EQ(b.value("SELECT count(*) FROM t"), "0");
}

TEST_F(SessionEnds, WhenTheClientClosesItsSide) {
  SessionClient a = session();
  SessionClient b = session();
  a.run("CREATE TABLE t (n int)");
  a.run("BEGIN; INSERT INTO t VALUES (1)");
  a->close_input();
  settle(*cluster);
  EXPECT_TRUE(a->ended());
  EXPECT_EQ(b.value("SELECT count(*) FROM t"), "0");
}

// What it has sent before is answered, as by PostgreSQL.
TEST_F(SessionEnds, AfterTheAnswerToWhatTheClientSentLast) {
  SessionClient a = session();
  a.begin("SELECT 7");
  a->close_input();
  settle(*cluster);
  EXPECT_TRUE(a->ended());
  EXPECT_EQ(a.taken().text(), "7");
}

TEST_F(SessionEnds, ByAnother) {
  SessionClient a = session();
  SessionClient stays = session();
  a.run("CREATE TABLE t (n int)");
  a.run("BEGIN; LOCK TABLE t");
  for (const std::string_view sql :
       {kEndless, std::string_view("SELECT pg_sleep(1000)"), std::string_view("SELECT * FROM t"),
        std::string_view("BEGIN"), std::string_view("COPY (SELECT 1) TO STDOUT"),
        std::string_view("SELECT repeat('x', 1000) FROM generate_series(1, 100000)")}) {
    SessionClient b = session();
    b.begin(sql);
    EXPECT_TRUE(cluster->run(Clock::now() + 20ms).ok());
    EXPECT_EQ(a.value("SELECT pg_terminate_backend(" + std::to_string(b->pid()) + ", 10000)"), "t");
    EXPECT_TRUE(b->ended()) << sql;
    const Answer said = b.taken();
    // One whose reader is slow is not told.
    if (!sql.starts_with("SELECT repeat")) {
      EXPECT_THAT(said.errors, ElementsAre(kTerminated)) << sql;
    }
    EXPECT_EQ(b.query("SELECT 1").status.code(), StatusCode::kSessionEnded);
  }
  EXPECT_EQ(a.value("SELECT pg_terminate_backend(99999)"), "f");
  EXPECT_EQ(stays.value("SELECT 1"), "1");
  EXPECT_EQ(others(a), "1|0");
}

TEST_F(SessionEnds, ByItsOwner) {
  SessionClient watcher = session();
  for (const std::string_view sql :
       {std::string_view("SELECT 1"), kEndless, std::string_view("SELECT pg_sleep(1000)")}) {
    SessionClient a = session();
    a.begin(sql);
    EXPECT_TRUE(cluster->run(Clock::now() + 20ms).ok());
    (void)a.taken();
    a->terminate();
    EXPECT_TRUE(run_until(*cluster, [&] { return a->ended(); }).ok());
    EXPECT_THAT(a.taken().errors, ElementsAre(kTerminated));
    a->terminate();
  }
  EXPECT_EQ(others(watcher), "0|0");
}

TEST_F(SessionEnds, ByItself) {
  SessionClient a = session();
  SessionClient b = session();
  const Answer answer = a.query("SELECT pg_terminate_backend(pg_backend_pid())");
  EXPECT_EQ(answer.status.code(), StatusCode::kSessionEnded);
  EXPECT_THAT(answer.errors, ElementsAre(kTerminated));
  EXPECT_EQ(others(b), "0|0");
}

TEST_F(SessionEnds, LeaveTheirLastWords) {
  SessionClient a = session();
  SessionClient b = session();
  EXPECT_EQ(b.value("SELECT pg_terminate_backend(" + std::to_string(a->pid()) + ", 10000)"), "t");
  EXPECT_TRUE(a->ended());
  EXPECT_FALSE(a->output().empty());
  settle(*cluster);
  // It may still be asked, and told, all that one may be that has not ended.
  EXPECT_GT(a->pid(), 0);
  a->cancel();
  a.begin("SELECT 1");
  a->close_input();
  settle(*cluster);
  EXPECT_THAT(a.taken().errors, ElementsAre(kTerminated));
  EXPECT_EQ(a->output(), "");
  a.reset();
  settle(*cluster);
  EXPECT_EQ(others(b), "0|0");
}

// --- Sessions that are destroyed ---

class SessionGoes : public SessionFlow {
 protected:
  void SetUp() override {
    SessionFlow::SetUp();
    watcher.emplace(session());
    watcher->run("CREATE TABLE t (n int); INSERT INTO t VALUES (1)");
  }
  // Nothing is left of a session that was destroyed.
  void expect_nothing_left() {
    EXPECT_TRUE(run_until(*cluster, [&] { return others(*watcher) == "0|0"; }, 5s).ok());
    EXPECT_EQ(watcher->value("SELECT count(*) FROM pg_locks WHERE pid <> pg_backend_pid()"), "0");
    EXPECT_EQ(watcher->value("SELECT n FROM t"), "1");
    watcher->run("BEGIN; LOCK TABLE t; COMMIT");
  }

  std::optional<SessionClient> watcher;
};

TEST_F(SessionGoes, InATransaction) {
  SessionClient a = session();
  a.run("BEGIN; UPDATE t SET n = 2");
  a.reset();
  expect_nothing_left();
}

TEST_F(SessionGoes, WhileAnotherWaitsForItsLock) {
  SessionClient a = session();
  SessionClient b = session();
  a.run("BEGIN; UPDATE t SET n = 2");
  EXPECT_EQ(b.query("UPDATE t SET n = n RETURNING n").status.code(), StatusCode::kWaiting);
  a.reset();
  EXPECT_EQ(b.resume().text(), "1");
  b.reset();
  expect_nothing_left();
}

TEST_F(SessionGoes, WhileItWaitsForALock) {
  SessionClient a = session();
  SessionClient b = session();
  a.run("BEGIN; LOCK TABLE t");
  b.run("BEGIN; SELECT pg_advisory_lock(1)");
  EXPECT_EQ(b.query("SELECT * FROM t").status.code(), StatusCode::kWaiting);
  b.reset();
  // Its own locks are free although the other one has not gone on.
  SessionClient c = session();
  EXPECT_EQ(c.value("SELECT pg_advisory_lock(1)"), "");
  c.reset();
  a.reset();
  expect_nothing_left();
}

TEST_F(SessionGoes, WhileItComputes) {
  SessionClient a = session();
  a.begin("BEGIN; UPDATE t SET n = 2");
  EXPECT_TRUE(run_until_idle(a).ok());
  a.begin(kEndless);
  EXPECT_TRUE(cluster->run(Clock::now() + 10ms).ok());
  a.reset();
  expect_nothing_left();
}

TEST_F(SessionGoes, WhileItSleeps) {
  SessionClient a = session();
  a.begin("SELECT pg_sleep(1000)");
  settle(*cluster);
  a.reset();
  expect_nothing_left();
}

TEST_F(SessionGoes, InACopy) {
  SessionClient a = session();
  EXPECT_EQ(a.query("COPY t FROM STDIN").types, "G");
  EXPECT_EQ(a.send(wire::copy_data("2\n")).types, "");
  a.reset();
  expect_nothing_left();
}

TEST_F(SessionGoes, WithUnreadOutput) {
  SessionClient a = session();
  a.begin("SELECT repeat('x', 1000) FROM generate_series(1, 100000)");
  settle(*cluster);
  a.reset();
  expect_nothing_left();
}

TEST_F(SessionGoes, WithUnreadInput) {
  SessionClient a = session();
  for (int i = 0; i < 100; ++i) a.begin("UPDATE t SET n = 1");
  a.reset();
  expect_nothing_left();
}

TEST_F(SessionGoes, BeforeItBegins) {
  SessionClient raw = connect_raw(*cluster);
  raw.reset();
  const std::pair<std::string_view, std::string_view> user[] = {{"user", "postgres"}};
  SessionClient other = connect_raw(*cluster);
  other->send(wire::startup_packet(user));
  other.reset();
  expect_nothing_left();
}

TEST_F(SessionGoes, WhileOthersListen) {
  SessionClient a = session();
  SessionClient b = session();
  a.run("LISTEN c");
  b.run("LISTEN c");
  b.reset();
  watcher->run("NOTIFY c, 'x'");
  settle(*cluster);
  EXPECT_THAT(a.taken().notifications, ElementsAre("c x"));
  a.reset();
  watcher->run("NOTIFY c, 'y'");
  expect_nothing_left();
}

// --- Wrong use ---

class SessionMisuse : public SessionFlow {};

TEST_F(SessionMisuse, AnEmptyRequestIsNothing) {
  SessionClient a = session();
  const Answer answer = a.send("");
  EXPECT_TRUE(answer.status.ok());
  EXPECT_EQ(answer.types, "");
  EXPECT_EQ(a.resume().status.code(), StatusCode::kInvalidArgument);
  a->send("");
  settle(*cluster);
  EXPECT_EQ(a.value("SELECT 1"), "1");
}

TEST_F(SessionMisuse, BytesThatAreNoMessageEndTheSession) {
  SessionClient b = session();
  for (const std::string& bytes :
       {std::string("garbage garbage garbage"), std::string("Q\0\0\0\3", 5),
        std::string("Q\x7f\xff\xff\xff", 5), std::string(64, '\0'), std::string(64, '\xff')}) {
    SessionClient a = session();
    const Answer answer = a.send(bytes);
    EXPECT_EQ(answer.status.code(), StatusCode::kSessionEnded) << bytes;
    // A length that cannot be is in the server log only.
    if (bytes[0] == 'Q') {
      EXPECT_EQ(answer.types, "");
    } else {
      EXPECT_THAT(answer.errors, ElementsAre(StartsWith("08P01"))) << bytes;
    }
    EXPECT_EQ(a.query("SELECT 1").status.code(), StatusCode::kSessionEnded);
    EXPECT_EQ(a.resume().status.code(), StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(others(b), "0|0");
}

TEST_F(SessionMisuse, AMessageThatIsNotFinishedIsWaitedFor) {
  SessionClient a = session();
  const std::string message = wire::query("SELECT 1");
  Answer answer = a.send(message.substr(0, 7));
  EXPECT_TRUE(answer.status.ok());
  EXPECT_EQ(answer.types, "");
  EXPECT_EQ(a.send(message.substr(7)).text(), "1");
}

TEST_F(SessionMisuse, WrongMessagesOfTheProtocolAreErrors) {
  SessionClient a = session();
  // A Bind without a Parse, an Execute without a Bind, a body that is too short, one too long.
  EXPECT_EQ(a.send(wire::bind("", "none") + wire::sync()).types, "EZ");
  EXPECT_EQ(a.send(wire::execute("none") + wire::sync()).types, "EZ");
  EXPECT_THAT(a.send(std::string("B\0\0\0\5x", 6) + wire::sync()).errors,
              ElementsAre(StartsWith("08P01")));
  EXPECT_THAT(a.send(std::string("S\0\0\0\5x", 6)).errors, ElementsAre(StartsWith("08P01")));
  EXPECT_EQ(a.send(wire::copy_done() + wire::query("SELECT 1")).types, "TDCZ");
  EXPECT_EQ(a.value("SELECT 1"), "1");
}

TEST_F(SessionMisuse, ASinkThatThrows) {
  SessionClient a = session();
  const Status status = a->exec(wire::query("SELECT 1"), [](std::string_view) -> void {
    throw std::runtime_error("the sink has failed");
  });
  EXPECT_EQ(status.code(), StatusCode::kIoError);
  EXPECT_EQ(status.message(), "the sink has failed");
  // The answer is there still, and the request goes on.
  EXPECT_EQ(a.query("SELECT 1").status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(a.resume().text(), "1");
  EXPECT_EQ(a.value("SELECT 2"), "2");
}

TEST_F(SessionMisuse, TakingMoreThanThereIs) {
  SessionClient a = session();
  a->take(1000);
  a.begin("SELECT 1");
  settle(*cluster);
  a->take(1'000'000);
  EXPECT_EQ(a->output(), "");
  EXPECT_EQ(a.value("SELECT 2"), "2");
}

TEST_F(SessionMisuse, TheViewOfTheOutputIsGoodUntilTheClusterRuns) {
  SessionClient a = session();
  a.begin("SELECT repeat('x', 10000)");
  settle(*cluster);
  const std::string_view view = a->output();
  const std::string copy(view);
  a->take(100);
  a->take(view.size());
  a.begin("SELECT 1");
  EXPECT_EQ(view, copy);
  settle(*cluster);
  EXPECT_EQ(a.taken().text(), "1");
}

// --- The end of the cluster ---

class SessionClose : public SessionFlow {};

TEST_F(SessionClose, WithSessionsThatAreInTheMiddleOfSomething) {
  SessionClient idle = session();
  idle.run("CREATE TABLE t (n int)");
  SessionClient in_transaction = session();
  in_transaction.run("BEGIN; LOCK TABLE t");
  SessionClient waits = session();
  EXPECT_EQ(waits.query("SELECT * FROM t").status.code(), StatusCode::kWaiting);
  SessionClient copies = session();
  copies.run("CREATE TABLE u (n int)");
  EXPECT_EQ(copies.query("COPY u FROM STDIN").types, "G");
  SessionClient unread = session();
  unread.begin("SELECT repeat('x', 1000) FROM generate_series(1, 100000)");
  SessionClient computes = session();
  computes.begin(kEndless);
  SessionClient raw = connect_raw(*cluster);
  EXPECT_TRUE(cluster->run(Clock::now() + 20ms).ok());
  const int32_t pid = idle->pid();
  EXPECT_TRUE(cluster->close().ok());
  EXPECT_TRUE(cluster->close().ok());
  for (SessionClient* each : {&idle, &in_transaction, &waits, &copies, &unread, &computes, &raw}) {
    EXPECT_EQ(each->query("SELECT 1").status.code(), StatusCode::kEngineGone);
    EXPECT_FALSE(each->resume().status.ok());
    (*each)->send("x");
    (*each)->close_input();
    (*each)->cancel();
    (*each)->terminate();
    (*each)->take(1);
    EXPECT_TRUE((*each)->ended());
    EXPECT_FALSE((*each)->wants_input());
    EXPECT_EQ((*each)->output(), "");
    EXPECT_EQ((*each)->unread(), 0U);
  }
  EXPECT_EQ(idle->pid(), pid);
  std::unique_ptr<Session> session;
  EXPECT_EQ(cluster->connect({}, &session).code(), StatusCode::kEngineGone);
  EXPECT_EQ(cluster->accept({}, &session).code(), StatusCode::kEngineGone);
  EXPECT_EQ(cluster->reload().code(), StatusCode::kEngineGone);
  EXPECT_EQ(cluster->run(Clock::now() + 1s).code(), StatusCode::kEngineGone);
  EXPECT_EQ(cluster->deadline(), std::nullopt);
}

TEST_F(SessionClose, ASessionMayOutliveItsCluster) {
  SessionClient a = session();
  SessionClient b = session();
  a.begin("SELECT 1");
  cluster.reset();
  EXPECT_EQ(a.query("SELECT 1").status.code(), StatusCode::kEngineGone);
  EXPECT_TRUE(a->ended());
  EXPECT_EQ(a->output(), "");
  a->cancel();
  a->terminate();
}

TEST_F(SessionClose, MayComeWhileAnotherThreadCancels) {
  for (int i = 0; i < 10; ++i) {
    auto other = open_cluster();
    SessionClient a = connect(*other);
    std::atomic<bool> stop = false;
    std::thread canceller([&] {
      while (!stop) a->cancel();
    });
    (void)a.query("SELECT 1");
    EXPECT_TRUE(other->close().ok());
    stop = true;
    canceller.join();
  }
}

// --- The event loop ---

TEST_F(SessionFlow, RunsAgainOnlyWhenSomethingIsDue) {
  std::vector<SessionClient> sessions;
  for (int i = 0; i < 20; ++i) sessions.push_back(session());
  // Over some of the timers of PostgreSQL's own processes.
  int runs = 0;
  const Clock::time_point end = Clock::now() + 1s;
  std::chrono::nanoseconds busy{};
  while (Clock::now() < end) {
    const Clock::time_point start = Clock::now();
    EXPECT_TRUE(cluster->run(start + 10s).ok());
    busy += Clock::now() - start;
    ++runs;
    const auto deadline = cluster->deadline();
    std::this_thread::sleep_until(std::min(end, deadline.value_or(end)));
  }
  EXPECT_LT(runs, 200);
  EXPECT_LT(busy, 500ms);
}

TEST_F(SessionFlow, RunReturnsInTime) {
  SessionClient a = session();
  a.begin(kEndless);
  for (const auto limit : {0ms, 1ms, 50ms}) {
    const Clock::time_point start = Clock::now();
    EXPECT_TRUE(cluster->run(start + limit).ok());
    EXPECT_GE(Clock::now(), start + limit);
    EXPECT_LT(Clock::now() - start, limit + 1s);
  }
  ASSERT_TRUE(cluster->deadline().has_value());
  EXPECT_LE(*cluster->deadline(), Clock::now());
}

TEST_F(SessionFlow, UnreadInputIsCounted) {
  SessionClient a = session();
  EXPECT_EQ(a->unread(), 0U);
  const std::string message = wire::query("SELECT pg_sleep(1000)");
  a->send(message);
  EXPECT_EQ(a->unread(), message.size());
  EXPECT_FALSE(a->wants_input());
  settle(*cluster);
  EXPECT_EQ(a->unread(), 0U);
  EXPECT_FALSE(a->wants_input());
  // It reads on only when it is done, but for what it takes into its own buffer.
  const std::string more = wire::query("SELECT '" + std::string(100'000, 'x') + "'");
  a->send(more);
  settle(*cluster);
  EXPECT_GT(a->unread(), 50'000U);
  a->cancel();
  EXPECT_TRUE(run_until_idle(a).ok());
  EXPECT_EQ(a->unread(), 0U);
  EXPECT_EQ(a.taken().rows.size(), 1U);
}

TEST_F(SessionFlow, ExecServesTheOthersMeanwhile) {
  SessionClient a = session();
  SessionClient b = session();
  b.begin("SELECT pg_sleep(0.05)");
  EXPECT_EQ(a.query("SELECT pg_sleep(0.3)").types, "TDCZ");
  EXPECT_TRUE(b->wants_input());
  EXPECT_EQ(b.taken().types, "TDCZ");
}

// --- Threads ---

TEST_F(SessionFlow, ThreadsMayUseAClusterOneAfterTheOther) {
  SessionClient a = session({.settings = {"statement_timeout=100ms"}});
  SessionClient b = session();
  b.begin(kEndless);
  for (int i = 0; i < 3; ++i) {
    std::thread([&] {
      EXPECT_EQ(a.value("SELECT 1"), "1");
      EXPECT_EQ(a.error(kEndless), "57014");
    }).join();
  }
  EXPECT_EQ(a.error(kEndless), "57014");
  EXPECT_FALSE(b->wants_input());
}

TEST(SessionThreads, EachMayHaveAClusterOfItsOwn) {
  std::vector<std::thread> threads;
  for (int n = 0; n < 3; ++n) {
    threads.emplace_back([n] {
      auto cluster = open_cluster();
      SessionClient a = connect(*cluster, {.settings = {"statement_timeout=200ms"}});
      SessionClient b = connect(*cluster);
      b.run("CREATE TABLE t AS SELECT " + std::to_string(n) + " AS n");
      for (int i = 0; i < 20; ++i) EXPECT_EQ(a.value("SELECT n FROM t"), std::to_string(n));
      EXPECT_EQ(a.error(kEndless), "57014");
      EXPECT_TRUE(cluster->close().ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(SessionThreads, TwoClustersInOneThread) {
  auto one = open_cluster();
  auto other = open_cluster();
  SessionClient a = connect(*one);
  SessionClient b = connect(*other);
  a.run("CREATE TABLE t AS SELECT 1 AS n");
  EXPECT_EQ(b.error("SELECT * FROM t"), "42P01");
  a.begin(kEndless);
  EXPECT_TRUE(one->run(Clock::now() + 10ms).ok());
  EXPECT_EQ(b.value("SELECT 1"), "1");
  a.reset();
  one.reset();
  EXPECT_EQ(b.value("SELECT 2"), "2");
}

}  // namespace
}  // namespace pglite::postgres
