// Builds backend messages (PostgreSQL manual, "Message Formats"), as frontend_message.h builds a
// client's. backend.h takes them apart. Strings must not contain NUL: the wire ends them with one.
#ifndef PGLITE_WIRE_BACKEND_MESSAGE_H_
#define PGLITE_WIRE_BACKEND_MESSAGE_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "wire/backend.h"
#include "wire/message.h"

namespace pglite::wire {

// Fields that are empty are left out. Clients need a severity, an SQLSTATE and a message. The
// severity is sent twice, as the localised one ('S') and as the one that never is ('V'): it must be
// one of PostgreSQL's English words, such as FATAL.
std::string error_response(const ErrorFields& fields);
std::string notice_response(const ErrorFields& fields);
// An ErrorResponse with the fields that clients need.
std::string error_response(std::string_view severity, std::string_view sqlstate,
                           std::string_view message);

std::string authentication_ok();
// `key` has 4 bytes in protocol 3.0 and 4 to 256 bytes in 3.2.
std::string backend_key_data(uint32_t pid, std::string_view key);
std::string parameter_status(std::string_view name, std::string_view value);
// What a server answers to a startup packet that asks for a newer minor version than `minor`, or
// for protocol options that the server does not know.
std::string negotiate_protocol_version(uint16_t minor,
                                       std::span<const std::string_view> unknown_options);

// `tag` is, for example, "SELECT 1".
std::string command_complete(std::string_view tag);
// 'I' idle, 'T' in a transaction, 'E' in a failed one.
std::string ready_for_query(char transaction_status);

// The answer to an SSLRequest or GSSENCRequest of a client that has to go on without encryption.
// It is no message: it has no length.
inline constexpr std::string_view kEncryptionRefused = "N";

}  // namespace pglite::wire

#endif  // PGLITE_WIRE_BACKEND_MESSAGE_H_
