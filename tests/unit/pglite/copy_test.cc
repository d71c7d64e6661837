// COPY FROM STDIN: PostgreSQL waits for the client in the middle of a message's work.
#include "client.h"

namespace pglite::postgres {
namespace {

class CopyTest : public testing::Test {
 protected:
  void SetUp() override {
    instance = open_instance();
    ASSERT_NE(instance, nullptr);
    client.emplace(*instance);
    ASSERT_EQ(client->query("CREATE TABLE t (n int)").tags[0], "CREATE TABLE");
  }

  std::unique_ptr<Instance> instance;
  std::optional<InstanceClient> client;
};

TEST_F(CopyTest, GoesOnOverSeveralRequests) {
  EXPECT_EQ(client->query("COPY t FROM STDIN").types, "G");
  EXPECT_EQ(client->send(wire::copy_data("1\n2\n")).types, "");
  EXPECT_EQ(client->send(wire::copy_data("3")).types, "");
  EXPECT_EQ(client->send(wire::copy_data("4\n") + wire::copy_data("5\n")).types, "");
  const Answer done = client->send(wire::copy_done());
  EXPECT_EQ(done.types, "CZ");
  EXPECT_EQ(done.tags[0], "COPY 4");
  EXPECT_EQ(client->value("SELECT sum(n) FROM t"), "42");  // 1, 2, 34, 5
}

TEST_F(CopyTest, InOneRequest) {
  const Answer done = client->send(wire::query("COPY t FROM STDIN") + wire::copy_data("1\n") +
                                   wire::copy_done() + wire::query("SELECT 7"));
  EXPECT_EQ(done.types, "GCZTDCZ");
}

TEST_F(CopyTest, FailedByTheClient) {
  client->query("COPY t FROM STDIN");
  client->send(wire::copy_data("1\n"));
  const Answer failed = client->send(wire::copy_fail("changed my mind"));
  EXPECT_EQ(failed.types, "EZ");
  EXPECT_THAT(failed.errors[0], testing::StartsWith("57014 "));
  EXPECT_EQ(client->value("SELECT count(*) FROM t"), "0");
}

TEST_F(CopyTest, FailedByTheData) {
  client->query("COPY t FROM STDIN");
  const Answer failed = client->send(wire::copy_data("one\n"));
  EXPECT_EQ(failed.types, "EZ");
  EXPECT_THAT(failed.errors[0], testing::StartsWith("22P02 "));
  // What the client had on the way is ignored.
  EXPECT_EQ(client->send(wire::copy_data("2\n") + wire::copy_done()).types, "");
  EXPECT_EQ(client->value("SELECT count(*) FROM t"), "0");
}

TEST_F(CopyTest, AQueryInTheMiddleIsRefused) {
  client->query("COPY t FROM STDIN");
  for (const std::string& request :
       {wire::query("SELECT 1"), wire::copy_data("5\n") + wire::query("SELECT 1"),
        wire::parse("", "SELECT 1") + wire::sync()}) {
    const Answer answer = client->send(request);
    EXPECT_EQ(answer.status.code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(answer.types, "");
  }
  EXPECT_EQ(client->send(wire::flush() + wire::sync() + wire::terminate()).types, "");
  EXPECT_EQ(
      client->send(wire::copy_data("5\n") + wire::copy_done() + wire::query("SELECT 1")).types,
      "CZTDCZ");
  EXPECT_EQ(client->value("SELECT count(*) FROM t"), "1");
}

TEST_F(CopyTest, AStartupPacketInTheMiddleIsRefused) {
  client->query("COPY t FROM STDIN");
  const std::pair<std::string_view, std::string_view> parameters[] = {{"user", "postgres"}};
  EXPECT_EQ(client->send(wire::startup_packet(parameters)).status.code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(client->send(wire::copy_data("5\n") + wire::copy_done()).types, "CZ");
  EXPECT_EQ(client->value("SELECT n FROM t"), "5");
}

TEST_F(CopyTest, ManyTimesOver) {
  for (int i = 0; i < 50; ++i) {
    client->query("COPY t FROM STDIN");
    client->send(wire::copy_data("1\n"));
    client->send(i % 2 == 0 ? wire::copy_done() : wire::copy_fail("no"));
  }
  EXPECT_EQ(client->value("SELECT count(*) FROM t"), "25");
}

TEST_F(CopyTest, MayBeResumedOnAnotherInstancesTurn) {
  auto other = open_instance();
  InstanceClient second(*other);
  second.query("CREATE TABLE t (n int)");
  client->query("COPY t FROM STDIN");
  second.query("COPY t FROM STDIN");
  for (int i = 0; i < 10; ++i) {
    client->send(wire::copy_data("1\n"));
    second.send(wire::copy_data("2\n"));
  }
  EXPECT_EQ(client->send(wire::copy_done()).tags[0], "COPY 10");
  EXPECT_EQ(second.send(wire::copy_done()).tags[0], "COPY 10");
  EXPECT_EQ(client->value("SELECT sum(n) FROM t"), "10");
  EXPECT_EQ(second.value("SELECT sum(n) FROM t"), "20");
}

TEST_F(CopyTest, CloseWhileItWaits) {
  client->query("COPY t FROM STDIN");
  client->send(wire::copy_data("1\n"));
  const Status status = instance->close();
  EXPECT_TRUE(status.ok()) << status.message();
}

TEST(CopyInADirectory, CloseWhileItWaitsKeepsWhatWasCommitted) {
  TemporaryDirectory directory;
  {
    auto instance = open_instance(in_directory(directory.path()));
    InstanceClient client(*instance);
    client.query("CREATE TABLE t (n int); INSERT INTO t VALUES (1)");
    EXPECT_EQ(client.query("COPY t FROM STDIN").types, "G");
    client.send(wire::copy_data("2\n"));
    const Status status = instance->close();
    EXPECT_TRUE(status.ok()) << status.message();
  }
  std::string log;
  Options options = in_directory(directory.path());
  options.debug = 1;
  options.log = [&](int, std::string_view line) { log.append(line).append("\n"); };
  auto instance = open_instance(options);
  EXPECT_EQ(InstanceClient(*instance).value("SELECT string_agg(n::text, ',') FROM t"), "1");
  // It was a clean shutdown.
  EXPECT_THAT(log, testing::Not(testing::HasSubstr("not properly shut down"))) << log;
}

}  // namespace
}  // namespace pglite::postgres
