// The backend with a kernel that suspends it, as a host has that runs many on one thread.
#include "postgres/guest/backend.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "postgres/build/images.h"
#include "postgres/guest/guest_tree.h"
#include "postgres/guest/session_sql.h"
#include "vfs/image.h"
#include "wire/frontend_message.h"

namespace pglite::postgres {
namespace {

class SuspendingKernel final : public emscripten::Kernel {
 public:
  void wait(emscripten::Process& process, const emscripten::WaitFor& what) override {
    due = what.due;
    ++waits;
    if (process.may_suspend()) process.execution().suspend(wasm::Suspension::kWait);
  }
  double due = 0;
  int waits = 0;
};

struct Session {
  Session() {
    auto made = make_guest_tree(bundle_image(), [](std::string_view) {});
    EXPECT_TRUE(made);
    tree = std::move(*made);
    EXPECT_TRUE(vfs::load_image(data_directory_image(), *tree.memory, kDataDirectory));
    BackendConfig config;
    config.tree = tree;
    config.kernel = &kernel;
    const Status status = Backend::start(config, &backend);
    EXPECT_TRUE(status.ok()) << status.message();
  }

  Status begin(const std::string& sql) {
    answer.clear();
    request = wire::query(sql);
    return backend->exec(request, sink);
  }
  // As a host would: waits until the guest wants to look again, and lets it.
  void finish() {
    while (backend->suspension() == wasm::Suspension::kWait) {
      const double left = kernel.due - emscripten::monotonic_milliseconds();
      if (left > 0) std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(left));
      const Status status = backend->resume();
      ASSERT_TRUE(status.ok()) << status.message();
    }
  }

  GuestTree tree;
  SuspendingKernel kernel;
  std::unique_ptr<Backend> backend;
  std::string request;
  std::string answer;
  ResponseSink sink = [this](std::string_view bytes) { answer += bytes; };
};

TEST(BackendWaiting, ASleepIsSuspendedAndGoesOn) {
  Session session;
  const double start = emscripten::monotonic_milliseconds();
  ASSERT_TRUE(session.begin("SELECT pg_sleep(0.06), 'done'").ok());
  ASSERT_EQ(session.backend->suspension(), wasm::Suspension::kWait);
  EXPECT_FALSE(session.backend->waiting_for_input());
  EXPECT_FALSE(session.backend->at_rest());
  EXPECT_FALSE(session.backend->next_timer());
  EXPECT_EQ(session.answer.find("done"), std::string::npos);
  // In the middle of a request nothing else is done, and nothing is lost.
  std::string state;
  EXPECT_EQ(session.backend->exec(session.request, session.sink).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(session.backend->stop().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(session.backend->save(&state).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(session.backend->deliver_timers(session.sink).ok());
  ASSERT_EQ(session.backend->suspension(), wasm::Suspension::kWait);

  session.finish();
  EXPECT_GE(emscripten::monotonic_milliseconds(), start + 60);
  EXPECT_NE(session.answer.find("done"), std::string::npos);
  EXPECT_TRUE(session.backend->at_rest());
  EXPECT_EQ(session.backend->resume().code(), StatusCode::kInvalidArgument);
}

TEST(BackendWaiting, TwoSleepAtTheSameTimeOnOneThread) {
  Session one;
  Session two;
  const double start = emscripten::monotonic_milliseconds();
  ASSERT_TRUE(one.begin("SELECT pg_sleep(0.5), 'one'").ok());
  ASSERT_TRUE(two.begin("SELECT pg_sleep(0.5), 'two'").ok());
  one.finish();
  two.finish();
  EXPECT_LT(emscripten::monotonic_milliseconds(), start + 990);
  EXPECT_NE(one.answer.find("one"), std::string::npos);
  EXPECT_NE(two.answer.find("two"), std::string::npos);
}

TEST(BackendWaiting, ACancelReachesTheOneThatIsSuspended) {
  Session session;
  ASSERT_TRUE(session.begin("SELECT pg_sleep(1000)").ok());
  ASSERT_EQ(session.backend->suspension(), wasm::Suspension::kWait);
  session.backend->forget_cancel();
  session.backend->cancel();
  session.backend->forget_cancel();  // in the middle of a request it stays
  ASSERT_TRUE(session.backend->resume().ok());
  EXPECT_EQ(session.backend->suspension(), std::nullopt);
  EXPECT_NE(session.answer.find("57014"), std::string::npos);
}

TEST(BackendWaiting, AStatementTimeoutCutsASuspendedSleepShort) {
  Session session;
  ASSERT_TRUE(session.begin("SET statement_timeout = 30").ok());
  ASSERT_TRUE(session.begin("SELECT pg_sleep(1000)").ok());
  session.finish();
  EXPECT_NE(session.answer.find("57014"), std::string::npos);
}

TEST(BackendWaiting, TheHostsOwnRequestsAreNotSuspended) {
  Session session;
  SqlResult result;
  EXPECT_TRUE(run_sql(*session.backend, "SELECT pg_sleep(0.01), 'x'", &result).ok());
  EXPECT_EQ(result.rows.size(), 1U);
  EXPECT_GT(session.kernel.waits, 0);
}

// Nobody could send the data: PostgreSQL must not be left suspended in the middle of it.
TEST(BackendWaiting, ForTheHostsOwnCopyTheInputIsAtItsEnd) {
  Session session;
  ASSERT_TRUE(session.begin("CREATE TABLE t (i int)").ok());
  (void)run_sql(*session.backend, "COPY t FROM STDIN");
  EXPECT_EQ(session.backend->suspension(), std::nullopt);
}

TEST(BackendWaiting, CopyWaitsForInputAndForNothingElse) {
  Session session;
  ASSERT_TRUE(session.begin("CREATE TABLE t (i int)").ok());
  ASSERT_TRUE(session.begin("COPY t FROM STDIN").ok());
  EXPECT_TRUE(session.backend->waiting_for_input());
  EXPECT_EQ(session.backend->resume().code(), StatusCode::kInvalidArgument);
  session.request = wire::message('c', "");
  ASSERT_TRUE(session.backend->exec(session.request, session.sink).ok());
  EXPECT_FALSE(session.backend->suspension());
  EXPECT_NE(session.answer.find("COPY 0"), std::string::npos);
}

// Only the cancel is forgotten.
TEST(BackendSignals, ForgettingACancelLeavesOtherSignals) {
  Session session;
  constexpr int kUser1 = 10;
  session.backend->process().send_signal(kUser1);
  session.backend->cancel();
  session.backend->forget_cancel();
  EXPECT_TRUE(session.backend->process().signals.contains(kUser1));
  EXPECT_FALSE(session.backend->process().signals.contains(2));
}

}  // namespace
}  // namespace pglite::postgres
