// SCRAM-SHA-256-PLUS (RFC 5802, RFC 5929) with a PostgreSQL that was compiled without TLS, and so
// knows SCRAM-SHA-256 only.
//
// A client proves its password over all that was said, and of that is what it takes for the
// server's certificate ("c="). Its proof is ClientKey XOR HMAC(StoredKey, what was said). Who has
// StoredKey, as a server does, can take one text out of a proof and put another in without knowing
// ClientKey. So PostgreSQL gets the message of a client that has bound nothing, with a proof that
// is right if, and only if, the client's is: PostgreSQL decides, of roles that are not there as
// well, and does the same for all. Only the certificate is compared here.
//
// What a client sends may be anything. Nothing here allocates, but for bound_channel().
#ifndef PGLITE_POSTGRES_SESSIONS_CHANNEL_BINDING_H_
#define PGLITE_POSTGRES_SESSIONS_CHANNEL_BINDING_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace pglite::postgres {

inline constexpr std::string_view kScramPlain = "SCRAM-SHA-256";
inline constexpr std::string_view kScramPlus = "SCRAM-SHA-256-PLUS";

inline constexpr size_t kSha256Size = 32;
using Sha256 = std::array<uint8_t, kSha256Size>;
// RFC 2104, over the parts as one text.
Sha256 hmac_sha256(std::span<const uint8_t> key, std::initializer_list<std::string_view> parts);

constexpr size_t base64_size(size_t bytes) {
  return (bytes + 2) / 3 * 4;
}
// `*text` has base64_size() characters.
void encode_base64(std::span<const uint8_t> bytes, std::span<char> text);
// False: `text` is not base64 of as many bytes. Bits that are left over in its end may be any, as
// for PostgreSQL.
bool decode_base64(std::string_view text, std::span<uint8_t> bytes);

// What "c=" must be of a client that is bound to the server's certificate.
std::string bound_channel(std::string_view certificate_hash);

// The value of the attribute "c" that a client-final-message begins with; nullopt: it does not.
std::optional<std::string_view> channel_of(std::string_view client_final);

// What PostgreSQL knows when the client-final-message comes.
struct ScramConversation {
  std::string_view client_first_bare;
  std::string_view server_first;
  std::span<const uint8_t, kSha256Size> stored_key;
  std::span<const uint8_t, kSha256Size> server_key;
};

using ScramSignature = std::array<char, base64_size(kSha256Size)>;

// Makes the client-final-message, which begins with a "c" of more than four characters, one of a
// client that has bound nothing, and gives its new size. One that PostgreSQL cannot read stays so.
// `*signature` is what the client expects in the server-final-message.
size_t unbind(std::span<char> client_final, const ScramConversation& said,
              ScramSignature* signature);

// Puts it into the server-final-message. False: that is none.
bool replace_signature(std::span<char> server_final, const ScramSignature& signature);

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_SESSIONS_CHANNEL_BINDING_H_
