// statement_timeout, whatever the calling thread does with signals.
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>
#include <utility>

#include "client.h"

namespace pglite::postgres {
namespace {

constexpr std::string_view kEndless = "SELECT count(*) FROM generate_series(1, 1000000000000)";
constexpr std::string_view kCanceled = "57014 canceling statement due to statement timeout";

bool is_blocked() {
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  return sigismember(&mask, SIGURG) == 1;
}

TEST(Timeouts, InAThreadThatBlocksTheSignal) {
  std::thread([] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    auto instance = open_instance();
    InstanceClient client(*instance);
    client.query("SET statement_timeout = '100ms'");
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(client.value(kEndless), kCanceled);
      EXPECT_TRUE(is_blocked());
      // Its timer runs on when the statement has ended.
      EXPECT_EQ(client.value("SELECT 1"), "1");
      EXPECT_TRUE(is_blocked());
    }
    EXPECT_EQ(client.value("DO $$ BEGIN PERFORM pg_sleep(60); END $$"), kCanceled);
    instance.reset();
    EXPECT_TRUE(is_blocked());
  }).join();
}

// PostgreSQL leaves its timer running when a statement has ended, and the next one relies on it.
TEST(Timeouts, WhenTheThreadOfTheLastStatementHasEnded) {
  auto instance = open_instance();
  InstanceClient client(*instance);
  for (int i = 0; i < 2; ++i) {
    std::thread([&] {
      client.query("SET statement_timeout = '300ms'");
      EXPECT_EQ(client.value("SELECT 1"), "1");
    }).join();
    EXPECT_EQ(client.value(kEndless), kCanceled);
  }
}

// The timer of the first is left running. When it is due, PostgreSQL sets that of the second, which
// may be due before PostgreSQL has acted on the first.
TEST(Timeouts, OfStatementsThatFollowEachOtherAtOnce) {
  auto instance = open_instance();
  InstanceClient client(*instance);
  client.query("SET statement_timeout = '3ms'");
  std::atomic<int> done = 0;
  constexpr int kRounds = 300;
  // What is missed is missed for ever: then this one ends it, and the error is another.
  std::thread rescuer([&] {
    int seen = -1;
    for (auto since = std::chrono::steady_clock::now(); done < kRounds;) {
      if (std::exchange(seen, done.load()) != seen) since = std::chrono::steady_clock::now();
      if (std::chrono::steady_clock::now() - since > std::chrono::seconds(5)) instance->cancel();
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  });
  const std::string both = wire::query("SELECT 1") + wire::query(kEndless);
  for (; done < kRounds; ++done) {
    const Answer answer = client.send(both);
    ASSERT_TRUE(answer.status.ok());
    // On a busy machine the first one may take so long, too.
    EXPECT_THAT(answer.errors,
                testing::AllOf(testing::Not(testing::IsEmpty()), testing::Each(kCanceled)));
  }
  rescuer.join();
}

TEST(Timeouts, TheSignalsHandlerIsGivenBack) {
  struct sigaction before{};
  sigaction(SIGURG, nullptr, &before);
  auto a = open_instance();
  auto b = open_instance();
  InstanceClient client_a(*a);
  InstanceClient client_b(*b);
  for (InstanceClient* client : {&client_a, &client_b}) {
    client->query("SET statement_timeout = '50ms'");
    EXPECT_EQ(client->value(kEndless), kCanceled);
  }
  a.reset();
  EXPECT_EQ(client_b.value(kEndless), kCanceled);
  b.reset();
  struct sigaction after{};
  sigaction(SIGURG, nullptr, &after);
  EXPECT_EQ(after.sa_handler, before.sa_handler);
}

}  // namespace
}  // namespace pglite::postgres
