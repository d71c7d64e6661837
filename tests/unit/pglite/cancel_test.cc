// cancel() from other threads and from signal handlers. To be run under ThreadSanitizer, too.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "canceller.h"
#include "client.h"
#include "pglite/cancel_gate.h"

namespace pglite::postgres {
namespace {

using namespace std::chrono_literals;

// --- The gate ---

TEST(CancelGate, IsPassedWhileItIsOpen) {
  CancelGate gate;
  int passed = 0;
  const auto pass = [&] { return gate.pass([&] { ++passed; }); };
  EXPECT_FALSE(pass());
  gate.close();
  EXPECT_FALSE(pass());
  gate.open();
  EXPECT_TRUE(pass());
  EXPECT_TRUE(pass());
  gate.open();
  EXPECT_TRUE(pass());
  gate.close();
  EXPECT_FALSE(pass());
  EXPECT_EQ(passed, 3);
}

TEST(CancelGate, ClosingWaitsForWhoeverIsInside) {
  CancelGate gate;
  gate.open();
  std::atomic<bool> inside = false;
  std::atomic<bool> go_on = false;
  std::atomic<bool> out = false;
  std::thread canceller([&] {
    gate.pass([&] {
      inside = true;
      while (!go_on) std::this_thread::yield();
      out = true;
    });
  });
  while (!inside) std::this_thread::yield();
  std::thread helper([&] {
    std::this_thread::sleep_for(20ms);
    go_on = true;
  });
  gate.close();
  EXPECT_TRUE(out);
  EXPECT_FALSE(gate.pass([] { ADD_FAILURE(); }));
  canceller.join();
  helper.join();
}

// What is changed while the gate is closed is not seen half changed from within.
TEST(CancelGate, NothingIsSeenWhileItIsClosed) {
  CancelGate gate;
  std::unique_ptr<int> value;  // unsynchronised, as the instance's backend is
  std::atomic<bool> stop = false;
  std::atomic<int> passed = 0;
  std::thread canceller([&] {
    while (!stop) {
      passed += gate.pass([&] { EXPECT_EQ(*value, 42); });
    }
  });
  const auto end = std::chrono::steady_clock::now() + 10s;
  for (int i = 0; (i < 20000 || passed == 0) && std::chrono::steady_clock::now() < end; ++i) {
    value = std::make_unique<int>(42);
    gate.open();
    if (i % 100 == 0) std::this_thread::yield();
    gate.close();
    *value = 0;
    value.reset();
  }
  stop = true;
  canceller.join();
  EXPECT_GT(passed, 0);
}

// --- The instance ---

std::unique_ptr<Instance> open_instance() {
  std::unique_ptr<Instance> instance;
  const Status status = Instance::open({}, &instance);
  EXPECT_TRUE(status.ok()) << status.message();
  return instance;
}

TEST(Cancel, HitsNoRequestThatBeganAfterItReturned) {
  auto instance = open_instance();
  InstanceClient client(*instance);
  client.query("CREATE TABLE t (a int)");
  Canceller canceller(*instance);
  int cancelled = 0;
  const auto start = std::chrono::steady_clock::now();
  // For some seconds; on a busy machine until a cancel has found something to do.
  const auto is_over = [&] {
    const auto time = std::chrono::steady_clock::now() - start;
    return time > (cancelled > 0 ? 3s : 60s);
  };
  for (int i = 0; i < 500 || cancelled == 0; ++i) {
    if (is_over()) break;
    // Short ones, to be met at their beginnings and ends, and long ones, to be met at all.
    const Answer hit = client.query(i % 20 == 0 ? "SELECT count(*) FROM generate_series(1, 1000000)"
                                                : "INSERT INTO t SELECT generate_series(1, 100)");
    ASSERT_TRUE(hit.status.ok()) << hit.status.message();
    for (const std::string& error : hit.errors) {
      EXPECT_EQ(error.substr(0, 5), "57014");
      ++cancelled;
    }
    canceller.rest();
    EXPECT_EQ(client.query("SELECT pg_sleep(0), 1").types, "TDCZ");
    canceller.go_on();
  }
  EXPECT_GT(cancelled, 0);  // it does something
}

// They are no requests; beside a cancel without pause they succeed.
TEST(Cancel, CutsNoSnapshotShort) {
  auto instance = open_instance();
  InstanceClient client(*instance);
  Canceller canceller(*instance);
  for (int i = 0; i < 20; ++i) {
    (void)client.query("SELECT 1");
    std::shared_ptr<const Snapshot> snapshot;
    const Status status = instance->snapshot(&snapshot);
    EXPECT_TRUE(status.ok()) << status.message();
  }
  for (int i = 0; i < 3; ++i) {
    const Status status =
        instance->dump(Compression::kNone, [](std::string_view) { return Status(); });
    EXPECT_TRUE(status.ok()) << status.message();
  }
}

TEST(Cancel, MayComeWhileTheInstanceIsClosedAndAfterwards) {
  for (int i = 0; i < 30; ++i) {
    auto instance = open_instance();
    {
      Canceller canceller(*instance);
      InstanceClient client(*instance);
      (void)client.query("CREATE TABLE t (a int)");
      // A COPY that waits is what can be cancelled at the moment of closing.
      if (i % 2 == 0) (void)client.query("COPY t FROM STDIN");
      EXPECT_TRUE(instance->close().ok());
      canceller.rest();
      EXPECT_EQ(client.query("SELECT 1").status.code(), StatusCode::kEngineGone);
      canceller.go_on();
    }
  }
}

TEST(Cancel, ReachesACopyThatWaits) {
  auto instance = open_instance();
  InstanceClient client(*instance);
  client.query("CREATE TABLE t (a int)");
  EXPECT_EQ(client.query("COPY t FROM STDIN").types, "G");
  std::thread([&] { EXPECT_TRUE(instance->cancel()); }).join();
  const Answer answer = client.send(wire::message('d', "1\n") + wire::message('c', ""));
  ASSERT_EQ(answer.errors.size(), 1U);
  EXPECT_EQ(answer.errors[0].substr(0, 5), "57014");
  EXPECT_EQ(client.value("SELECT count(*) FROM t"), "0");
  EXPECT_FALSE(instance->cancel());  // nothing runs
}

// A handler on the thread that runs the guest, at any moment.
std::atomic<Instance*> handled_instance;

TEST(Cancel, MayComeFromASignalHandler) {
  auto instance = open_instance();
  handled_instance = instance.get();
  struct sigaction action{};
  struct sigaction before{};
  action.sa_handler = [](int) { handled_instance.load()->cancel(); };
  action.sa_flags = SA_ONSTACK | SA_RESTART;
  sigemptyset(&action.sa_mask);
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  InstanceClient client(*instance);
  std::atomic<bool> stop = false;
  const pthread_t runner = pthread_self();
  std::thread sender([&] {
    while (!stop) {
      pthread_kill(runner, SIGUSR1);
      std::this_thread::sleep_for(100us);
    }
  });
  const Answer answer = client.query("SELECT pg_sleep(60)");
  for (int i = 0; i < 100; ++i) (void)client.query("SELECT 1");
  EXPECT_TRUE(instance->close().ok());
  stop = true;
  sender.join();
  sigaction(SIGUSR1, &before, nullptr);
  ASSERT_EQ(answer.errors.size(), 1U);
  EXPECT_EQ(answer.errors[0].substr(0, 5), "57014");
}

}  // namespace
}  // namespace pglite::postgres
