#include "client/startup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "wire/backend_message.h"
#include "wire/byte_order.h"
#include "wire/message.h"
#include "wire/startup_packet.h"

namespace pglite::client {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kNonce = "rOprNGfwEbeRWgbNEkqO";
constexpr const char* kServerFirst =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

std::string request(uint32_t kind, std::string_view rest = {}) {
  std::string body;
  wire::append_u32(body, kind);
  return body.append(rest);
}
std::string mechanisms(std::initializer_list<std::string_view> names) {
  std::string list;
  for (const std::string_view name : names) wire::append_string(list, name);
  return request(10, list + '\0');
}

class StartupTest : public ::testing::Test {
 protected:
  StartupTest() {
    parameters.user = "alice";
    parameters.database = "shop";
    parameters.password = "pencil";
  }
  Startup begin(bool encrypted = false, const std::string& end_point = {}) {
    return {parameters, {encrypted, end_point}, kNonce};
  }
  // Hands a message over; `reply` is what it is answered with.
  Status give(Startup& startup, char type, std::string_view body) {
    reply.clear();
    return startup.receive({type, body, 0}, &reply);
  }
  // How an authentication request as the first message is taken.
  Status first(std::string_view body, bool encrypted = false, const std::string& end_point = {}) {
    Startup startup = begin(encrypted, end_point);
    return give(startup, 'R', body);
  }

