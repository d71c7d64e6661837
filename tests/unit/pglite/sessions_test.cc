// Many sessions on one cluster: what PostgreSQL promises between them.
#include <sys/resource.h>

#include <fstream>

#include "session_client.h"

namespace pglite::postgres {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

// Computes for some slices.
constexpr std::string_view kLong = "SELECT count(*) FROM generate_series(1, 400000)";

class Sessions : public ClusterTest {
 protected:
  // Whoever waits for a lock looks for a deadlock first, and exec() waits for that.
  Sessions() { options.settings = {"deadlock_timeout=20ms"}; }
};

// --- Transactions ---

TEST_F(Sessions, SeeWhatOthersHaveCommittedAndNothingElse) {
  SessionClient a = session();
  SessionClient b = session();
  a.run("CREATE TABLE t (n int)");
  a.run("BEGIN; INSERT INTO t VALUES (1)");
  EXPECT_EQ(a.value("SELECT count(*) FROM t"), "1");
  EXPECT_EQ(b.value("SELECT count(*) FROM t"), "0");
  a.run("COMMIT");
  EXPECT_EQ(b.value("SELECT count(*) FROM t"), "1");
  a.run("BEGIN; DELETE FROM t");
  EXPECT_EQ(b.value("SELECT count(*) FROM t"), "1");
  a.run("ROLLBACK");
  EXPECT_EQ(a.value("SELECT count(*) FROM t"), "1");
}

TEST_F(Sessions, HaveTransactionsOfTheirOwn) {
  SessionClient a = session();
  SessionClient b = session();
  a.run("BEGIN");
  EXPECT_EQ(b.query("ROLLBACK").tags, std::vector<std::string>{"ROLLBACK"});
  EXPECT_EQ(a.value("SELECT pg_current_xact_id_if_assigned() IS NULL, now() < clock_timestamp()"),
            "t|t");
  EXPECT_EQ(a.error("SELECT 1/0"), "22012");
  EXPECT_EQ(a.error("SELECT 1"), "25P02");
  EXPECT_EQ(b.value("SELECT 1"), "1");
  a.run("ROLLBACK");
}

TEST_F(Sessions, ARepeatableReadKeepsItsView) {
  SessionClient a = session();
  SessionClient b = session();
  a.run("CREATE TABLE t AS SELECT 1 AS n");
  b.run("BEGIN ISOLATION LEVEL REPEATABLE READ");
  EXPECT_EQ(b.value("SELECT n FROM t"), "1");
  a.run("UPDATE t SET n = 2");
  EXPECT_EQ(b.value("SELECT n FROM t"), "1");
  EXPECT_EQ(b.error("UPDATE t SET n = 3"), "40001");
  b.run("ROLLBACK");
  EXPECT_EQ(b.value("SELECT n FROM t"), "2");
}

TEST_F(Sessions, AWriteSkewIsFoundWhereTransactionsAreSerializable) {
  SessionClient a = session();
  SessionClient b = session();
  a.run(
      "CREATE TABLE doctors (name text, on_call bool);"
      "INSERT INTO doctors VALUES ('a', true), ('b', true)");
  for (SessionClient* each : {&a, &b}) {
    each->run("BEGIN ISOLATION LEVEL SERIALIZABLE");
    EXPECT_EQ(each->value("SELECT count(*) FROM doctors WHERE on_call"), "2");
  }
  a.run("UPDATE doctors SET on_call = false WHERE name = 'a'");
  b.run("UPDATE doctors SET on_call = false WHERE name = 'b'");
  a.run("COMMIT");
  EXPECT_EQ(b.error("COMMIT"), "40001");
  EXPECT_EQ(b.value("SELECT count(*) FROM doctors WHERE on_call"), "1");
}

TEST_F(Sessions, APreparedTransactionIsAnothersToEnd) {
  options.settings = {"max_prepared_transactions=5"};
  cluster.reset();
  cluster = open_cluster(options);
  SessionClient a = session();
  SessionClient b = session();
  a.run("CREATE TABLE t (n int)");
  a.run("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'one'");
  a.reset();
  EXPECT_EQ(b.value("SELECT count(*) FROM t"), "0");
  b.run("COMMIT PREPARED 'one'");
  EXPECT_EQ(b.value("SELECT count(*) FROM t"), "1");
}

// --- Locks ---

TEST_F(Sessions, ARowThatAnotherHasLockedIsWaitedFor) {
  SessionClient a = session();
  SessionClient b = session();
  a.run("CREATE TABLE t AS SELECT 1 AS n");
  a.run("BEGIN; UPDATE t SET n = 10");
  const Answer waits = b.query("UPDATE t SET n = n + 1 RETURNING n");
  EXPECT_EQ(waits.status.code(), StatusCode::kWaiting) << waits.text();
  EXPECT_EQ(waits.types, "");
  EXPECT_FALSE(b->wants_input());
  // It waits on, and another request is refused.
  EXPECT_EQ(b.resume().status.code(), StatusCode::kWaiting);
  EXPECT_EQ(b.query("SELECT 1").status.code(), StatusCode::kInvalidArgument);
  a.run("COMMIT");
  const Answer goes_on = b.resume();
  EXPECT_TRUE(goes_on.status.ok()) << goes_on.status.message();
  EXPECT_EQ(goes_on.types, "TDCZ");
  EXPECT_THAT(goes_on.rows, ElementsAre("11"));
  EXPECT_EQ(b.resume().status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(a.value("SELECT n FROM t"), "11");
}

TEST_F(Sessions, AnAnswerBeforeTheWaitIsDelivered) {
  SessionClient a = session();
  SessionClient b = session();
  a.run("CREATE TABLE t AS SELECT 1 AS n");
  a.run("BEGIN; UPDATE t SET n = 10");
  // An error, a notice or a result of an earlier statement may stay in PostgreSQL's own buffer; a
  // Flush sends it.
  const Answer waits = b.send(wire::parse("", "SELECT 7") + wire::bind("", "") + wire::execute("") +
                              wire::flush() + wire::parse("", "UPDATE t SET n = 2") +
                              wire::bind("", "") + wire::execute("") + wire::sync());
  EXPECT_EQ(waits.status.code(), StatusCode::kWaiting);
  EXPECT_EQ(waits.types, "12DC");
  a.run("ROLLBACK");
  const Answer goes_on = b.resume();
  EXPECT_EQ(goes_on.types, "12CZ");
  EXPECT_THAT(goes_on.tags, ElementsAre("UPDATE 1"));
}

TEST_F(Sessions, ManyWaitersAreServedOneAfterTheOther) {
  SessionClient a = session();
  a.run("CREATE TABLE t AS SELECT 0 AS n");
  a.run("BEGIN; SELECT n FROM t FOR UPDATE");
  std::vector<SessionClient> waiters;
  for (int i = 0; i < 10; ++i) {
    waiters.push_back(session());
    waiters.back().begin("UPDATE t SET n = n + 1 RETURNING n");
  }
  settle(*cluster);
  for (SessionClient& waiter : waiters) EXPECT_EQ(waiter.taken().types, "");
  a.run("COMMIT");
  std::vector<std::string> values;
  EXPECT_TRUE(run_until(*cluster, [&] {
                for (SessionClient& waiter : waiters) {
                  for (std::string& row : waiter.taken().rows) values.push_back(std::move(row));
                }
                return values.size() == waiters.size();
              }).ok());
  EXPECT_THAT(values,
              testing::UnorderedElementsAre("1", "2", "3", "4", "5", "6", "7", "8", "9", "10"));
}

TEST_F(Sessions, ADeadlockIsFound) {
  SessionClient a = session();
  SessionClient b = session();
  a.run("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 0), (2, 0)");
  a.run("BEGIN; UPDATE t SET n = 1 WHERE id = 1");
  b.run("BEGIN; UPDATE t SET n = 2 WHERE id = 2");
  EXPECT_EQ(a.query("UPDATE t SET n = 1 WHERE id = 2").status.code(), StatusCode::kWaiting);
  EXPECT_EQ(b.error("UPDATE t SET n = 2 WHERE id = 1"), "40P01");
  EXPECT_EQ(a.resume().tags, std::vector<std::string>{"UPDATE 1"});
  a.run("COMMIT");
  b.run("ROLLBACK");
  EXPECT_EQ(a.value("SELECT string_agg(n::text, ' ') FROM t"), "1 1");
}

TEST_F(Sessions, ALockTimeoutEndsAWaitForALock) {
  SessionClient a = session();
  SessionClient b = session({.settings = {"lock_timeout=30ms"}});
  a.run("CREATE TABLE t (n int)");
  a.run("BEGIN; LOCK TABLE t");
  EXPECT_EQ(b.error("SELECT * FROM t"), "55P03");
  EXPECT_EQ(b.error("BEGIN; LOCK TABLE t NOWAIT"), "55P03");
  b.run("ROLLBACK");
  a.run("ROLLBACK");
  EXPECT_EQ(b.value("SELECT count(*) FROM t"), "0");
}

TEST_F(Sessions, AdvisoryLocksAreBetweenSessions) {
  SessionClient a = session();
  SessionClient b = session();
  EXPECT_EQ(a.value("SELECT pg_try_advisory_lock(7)"), "t");
  EXPECT_EQ(b.value("SELECT pg_try_advisory_lock(7)"), "f");
  EXPECT_EQ(b.value("SELECT pg_try_advisory_lock(8)"), "t");
  EXPECT_EQ(b.query("SELECT pg_advisory_lock(7)").status.code(), StatusCode::kWaiting);
  EXPECT_EQ(a.value("SELECT pg_advisory_unlock(7)"), "t");
  EXPECT_EQ(b.resume().types, "TDCZ");
  EXPECT_EQ(a.value("SELECT pg_try_advisory_lock(7)"), "f");
  // The end of a session frees its locks.
  b.reset();
  settle(*cluster);
  EXPECT_EQ(a.value("SELECT pg_try_advisory_lock(7)"), "t");
}

// Timers that have nothing to do with a lock do not hold up the answer that it is waited for: this
// statement's, and PostgreSQL's own for its statistics, which runs for ten seconds.
TEST_F(Sessions, TimersThatAreFarAwayAreNotWaitedFor) {
  SessionClient a = session();
  SessionClient b = session({.settings = {"statement_timeout=1h"}});
  a.run("CREATE TABLE t AS SELECT 1 AS n");
  for (int i = 0; i < 3; ++i) b.run("UPDATE t SET n = n");
  a.run("BEGIN; UPDATE t SET n = 2");
  const Clock::time_point start = Clock::now();
  EXPECT_EQ(b.query("UPDATE t SET n = 3").status.code(), StatusCode::kWaiting);
  EXPECT_LT(Clock::now() - start, 5s);
  a.run("COMMIT");
  EXPECT_EQ(b.resume().tags, std::vector<std::string>{"UPDATE 1"});
  // A sleep is no wait for others, however long it takes.
  EXPECT_EQ(b.query("SELECT pg_sleep(2.1)").types, "TDCZ");
}

TEST_F(Sessions, AnIndexIsMadeBesideWriters) {
  SessionClient a = session();
  SessionClient b = session();
  a.run("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n");
  b.run("BEGIN; INSERT INTO t VALUES (1001)");
  EXPECT_EQ(a.query("CREATE INDEX CONCURRENTLY i ON t (n)").status.code(), StatusCode::kWaiting);
  EXPECT_EQ(b.value("SELECT count(*) FROM t"), "1001");
  b.run("COMMIT");
  EXPECT_EQ(a.resume().tags, std::vector<std::string>{"CREATE INDEX"});
  EXPECT_EQ(b.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass"), "t");
}

// --- Turns ---

TEST_F(Sessions, OneThatComputesLetsTheOthersRun) {
  SessionClient a = session();
  SessionClient b = session();
  a.begin(kEndless);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(b.value("SELECT 1"), "1");
  EXPECT_EQ(a.taken().types, "");
  EXPECT_FALSE(a->wants_input());
  // It computes as well: the second one's request of many slices is done in its time.
  EXPECT_EQ(b.value(kLong), "400000");
  EXPECT_EQ(b.value("SELECT pg_cancel_backend(" + std::to_string(a->pid()) + ")"), "t");
  EXPECT_TRUE(run_until(*cluster, [&] { return a->wants_input(); }).ok());
  EXPECT_THAT(a.taken().errors, ElementsAre(StartsWith("57014")));
}

TEST_F(Sessions, SeveralThatComputeShareTheTime) {
  std::vector<SessionClient> sessions;
  for (int i = 0; i < 4; ++i) {
    sessions.push_back(session());
    sessions.back().begin(kLong);
  }
  int most_at_once = 0;
  EXPECT_TRUE(run_until(*cluster, [&] {
                int done = 0;
                for (SessionClient& each : sessions) done += each->wants_input() ? 1 : 0;
                if (done < 4) most_at_once = std::max(most_at_once, 4 - done);
                return done == 4;
              }).ok());
  EXPECT_EQ(most_at_once, 4);
  for (SessionClient& each : sessions) EXPECT_THAT(each.taken().rows, ElementsAre("400000"));
}

TEST_F(Sessions, OneThatFillsAFileLetsTheOthersRun) {
  SessionClient a = session();
  SessionClient b = session();
  a.begin("SELECT count(*) FROM generate_series(1, 1000000000000)");
  EXPECT_EQ(b.value("SELECT 1"), "1");
  a->cancel();
  EXPECT_TRUE(run_until(*cluster, [&] { return a->wants_input(); }).ok());
  EXPECT_THAT(a.taken().errors, ElementsAre(StartsWith("57014")));
}

TEST_F(Sessions, ManyWritersLoseNothing) {
  constexpr int kWriters = 8;
  constexpr int kRounds = 25;
  SessionClient a = session();
  a.run("CREATE TABLE counter AS SELECT 0 AS n");
  a.run("CREATE TABLE rows (writer int, round int, PRIMARY KEY (writer, round))");
  std::vector<SessionClient> writers;
  std::vector<int> rounds(kWriters);
  for (int i = 0; i < kWriters; ++i) writers.push_back(session());
  EXPECT_TRUE(run_until(*cluster, [&] {
                bool done = true;
                for (size_t i = 0; i < writers.size(); ++i) {
                  if (!writers[i]->wants_input()) {
                    done = false;
                    continue;
                  }
                  EXPECT_THAT(writers[i].taken().errors, IsEmpty());
                  if (rounds[i] == kRounds) continue;
                  done = false;
                  writers[i].begin("BEGIN; INSERT INTO rows VALUES (" + std::to_string(i) + ", " +
                                   std::to_string(rounds[i]++) +
                                   "); UPDATE counter SET n = n + 1; COMMIT");
                }
                return done;
              }).ok());
  EXPECT_EQ(a.value("SELECT n FROM counter"), "200");
  EXPECT_EQ(a.value("SELECT count(*) FROM rows"), "200");
  EXPECT_EQ(a.error("SELECT * FROM rows WHERE round > 25"), "");
}

// --- Timeouts, each in one session while another computes ---

class SessionTimeouts : public ClusterTest {
 protected:
  // Runs until `target` has ended or wants input, while another session computes.
  Answer beside_a_busy_one(SessionClient& target) {
    SessionClient busy = session();
    busy.begin(kEndless);
    Answer answer;
    EXPECT_TRUE(run_until(*cluster, [&] { return target->ended() || target->wants_input(); }).ok());
    EXPECT_FALSE(busy->wants_input());
    return target.taken();
  }
};

TEST_F(SessionTimeouts, OfAStatementThatComputes) {
  SessionClient a = session({.settings = {"statement_timeout=100ms"}});
  a.begin(kEndless);
  EXPECT_THAT(beside_a_busy_one(a).errors,
              ElementsAre("57014 canceling statement due to statement timeout"));
  EXPECT_EQ(a.value("SELECT 1"), "1");
}

TEST_F(SessionTimeouts, OfAStatementThatSleeps) {
  SessionClient a = session({.settings = {"statement_timeout=50ms"}});
  a.begin("SELECT pg_sleep(1000)");
  EXPECT_THAT(beside_a_busy_one(a).errors,
              ElementsAre("57014 canceling statement due to statement timeout"));
}

TEST_F(SessionTimeouts, OfAStatementThatWaitsForALock) {
  SessionClient owner = session();
  owner.run("CREATE TABLE t (n int)");
  owner.run("BEGIN; LOCK TABLE t");
  SessionClient a = session({.settings = {"statement_timeout=50ms"}});
  a.begin("SELECT * FROM t");
  EXPECT_THAT(beside_a_busy_one(a).errors,
              ElementsAre("57014 canceling statement due to statement timeout"));
}

TEST_F(SessionTimeouts, OfALock) {
  SessionClient owner = session();
  owner.run("CREATE TABLE t (n int)");
  owner.run("BEGIN; LOCK TABLE t");
  SessionClient a = session({.settings = {"lock_timeout=50ms"}});
  a.begin("SELECT * FROM t");
  EXPECT_THAT(beside_a_busy_one(a).errors,
              ElementsAre("55P03 canceling statement due to lock timeout"));
}

TEST_F(SessionTimeouts, OfAnIdleTransaction) {
  SessionClient a = session({.settings = {"idle_in_transaction_session_timeout=50ms"}});
  SessionClient b = session();
  a.run("CREATE TABLE t AS SELECT 1 AS n");
  a.run("BEGIN; UPDATE t SET n = 2");
  SessionClient busy = session();
  busy.begin(kEndless);
  // Another one waits for what it has locked, and gets it.
  b.begin("UPDATE t SET n = 3 RETURNING n");
  EXPECT_TRUE(run_until(*cluster, [&] { return a->ended() && b->wants_input(); }).ok());
  EXPECT_THAT(a.taken().errors, ElementsAre(StartsWith("25P03")));
  EXPECT_THAT(b.taken().rows, ElementsAre("3"));
  EXPECT_FALSE(busy->wants_input());
}

TEST_F(SessionTimeouts, OfAnIdleSession) {
  SessionClient a = session({.settings = {"idle_session_timeout=50ms"}});
  EXPECT_TRUE(run_until(*cluster, [&] { return a->ended(); }).ok());
  EXPECT_THAT(a.taken().errors, ElementsAre(StartsWith("57P05")));
  EXPECT_EQ(a.query("SELECT 1").status.code(), StatusCode::kSessionEnded);
}

TEST_F(SessionTimeouts, OfATransaction) {
  SessionClient a = session({.settings = {"transaction_timeout=50ms"}});
  a.begin("BEGIN; SELECT pg_sleep(1000)");
  EXPECT_TRUE(run_until(*cluster, [&] { return a->ended(); }).ok());
  EXPECT_THAT(a.taken().errors, ElementsAre(StartsWith("25P04")));
}

// The holder's timeout is what lets the other one go on: exec() need not give up.
TEST_F(SessionTimeouts, OfTheHolderOfALockEndsAnothersWait) {
  SessionClient a = session({.settings = {"idle_in_transaction_session_timeout=50ms"}});
  SessionClient b = session({.settings = {"deadlock_timeout=10ms"}});
  a.run("CREATE TABLE t AS SELECT 1 AS n");
  a.run("BEGIN; UPDATE t SET n = 2");
  Answer answer = b.query("UPDATE t SET n = 3 RETURNING n");
  if (answer.status.code() == StatusCode::kWaiting) {
    EXPECT_TRUE(run_until(*cluster, [&] { return a->ended(); }).ok());
    answer = b.resume();
  }
  EXPECT_EQ(answer.text(), "3");
}

TEST_F(SessionTimeouts, OfASleepAreKept) {
  SessionClient a = session();
  SessionClient b = session();
  const Clock::time_point start = Clock::now();
  a.begin("SELECT pg_sleep(0.2)");
  b.begin("SELECT pg_sleep(0.1)");
  settle(*cluster);
  const auto deadline = cluster->deadline();
  ASSERT_TRUE(deadline.has_value());
  EXPECT_LE(*deadline, start + 150ms);
  EXPECT_TRUE(run_until(*cluster, [&] { return b->wants_input(); }).ok());
  EXPECT_GE(Clock::now() - start, 100ms);
  EXPECT_TRUE(run_until(*cluster, [&] { return a->wants_input(); }).ok());
  EXPECT_GE(Clock::now() - start, 200ms);
  // exec() sleeps by itself.
  EXPECT_EQ(b.taken().types, "TDCZ");
  EXPECT_EQ(b.query("SELECT pg_sleep(0.05)").types, "TDCZ");
}

// --- Notifications ---

TEST_F(Sessions, ANotificationReachesOneThatIsIdle) {
  SessionClient listener = session();
  SessionClient other = session();
  listener.run("LISTEN c");
  other.run("NOTIFY c, 'hello'");
  settle(*cluster);
  EXPECT_TRUE(listener->wants_input());
  const Answer said = listener.taken();
  EXPECT_EQ(said.types, "A");
  EXPECT_THAT(said.notifications, ElementsAre("c hello"));
  EXPECT_EQ(other.taken().types, "");
}

TEST_F(Sessions, ANotificationWaitsForTheEndOfTheTransaction) {
  SessionClient listener = session();
  SessionClient other = session();
  listener.run("LISTEN c");
  listener.run("BEGIN");
  other.run("BEGIN; SELECT pg_notify('c', 'x')");
  settle(*cluster);
  EXPECT_EQ(listener.taken().types, "");
  other.run("COMMIT");
  settle(*cluster);
  EXPECT_EQ(listener.taken().types, "");
  EXPECT_THAT(listener.query("COMMIT").notifications, ElementsAre("c x"));
  other.run("BEGIN; NOTIFY c; ROLLBACK");
  settle(*cluster);
  EXPECT_EQ(listener.taken().types, "");
}

TEST_F(Sessions, NotificationsComeInOrderToAllWhoListen) {
  std::vector<SessionClient> listeners;
  for (int i = 0; i < 3; ++i) {
    listeners.push_back(session());
    listeners.back().run("LISTEN c");
  }
  SessionClient deaf = session();
  SessionClient other = session();
  listeners[2].run("UNLISTEN *");
  for (int i = 0; i < 50; ++i) other.run("NOTIFY c, '" + std::to_string(i) + "'");
  settle(*cluster);
  for (int i = 0; i < 2; ++i) {
    const Answer said = listeners[static_cast<size_t>(i)].taken();
    ASSERT_EQ(said.notifications.size(), 50U);
    for (size_t n = 0; n < 50; ++n) EXPECT_EQ(said.notifications[n], "c " + std::to_string(n));
  }
  EXPECT_EQ(listeners[2].taken().types, "");
  EXPECT_EQ(deaf.taken().types, "");
}

TEST_F(Sessions, ANotificationReachesOneThatSleeps) {
  SessionClient listener = session();
  SessionClient other = session();
  listener.run("LISTEN c");
  listener.begin("SELECT pg_sleep(0.1)");
  other.run("NOTIFY c, 'x'");
  EXPECT_TRUE(run_until(*cluster, [&] { return listener->wants_input(); }).ok());
  EXPECT_EQ(listener.taken().types, "TDCAZ");
}

// --- What is each session's own ---

TEST_F(Sessions, TemporaryTablesAreEachSessionsOwn) {
  SessionClient a = session();
  SessionClient b = session();
  for (SessionClient* each : {&a, &b}) {
    each->run("CREATE TEMP TABLE mine AS SELECT pg_backend_pid() AS pid");
  }
  EXPECT_EQ(a.value("SELECT pid FROM mine"), std::to_string(a->pid()));
  EXPECT_EQ(b.value("SELECT pid FROM mine"), std::to_string(b->pid()));
  EXPECT_EQ(a.value("SELECT count(*) FROM pg_class WHERE relname = 'mine'"), "2");
  b.reset();
  settle(*cluster);
  EXPECT_EQ(a.value("SELECT count(*) FROM pg_class WHERE relname = 'mine'"), "1");
  SessionClient c = session();
  EXPECT_EQ(c.error("SELECT * FROM mine"), "42P01");
}

TEST_F(Sessions, PreparedStatementsAndCursorsAndSettingsAreEachSessionsOwn) {
  SessionClient a = session();
  SessionClient b = session();
  a.run("PREPARE p AS SELECT 1; SET work_mem = '1MB'; SET search_path = pg_catalog");
  a.run("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 3); COMMIT");
  EXPECT_EQ(b.error("EXECUTE p"), "26000");
  EXPECT_EQ(b.error("FETCH c"), "34000");
  EXPECT_EQ(b.value("SELECT current_setting('work_mem')"), "4MB");
  EXPECT_EQ(b.value("SHOW search_path"), "\"$user\", public");
  EXPECT_EQ(a.value("FETCH c"), "1");
  EXPECT_EQ(a.value("SELECT lastval()"), "55000 lastval is not yet defined in this session");
}

TEST_F(Sessions, RandomNumbersAreNotTheSame) {
  SessionClient a = session();
  SessionClient b = session();
  EXPECT_NE(a.value("SELECT random()"), b.value("SELECT random()"));
  EXPECT_NE(a.value("SELECT gen_random_uuid()"), b.value("SELECT gen_random_uuid()"));
}

TEST_F(Sessions, ATableThatAnotherChangesIsSeenAsItIs) {
  SessionClient a = session();
  SessionClient b = session();
  a.run("CREATE TABLE t AS SELECT 1 AS n");
  b.run("PREPARE p AS SELECT * FROM t");
  EXPECT_EQ(b.value("EXECUTE p"), "1");
  a.run("ALTER TABLE t ADD COLUMN m int DEFAULT 7");
  EXPECT_THAT(b.value("EXECUTE p"), HasSubstr("cached plan must not change result type"));
  EXPECT_EQ(b.value("SELECT * FROM t"), "1|7");
  // A plan is made again where its result stays what it was.
  b.run("PREPARE q AS SELECT n FROM t WHERE n = 1");
  EXPECT_EQ(b.value("EXECUTE q"), "1");
  a.run("CREATE INDEX ON t (n); ALTER TABLE t ALTER m TYPE bigint");
  EXPECT_EQ(b.value("EXECUTE q"), "1");
  a.run("DROP TABLE t");
  EXPECT_EQ(b.error("EXECUTE q"), "42P01");
}

TEST_F(Sessions, AFunctionThatAnotherReplacesIsTheNewOne) {
  SessionClient a = session();
  SessionClient b = session();
  a.run("CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'");
  EXPECT_EQ(b.value("SELECT f()"), "1");
  a.run("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 2; END'");
  EXPECT_EQ(b.value("SELECT f()"), "2");
}

// More invalidations than the queue between the sessions holds.
TEST_F(Sessions, OneThatWasIdleForLongCatchesUp) {
  SessionClient a = session();
  SessionClient b = session();
  a.run("CREATE TABLE t AS SELECT 1 AS n");
  EXPECT_EQ(b.value("SELECT n FROM t"), "1");
  a.run(
      "DO $$ BEGIN FOR i IN 1..800 LOOP"
      "  EXECUTE format('CREATE TABLE x%s (n int)', i); END LOOP; END $$");
  a.run("ALTER TABLE t RENAME n TO m");
  EXPECT_EQ(b.value("SELECT m FROM t"), "1");
  EXPECT_EQ(b.value("SELECT count(*) FROM pg_class WHERE relname LIKE 'x%'"), "800");
}

// --- The protocol ---

TEST_F(Sessions, COPYGoesOnWhileOthersRun) {
  SessionClient a = session();
  SessionClient b = session();
  a.run("CREATE TABLE t (n int)");
  EXPECT_EQ(a.query("COPY t FROM STDIN").types, "G");
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(a.send(wire::copy_data(std::to_string(i) + "\n")).types, "");
    EXPECT_EQ(b.value("SELECT count(*) FROM t"), "0");
  }
  const Answer answer = a.send(wire::copy_done());
  EXPECT_EQ(answer.types, "CZ");
  EXPECT_THAT(answer.tags, ElementsAre("COPY 10"));
  EXPECT_EQ(b.value("SELECT count(*) FROM t"), "10");
  EXPECT_THAT(b.query("COPY t TO STDOUT").copied, StartsWith("0\n1\n2\n"));
  // Two at once, and one that fails.
  EXPECT_EQ(a.query("COPY t FROM STDIN").types, "G");
  EXPECT_EQ(b.query("COPY t FROM STDIN").types, "G");
  EXPECT_EQ(a.send(wire::copy_data("11\n")).types, "");
  EXPECT_THAT(b.send(wire::copy_data("nonsense\n")).errors, ElementsAre(StartsWith("22P02")));
  EXPECT_THAT(a.send(wire::copy_fail("no more")).errors, ElementsAre(StartsWith("57014")));
  EXPECT_EQ(a.value("SELECT count(*) FROM t"), "10");
}

TEST_F(Sessions, PipelinesOfTheExtendedProtocol) {
  SessionClient a = session();
  SessionClient b = session();
  a.run("CREATE TABLE t (n int PRIMARY KEY)");
  const auto insert = [](std::string_view value) {
    return wire::parse("", "INSERT INTO t VALUES ($1)") +
           wire::bind("", "", std::vector<wire::Parameter>{{.value = value}}) + wire::execute("");
  };
  // All up to a Sync are one transaction.
  Answer answer = a.send(insert("1") + insert("2") + wire::sync());
  EXPECT_EQ(answer.types, "12C12CZ");
  answer =
      a.send(insert("3") + insert("1") + insert("4") + wire::sync() + insert("5") + wire::sync());
  EXPECT_EQ(answer.types, "12C12EZ12CZ");
  EXPECT_THAT(answer.errors, ElementsAre(StartsWith("23505")));
  EXPECT_EQ(b.value("SELECT string_agg(n::text, ' ' ORDER BY n) FROM t"), "1 2 5");
  // Open at its end: a Flush is answered, and the transaction is open until the Sync.
  EXPECT_EQ(a.send(insert("6") + wire::flush()).types, "12C");
  EXPECT_EQ(b.value("SELECT count(*) FROM t"), "3");
  EXPECT_EQ(a.send(wire::sync()).types, "Z");
  EXPECT_EQ(b.value("SELECT count(*) FROM t"), "4");
  // A portal in pieces, with the other session's requests between them.
  EXPECT_EQ(a.send(wire::parse("s", "SELECT n FROM t ORDER BY n") + wire::bind("p", "s") +
                   wire::describe('P', "p") + wire::execute("p", 2) + wire::flush())
                .types,
            "12TDDs");
  b.run("DELETE FROM t");
  answer = a.send(wire::execute("p", 0) + wire::close('S', "s") + wire::sync());
  EXPECT_EQ(answer.types, "DDC3Z");
  EXPECT_THAT(answer.rows, ElementsAre("5", "6"));
}

TEST_F(Sessions, APipelineOfManyQueriesInOneRequest) {
  SessionClient a = session();
  std::string request;
  for (int i = 0; i < 1000; ++i) request += wire::query("SELECT " + std::to_string(i));
  const Answer answer = a.send(request);
  EXPECT_TRUE(answer.status.ok());
  ASSERT_EQ(answer.rows.size(), 1000U);
  EXPECT_EQ(answer.rows[999], "999");
}

TEST_F(Sessions, AMessageMayComeInPieces) {
  SessionClient a = session();
  const std::string message = wire::query("SELECT 'in pieces'");
  for (const char byte : message) {
    EXPECT_EQ(a.taken().types, "");
    a->send({&byte, 1});
    settle(*cluster);
    EXPECT_EQ(a->unread(), 0U);
    EXPECT_TRUE(a->wants_input());
  }
  EXPECT_THAT(a.taken().rows, ElementsAre("in pieces"));
}

// --- Large results, large input ---

// What the process has in memory and the system counts as its own.
size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  size_t size = 0;
  size_t resident = 0;
  statm >> size >> resident;
  return resident * 4096;
}

constexpr size_t kMegabyte = size_t{1} << 20;

class SessionFloods : public ClusterTest {};

TEST_F(SessionFloods, PostgresWaitsForWhoReadsSlowly) {
  SessionClient a = session();
  SessionClient b = session();
  a.begin("SELECT repeat('x', 1000) FROM generate_series(1, 60000)");
  settle(*cluster);
  // Nobody takes anything: PostgreSQL stands still, and the others do not.
  const size_t limit = a->output().size();
  EXPECT_GT(limit, size_t{64} << 10);
  EXPECT_LT(limit, kMegabyte);
  EXPECT_EQ(b.value("SELECT 1"), "1");
  EXPECT_EQ(
      b.value("SELECT wait_event FROM pg_stat_activity WHERE pid = " + std::to_string(a->pid())),
      "ClientWrite");
  EXPECT_EQ(a->output().size(), limit);
  const size_t before = resident_bytes();
  size_t taken = 0;
  size_t longest = 0;
  EXPECT_TRUE(run_until(*cluster, [&] {
                const size_t size = a->output().size();
                longest = std::max(longest, size);
                const size_t piece = std::min<size_t>(size, 100'000);
                a->take(piece);
                taken += piece;
                return a->wants_input() && a->output().empty();
              }).ok());
  EXPECT_GT(taken, 60 * kMegabyte * 95 / 100);
  EXPECT_LT(longest, kMegabyte);
  EXPECT_LT(resident_bytes(), before + 20 * kMegabyte);
}

// The reader always leaves something.
TEST_F(SessionFloods, WhatIsTakenOfTheOutputTakesNoMemory) {
  SessionClient a = session();
  a.begin("SELECT repeat('x', 1000) FROM generate_series(1, 100000)");
  settle(*cluster);
  const size_t before = resident_bytes();
  EXPECT_TRUE(run_until(*cluster, [&] {
                if (a->wants_input()) a->take(a->output().size());
                if (a->output().size() > 1000) a->take(a->output().size() - 1000);
                return a->wants_input();
              }).ok());
  EXPECT_LT(resident_bytes(), before + 20 * kMegabyte);
}

TEST_F(SessionFloods, ALargeResultOfExecTakesNoMemory) {
  SessionClient a = session();
  SessionClient b = session();
  b.begin(kEndless);
  const size_t before = resident_bytes();
  size_t size = 0;
  size_t largest = 0;
  const Status status =
      a->exec(wire::query("SELECT repeat('x', 1000) FROM generate_series(1, 40000)"),
              [&](std::string_view bytes) {
                size += bytes.size();
                largest = std::max(largest, bytes.size());
              });
  EXPECT_TRUE(status.ok());
  EXPECT_GT(size, 38 * kMegabyte);
  EXPECT_LT(largest, kMegabyte);
  EXPECT_LT(resident_bytes(), before + 20 * kMegabyte);
}

// One value is far larger than the limit.
TEST_F(SessionFloods, OneLargeValueIsGivenOutInPieces) {
  SessionClient a = session();
  a.begin("SELECT repeat('x', 30000000)");
  size_t size = 0;
  size_t longest = 0;
  EXPECT_TRUE(run_until(*cluster, [&] {
                longest = std::max(longest, a->output().size());
                size += a->output().size();
                a->take(a->output().size());
                return a->wants_input();
              }).ok());
  EXPECT_GT(size, 30'000'000U);
  EXPECT_LT(longest, kMegabyte);
}

// The sender keeps PostgreSQL supplied: there is always something that it has not read.
TEST_F(SessionFloods, WhatIsReadOfTheInputTakesNoMemory) {
  SessionClient a = session();
  a.run("CREATE TABLE t (n text)");
  // Lines that are not stored: the table would take memory as well.
  a.run("CREATE FUNCTION drop_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
  a.run("CREATE TRIGGER t BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION drop_it()");
  a.begin("COPY t FROM STDIN");
  settle(*cluster);
  EXPECT_EQ(a.taken().types, "G");
  const std::string line = std::string(8000, 'y') + "\n";
  std::string piece;
  for (int i = 0; i < 25; ++i) piece += wire::copy_data(line);
  const size_t before = resident_bytes();
  size_t sent = 0;
  while (sent < 100 * kMegabyte) {
    while (a->unread() < 2 * piece.size()) {
      a->send(piece);
      sent += piece.size();
    }
    ASSERT_TRUE(cluster->run(Clock::now() + 1ms).ok());
  }
  EXPECT_LT(resident_bytes(), before + 30 * kMegabyte);
  a->send(wire::copy_done());
  EXPECT_TRUE(run_until(*cluster, [&] { return a->wants_input(); }).ok());
  EXPECT_THAT(a.taken().tags, ElementsAre("COPY 0"));
}

// --- What PostgreSQL says about them ---

TEST_F(Sessions, HaveNumbersOfTheirOwn) {
  SessionClient a = session();
  SessionClient b = session();
  EXPECT_NE(a->pid(), b->pid());
  EXPECT_EQ(a.value("SELECT pg_backend_pid()"), std::to_string(a->pid()));
  EXPECT_EQ(b.value("SELECT pg_backend_pid()"), std::to_string(b->pid()));
}

TEST_F(Sessions, AreInTheStatisticsWithWhatTheyWaitFor) {
  SessionClient a = session();
  SessionClient idle = session({.settings = {"application_name=idle"}});
  SessionClient in_transaction = session();
  SessionClient sleeps = session();
  SessionClient waits = session();
  SessionClient computes = session();
  SessionClient copies = session();
  a.run("CREATE TABLE t (n int)");
  in_transaction.run("BEGIN; LOCK TABLE t");
  sleeps.begin("SELECT pg_sleep(1000)");
  waits.begin("SELECT * FROM t");
  computes.begin(kEndless);
  a.run("CREATE TABLE u (n int)");
  EXPECT_EQ(copies.query("COPY u FROM STDIN").types, "G");
  const auto facts = [&](SessionClient& of, const std::string& what) {
    return a.value("SELECT " + what +
                   " FROM pg_stat_activity WHERE pid = " + std::to_string(of->pid()));
  };
  (void)cluster->run(Clock::now() + 20ms);
  const std::string kColumns = "state, wait_event_type, wait_event";
  EXPECT_EQ(facts(idle, kColumns), "idle|Client|ClientRead");
  EXPECT_EQ(facts(in_transaction, kColumns), "idle in transaction|Client|ClientRead");
  EXPECT_EQ(facts(sleeps, kColumns), "active|Timeout|PgSleep");
  EXPECT_EQ(facts(waits, kColumns), "active|Lock|relation");
  EXPECT_EQ(facts(computes, kColumns), "active|null|null");
  EXPECT_EQ(facts(copies, kColumns), "active|Client|ClientRead");
  EXPECT_EQ(facts(a, "state"), "active");
  EXPECT_EQ(facts(waits, "pg_blocking_pids(pid)"),
            "{" + std::to_string(in_transaction->pid()) + "}");
  EXPECT_EQ(facts(idle, "backend_type, datname, usename, application_name, client_addr"),
            "client backend|postgres|postgres|idle|null");
  EXPECT_EQ(facts(sleeps, "query"), "SELECT pg_sleep(1000)");
  EXPECT_EQ(a.value("SELECT string_agg(backend_type, ', ' ORDER BY backend_type)"
                    " FROM pg_stat_activity WHERE backend_type <> 'client backend'"),
            "autovacuum launcher, checkpointer, walwriter");
}

TEST_F(Sessions, StatisticsOfOneAreReadByAnother) {
  SessionClient a = session();
  SessionClient b = session();
  a.run("CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 100)");
  a.run("SELECT pg_stat_force_next_flush()");
  a.run("SELECT 1");
  EXPECT_EQ(b.value("SELECT n_tup_ins, n_live_tup FROM pg_stat_user_tables"), "100|100");
}

// Only the end of a session hands in what it has counted last.
TEST_F(Sessions, StatisticsOfOneThatHasEndedAreReadByAnother) {
  SessionClient a = session();
  a.run("CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 100)");
  a.reset();
  settle(*cluster);
  SessionClient b = session();
  EXPECT_EQ(b.value("SELECT n_tup_ins FROM pg_stat_user_tables"), "100");
}

// --- PostgreSQL's own processes ---

TEST_F(Sessions, ACheckpointIsTheCheckpointers) {
  SessionClient a = session();
  SessionClient b = session();
  const auto count = [&] {
    return std::stoi(b.value("SELECT num_requested FROM pg_stat_checkpointer"));
  };
  const int before = count();
  a.run("CREATE TABLE t AS SELECT generate_series(1, 1000)");
  a.run("CHECKPOINT");
  EXPECT_EQ(count(), before + 1);
  // Two at once are served.
  a.run("INSERT INTO t VALUES (1)");
  a.begin("CHECKPOINT");
  b.begin("CHECKPOINT");
  EXPECT_TRUE(run_until(*cluster, [&] { return a->wants_input() && b->wants_input(); }).ok());
  EXPECT_THAT(a.taken().tags, ElementsAre("CHECKPOINT"));
  EXPECT_THAT(b.taken().tags, ElementsAre("CHECKPOINT"));
  EXPECT_GT(count(), before + 1);
}

TEST_F(Sessions, ACheckpointIsMadeWhileAnotherComputesAndWrites) {
  SessionClient a = session();
  SessionClient b = session();
  a.run("CREATE TABLE t (n int)");
  a.begin("INSERT INTO t SELECT generate_series(1, 300000)");
  b.run("CHECKPOINT");
  EXPECT_TRUE(run_until(*cluster, [&] { return a->wants_input(); }).ok());
  EXPECT_EQ(b.value("SELECT count(*) FROM t"), "300000");
}

TEST_F(Sessions, DatabasesAreMadeAndDroppedBesideOthers) {
  SessionClient a = session();
  SessionClient b = session();
  SessionClient busy = session();
  busy.begin(kEndless);
  a.run("CREATE TABLE t AS SELECT 1 AS n");
  b.reset();
  a.run("CREATE DATABASE one");
  {
    SessionClient in_one = session({.database = "one"});
    in_one.run("CREATE TABLE t AS SELECT 7 AS n");
  }
  a.run("CREATE DATABASE two TEMPLATE one");
  a.run("CREATE DATABASE three TEMPLATE one STRATEGY file_copy");
  for (const char* name : {"two", "three"}) {
    SessionClient in_it = session({.database = name});
    EXPECT_EQ(in_it.value("SELECT n FROM t"), "7");
    if (name == std::string_view("two")) continue;
    a.run("DROP DATABASE three WITH (FORCE)");
    EXPECT_TRUE(run_until(*cluster, [&] { return in_it->ended(); }).ok());
    EXPECT_THAT(in_it.taken().errors, ElementsAre(StartsWith("57P01")));
  }
  a.run("DROP DATABASE two");
  EXPECT_EQ(a.value("SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database"),
            "one postgres template0 template1");
  EXPECT_FALSE(busy->wants_input());
}

TEST_F(Sessions, TablesAreRewrittenBesideOthers) {
  SessionClient a = session();
  SessionClient b = session();
  a.run("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n; DELETE FROM t WHERE n > 10");
  a.run("CREATE INDEX i ON t (n)");
  b.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
  a.run("VACUUM FULL t");
  a.run("CLUSTER t USING i; REINDEX TABLE t");
  b.run("COMMIT");
  EXPECT_EQ(b.value("SELECT count(*) FROM t"), "10");
}

class SessionAutovacuum : public ClusterTest {
 protected:
  SessionAutovacuum() {
    options.settings = {"autovacuum_naptime=1s", "autovacuum_vacuum_threshold=10",
                        "autovacuum_analyze_threshold=10", "autovacuum_vacuum_scale_factor=0",
                        "autovacuum_analyze_scale_factor=0"};
  }
};

TEST_F(SessionAutovacuum, RunsByItself) {
  SessionClient a = session();
  SessionClient b = session();
  a.run("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n");
  a.run("DELETE FROM t WHERE n % 2 = 0");
  a.reset();
  EXPECT_TRUE(run_until(*cluster, [&] {
                return b.value(
                           "SELECT autovacuum_count > 0 AND autoanalyze_count > 0 AND"
                           " last_autovacuum IS NOT NULL FROM pg_stat_user_tables") == "t";
              }).ok());
  EXPECT_EQ(b.value("SELECT n_dead_tup FROM pg_stat_user_tables"), "0");
  EXPECT_EQ(b.value("SELECT reltuples FROM pg_class WHERE relname = 't'"), "500");
}

}  // namespace
}  // namespace pglite::postgres
