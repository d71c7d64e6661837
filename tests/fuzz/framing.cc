// How `auto` tells the port's framings apart, and the look for CancelRequests behind a request,
// which a signal handler does.
#include "port/framing.h"

#include "port/read_ahead.h"
#include "target.h"
#include "wire/byte_order.h"
#include "wire/frontend_message.h"

namespace pglite::fuzz {
namespace {

using port::Detection;
using port::Framing;

std::string framed(std::string_view content) {
  std::string out;
  wire::append_u32(out, static_cast<uint32_t>(content.size()));
  return out.append(content);
}

void check_detection(std::string_view bytes) {
  Detection before = Detection::kNeedMore;
  for (size_t size = 0; size <= std::min<size_t>(bytes.size(), 12); ++size) {
    const std::vector<char> copy = exact_copy(bytes.substr(0, size));
    const std::string_view head(copy.data(), copy.size());
    const Detection now = port::detect_framing(head, false);
    // What is decided stays, whatever comes. Only lines are believed early, because their sender
    // may wait for an answer to the first.
    if (before != Detection::kNeedMore && before != Detection::kLine) FUZZ_CHECK(now == before);
    if (size >= 6) FUZZ_CHECK(now != Detection::kNeedMore);
    const Detection at_end = port::detect_framing(head, true);
    if (size > 0) FUZZ_CHECK(at_end != Detection::kNeedMore);
    if (now != Detection::kNeedMore) FUZZ_CHECK(at_end == now);
    before = now;
  }
}

// All at once, and as the bytes come in pieces: the same is found.
void check_cancel(Framing framing, std::string_view bytes, size_t piece) {
  size_t seen_at_once = 0;
  const bool at_once = port::has_cancel_request(framing, bytes, &seen_at_once);
  FUZZ_CHECK(seen_at_once <= bytes.size());
  bool found = false;
  size_t next = 0;
  for (size_t there = 0; there < bytes.size() && !found;) {
    there = std::min(bytes.size(), there + piece);
    const std::vector<char> copy = exact_copy(bytes.substr(next, there - next));
    size_t seen = 0;
    found = port::has_cancel_request(framing, {copy.data(), copy.size()}, &seen);
    FUZZ_CHECK(seen <= copy.size());
    next += seen;
  }
  FUZZ_CHECK(found == at_once);
  FUZZ_CHECK(next == seen_at_once);
}

}  // namespace

std::vector<std::string> seeds() {
  const std::string cancel = wire::cancel_request(1, 2);
  const std::string query = wire::query("select 1");
  const std::string at_once(1, '\xff');
  const std::string byte_by_byte(1, '\1');
  return {at_once + framed(query) + framed(cancel), byte_by_byte + query + "\r\n" + cancel,
          at_once + "select 1;\n", byte_by_byte + framed("") + framed(wire::ssl_request()),
          at_once + wire::ssl_request() + wire::startup_packet({})};
}

}  // namespace pglite::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pglite::fuzz;
  Input input(data, size);
  const size_t piece = std::max<size_t>(1, input.get<uint8_t>());
  const std::string_view bytes = input.rest();
  check_detection(bytes);
  for (const Framing framing : {Framing::kAuto, Framing::kPacket4, Framing::kRaw, Framing::kLine}) {
    check_cancel(framing, bytes, piece);
  }
  return 0;
}
