// The last message of a client with SCRAM-SHA-256-PLUS, which PostgreSQL gets as one without
// binding. What PostgreSQL then reads in it, as it is written here once more, must show the same
// ClientKey as the client's message does; where it reads a proof that the host has not, anybody
// could be let in.
#include "postgres/sessions/channel_binding.h"

#include <algorithm>
#include <optional>

#include "target.h"

namespace pglite::fuzz {
namespace {

using postgres::kSha256Size;
using postgres::Sha256;

constexpr std::string_view kFirst = "n=,r=nonce";
constexpr std::string_view kServerFirst = "r=noncenonce,s=c2FsdA==,i=1";

Sha256 filled(uint8_t byte) {
  Sha256 key;
  key.fill(byte);
  return key;
}

// pg_b64_decode(): it takes more than is base64.
std::optional<std::string> decode(std::string_view text) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  uint32_t bits = 0;
  int position = 0;
  int end = 0;
  for (const char c : text) {
    size_t value = 0;
    if (c == '=') {
      if (end == 0 && position < 2) return std::nullopt;
      if (end == 0) end = position - 1;
    } else {
      value = kAlphabet.find(c);
      if (value == std::string_view::npos) return std::nullopt;
    }
    bits = bits << 6 | static_cast<uint32_t>(value);
    if (++position != 4) continue;
    bytes += static_cast<char>(bits >> 16);
    if (end == 0 || end > 1) bytes += static_cast<char>(bits >> 8);
    if (end == 0 || end > 2) bytes += static_cast<char>(bits);
    bits = 0;
    position = 0;
  }
  return position == 0 ? std::optional(bytes) : std::nullopt;
}

// read_client_final_message(): what the proof is over, and the proof.
struct Read {
  std::string without_proof;
  std::string proof;
};
std::optional<Read> read(std::string_view message) {
  size_t at = 0;
  const auto next = [&](char* name) -> std::optional<std::string_view> {
    if (at >= message.size() || at + 1 >= message.size() || message[at + 1] != '=') {
      return std::nullopt;
    }
    *name = message[at];
    const size_t end = std::min(message.find(',', at), message.size());
    const std::string_view value = message.substr(at + 2, end - at - 2);
    at = std::min(end + 1, message.size());
    return value;
  };
  char name = 0;
  if (!next(&name) || name != 'c') return std::nullopt;
  if (!next(&name) || name != 'r') return std::nullopt;
  while (true) {
    const size_t begin = at;
    const auto value = next(&name);
    const bool is_letter = (name >= 'A' && name <= 'Z') || (name >= 'a' && name <= 'z');
    if (!value || !is_letter) return std::nullopt;
    if (name != 'p') continue;
    const auto proof = decode(*value);
    if (!proof || proof->size() != kSha256Size || at != message.size()) return std::nullopt;
    return Read{std::string(message.substr(0, begin - 1)), *proof};
  }
}

Sha256 client_key(const Read& read) {
  Sha256 key =
      postgres::hmac_sha256(filled('k'), {kFirst, ",", kServerFirst, ",", read.without_proof});
  for (size_t i = 0; i < key.size(); ++i) key[i] ^= static_cast<uint8_t>(read.proof[i]);
  return key;
}

}  // namespace

std::vector<std::string> seeds() {
  const std::string proof(43, 'Q');
  return {",r=noncenonce,p=" + proof + "=", ",r=noncenonce,x=1,p=" + proof + "=",
          ",r=noncenonce,p=" + proof + "=,x=1",
          // 32 bytes for PostgreSQL, and no base64.
          ",r=noncenonce,p=QUE=" + std::string(60, 'Q'),
          ",r=noncenonce,p=QQ==" + std::string(124, 'Q'), ",p=" + proof + "=,r=noncenonce",
          ",r=noncenonce,p=", ",r=,,p=" + proof, ""};
}

}  // namespace pglite::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pglite::fuzz;
  using namespace pglite::postgres;
  const std::string_view rest(reinterpret_cast<const char*>(data), size);
  // What ends at a NUL is PostgreSQL's to refuse.
  if (rest.find('\0') != std::string_view::npos) return 0;
  FUZZ_CHECK(!channel_of(rest) || channel_of(rest)->find(',') == std::string_view::npos);
  const std::string bound = "c=" + bound_channel("hash");
  // The binding ends where the next attribute begins.
  if (!rest.empty() && rest.front() != ',') return 0;
  const std::string message = bound + std::string(rest);
  FUZZ_CHECK(channel_of(message) == std::string_view(bound).substr(2));

  std::vector<char> buffer = exact_copy(message);
  const Sha256 stored_key = filled('k');
  const Sha256 server_key = filled('s');
  ScramSignature signature;
  const size_t unbound_size = unbind(buffer,
                                     {.client_first_bare = kFirst,
                                      .server_first = kServerFirst,
                                      .stored_key = stored_key,
                                      .server_key = server_key},
                                     &signature);
  FUZZ_CHECK(unbound_size < buffer.size());
  const std::string unbound(buffer.data(), unbound_size);
  FUZZ_CHECK(unbound.starts_with("c=biws") && unbound.size() == 6 + rest.size());

  const auto theirs = read(unbound);
  const auto ours = read(message);
  if (!theirs) return 0;
  FUZZ_CHECK(ours.has_value());
  FUZZ_CHECK(client_key(*theirs) == client_key(*ours));
  ScramSignature expected;
  encode_base64(hmac_sha256(server_key, {kFirst, ",", kServerFirst, ",", ours->without_proof}),
                expected);
  FUZZ_CHECK(signature == expected);
  return 0;
}
