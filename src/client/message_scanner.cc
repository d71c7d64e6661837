#include "client/message_scanner.h"

#include <algorithm>

#include "wire/byte_order.h"
#include "wire/frontend.h"

namespace pglite::client {
namespace {

constexpr std::string_view kBeforeTheSession = "REKSNZ";
constexpr std::string_view kInASession = "TDCIENASZGHdcV123nts";
constexpr std::string_view kWithData = "TDdV";
// They may be long, too.
constexpr std::string_view kReports = "ENA";

bool is_one_of(char type, std::string_view types) {
  return types.find(type) != std::string_view::npos;
}

}  // namespace

std::string MessageScanner::judge_header() {
  const char type = header_[0];
  const uint32_t length = wire::load_u32(header_ + 1);
  if (!is_one_of(type, in_session_ ? kInASession : kBeforeTheSession)) {
    return "a message of type " + wire::type_name(type) + ", which nothing asked for";
  }
  uint32_t limit = kPlainMessageLimit;
  if (!in_session_ && type == 'R') limit = kAuthenticationLimit;
  if (in_session_ && (is_one_of(type, kWithData) || is_one_of(type, kReports))) {
    limit = wire::kLargeMessageLimit;
  }
  if (length < 4 || length > limit) {
    return "a message of type " + wire::type_name(type) + " with the length " +
           std::to_string(length);
  }
  body_left_ = length - 4;
  is_kept_ = !is_one_of(type, kWithData);
  return {};
}

std::string MessageScanner::scan(std::string_view bytes,
                                 const std::function<void(const Message&)>& handle) {
  const size_t size = bytes.size();
  while (!bytes.empty()) {
    if (header_size_ < sizeof header_) {
      header_[header_size_++] = bytes[0];
      bytes.remove_prefix(1);
      if (header_size_ < sizeof header_) continue;
      if (std::string wrong = judge_header(); !wrong.empty()) return wrong;
    }
    const auto step = static_cast<size_t>(std::min<uint64_t>(body_left_, bytes.size()));
    if (is_kept_) {
      body_ += bytes.substr(0, std::min<size_t>(step, kPlainMessageLimit - body_.size()));
    }
    bytes.remove_prefix(step);
    body_left_ -= step;
    if (body_left_ > 0) continue;
    header_size_ = 0;
    handle({header_[0], body_, size - bytes.size()});
    body_.clear();
  }
  return {};
}

}  // namespace pglite::client
