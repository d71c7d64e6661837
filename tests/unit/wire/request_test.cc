#include "wire/request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "wire/frontend_message.h"

namespace pglite::wire {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace std::string_literals;

constexpr std::string_view kPasswordRefused =
    "message 'p' (a password) was not asked for and is refused";

std::string startup() {
  const std::pair<std::string_view, std::string_view> user[] = {{"user", "postgres"}};
  return startup_packet(user);
}

std::string password() {
  return message('p', "secret\0"s);
}

// The steps as text: a letter for the kind, then the bytes.
std::vector<std::string> steps_of(const Request& request) {
  std::vector<std::string> steps;
  for (const Request::Step& step : request.steps()) {
    const char letter = "msa"[static_cast<int>(step.kind)];
    steps.push_back(letter + std::string(step.bytes));
  }
  return steps;
}

std::vector<std::string> steps_of(const std::string& bytes) {
  Request request;
  EXPECT_EQ(request.parse(bytes), "");
  return steps_of(request);
}

TEST(Request, MessagesInARowAreOneStep) {
  const std::string batch = parse("", "x") + bind("", "") + execute("") + sync();
  EXPECT_THAT(steps_of(batch), ElementsAre("m" + batch));
  EXPECT_THAT(steps_of(""), IsEmpty());
}

TEST(Request, AStartupPacketIsAStepByItself) {
  EXPECT_THAT(steps_of(startup() + startup() + sync()),
              ElementsAre("s" + startup(), "s" + startup(), "m" + sync()));
}

TEST(Request, WhatIsNotForPostgresIsAnsweredOrLeftOut) {
  EXPECT_THAT(steps_of(ssl_request()), ElementsAre("aN"));
  EXPECT_THAT(steps_of(gssenc_request()), ElementsAre("aN"));
  EXPECT_THAT(steps_of(cancel_request(1, 2)), IsEmpty());
  EXPECT_THAT(steps_of(terminate()), IsEmpty());
  EXPECT_THAT(steps_of(query("a") + ssl_request() + gssenc_request() + query("b")),
              ElementsAre("m" + query("a"), "aN", "aN", "m" + query("b")));
  EXPECT_THAT(steps_of(terminate() + query("a") + terminate() + query("b") + sync() +
                       cancel_request(1, 2) + query("c") + terminate()),
              ElementsAre("m" + query("a"), "m" + query("b") + sync(), "m" + query("c")));
}

TEST(Request, IsRefusedWhole) {
  Request request;
  for (const std::string& good : {query("a"), startup(), ssl_request(), terminate()}) {
    ASSERT_EQ(request.parse(good), "");
    EXPECT_THAT(request.parse(good + "\1"), HasSubstr("unknown message type 0x01 at offset"));
    EXPECT_THAT(request.steps(), IsEmpty());
    EXPECT_THAT(request.parse(good + query("cut").substr(0, 7)), HasSubstr("has only 7 more"));
    EXPECT_THAT(request.steps(), IsEmpty());
    EXPECT_EQ(request.parse(good + password() + good), kPasswordRefused);
    EXPECT_THAT(request.steps(), IsEmpty());
  }
  EXPECT_THAT(request.parse(password() + "\1"), HasSubstr("unknown message type"))
      << "what is no packet is worse than a password";
}

TEST(Request, CutAnywhereItIsRefusedOrEndsAtABoundary) {
  const std::string whole = ssl_request() + startup() + query("x") + terminate() + sync();
  const size_t boundaries[] = {
      0,           8, 8 + startup().size(), 8 + startup().size() + 7, 8 + startup().size() + 12,
      whole.size()};
  Request request;
  for (size_t size = 0; size <= whole.size(); ++size) {
    const bool at_boundary = std::ranges::find(boundaries, size) != std::end(boundaries);
    EXPECT_EQ(request.parse(std::string_view(whole).substr(0, size)).empty(), at_boundary) << size;
  }
}

TEST(Request, KeepsItsMemory) {
  Request request;
  ASSERT_EQ(request.parse(query("a") + ssl_request() + query("b")), "");
  const auto* memory = request.steps().data();
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(request.parse(sync()), "");
    EXPECT_EQ(request.steps().data(), memory);
  }
}

bool may_run_in_copy(const std::string& bytes) {
  Request request;
  EXPECT_EQ(request.parse(bytes), "");
  return request.may_run_in_copy(0);
}

TEST(Request, KnowsWhatMayComeDuringACopy) {
  EXPECT_TRUE(may_run_in_copy(""));
  EXPECT_TRUE(may_run_in_copy(copy_data("1") + flush() + sync() + terminate() + copy_data("2")));
  EXPECT_TRUE(may_run_in_copy(copy_data("1") + copy_done() + query("x") + startup()));
  EXPECT_TRUE(may_run_in_copy(copy_fail("no") + query("x")));
  EXPECT_FALSE(may_run_in_copy(query("x")));
  EXPECT_FALSE(may_run_in_copy(copy_data("1") + query("x") + copy_done()));
  EXPECT_FALSE(may_run_in_copy(parse("", "x") + sync()));
  EXPECT_FALSE(may_run_in_copy(startup() + copy_done()));
  // What is not PostgreSQL's does not disturb the COPY, nor does it hide what would.
  EXPECT_TRUE(may_run_in_copy(ssl_request()));
  EXPECT_TRUE(may_run_in_copy(cancel_request(1, 2)));
  EXPECT_FALSE(may_run_in_copy(ssl_request() + query("x")));
  EXPECT_FALSE(may_run_in_copy(copy_data("1") + terminate() + query("x")));
  EXPECT_TRUE(may_run_in_copy(copy_done() + terminate() + query("x")));
}

TEST(Request, JudgesTheRestOfItselfForACopyThatBeginsWithin) {
  Request request;
  ASSERT_EQ(
      request.parse(query("copy") + ssl_request() + copy_data("1") + terminate() + query("x")), "");
  ASSERT_EQ(request.steps().size(), 4U);
  EXPECT_FALSE(request.may_run_in_copy(1));
  EXPECT_FALSE(request.may_run_in_copy(3));
  EXPECT_TRUE(request.may_run_in_copy(4));
  ASSERT_EQ(request.parse(query("copy") + ssl_request() + copy_done() + query("x")), "");
  EXPECT_FALSE(request.may_run_in_copy(0));
  EXPECT_TRUE(request.may_run_in_copy(1));
}

}  // namespace
}  // namespace pglite::wire
