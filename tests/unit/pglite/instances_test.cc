// Several instances: interleaved, in threads, over a fork, and one directory again and again.
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "client.h"

namespace pglite::postgres {
namespace {

TEST(Instances, DoNotShareAnything) {
  auto a = open_instance();
  auto b = open_instance();
  InstanceClient client_a(*a);
  InstanceClient client_b(*b);
  client_a.query("CREATE TABLE t AS SELECT 'a' AS v");
  client_b.query("CREATE TABLE t AS SELECT 'b' AS v");
  client_a.query("BEGIN");
  client_b.query("SET work_mem = '1MB'");
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(client_a.value("SELECT v FROM t"), "a");
    ASSERT_EQ(client_b.value("SELECT v FROM t"), "b");
    ASSERT_EQ(client_b.value("SELECT 1/0"), "22012 division by zero");
  }
  EXPECT_NE(client_a.value("SHOW work_mem"), "1MB");
  a.reset();
  EXPECT_EQ(client_b.value("SELECT v FROM t"), "b");
}

TEST(Instances, InThreads) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([t] {
      auto instance = open_instance();
      ASSERT_NE(instance, nullptr);
      InstanceClient client(*instance);
      client.query("CREATE TABLE t AS SELECT " + std::to_string(t) + " AS v");
      for (int i = 0; i < 100; ++i) {
        ASSERT_EQ(client.value("SELECT v FROM t"), std::to_string(t));
        ASSERT_EQ(client.value("SELECT 1/0"), "22012 division by zero");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Instances, MoveBetweenThreads) {
  auto instance = open_instance();
  InstanceClient client(*instance);
  client.query("CREATE TABLE t (n int)");
  // In the middle of a COPY, even.
  client.query("COPY t FROM STDIN");
  std::thread([&] {
    client.send(wire::copy_data("1\n"));
    EXPECT_EQ(client.send(wire::copy_done()).types, "CZ");
    EXPECT_EQ(client.value("SELECT 1/0"), "22012 division by zero");
  }).join();
  EXPECT_EQ(client.value("SELECT n FROM t"), "1");
  std::thread([&] { EXPECT_TRUE(instance->close().ok()); }).join();
}

TEST(Instances, GoOnInAForkedChild) {
  auto instance = open_instance();
  InstanceClient client(*instance);
  client.query("CREATE TABLE t AS SELECT 1 AS n");
  const pid_t child = fork();
  if (child == 0) {
    const bool good = client.value("INSERT INTO t VALUES (2) RETURNING n") == "2" &&
                      client.value("SELECT count(*) FROM t") == "2" &&
                      client.value("SELECT 1/0") == "22012 division by zero" &&
                      instance->close().ok();
    _exit(good ? 0 : 1);
  }
  EXPECT_EQ(client.value("INSERT INTO t VALUES (3), (4) RETURNING n"), "3");
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(client.value("SELECT count(*) FROM t"), "3");
}

TEST(Instances, OneDirectoryAgainAndAgain) {
  TemporaryDirectory directory;
  for (int i = 1; i <= 4; ++i) {
    auto instance = open_instance(in_directory(directory.path()));
    ASSERT_NE(instance, nullptr);
    InstanceClient client(*instance);
    client.query("CREATE TABLE IF NOT EXISTS t (n int)");
    EXPECT_EQ(client.query("INSERT INTO t VALUES (1)").tags[0], "INSERT 0 1");
    EXPECT_EQ(client.value("SELECT count(*) FROM t"), std::to_string(i));
    EXPECT_EQ(open_fails(in_directory(directory.path())).code(), StatusCode::kInUse);
    // By the destructor, too.
    if (i % 2 == 0) {
      EXPECT_TRUE(instance->close().ok());
    }
  }
}

TEST(Instances, AKilledOneLosesNothingThatWasCommitted) {
  TemporaryDirectory directory;
  EXPECT_TRUE(open_instance(in_directory(directory.path()))->close().ok());
  const pid_t child = fork();
  if (child == 0) {
    auto instance = open_instance(in_directory(directory.path()));
    InstanceClient client(*instance);
    client.query("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n");
    client.query("BEGIN; INSERT INTO t VALUES (0)");
    kill(getpid(), SIGKILL);
  }
  waitpid(child, nullptr, 0);
  auto instance = open_instance(in_directory(directory.path()));
  ASSERT_NE(instance, nullptr);
  EXPECT_EQ(InstanceClient(*instance).value("SELECT count(*) FROM t"), "1000");
}

}  // namespace
}  // namespace pglite::postgres
