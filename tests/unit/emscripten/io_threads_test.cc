// Jobs in threads. To be run under ThreadSanitizer, too.
#include "emscripten/io_threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <vector>

namespace pglite::emscripten {
namespace {

using Job = IoThreads::Job;

std::shared_ptr<Job> make_job(std::function<void()> work) {
  auto job = std::make_shared<Job>();
  job->work = std::move(work);
  return job;
}

void wait_for(const Job& job) {
  while (!job.done()) std::this_thread::yield();
}

TEST(IoThreads, DoTheirJobsElsewhereAndSaySo) {
  std::atomic<int> notified = 0;
  std::thread::id where;
  {
    IoThreads threads([&] { ++notified; });
    const auto job = make_job([&] { where = std::this_thread::get_id(); });
    ASSERT_TRUE(threads.submit(job));
    wait_for(*job);
  }
  EXPECT_NE(where, std::this_thread::get_id());
  EXPECT_EQ(notified, 1);
}

TEST(IoThreads, OneLongJobDoesNotHoldUpTheOthers) {
  IoThreads threads([] {});
  std::atomic<bool> go_on = false;
  const auto first = make_job([&] {
    while (!go_on) std::this_thread::yield();
  });
  ASSERT_TRUE(threads.submit(first));
  const auto second = make_job([] {});
  ASSERT_TRUE(threads.submit(second));
  wait_for(*second);
  EXPECT_FALSE(first->done());
  go_on = true;
  wait_for(*first);
}

TEST(IoThreads, DoMoreJobsThanThereAreThreads) {
  std::atomic<int> done = 0;
  std::vector<std::shared_ptr<Job>> jobs;
  IoThreads threads([] {});
  for (int i = 0; i < 1000; ++i) {
    jobs.push_back(make_job([&] { ++done; }));
    ASSERT_TRUE(threads.submit(jobs.back()));
  }
  for (const auto& job : jobs) wait_for(*job);
  EXPECT_EQ(done, 1000);
}

TEST(IoThreads, EndWithoutTheJobsThatHaveNotBegun) {
  std::atomic<int> done = 0;
  std::atomic<bool> go_on = false;
  std::vector<std::shared_ptr<Job>> jobs;
  std::thread releaser;
  {
    IoThreads threads([] {});
    for (int i = 0; i < 100; ++i) {
      jobs.push_back(make_job([&] {
        while (!go_on) std::this_thread::yield();
        ++done;
      }));
      ASSERT_TRUE(threads.submit(jobs.back()));
    }
    releaser = std::thread([&] { go_on = true; });
  }
  releaser.join();
  EXPECT_GE(done, 0);
  int finished = 0;
  for (const auto& job : jobs) finished += job->done() ? 1 : 0;
  EXPECT_EQ(finished, done);
}

TEST(IoThreads, LeaveTheSignalsOfTheProcessToOthers) {
  IoThreads threads([] {});
  sigset_t mask;
  const auto job = make_job([&] { pthread_sigmask(SIG_SETMASK, nullptr, &mask); });
  ASSERT_TRUE(threads.submit(job));
  wait_for(*job);
  for (const int signal : {SIGTERM, SIGINT, SIGURG, SIGCHLD})
    EXPECT_EQ(sigismember(&mask, signal), 1);
  // The one that asked keeps its own.
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  EXPECT_EQ(sigismember(&mask, SIGTERM), 0);
}

}  // namespace
}  // namespace pglite::emscripten
