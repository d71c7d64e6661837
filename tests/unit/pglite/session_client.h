// A small client of a Cluster, for tests.
#ifndef PGLITE_TESTS_UNIT_PGLITE_SESSION_CLIENT_H_
#define PGLITE_TESTS_UNIT_PGLITE_SESSION_CLIENT_H_

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "client.h"
#include "pglite/cluster.h"

namespace pglite::postgres {

using namespace std::chrono_literals;

// Computes for ever, in little memory.
inline constexpr std::string_view kEndless = "DO $$ BEGIN LOOP PERFORM 1; END LOOP; END $$";

class SessionClient {
 public:
  explicit SessionClient(std::unique_ptr<Session> session) : session_(std::move(session)) {}

  Session& operator*() { return *session_; }
  Session* operator->() { return session_.get(); }
  // The session goes.
  void reset() { session_.reset(); }

  // --- As exec() and resume() do it ---

  Answer send(std::string_view request) {
    return answer_of([&](const ResponseSink& sink) { return session_->exec(request, sink); });
  }
  Answer resume() {
    return answer_of([&](const ResponseSink& sink) { return session_->resume(sink); });
  }
  Answer query(std::string_view sql) { return send(wire::query(sql)); }
  // The first row, or the error.
  std::string value(std::string_view sql) { return query(sql).text(); }
  // The SQLSTATE of the error, or "" where there is none.
  std::string error(std::string_view sql) {
    const Answer answer = query(sql);
    return answer.errors.empty() ? "" : answer.errors[0].substr(0, 5);
  }
  // Of a statement that must succeed: its tag.
  std::string run(std::string_view sql) {
    const Answer answer = query(sql);
    EXPECT_TRUE(answer.status.ok()) << sql << ": " << answer.status.message();
    EXPECT_TRUE(answer.errors.empty()) << sql << ": " << answer.text();
    return answer.tags.empty() ? "" : answer.tags.back();
  }

  // --- As an event loop does it ---

  void begin(std::string_view sql) { session_->send(wire::query(sql)); }
  // Takes what PostgreSQL has said by now.
  Answer taken() {
    Answer answer;
    feed(session_->output(), &answer);
    session_->take(session_->output().size());
    return answer;
  }

 private:
  template <class Call>
  Answer answer_of(Call call) {
    Answer answer;
    answer.status = call([&](std::string_view bytes) { feed(bytes, &answer); });
    return answer;
  }
  void feed(std::string_view bytes, Answer* answer) {
    EXPECT_TRUE(
        reader_.feed(bytes, [&](const wire::BackendMessage& message) { add(message, answer); }));
  }

  std::unique_ptr<Session> session_;
  wire::BackendReader reader_;
};

// Opens a cluster; the test fails if that does.
inline std::unique_ptr<Cluster> open_cluster(const Options& options = {}) {
  std::unique_ptr<Cluster> cluster;
  const Status status = Cluster::open(options, &cluster);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(status.ok(), cluster != nullptr);
  return cluster;
}

// A session that must be had.
inline SessionClient connect(Cluster& cluster, const SessionOptions& options = {}) {
  std::unique_ptr<Session> session;
  const Status status = cluster.connect(options, &session);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(status.ok(), session != nullptr);
  return SessionClient(std::move(session));
}

// A session whose client sends everything itself.
inline SessionClient connect_raw(Cluster& cluster, const Peer& peer = {}) {
  std::unique_ptr<Session> session;
  const Status status = cluster.accept(peer, &session);
  EXPECT_TRUE(status.ok()) << status.message();
  return SessionClient(std::move(session));
}

// A session that must be refused; why.
inline Status connect_fails(Cluster& cluster, const SessionOptions& options) {
  std::unique_ptr<Session> session;
  Status status = cluster.connect(options, &session);
  EXPECT_EQ(session, nullptr);
  EXPECT_FALSE(status.ok());
  return status;
}

// An event loop without sockets: runs the cluster until `done`, and sleeps while nothing can run.
template <class Done>
Status run_until(Cluster& cluster, Done done, std::chrono::milliseconds limit = 60s) {
  const Clock::time_point end = Clock::now() + limit;
  while (!done()) {
    if (Clock::now() > end) {
      ADD_FAILURE() << "the cluster ran on without it";
      return {};
    }
    const Clock::time_point step = Clock::now() + 20ms;
    Status status = cluster.run(step);
    if (!status.ok()) return status;
    if (done()) break;
    std::this_thread::sleep_until(std::min(step, cluster.deadline().value_or(step)));
  }
  return {};
}

// Runs until nothing is to be done at present. For clusters in which nobody computes for ever. One
// run() may be less: it returns when a session has said something and what goes on is long, which
// anything is on a busy machine.
inline void settle(Cluster& cluster) {
  const Clock::time_point end = Clock::now() + 60s;
  do {
    ASSERT_LT(Clock::now(), end) << "the cluster does not stand still";
    ASSERT_TRUE(cluster.run(end).ok());
  } while (cluster.deadline().value_or(Clock::time_point::max()) <= Clock::now());
}

class ClusterTest : public testing::Test {
 protected:
  void SetUp() override {
    cluster = open_cluster(options);
    ASSERT_NE(cluster, nullptr);
  }
  SessionClient session(const SessionOptions& session_options = {}) {
    return connect(*cluster, session_options);
  }

  Options options;
  std::unique_ptr<Cluster> cluster;
};

}  // namespace pglite::postgres

#endif  // PGLITE_TESTS_UNIT_PGLITE_SESSION_CLIENT_H_
