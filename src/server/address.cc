#include "server/address.h"

#include <charconv>

namespace pglite::server {

namespace ip = boost::asio::ip;

Status parse_endpoints(std::string_view text, std::vector<ip::tcp::endpoint>* out) {
  const auto bad = [&](const std::string& why) {
    return Status::invalid_argument("\"" + std::string(text) + "\" " + why +
                                    "; accepted is HOST:PORT, where HOST is an address ([::1] in "
                                    "brackets), localhost or *");
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad("has no port");
  std::string host(text.substr(0, colon));
  const std::string_view port_text = text.substr(colon + 1);
  uint16_t port = 0;
  const auto parsed = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (port_text.empty() || parsed.ec != std::errc() ||
      parsed.ptr != port_text.data() + port_text.size()) {
    return bad("has no port from 0 to 65535");
  }
  if (host == "localhost") {
    out->emplace_back(ip::address_v4::loopback(), port);
    out->emplace_back(ip::address_v6::loopback(), port);
    return {};
  }
  if (host == "*") {
    out->emplace_back(ip::address_v4::any(), port);
    out->emplace_back(ip::address_v6::any(), port);
    return {};
  }
  const bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  boost::system::error_code error;
  const ip::address address = ip::make_address(host, error);
  if (error || address.is_v6() != brackets) return bad("has no address");
  out->emplace_back(address, port);
  return {};
}

Peer peer_of(const ip::tcp::endpoint& endpoint) {
  Peer peer;
  peer.kind = Peer::Kind::kInternet;
  peer.port = endpoint.port();
  ip::address address = endpoint.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    address = ip::make_address_v4(ip::v4_mapped, address.to_v6());
  }
  if (address.is_v4()) {
    const auto bytes = address.to_v4().to_bytes();
    peer.address.assign(bytes.begin(), bytes.end());
  } else {
    const auto bytes = address.to_v6().to_bytes();
    peer.address.assign(bytes.begin(), bytes.end());
  }
  return peer;
}

std::string to_string(const ip::tcp::endpoint& endpoint) {
  const std::string host = endpoint.address().to_string();
  return (endpoint.address().is_v6() ? "[" + host + "]" : host) + ":" +
         std::to_string(endpoint.port());
}

namespace {

// In a URL, all but letters and digits is written as numbers.
std::string encoded(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (kPlain.find(c) != std::string_view::npos) {
      result += c;
    } else {
      result += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return result;
}

}  // namespace

std::string url_of(std::string_view username, std::string_view password, std::string_view host,
                   uint16_t port, std::string_view database) {
  std::string url = "postgres://" + encoded(username);
  if (!password.empty()) url += ":" + encoded(password);
  const bool is_v6 = host.find(':') != std::string_view::npos && !host.starts_with('/');
  url += "@" + (is_v6 ? "[" + std::string(host) + "]" : encoded(host));
  return url + ":" + std::to_string(port) + "/" + encoded(database);
}

}  // namespace pglite::server
