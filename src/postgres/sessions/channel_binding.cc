#include "postgres/sessions/channel_binding.h"

#include <sha2.h>
#include <sys/types.h>

#include <algorithm>

#include "os/wipe.h"

namespace pglite::postgres {

namespace {

constexpr std::string_view kHeader = "p=tls-server-end-point,,";
constexpr std::string_view kUnbound = "c=biws";  // "n,,"
constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void update(SHA2_CTX* context, std::string_view text) {
  SHA256Update(context, reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

// `*inout` XOR `other`.
void add(Sha256* inout, const Sha256& other) {
  for (size_t i = 0; i < kSha256Size; ++i) (*inout)[i] ^= other[i];
}

// Where the value of the proof lies.
struct Range {
  size_t begin = 0;
  size_t end = 0;
};

// The first attribute "p" behind `at`, where one begins; nullopt: what is there has no attributes.
std::optional<Range> find_proof(std::string_view text, size_t at) {
  while (at + 1 < text.size() && text[at + 1] == '=') {
    const size_t end = std::min(text.find(',', at), text.size());
    if (text[at] == 'p') return Range{at + 2, end};
    at = end + 1;
  }
  return std::nullopt;
}

}  // namespace

Sha256 hmac_sha256(std::span<const uint8_t> key, std::initializer_list<std::string_view> parts) {
  constexpr uint8_t kInner = 0x36;
  constexpr uint8_t kOuter = 0x5C;
  SHA2_CTX context;
  Sha256 digest{};
  std::array<uint8_t, SHA256_BLOCK_LENGTH> block{};
  if (key.size() > block.size()) {
    SHA256Init(&context);
    SHA256Update(&context, key.data(), key.size());
    SHA256Final(block.data(), &context);
  } else {
    std::ranges::copy(key, block.begin());
  }
  for (uint8_t& byte : block) byte ^= kInner;
  SHA256Init(&context);
  SHA256Update(&context, block.data(), block.size());
  for (const std::string_view part : parts) update(&context, part);
  SHA256Final(digest.data(), &context);
  for (uint8_t& byte : block) byte ^= kInner ^ kOuter;
  SHA256Init(&context);
  SHA256Update(&context, block.data(), block.size());
  SHA256Update(&context, digest.data(), digest.size());
  SHA256Final(digest.data(), &context);
  os::wipe(block.data(), block.size());
  os::wipe(&context, sizeof context);
  return digest;
}

void encode_base64(std::span<const uint8_t> bytes, std::span<char> text) {
  for (size_t from = 0, to = 0; from < bytes.size(); from += 3, to += 4) {
    const size_t count = std::min<size_t>(3, bytes.size() - from);
    uint32_t bits = 0;
    for (size_t i = 0; i < 3; ++i) bits = bits << 8 | (i < count ? bytes[from + i] : 0);
    for (size_t i = 0; i < 4; ++i) {
      text[to + i] = i <= count ? kAlphabet[bits >> (18 - 6 * i) & 63] : '=';
    }
  }
}

bool decode_base64(std::string_view text, std::span<uint8_t> bytes) {
  if (text.size() != base64_size(bytes.size())) return false;
  for (size_t from = 0, to = 0; from < text.size(); from += 4, to += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - to);
    uint32_t bits = 0;
    for (size_t i = 0; i < 4; ++i) {
      const char c = text[from + i];
      const size_t value = i <= count ? kAlphabet.find(c) : 0;
      if (value == std::string_view::npos || (i > count && c != '=')) return false;
      bits = bits << 6 | static_cast<uint32_t>(value);
    }
    for (size_t i = 0; i < count; ++i) bytes[to + i] = static_cast<uint8_t>(bits >> (16 - 8 * i));
  }
  return true;
}

std::string bound_channel(std::string_view certificate_hash) {
  const std::string bound = std::string(kHeader) + std::string(certificate_hash);
  std::string text(base64_size(bound.size()), '\0');
  encode_base64(std::span(reinterpret_cast<const uint8_t*>(bound.data()), bound.size()), text);
  return text;
}

std::optional<std::string_view> channel_of(std::string_view client_final) {
  if (!client_final.starts_with("c=")) return std::nullopt;
  const size_t end = std::min(client_final.find(','), client_final.size());
  return client_final.substr(2, end - 2);
}

size_t unbind(std::span<char> client_final, const ScramConversation& said,
              ScramSignature* signature) {
  const std::string_view text(client_final.data(), client_final.size());
  const size_t channel_end = std::min(text.find(','), text.size());
  signature->fill('\0');
  if (const auto proof = find_proof(text, channel_end + 1)) {
    // Without the comma in front of "p=".
    const std::string_view without_proof = text.substr(0, proof->begin - 3);
    const auto hmac = [&](std::span<const uint8_t> key, std::string_view channel) {
      return hmac_sha256(key, {said.client_first_bare, ",", said.server_first, ",", channel,
                               without_proof.substr(channel_end)});
    };
    const std::string_view bound = text.substr(0, channel_end);
    Sha256 key = hmac(said.server_key, bound);
    encode_base64(key, *signature);
    const std::span<char> value = client_final.subspan(proof->begin, proof->end - proof->begin);
    if (decode_base64({value.data(), value.size()}, key)) {
      add(&key, hmac(said.stored_key, bound));
      add(&key, hmac(said.stored_key, kUnbound));
      encode_base64(key, value);
    } else if (!value.empty()) {
      // What is none here must be none for PostgreSQL, or it could be one for the text that it
      // sees.
      value.front() = '!';
    }
    os::wipe(key.data(), key.size());
  }
  const std::span<char> rest = client_final.subspan(channel_end);
  std::ranges::copy(kUnbound, client_final.begin());
  std::ranges::copy(rest, client_final.begin() + kUnbound.size());
  return kUnbound.size() + rest.size();
}

bool replace_signature(std::span<char> server_final, const ScramSignature& signature) {
  constexpr std::string_view kName = "v=";
  if (server_final.size() != kName.size() + signature.size()) return false;
  if (!std::string_view(server_final.data(), server_final.size()).starts_with(kName)) return false;
  std::ranges::copy(signature, server_final.begin() + kName.size());
  return true;
}

}  // namespace pglite::postgres
