// What a server sends to a client that connects to it, from the first byte on: anything may answer
// at the other end of a connection.
#include "client/message_scanner.h"
#include "client/startup.h"
#include "target.h"
#include "wire/backend_message.h"
#include "wire/byte_order.h"
#include "wire/frontend.h"
#include "wire/message.h"

namespace pglite::fuzz {
namespace {

using namespace std::literals;

constexpr std::string_view kNonce = "rOprNGfwEbeRWgbNEkqO";

struct Outcome {
  std::string sent;
  std::string why;
  bool done = false;
  bool operator==(const Outcome&) const = default;
};

// How a session begins whose server sends `bytes` in pieces.
Outcome begin(std::string_view bytes, size_t piece, uint8_t choice) {
  client::Parameters parameters;
  parameters.user = "user";
  if ((choice & 1) == 0) parameters.password = "pencil";
  parameters.channel_binding = static_cast<client::ChannelBinding>(choice / 2 % 3);
  const bool is_encrypted = (choice & 8) != 0;
  client::Startup startup(parameters,
                          {is_encrypted, is_encrypted && (choice & 16) != 0 ? "hash" : ""},
                          std::string(kNonce));
  client::MessageScanner scanner;
  Outcome outcome;
  while (!bytes.empty() && outcome.why.empty() && !startup.done()) {
    const std::vector<char> part = exact_copy(bytes.substr(0, piece));
    bytes.remove_prefix(part.size());
    const std::string wrong = scanner.scan(
        {part.data(), part.size()}, [&](const client::MessageScanner::Message& message) {
          FUZZ_CHECK(message.body.size() <= client::kPlainMessageLimit);
          FUZZ_CHECK(message.end <= part.size());
          if (!outcome.why.empty() || startup.done()) return;
          const Status status = startup.receive(message, &outcome.sent);
          if (!status.ok()) outcome.why = status.message();
        });
    if (outcome.why.empty() && !startup.done()) outcome.why = wrong;
  }
  outcome.done = startup.done();
  // A password or a proof of it is all that can have been sent, in whole messages.
  FUZZ_CHECK(wire::for_each_packet(outcome.sent, [](const wire::FrontendPacket& packet) {
               FUZZ_CHECK(packet.type == 'p');
             }).empty());
  if (outcome.done && parameters.channel_binding == client::ChannelBinding::kRequire) {
    FUZZ_CHECK(is_encrypted);
  }
  return outcome;
}

std::string request(uint32_t kind, std::string_view rest = {}) {
  std::string body;
  wire::append_u32(body, kind);
  return wire::message('R', body.append(rest));
}

}  // namespace

std::vector<std::string> seeds() {
  const std::string end = wire::parameter_status("server_version", "18.6") +
                          wire::backend_key_data(7, "keyx") + wire::ready_for_query('I');
  // The exchange of RFC 7677, but for the user's name, so that the proof is another one.
  const std::string scram =
      request(
          11,
          "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1") +
      request(12, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=") + request(0);
  std::vector<std::string> inputs;
  for (const char piece : {'\1', '\x40'}) {
    for (const std::string& bytes :
         {request(0) + end, request(3) + request(0) + end, request(5, "salt") + request(0) + end,
          request(10, "SCRAM-SHA-256\0\0"sv) + scram + end,
          request(10, "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"sv) + scram + end,
          wire::error_response("FATAL", "28P01", "no") + end}) {
      for (const char choice : {'\0', '\2', '\x1a'}) {
        inputs.push_back(std::string() + piece + choice + bytes);
      }
    }
  }
  return inputs;
}

}  // namespace pglite::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pglite::fuzz;
  Input input(data, size);
  const size_t piece = std::max<size_t>(1, input.get<uint8_t>());
  const auto choice = input.get<uint8_t>();
  const std::string_view bytes = input.rest();
  const Outcome whole = begin(bytes, bytes.size(), choice);
  FUZZ_CHECK(begin(bytes, piece, choice) == whole);
  return 0;
}
