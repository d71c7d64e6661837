#include "server/address.h"

#include <gmock/gmock.h>

namespace pglite::server {
namespace {

namespace ip = boost::asio::ip;
using Endpoints = std::vector<ip::tcp::endpoint>;

std::vector<std::string> parse(std::string_view text) {
  Endpoints endpoints;
  const Status status = parse_endpoints(text, &endpoints);
  if (!status.ok()) return {status.message()};
  std::vector<std::string> texts;
  for (const ip::tcp::endpoint& endpoint : endpoints) texts.push_back(to_string(endpoint));
  return texts;
}

TEST(Endpoints, AreAddressesAndPorts) {
  EXPECT_THAT(parse("127.0.0.1:5432"), testing::ElementsAre("127.0.0.1:5432"));
  EXPECT_THAT(parse("[::1]:0"), testing::ElementsAre("[::1]:0"));
  EXPECT_THAT(parse("localhost:65535"), testing::ElementsAre("127.0.0.1:65535", "[::1]:65535"));
  EXPECT_THAT(parse("*:80"), testing::ElementsAre("0.0.0.0:80", "[::]:80"));
}

class BadEndpoint : public testing::TestWithParam<const char*> {};

TEST_P(BadEndpoint, IsRefusedWithWhatIsAccepted) {
  Endpoints endpoints;
  const Status status = parse_endpoints(GetParam(), &endpoints);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), testing::HasSubstr("accepted is HOST:PORT"));
  EXPECT_TRUE(endpoints.empty());
}

INSTANTIATE_TEST_SUITE_P(All, BadEndpoint,
                         testing::Values("", "5432", "localhost", "127.0.0.1:", "127.0.0.1:65536",
                                         "127.0.0.1:-1", "127.0.0.1:5432x", "::1:5432", "[::1]",
                                         "[127.0.0.1]:5432", "example.com:5432", ":5432"));

TEST(Peer, OfAnAddressOfEitherFamily) {
  const Peer v4 = peer_of({ip::make_address("192.0.2.7"), 4711});
  EXPECT_EQ(v4.kind, Peer::Kind::kInternet);
  EXPECT_THAT(v4.address, testing::ElementsAre(192, 0, 2, 7));
  EXPECT_EQ(v4.port, 4711);
  const Peer v6 = peer_of({ip::make_address("2001:db8::1"), 1});
  ASSERT_EQ(v6.address.size(), 16U);
  EXPECT_EQ(v6.address[0], 0x20);
  EXPECT_EQ(v6.address[15], 1);
}

TEST(Peer, OfIPv4OverIPv6IsOfIPv4) {
  EXPECT_THAT(peer_of({ip::make_address("::ffff:192.0.2.7"), 1}).address,
              testing::ElementsAre(192, 0, 2, 7));
}

TEST(Url, HasEverythingThatIsNotPlainAsNumbers) {
  EXPECT_EQ(url_of("postgres", "", "127.0.0.1", 5432, "postgres"),
            "postgres://postgres@127.0.0.1:5432/postgres");
  EXPECT_EQ(url_of("a@b", "p/:%\xC3\xBC", "::1", 1, "c d?"),
            "postgres://a%40b:p%2F%3A%25%C3%BC@[::1]:1/c%20d%3F");
  EXPECT_EQ(url_of("me", "", "/run/my:db", 5432, "x"), "postgres://me@%2Frun%2Fmy%3Adb:5432/x");
}

}  // namespace
}  // namespace pglite::server
