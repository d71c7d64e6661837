#include "client/url.h"

namespace pglite::client {
namespace {

Status bad(const std::string& why) {
  return Status::invalid_argument(
      "the URL " + why +
      "; accepted is postgres://USER:PASSWORD@HOST:PORT/DATABASE?NAME=VALUE&...");
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Status decode(std::string_view text, const char* what, std::string* decoded) {
  decoded->clear();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      *decoded += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
    if (high < 0 || low < 0) {
      return bad(std::string("has a % in its ") + what +
                 " that two hexadecimal digits do not follow (a % itself is written %25)");
    }
    if (high == 0 && low == 0) return bad(std::string("has %00 in its ") + what);
    *decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return {};
}

// What the URL says first of all; `rest` then begins behind the @.
Status take_user(std::string_view* rest, Settings* settings) {
  const size_t end = rest->find_first_of("@/");
  if (end == std::string_view::npos || (*rest)[end] != '@') return {};
  const std::string_view text = rest->substr(0, end);
  rest->remove_prefix(end + 1);
  const size_t colon = text.find(':');
  Status status;
  if (const std::string_view user = text.substr(0, colon); !user.empty()) {
    status = decode(user, "user", &(*settings)["user"]);
  }
  if (status.ok() && colon != std::string_view::npos && colon + 1 < text.size()) {
    status = decode(text.substr(colon + 1), "password", &(*settings)["password"]);
  }
  return status;
}

Status take_host(std::string_view* rest, Settings* settings) {
  std::string_view host;
  if (rest->starts_with('[')) {
    const size_t end = rest->find(']');
    if (end == std::string_view::npos) return bad("has a [ without a ] in its host");
    host = rest->substr(1, end - 1);
    rest->remove_prefix(end + 1);
    if (host.empty()) return bad("has no address in the brackets");
    if (!rest->empty() && std::string_view(":/?,").find(rest->front()) == std::string_view::npos) {
      return bad("has something else than a port or a / behind the ] of its host");
    }
  } else {
    host = rest->substr(0, rest->find_first_of(":/?,"));
    rest->remove_prefix(host.size());
  }
  if (rest->starts_with(',')) return bad("names several hosts, and one is accepted");
  if (host.find('@') != std::string_view::npos) {
    return bad("has an @ in its host (an @ in a password is written %40)");
  }
  return host.empty() ? Status() : decode(host, "host", &(*settings)["host"]);
}

Status take_port(std::string_view* rest, Settings* settings) {
  if (!rest->starts_with(':')) return {};
  rest->remove_prefix(1);
  const std::string_view port = rest->substr(0, rest->find_first_of("/?,"));
  rest->remove_prefix(port.size());
  if (rest->starts_with(',')) return bad("names several hosts, and one is accepted");
  return port.empty() ? Status() : decode(port, "port", &(*settings)["port"]);
}

Status take_parameters(std::string_view rest, Settings* settings) {
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      return bad("has a parameter that is not NAME=VALUE");
    }
    if (pair.find('=', equals + 1) != std::string_view::npos) {
      return bad("has a parameter with two = (the second is written %3D)");
    }
    std::string name;
    std::string value;
    Status status = decode(pair.substr(0, equals), "parameters", &name);
    if (status.ok()) status = decode(pair.substr(equals + 1), "parameters", &value);
    if (!status.ok()) return status;
    // As other drivers have it.
    if (name == "ssl" && value == "true") {
      name = "sslmode";
      value = "require";
    }
    (*settings)[name] = value;
  }
  return {};
}

}  // namespace

bool is_url(std::string_view text) {
  return text.starts_with("postgres://") || text.starts_with("postgresql://");
}

Status parse_url(std::string_view url, Settings* settings) {
  settings->clear();
  if (url.find('\0') != std::string_view::npos) return bad("has a NUL byte");
  std::string_view rest = url.substr(url.find("://") + 3);
  Status status = take_user(&rest, settings);
  if (status.ok()) status = take_host(&rest, settings);
  if (status.ok()) status = take_port(&rest, settings);
  if (!status.ok()) return status;
  if (rest.starts_with('/')) {
    const std::string_view database = rest.substr(1, rest.find('?') - 1);
    rest.remove_prefix(1 + database.size());
    if (!database.empty()) status = decode(database, "database", &(*settings)["dbname"]);
  }
  if (status.ok() && rest.starts_with('?')) status = take_parameters(rest.substr(1), settings);
  return status;
}

}  // namespace pglite::client
