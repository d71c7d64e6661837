#include "postgres/guest/superuser.h"

#include <gmock/gmock.h>

#include <stdexcept>

#include "postgres/guest/layout.h"
#include "postgres/guest/settings.h"
#include "running_backend.h"
#include "wasm-rt.h"

namespace pglite::postgres {
namespace {

constexpr const char* kCurrentUser = "SELECT current_user";

class Superuser : public testing::Test {
 protected:
  void SetUp() override {
    backend_ = running_backend();
    ASSERT_NE(backend_, nullptr);
    ASSERT_TRUE(run_sql(*backend_, "CREATE ROLE bob").ok());
    ASSERT_TRUE(run_sql(*backend_, "SET SESSION AUTHORIZATION bob").ok());
  }
  std::unique_ptr<Backend> backend_;
};

TEST_F(Superuser, IsTheSessionsUserForTheWorkOnly) {
  std::string during;
  const Status status = as_superuser(*backend_, [&] {
    during = value(*backend_, kCurrentUser);
    return Status();
  });
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(during, "postgres");
  EXPECT_EQ(value(*backend_, kCurrentUser), "bob");
}

TEST_F(Superuser, IsGivenBackAfterAFailureAndAnException) {
  EXPECT_EQ(as_superuser(*backend_, [&] { return run_sql(*backend_, "SELECT 1/0"); }).message(),
            "division by zero");
  EXPECT_EQ(value(*backend_, kCurrentUser), "bob");
  EXPECT_THROW((void)as_superuser(*backend_, [&]() -> Status { throw std::runtime_error("no"); }),
               std::runtime_error);
  EXPECT_EQ(value(*backend_, kCurrentUser), "bob");
}

// In place of SetUserIdAndSecContext: takes the permissions, and does not give them back.
Backend* target = nullptr;  // NOLINT: a guest function has no other way to it

void set_superuser_only(void* /*instance*/, uint32_t user, uint32_t context) {
  if (user != kLayout.bootstrap_superuser) wasm_rt_trap(WASM_RT_TRAP_UNREACHABLE);
  find_symbol(target->process(), symbols::kSetUserIdAndSecContext)(user, context);
}
void set_nothing_else(void* /*instance*/, uint32_t user, uint32_t context) {
  if (user != kLayout.bootstrap_superuser) return;
  find_symbol(target->process(), symbols::kSetUserIdAndSecContext)(user, context);
}

TEST_F(Superuser, ThatCannotBeGivenBackEndsTheEngine) {
  target = backend_.get();
  for (auto* function : {set_superuser_only, set_nothing_else}) {
    const SetUserFunction set_user(nullptr, reinterpret_cast<wasm_rt_function_ptr_t>(function));
    const Status status = as_superuser(*backend_, [] { return Status(); }, set_user);
    EXPECT_EQ(status.code(), StatusCode::kEngineGone);
    EXPECT_THAT(status.message(), testing::HasSubstr("could not be given back"));
    EXPECT_EQ(run_sql(*backend_, "SELECT 1").code(), StatusCode::kEngineGone);
    SetUp();
    target = backend_.get();
  }
}

TEST(Settings, AreReadByTypeAndUnknownOnesHaveNoValue) {
  auto backend = running_backend();
  ASSERT_NE(backend, nullptr);
  Settings settings(backend->process());
  EXPECT_EQ(settings.integer("autovacuum_naptime"), 60);
  EXPECT_EQ(settings.real("checkpoint_completion_target"), 0.9);
  EXPECT_EQ(settings.boolean("track_counts"), true);
  // Not what lies at address 0.
  EXPECT_EQ(settings.address("no_such_setting"), 0U);
  EXPECT_EQ(settings.integer("no_such_setting"), std::nullopt);
  EXPECT_EQ(settings.real("no_such_setting"), std::nullopt);
  EXPECT_EQ(settings.boolean("no_such_setting"), std::nullopt);
}

TEST(StartTimes, AreSeenWhateverTheRole) {
  auto backend = running_backend();
  ASSERT_NE(backend, nullptr);
  std::vector<int64_t> before;
  ASSERT_TRUE(start_times(*backend, &before).ok());
  ASSERT_TRUE(run_sql(*backend, "CREATE ROLE bob; SET SESSION AUTHORIZATION bob").ok());
  std::vector<int64_t> times;
  const Status status = start_times(*backend, &times);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(times, before);
  EXPECT_FALSE(times.empty());
  EXPECT_EQ(value(*backend, kCurrentUser), "bob");
}

TEST(QuoteLiteral, IsReadBackWhateverBackslashesMean) {
  auto backend = running_backend();
  ASSERT_NE(backend, nullptr);
  const std::string text = R"(a\'b\\c'd\)";
  for (const char* conforming : {"on", "off"}) {
    ASSERT_TRUE(
        run_sql(*backend, std::string("SET standard_conforming_strings = ") + conforming).ok());
    EXPECT_EQ(value(*backend, "SELECT " + quote_literal(text)), text);
  }
}

}  // namespace
}  // namespace pglite::postgres
