#include "client/scram.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pglite::client {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// RFC 7677, section 3.
constexpr const char* kNonce = "rOprNGfwEbeRWgbNEkqO";
constexpr const char* kServerFirst =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
constexpr const char* kClientFinal =
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
constexpr const char* kServerFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

Scram scram() {
  return Scram(
      {.user = "user", .password = "pencil", .nonce = kNonce, .header = "n,,", .channel = {}});
}

TEST(Scram, VectorsOfRfc7677) {
  Scram one = scram();
  EXPECT_EQ(one.first_message(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
  std::string message;
  ASSERT_TRUE(one.final_message(kServerFirst, &message).ok());
  EXPECT_EQ(message, kClientFinal);
  EXPECT_FALSE(one.verified());
  EXPECT_TRUE(one.verify(kServerFinal).ok());
  EXPECT_TRUE(one.verified());
}

TEST(Scram, TheChannelIsInTheProof) {
  Scram one({.user = "",
             .password = "pencil",
             .nonce = kNonce,
             .header = "p=tls-server-end-point,,",
             .channel = "\x01\xff"});
  EXPECT_EQ(one.first_message(), std::string("p=tls-server-end-point,,n=,r=") + kNonce);
  std::string message;
  ASSERT_TRUE(one.final_message(kServerFirst, &message).ok());
  // base64 of the header and the two bytes
  EXPECT_THAT(message, StartsWith("c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsAf8=,r="));
}

TEST(Scram, OtherSignatures) {
  for (const char* final :
       {"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=", "v=", "", "v=AAAA", "v=6rri", "x=1", "v",
        "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "e=other-error"}) {
    Scram one = scram();
    one.first_message();
    std::string message;
    ASSERT_TRUE(one.final_message(kServerFirst, &message).ok());
    EXPECT_EQ(one.verify(final).code(), StatusCode::kEngineGone) << final;
    EXPECT_FALSE(one.verified());
  }
  Scram early = scram();
  early.first_message();
  EXPECT_FALSE(early.verify(kServerFinal).ok());
}

TEST(Scram, HostileChallenges) {
  const std::string nonce = kNonce;
  for (const auto& [challenge, why] : {
           std::pair{std::string(), "without a nonce"},
           {"m=ext,r=" + nonce + "x,s=W22Z,i=4096", "without a nonce"},
           {"r=" + nonce + ",s=W22Z,i=4096", "another nonce"},
           {"r=other" + nonce + ",s=W22Z,i=4096", "another nonce"},
           {"r=rOprNGfwEbeRWgbNEkqx%hv,s=W22Z,i=4096", "another nonce"},
           {"r=" + nonce + "x", "no salt"},
           {"r=" + nonce + "x,s=,i=4096", "no salt"},
           {"r=" + nonce + "x,s=!!!!,i=4096", "no salt"},
           {"r=" + nonce + "x,s=W22,i=4096", "no salt"},
           {"r=" + nonce + "x,s=W2==W22Z,i=4096", "no salt"},
           {"r=" + nonce + "x,s=W22Z", "no iteration count"},
           {"r=" + nonce + "x,s=W22Z,i=", "no iteration count"},
           {"r=" + nonce + "x,s=W22Z,i=0", "no iteration count"},
           {"r=" + nonce + "x,s=W22Z,i=-1", "no iteration count"},
           {"r=" + nonce + "x,s=W22Z,i=4096x", "no iteration count"},
           {"r=" + nonce + "x,s=W22Z,i=10000001", "more than 10000000 iterations"},
           {"r=" + nonce + "x,s=W22Z,i=2147483647", "more than 10000000 iterations"},
           {"r=" + nonce + "x,s=W22Z,i=99999999999999999999", "more than 10000000 iterations"},
       }) {
    Scram one = scram();
    one.first_message();
    std::string message;
    const Status status = one.final_message(challenge, &message);
    EXPECT_EQ(status.code(), StatusCode::kEngineGone) << challenge;
    EXPECT_THAT(status.message(), HasSubstr(why)) << challenge;
    EXPECT_EQ(message, "");
  }
}

// RFC 4013, section 3; ASCII is left alone, as by PostgreSQL.
TEST(Scram, PasswordsArePrepared) {
  EXPECT_EQ(prepare_password("pencil"), "pencil");
  EXPECT_EQ(prepare_password("I\u00adX"), "IX");
  EXPECT_EQ(prepare_password("USER"), "USER");
  EXPECT_EQ(prepare_password("\u00aa"), "a");
  EXPECT_EQ(prepare_password("\u2168"), "IX");
  EXPECT_EQ(prepare_password("a\u00a0b\u3000c"), "a b c");
  EXPECT_EQ(prepare_password("u\u0308"), "\u00fc");
  EXPECT_EQ(prepare_password("\a"), "\a");
  // Refused ones are taken as they are: bidirectional, a control character, unassigned in Unicode
  // 3.2, not UTF-8, nothing left.
  for (const char* password : {"\u06271", "\u00fc\x7f", "\U0001f642", "\xfc", "\u00ad"}) {
    EXPECT_EQ(prepare_password(password), password);
  }
}

TEST(Scram, NoncesDiffer) {
  std::string one;
  std::string two;
  ASSERT_TRUE(make_nonce(&one).ok());
  ASSERT_TRUE(make_nonce(&two).ok());
  EXPECT_EQ(one.size(), 24U);
  EXPECT_NE(one, two);
}

// Of 'secret' and 'alice', then of that in hexadecimal and the salt.
TEST(Scram, Md5) {
  std::string answer;
  ASSERT_TRUE(md5_answer("alice", "secret", "abcd", &answer).ok());
  EXPECT_EQ(answer, "md5c90bcafc0a2b54511742383e34d5dc9d");
}

}  // namespace
}  // namespace pglite::client