  Parameters parameters;
  std::string reply;
};

TEST_F(StartupTest, Packet) {
  parameters.application_name = "app";
  parameters.options = "-c a=b";
  parameters.client_encoding = "UTF8";
  const std::string packet = begin().packet();
  wire::StartupPacket parsed;
  ASSERT_EQ(wire::parse_startup_packet(packet, &parsed), "");
  EXPECT_EQ(parsed.minor, 0);
  EXPECT_EQ(parsed.value("user"), "alice");
  EXPECT_EQ(parsed.value("database"), "shop");
  EXPECT_EQ(parsed.value("application_name"), "app");
  EXPECT_EQ(parsed.value("options"), "-c a=b");
  EXPECT_EQ(parsed.value("client_encoding"), "UTF8");
  EXPECT_THAT(packet, Not(HasSubstr("pencil")));
}

TEST_F(StartupTest, Trusted) {
  Startup startup = begin();
  EXPECT_TRUE(give(startup, 'R', request(0)).ok());
  EXPECT_TRUE(give(startup, 'S',
                   std::string("server_version\0"
                               "18.6\0",
                               20))
                  .ok());
  EXPECT_TRUE(give(startup, 'K', std::string("\0\0\0\7\1\2\3\4", 8)).ok());
  EXPECT_TRUE(give(startup, 'N', "notice").ok());
  EXPECT_FALSE(startup.done());
  EXPECT_TRUE(give(startup, 'Z', "I").ok());
  EXPECT_TRUE(startup.done());
  EXPECT_EQ(startup.pid(), 7U);
  EXPECT_EQ(startup.key(), 0x01020304U);
  EXPECT_EQ(startup.reported().at("server_version"), "18.6");
  EXPECT_EQ(startup.notices(), wire::message('N', "notice"));
}

TEST_F(StartupTest, Scram) {
  Startup startup = begin();
  ASSERT_TRUE(give(startup, 'R', mechanisms({"SCRAM-SHA-256"})).ok());
  const std::string initial = std::string("n,,n=,r=") + kNonce;
  EXPECT_EQ(reply, wire::message('p', std::string("SCRAM-SHA-256\0\0\0\0", 17) +
                                          static_cast<char>(initial.size()) + initial));
  ASSERT_TRUE(give(startup, 'R', request(11, kServerFirst)).ok());
  EXPECT_THAT(reply, StartsWith("p"));
  // Whoever does not show that it knows the password is not believed.
  EXPECT_EQ(give(startup, 'R', request(0)).code(), StatusCode::kEngineGone);
}

TEST_F(StartupTest, AWrongServerSignature) {
  Startup startup = begin();
  ASSERT_TRUE(give(startup, 'R', mechanisms({"SCRAM-SHA-256"})).ok());
  ASSERT_TRUE(give(startup, 'R', request(11, kServerFirst)).ok());
  const Status status =
      give(startup, 'R', request(12, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
  EXPECT_EQ(status.code(), StatusCode::kEngineGone);
  EXPECT_THAT(status.message(), HasSubstr("the server does not know the password"));
}

TEST_F(StartupTest, StepsOfScramOutOfOrder) {
  EXPECT_FALSE(first(request(11, kServerFirst)).ok());
  EXPECT_FALSE(first(request(12, "v=")).ok());
  const std::string begin_it = mechanisms({"SCRAM-SHA-256"});
  for (const std::string& second :
       {request(12, "v=AAAA"), request(3), request(5, "salt"), begin_it, request(0)}) {
    Startup startup = begin();
    ASSERT_TRUE(give(startup, 'R', begin_it).ok());
    EXPECT_EQ(give(startup, 'R', second).code(), StatusCode::kEngineGone);
    EXPECT_THAT(reply, IsEmpty());
  }
  Startup twice = begin();
  ASSERT_TRUE(give(twice, 'R', begin_it).ok());
  ASSERT_TRUE(give(twice, 'R', request(11, kServerFirst)).ok());
  EXPECT_FALSE(give(twice, 'R', request(11, kServerFirst)).ok());
}

TEST_F(StartupTest, ChannelBinding) {
  const std::string both = mechanisms({"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"});
  const std::string plain = mechanisms({"SCRAM-SHA-256"});
  EXPECT_TRUE(first(both, true, "hash").ok());
  EXPECT_THAT(reply, HasSubstr("SCRAM-SHA-256-PLUS"));
  EXPECT_THAT(reply, HasSubstr("p=tls-server-end-point,,n="));
  // A man in the middle who takes PLUS out of the list is found out by the "y".
  EXPECT_TRUE(first(plain, true, "hash").ok());
  EXPECT_THAT(reply, HasSubstr("y,,n="));
  EXPECT_TRUE(first(both, true, "").ok());
  EXPECT_THAT(reply, HasSubstr("n,,n="));
  EXPECT_EQ(first(both).code(), StatusCode::kEngineGone);
  parameters.channel_binding = ChannelBinding::kDisable;
  EXPECT_TRUE(first(both, true, "hash").ok());
  EXPECT_THAT(reply, HasSubstr("n,,n="));
  EXPECT_THAT(reply, Not(HasSubstr("PLUS")));
}

TEST_F(StartupTest, ChannelBindingThatIsRequired) {
  parameters.channel_binding = ChannelBinding::kRequire;
  EXPECT_TRUE(first(mechanisms({"SCRAM-SHA-256-PLUS"}), true, "hash").ok());
  for (const std::string& body :
       {mechanisms({"SCRAM-SHA-256"}), request(0), request(3), request(5, "salt")}) {
    const Status status = first(body, true, "hash");
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(), HasSubstr("channel_binding=require"));
    EXPECT_THAT(reply, IsEmpty());
  }
  EXPECT_THAT(first(mechanisms({"SCRAM-SHA-256"})).message(), HasSubstr("no TLS"));
}

TEST_F(StartupTest, OlderWays) {
  EXPECT_TRUE(first(request(3)).ok());
  EXPECT_EQ(reply, wire::message('p', std::string("pencil\0", 7)));
  EXPECT_TRUE(first(request(5, "abcd")).ok());
  EXPECT_EQ(reply.size(), 1 + 4 + 3 + 32 + 1U);
  EXPECT_THAT(reply, HasSubstr("md5"));
  EXPECT_FALSE(first(request(5, "abc")).ok());
}

TEST_F(StartupTest, WithoutAPassword) {
  parameters.password.reset();
  for (const std::string& body : {request(3), request(5, "abcd"), mechanisms({"SCRAM-SHA-256"})}) {
    const Status status = first(body);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(), HasSubstr("the server asks for a password, and there is none"));
    EXPECT_THAT(reply, IsEmpty());
  }
}

TEST_F(StartupTest, WaysThatAreNotSupported) {
  for (const uint32_t kind : {1U, 2U, 6U, 7U, 9U, 13U, 0xffffffffU}) {
    EXPECT_EQ(first(request(kind)).code(), StatusCode::kInvalidArgument) << kind;
  }
  EXPECT_THAT(first(mechanisms({"OAUTHBEARER"})).message(), HasSubstr("no way to authenticate"));
  EXPECT_FALSE(first(mechanisms({})).ok());
  EXPECT_FALSE(first(request(10, "no end")).ok());
  EXPECT_FALSE(first("abc").ok());
  EXPECT_FALSE(first(request(0, "more")).ok());
}

TEST_F(StartupTest, NothingOfASessionComesFirst) {
  for (const char type : {'S', 'K', 'Z'}) {
    Startup startup = begin();
    EXPECT_EQ(give(startup, type, "I").code(), StatusCode::kEngineGone) << type;
    EXPECT_FALSE(startup.done());
  }
}

TEST_F(StartupTest, Refusals) {
  const auto body = [](std::string_view sqlstate, std::string_view message) {
    return wire::error_response("FATAL", sqlstate, message).substr(5);
  };
  Startup startup = begin();
  Status status = give(startup, 'E', body("28P01", "wrong\npassword \x1b[31m"));
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "the server refuses the session: FATAL: wrong password  [31m (28P01)");
  EXPECT_EQ(startup.sqlstate(), "28P01");
  EXPECT_EQ(give(startup, 'E', body("3D000", "no database")).code(), StatusCode::kSessionEnded);
  EXPECT_THAT(give(startup, 'E', "garbage").message(), HasSubstr("an error that cannot be read"));
}

}  // namespace
}  // namespace pglite::client
