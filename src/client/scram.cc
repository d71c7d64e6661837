#include "client/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stringprep.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <span>

#include "os/random.h"

namespace pglite::client {
namespace {

constexpr size_t kDigestSize = 32;
using Digest = std::array<unsigned char, kDigestSize>;

const unsigned char* unsigned_bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
std::string_view view(std::span<const unsigned char> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string base64(std::string_view bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                   unsigned_bytes(bytes), static_cast<int>(bytes.size()));
  text.resize(static_cast<size_t>(size));
  return text;
}

// Nothing where it is not base64 as an encoder writes it.
std::optional<std::string> from_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  std::string bytes(text.size() / 4 * 3, '\0');
  if (EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()), unsigned_bytes(text),
                      static_cast<int>(text.size())) < 0) {
    return std::nullopt;
  }
  bytes.resize(bytes.size() - (text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0));
  if (base64(bytes) != text) return std::nullopt;
  return bytes;
}

bool hmac(std::string_view key, std::string_view text, Digest* digest) {
  unsigned size = 0;
  return HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), unsigned_bytes(text),
              text.size(), digest->data(), &size) != nullptr &&
         size == kDigestSize;
}

bool sha256(std::string_view text, Digest* digest) {
  return EVP_Digest(text.data(), text.size(), digest->data(), nullptr, EVP_sha256(), nullptr) == 1;
}

// The value of the attribute `name`, which must come next; what is left begins behind its comma.
std::optional<std::string_view> take(std::string_view* rest, char name) {
  if (rest->size() < 2 || (*rest)[0] != name || (*rest)[1] != '=') return std::nullopt;
  const std::string_view value = rest->substr(2, rest->find(',') - 2);
  rest->remove_prefix(std::min(rest->size(), value.size() + 3));
  return value;
}

Status broken(const std::string& why) {
  return Status::engine_gone("the server's SCRAM authentication " + why);
}
Status no_hashes() {
  return Status::engine_gone("OpenSSL cannot compute what SCRAM needs");
}

}  // namespace

std::string prepare_password(std::string_view password) {
  std::string text(password);
  char* prepared = nullptr;
  // PostgreSQL leaves ASCII alone, control characters too.
  if (std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; })) {
    return text;
  }
  if (stringprep_profile(text.c_str(), &prepared, "SASLprep", STRINGPREP_NO_UNASSIGNED) !=
      STRINGPREP_OK) {
    return text;
  }
  const std::string result = prepared;
  std::free(prepared);
  return result.empty() ? text : result;
}

std::string Scram::first_message() {
  first_bare_ = "n=" + config_.user + ",r=" + config_.nonce;
  return config_.header + first_bare_;
}

Status Scram::final_message(std::string_view server_first, std::string* message) {
  std::string_view rest = server_first;
  const auto nonce = take(&rest, 'r');
  if (!nonce) return broken("begins without a nonce");
  if (nonce->size() <= config_.nonce.size() || !nonce->starts_with(config_.nonce)) {
    return broken("has another nonce than this client's");
  }
  const auto encoded_salt = take(&rest, 's');
  const auto salt = encoded_salt ? from_base64(*encoded_salt) : std::nullopt;
  if (!salt) return broken("has no salt");
  const auto count = take(&rest, 'i');
  uint32_t iterations = 0;
  if (!count) return broken("has no iteration count");
  const std::string digits(*count);
  const char* const end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, iterations);
  if (parsed.ec == std::errc::result_out_of_range || iterations > kScramIterationLimit) {
    return broken("asks for more than " + std::to_string(kScramIterationLimit) + " iterations");
  }
  if (parsed.ec != std::errc() || parsed.ptr != end || iterations == 0) {
    return broken("has no iteration count");
  }
  // What may follow are extensions, which may be ignored.

  const std::string without_proof =
      "c=" + base64(config_.header + config_.channel) + ",r=" + std::string(*nonce);
  const std::string text = first_bare_ + "," + std::string(server_first) + "," + without_proof;
  Digest salted;
  Digest client_key;
  Digest stored_key;
  Digest client_signature;
  Digest server_key;
  Digest server_signature;
  const bool computed =
      PKCS5_PBKDF2_HMAC(config_.password.data(), static_cast<int>(config_.password.size()),
                        unsigned_bytes(*salt), static_cast<int>(salt->size()),
                        static_cast<int>(iterations), EVP_sha256(), kDigestSize,
                        salted.data()) == 1 &&
      hmac(view(salted), "Client Key", &client_key) && sha256(view(client_key), &stored_key) &&
      hmac(view(stored_key), text, &client_signature) &&
      hmac(view(salted), "Server Key", &server_key) &&
      hmac(view(server_key), text, &server_signature);
  if (!computed) return no_hashes();
  Digest proof;
  for (size_t i = 0; i < kDigestSize; ++i) {
    proof[i] = static_cast<unsigned char>(client_key[i] ^ client_signature[i]);
  }
  server_signature_ = view(server_signature);
  *message = without_proof + ",p=" + base64(view(proof));
  return {};
}

Status Scram::verify(std::string_view server_final) {
  std::string_view rest = server_final;
  if (take(&rest, 'e')) return broken("ends with an error");
  const auto encoded = take(&rest, 'v');
  const auto signature = encoded ? from_base64(*encoded) : std::nullopt;
  if (!signature) return broken("ends without a signature");
  if (server_signature_.empty() || signature->size() != server_signature_.size() ||
      CRYPTO_memcmp(signature->data(), server_signature_.data(), signature->size()) != 0) {
    return broken("ends with a wrong signature: the server does not know the password");
  }
  verified_ = true;
  return {};
}

Status make_nonce(std::string* nonce) {
  std::array<std::byte, 18> bytes;
  if (const auto filled = os::fill_random(bytes); !filled) {
    return Status::engine_gone("the system gives no random bytes: " +
                               std::make_error_code(filled.error()).message());
  }
  *nonce = base64({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  return {};
}

Status md5_answer(std::string_view user, std::string_view password, std::string_view salt,
                  std::string* answer) {
  const auto hex_md5 = [](std::string_view text, std::string* hex) {
    std::array<unsigned char, 16> digest;
    if (EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_md5(), nullptr) != 1) {
      return false;
    }
    constexpr std::string_view kDigits = "0123456789abcdef";
    hex->clear();
    for (const unsigned char byte : digest) *hex += {kDigits[byte >> 4], kDigits[byte & 15]};
    return true;
  };
  std::string inner;
  std::string outer;
  if (!hex_md5(std::string(password) + std::string(user), &inner) ||
      !hex_md5(inner + std::string(salt), &outer)) {
    return Status::engine_gone("OpenSSL cannot compute the MD5 that the server asks for");
  }
  *answer = "md5" + outer;
  return {};
}

}  // namespace pglite::client
