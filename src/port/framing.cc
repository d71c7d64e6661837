// `auto` looks at the first five bytes.
//
//   packet4  L L L L t      a length, then a type letter or the 0 that a nested startup begins with
//   raw      t M M M M      a type letter, then a length
//            0 0 L L c c    a startup packet: c is 3.x (00 03 ..) or a request code (04 d2 ..)
//   line     printable
//
// Lengths that matter in practice have a leading 0 byte, which text never has. Only a first frame
// or message of more than 150 MB is ambiguous, if its length bytes all happen to be printable; it
// is read as text. So `SELECT` and `Begin`, which start with type letters, are text, and only bytes
// that are not text are held against the two binary framings.
#include "port/framing.h"

#include "wire/byte_order.h"
#include "wire/frontend.h"
#include "wire/startup_packet.h"

namespace pglite::port {
namespace {

constexpr size_t kDecisive = 5;
constexpr char kRequestByte{wire::kRequestMajor >> 8};  // the first of each request code

enum class Text { kYes, kNo, kCut };  // kCut: ends inside a UTF-8 sequence

Text looks_like_text(std::string_view bytes) {
  for (size_t i = 0; i < bytes.size();) {
    const auto c = static_cast<unsigned char>(bytes[i]);
    size_t more = 0;
    if (c == '\t' || c == '\n' || c == '\r' || (c >= ' ' && c < 0x7f)) {
      more = 0;
    } else if (c >= 0xc2 && c < 0xe0) {
      more = 1;
    } else if (c >= 0xe0 && c < 0xf0) {
      more = 2;
    } else if (c >= 0xf0 && c < 0xf5) {
      more = 3;
    } else {
      return Text::kNo;
    }
    for (++i; more > 0; --more, ++i) {
      if (i == bytes.size()) return Text::kCut;
      if ((static_cast<unsigned char>(bytes[i]) & 0xc0) != 0x80) return Text::kNo;
    }
  }
  return Text::kYes;
}

Detection detect_binary(std::string_view bytes) {
  const char first = bytes[0];
  if (wire::is_frontend_type(first)) return Detection::kRaw;
  if (bytes.size() < 4) return Detection::kNeedMore;
  if (wire::load_u32(bytes) == 0) return Detection::kPacket4;  // an empty frame
  if (bytes.size() < kDecisive) return Detection::kNeedMore;
  const char fifth = bytes[4];
  if (first != 0) {
    // packet4 refuses a length that is beyond any limit, and says what is wrong.
    return fifth == 0 || wire::is_frontend_type(fifth) ? Detection::kPacket4 : Detection::kUnknown;
  }
  if (fifth == kRequestByte) return Detection::kRaw;
  if (fifth != 0) return Detection::kPacket4;
  // A nested packet's length is at most 10000, so its second byte is 0; a protocol version's is 3.
  if (bytes.size() < kDecisive + 1) return Detection::kNeedMore;
  return bytes[5] == 0 ? Detection::kPacket4 : Detection::kRaw;
}

Detection detect_text(std::string_view head, bool at_end) {
  const auto byte = [head](size_t i) { return static_cast<unsigned char>(head[i]); };
  if (head.size() == kDecisive || at_end) return Detection::kLine;
  // 0x40000000 and up is no length.
  const bool typed = wire::is_frontend_type(head[0]);
  const size_t length_at = typed ? 1 : 0;
  if (head.size() > length_at && byte(length_at) >= 0x40) return Detection::kLine;
  if (byte(0) >= ' ' && head.find('\n') != std::string_view::npos) return Detection::kLine;
  return Detection::kNeedMore;
}

}  // namespace

std::optional<Framing> framing_named(std::string_view name) {
  for (Framing framing : {Framing::kAuto, Framing::kPacket4, Framing::kRaw, Framing::kLine}) {
    if (name == framing_name(framing)) return framing;
  }
  return std::nullopt;
}

std::string_view framing_name(Framing framing) {
  switch (framing) {
    case Framing::kAuto:
      return "auto";
    case Framing::kPacket4:
      return "packet4";
    case Framing::kRaw:
      return "raw";
    case Framing::kLine:
      return "line";
  }
  return "";
}

Detection detect_framing(std::string_view first_bytes, bool at_end) {
  if (first_bytes.empty()) return Detection::kNeedMore;
  const std::string_view head = first_bytes.substr(0, kDecisive);
  Detection detection = Detection::kNeedMore;
  switch (looks_like_text(head)) {
    case Text::kYes:
      detection = detect_text(head, at_end);
      break;
    case Text::kNo:
      detection = detect_binary(first_bytes);
      break;
    case Text::kCut:
      // Five bytes that end inside a letter are text all the same.
      if (head.size() == kDecisive) detection = Detection::kLine;
      break;
  }
  if (detection == Detection::kNeedMore && at_end) return Detection::kUnknown;
  return detection;
}

}  // namespace pglite::port
