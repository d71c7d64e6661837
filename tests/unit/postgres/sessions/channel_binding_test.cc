#include "postgres/sessions/channel_binding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace pglite::postgres {
namespace {

using testing::StartsWith;

std::string hex(std::span<const uint8_t> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : bytes) text += {kDigits[byte >> 4], kDigits[byte & 15]};
  return text;
}

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string base64(std::string_view bytes) {
  std::string text(base64_size(bytes.size()), '\0');
  encode_base64(bytes_of(bytes), text);
  return text;
}

// --- HMAC-SHA-256: RFC 4231 ---

struct HmacVector {
  std::string key;
  std::string text;
  std::string digest;
};

TEST(Hmac, Rfc4231) {
  std::string counting;
  for (char c = 1; c <= 25; ++c) counting += c;
  const HmacVector vectors[] = {
      {std::string(20, '\x0b'), "Hi There",
       "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
      {"Jefe", "what do ya want for nothing?",
       "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
      {std::string(20, '\xaa'), std::string(50, '\xdd'),
       "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
      {counting, std::string(50, '\xcd'),
       "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
      {std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First",
       "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
      {std::string(131, '\xaa'),
       "This is a test using a larger than block-size key and a larger than block-size data. "
       "The key needs to be hashed before being used by the HMAC algorithm.",
       "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
  };
  for (const HmacVector& vector : vectors) {
    EXPECT_EQ(hex(hmac_sha256(bytes_of(vector.key), {vector.text})), vector.digest);
    // The parts are one text.
    const std::string_view text = vector.text;
    EXPECT_EQ(hex(hmac_sha256(bytes_of(vector.key), {text.substr(0, 3), "", text.substr(3)})),
              vector.digest);
  }
}

// --- Base64: RFC 4648 ---

TEST(Base64, Rfc4648) {
  const std::pair<std::string, std::string> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"},
                                                         {"\xfb\xff\xfe", "+//+"}};
  for (const auto& [bytes, text] : vectors) {
    EXPECT_EQ(base64(bytes), text);
    std::vector<uint8_t> decoded(bytes.size());
    EXPECT_TRUE(decode_base64(text, decoded)) << text;
    EXPECT_TRUE(std::ranges::equal(decoded, bytes_of(bytes))) << text;
  }
}

TEST(Base64, WhatIsNone) {
  std::array<uint8_t, 2> two{};
  for (const std::string_view text : {"", "Zm8", "Zm8==", "Zg==", "Zm9v", "Z=8=", "=m8=", "Zm8!",
                                      "Zm-=", "Zm_=", " m8=", "Zm8\n"}) {
    EXPECT_FALSE(decode_base64(text, two)) << text;
  }
  // PostgreSQL takes it, too.
  EXPECT_TRUE(decode_base64("Zm9=", two));
}

// --- Messages: the exchange of RFC 7677, which is without channel binding ---

constexpr std::string_view kFirstBare = "n=user,r=rOprNGfwEbeRWgbNEkqO";
constexpr std::string_view kServerFirst =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
constexpr std::string_view kNonce = ",r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
constexpr std::string_view kProof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
constexpr std::string_view kVerifier = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
// Of its password "pencil", salt and iterations (computed with another implementation).
constexpr std::string_view kStoredKey = "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=";
constexpr std::string_view kServerKey = "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
constexpr std::string_view kClientKey = "pg/JI9Z+hkSpLRa5btpe9GVrDHJcSEN0viVTVXaZbos=";

class Unbind : public testing::Test {
 protected:
  Unbind() {
    EXPECT_TRUE(decode_base64(kStoredKey, stored_key_));
    EXPECT_TRUE(decode_base64(kServerKey, server_key_));
  }

  // What PostgreSQL gets.
  std::string unbound(std::string message) {
    const ScramConversation said{.client_first_bare = kFirstBare,
                                 .server_first = kServerFirst,
                                 .stored_key = stored_key_,
                                 .server_key = server_key_};
    // Behind it lies nothing that may be written to.
    std::vector<char> exact(message.begin(), message.end());
    const size_t size = unbind(exact, said, &signature_);
    EXPECT_LT(size, exact.size());
    return {exact.data(), size};
  }
  [[nodiscard]] std::string signature() const { return {signature_.data(), signature_.size()}; }

  // The proof and the signature over the message, as a client computes them.
  [[nodiscard]] std::string proof(std::string_view without_proof) const {
    Sha256 key{};
    EXPECT_TRUE(decode_base64(kClientKey, key));
    const Sha256 over = hmac(stored_key_, without_proof);
    for (size_t i = 0; i < key.size(); ++i) key[i] ^= over[i];
    std::string text(base64_size(key.size()), '\0');
    encode_base64(key, text);
    return text;
  }
  [[nodiscard]] std::string expected_signature(std::string_view without_proof) const {
    std::string text(base64_size(kSha256Size), '\0');
    encode_base64(hmac(server_key_, without_proof), text);
    return text;
  }
  static Sha256 hmac(const Sha256& key, std::string_view without_proof) {
    return hmac_sha256(key, {std::string(kFirstBare) + "," + std::string(kServerFirst) + "," +
                             std::string(without_proof)});
  }

  Sha256 stored_key_{};
  Sha256 server_key_{};
  ScramSignature signature_{};
  std::string bound_ = "c=" + bound_channel(std::string(32, '\x5a'));
};

TEST_F(Unbind, TheVectorIsOfRfc7677) {
  const std::string without = "c=biws" + std::string(kNonce);
  EXPECT_EQ(proof(without), kProof);
  EXPECT_EQ(expected_signature(without), kVerifier);
}

TEST_F(Unbind, ARightProofBecomesTheOneWithoutBinding) {
  const std::string without = bound_ + std::string(kNonce);
  const std::string right = proof(without);
  ASSERT_NE(right, kProof);
  EXPECT_EQ(unbound(without + ",p=" + right),
            "c=biws" + std::string(kNonce) + ",p=" + std::string(kProof));
  EXPECT_EQ(signature(), expected_signature(without));
}

TEST_F(Unbind, AWrongProofStaysAsWrong) {
  const std::string without = bound_ + std::string(kNonce);
  // For another channel; for none, which a server in between would have got.
  for (const std::string& other :
       {"c=" + bound_channel(std::string(32, '\x5b')), std::string("c=biws")}) {
    const std::string wrong = proof(other + std::string(kNonce));
    const std::string got = unbound(without + ",p=" + wrong);
    EXPECT_THAT(got, StartsWith("c=biws" + std::string(kNonce) + ",p="));
    EXPECT_FALSE(got.ends_with(kProof));
    EXPECT_EQ(got.size(), 6 + kNonce.size() + 3 + kProof.size());
  }
  // One bit of it.
  std::string flipped = proof(without);
  flipped[3] = flipped[3] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(unbound(without + ",p=" + flipped).ends_with(kProof));
}

TEST_F(Unbind, ExtensionsAreProvenToo) {
  const std::string extended = std::string(kNonce) + ",x=p=1,y=,z=3";
  const std::string without = bound_ + extended;
  EXPECT_EQ(unbound(without + ",p=" + proof(without)),
            "c=biws" + extended + ",p=" + proof("c=biws" + extended));
  EXPECT_EQ(signature(), expected_signature(without));
}

TEST_F(Unbind, AnotherNonceIsForPostgresqlToSee) {
  const std::string nonce = ",r=another";
  const std::string without = bound_ + nonce;
  EXPECT_EQ(unbound(without + ",p=" + proof(without)),
            "c=biws" + nonce + ",p=" + proof("c=biws" + nonce));
}

TEST_F(Unbind, WhatPostgresqlCannotReadStaysSo) {
  const std::string bound = bound_;
  const std::string nonce(kNonce);
  for (const std::string& rest :
       {std::string(), std::string(","), nonce, nonce + ",", nonce + ",p", nonce + ",,p=x",
        nonce + ",=p=x", std::string(",r"), std::string(",,,"), nonce + std::string(500, ','),
        nonce + ",x=" + std::string(800, 'x')}) {
    EXPECT_EQ(unbound(bound + rest), "c=biws" + rest);
    EXPECT_EQ(signature_, ScramSignature{});
  }
}

// PostgreSQL sees the message without binding. A proof that is not read here, but would be there,
// could be right for that one.
TEST_F(Unbind, AProofThatIsNotReadIsNoneForPostgresqlEither) {
  const std::string nonce(kNonce);
  const std::string right(kProof);
  std::vector<std::string> proofs = {"x",
                                     "=",
                                     right.substr(1),
                                     right.substr(0, 43),
                                     right + "=",
                                     right + "AAAA",
                                     right + " ",
                                     "AAAA" + right,
                                     std::string(44, '='),
                                     right.substr(0, 42) + "==",
                                     std::string(44, 'A')};
  for (const char c : {'!', '\n', ' ', '-', '_', '\x7f', '\xff', '\x01'}) {
    proofs.push_back(right);
    proofs.back()[20] = c;
  }
  for (const std::string& value : proofs) {
    const std::string got = unbound(bound_ + nonce + ",p=" + value);
    EXPECT_EQ(got, "c=biws" + nonce + ",p=!" + value.substr(1)) << value;
  }
  EXPECT_EQ(unbound(bound_ + nonce + ",p="), "c=biws" + nonce + ",p=");
}

TEST_F(Unbind, WhatIsBehindTheProofStays) {
  const std::string without = bound_ + std::string(kNonce);
  EXPECT_EQ(unbound(without + ",p=" + proof(without) + ",x=1"),
            "c=biws" + std::string(kNonce) + ",p=" + std::string(kProof) + ",x=1");
}

TEST(Channel, IsTheFirstAttribute) {
  EXPECT_EQ(channel_of("c=biws,r=x"), "biws");
  EXPECT_EQ(channel_of("c=biws"), "biws");
  EXPECT_EQ(channel_of("c=,r=x"), "");
  EXPECT_EQ(channel_of("c="), "");
  EXPECT_EQ(channel_of("c=a=b,c=d"), "a=b");
  for (const std::string_view text :
       {"", "c", "c,", "r=x,c=biws", "C=biws", " c=biws", ",c=biws"}) {
    EXPECT_EQ(channel_of(text), std::nullopt) << text;
  }
}

TEST(Channel, HasTheHeaderAndTheHash) {
  EXPECT_EQ(bound_channel("hash"), base64("p=tls-server-end-point,,hash"));
  EXPECT_EQ(bound_channel(std::string(64, '\0')),
            base64("p=tls-server-end-point,," + std::string(64, '\0')));
}

TEST(Signature, ReplacesTheOneOfAServerFinalMessage) {
  ScramSignature signature;
  signature.fill('s');
  std::string text = "v=" + std::string(kVerifier);
  EXPECT_TRUE(replace_signature(text, signature));
  EXPECT_EQ(text, "v=" + std::string(44, 's'));
  for (std::string other : {std::string(), std::string("v="), "v=" + std::string(43, 'a'),
                            "v=" + std::string(45, 'a'), "e=" + std::string(44, 'a')}) {
    const std::string before = other;
    EXPECT_FALSE(replace_signature(other, signature)) << other;
    EXPECT_EQ(other, before);
  }
}

}  // namespace
}  // namespace pglite::postgres
