#include "client/url.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pglite::client {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

Settings parsed(std::string_view url) {
  Settings settings;
  const Status status = parse_url(url, &settings);
  EXPECT_TRUE(status.ok()) << url << ": " << status.message();
  return settings;
}

std::string refusal(std::string_view url) {
  Settings settings;
  const Status status = parse_url(url, &settings);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << url;
  return status.message();
}

TEST(Url, IsKnownByItsScheme) {
  EXPECT_TRUE(is_url("postgres://"));
  EXPECT_TRUE(is_url("postgresql://x"));
  for (const char* text :
       {"", "postgres:", "postgres:/x", "Postgres://x", "memory://", "./postgres://x"}) {
    EXPECT_FALSE(is_url(text)) << text;
  }
}

TEST(Url, AllParts) {
  EXPECT_THAT(
      parsed("postgres://alice:pw@example.org:5433/shop?sslmode=require&options=-c%20a%3Db"),
      UnorderedElementsAre(Pair("user", "alice"), Pair("password", "pw"),
                           Pair("host", "example.org"), Pair("port", "5433"),
                           Pair("dbname", "shop"), Pair("sslmode", "require"),
                           Pair("options", "-c a=b")));
}

TEST(Url, WhatIsNotThereIsNotSaid) {
  for (const char* url : {"postgres://", "postgresql:///", "postgres://@", "postgres://:@/",
                          "postgres://:/", "postgres:///?"}) {
    EXPECT_THAT(parsed(url), IsEmpty()) << url;
  }
  EXPECT_THAT(parsed("postgres://h"), UnorderedElementsAre(Pair("host", "h")));
  EXPECT_THAT(parsed("postgres:///d"), UnorderedElementsAre(Pair("dbname", "d")));
  EXPECT_THAT(parsed("postgres://u@"), UnorderedElementsAre(Pair("user", "u")));
  EXPECT_THAT(parsed("postgres://:p@"), UnorderedElementsAre(Pair("password", "p")));
  EXPECT_THAT(parsed("postgres://h?port=1"),
              UnorderedElementsAre(Pair("host", "h"), Pair("port", "1")));
}

TEST(Url, IsDecoded) {
  EXPECT_THAT(parsed("postgres://a%40b:%3a%2F%25%C3%bc@h/d%20b?%75ser=x"),
              UnorderedElementsAre(Pair("user", "x"), Pair("password", ":/%ü"), Pair("host", "h"),
                                   Pair("dbname", "d b")));
  // A + is a +.
  EXPECT_THAT(parsed("postgres://a+b@h"),
              UnorderedElementsAre(Pair("user", "a+b"), Pair("host", "h")));
}

TEST(Url, TakesWhatRfc3986DoesNot) {
  EXPECT_THAT(parsed("postgres://u:p^|{\"ü?#[:w@h/d"),
              UnorderedElementsAre(Pair("user", "u"), Pair("password", "p^|{\"ü?#[:w"),
                                   Pair("host", "h"), Pair("dbname", "d")));
}

TEST(Url, AddressesOfIpv6) {
  EXPECT_THAT(parsed("postgres://u@[::1]:5433/d"),
              UnorderedElementsAre(Pair("user", "u"), Pair("host", "::1"), Pair("port", "5433"),
                                   Pair("dbname", "d")));
  EXPECT_THAT(parsed("postgres://[fe80::2]"), UnorderedElementsAre(Pair("host", "fe80::2")));
  EXPECT_THAT(refusal("postgres://[::1/d"), HasSubstr("a [ without a ]"));
  EXPECT_THAT(refusal("postgres://[]/d"), HasSubstr("no address"));
  EXPECT_THAT(refusal("postgres://[::1]x/d"), HasSubstr("behind the ]"));
}

TEST(Url, UnixSockets) {
  EXPECT_THAT(parsed("postgres://%2Ftmp%2fsockets/db"),
              UnorderedElementsAre(Pair("host", "/tmp/sockets"), Pair("dbname", "db")));
  EXPECT_THAT(
      parsed("postgres:///db?host=/tmp&port=5432"),
      UnorderedElementsAre(Pair("host", "/tmp"), Pair("port", "5432"), Pair("dbname", "db")));
}

TEST(Url, OtherDriversWayToWantTls) {
  EXPECT_THAT(parsed("postgres://h?ssl=true"),
              UnorderedElementsAre(Pair("host", "h"), Pair("sslmode", "require")));
}

TEST(Url, SeveralHosts) {
  for (const char* url :
       {"postgres://a,b", "postgres://a:1,b:2/d", "postgres://[::1],b", "postgres://u:p@a:1,b"}) {
    EXPECT_THAT(refusal(url), HasSubstr("several hosts")) << url;
  }
}

TEST(Url, Malformed) {
  EXPECT_THAT(refusal("postgres://u%4@h"), HasSubstr("% in its user"));
  EXPECT_THAT(refusal("postgres://h/%zz"), HasSubstr("% in its database"));
  EXPECT_THAT(refusal("postgres://%"), HasSubstr("% in its host"));
  EXPECT_THAT(refusal("postgres://h/a%00b"), HasSubstr("%00 in its database"));
  EXPECT_THAT(refusal("postgres://h?a"), HasSubstr("not NAME=VALUE"));
  EXPECT_THAT(refusal("postgres://h?=a"), HasSubstr("not NAME=VALUE"));
  EXPECT_THAT(refusal("postgres://h?a=1&&b=2"), HasSubstr("not NAME=VALUE"));
  EXPECT_THAT(refusal("postgres://h?a=b=c"), HasSubstr("two ="));
  EXPECT_THAT(refusal(std::string_view("postgres://h\0x", 13)), HasSubstr("NUL"));
}

TEST(Url, NoMessageShowsAPassword) {
  for (const char* url :
       {"postgres://u:secret%@h", "postgres://u:x@secret@h", "postgres://u:%00secret@h",
        "postgres://u:secret@a,b", "postgres://u:secret@[", "postgres://u:secret@h?password"}) {
    EXPECT_THAT(refusal(url), Not(HasSubstr("secret"))) << url;
  }
}

}  // namespace
}  // namespace pglite::client
