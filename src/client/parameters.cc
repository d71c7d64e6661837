#include "client/parameters.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "client/password_file.h"
#include "client/url.h"

namespace pglite::client {
namespace {

// A parameter of the URL, and the variable that says it where the URL does not.
constexpr std::pair<std::string_view, const char*> kKnown[] = {
    {"host", "PGHOST"},
    {"port", "PGPORT"},
    {"user", "PGUSER"},
    {"password", "PGPASSWORD"},
    {"dbname", "PGDATABASE"},
    {"passfile", "PGPASSFILE"},
    {"sslmode", "PGSSLMODE"},
    {"sslrootcert", "PGSSLROOTCERT"},
    {"sslnegotiation", "PGSSLNEGOTIATION"},
    {"channel_binding", "PGCHANNELBINDING"},
    {"connect_timeout", "PGCONNECT_TIMEOUT"},
    {"application_name", "PGAPPNAME"},
    {"options", "PGOPTIONS"},
};

// Where packages of PostgreSQL put the socket, and where PostgreSQL itself does.
constexpr std::array<const char*, 2> kSocketDirectories = {"/var/run/postgresql", "/tmp"};

std::string known_names() {
  std::string names;
  for (const auto& [name, variable] : kKnown) {
    if (!names.empty()) names += ", ";
    names += name;
  }
  return names;
}

Status bad(std::string_view name, const std::string& value, const std::string& accepted) {
  return Status::invalid_argument("the URL's parameter " + std::string(name) + " is '" + value +
                                  "'; accepted is " + accepted);
}

template <class Value, size_t kCount>
Status choose(const Settings& settings, std::string_view name,
              const std::pair<std::string_view, Value> (&choices)[kCount], Value* value) {
  const auto found = settings.find(name);
  if (found == settings.end() || found->second.empty()) return {};
  std::string accepted;
  for (const auto& [word, meaning] : choices) {
    if (found->second == word) {
      *value = meaning;
      return {};
    }
    if (!accepted.empty()) accepted += ", ";
    accepted += word;
  }
  return bad(name, found->second, accepted);
}

class Reader {
 public:
  Reader(const ParameterSources& sources, Parameters* parameters)
      : sources_(sources), parameters_(*parameters) {}

  Status read() {
    Status status = parse_url(sources_.url, &settings_);
    if (status.ok()) status = check_names();
    if (!status.ok()) return status;
    complete();
    for (const auto& step :
         {&Reader::read_place, &Reader::read_names, &Reader::read_tls, &Reader::read_timeout}) {
      if (status = (this->*step)(); !status.ok()) return status;
    }
    find_password();
    return {};
  }

 private:
  [[nodiscard]] const std::string& value(std::string_view name) const {
    static const std::string none;
    const auto found = settings_.find(name);
    return found == settings_.end() ? none : found->second;
  }
  [[nodiscard]] std::string variable(const char* name) const {
    const char* const text = sources_.environment(name);
    return text == nullptr ? std::string() : text;
  }

  Status check_names() const {
    for (const auto& [name, value] : settings_) {
      const auto* const found =
          std::ranges::find(kKnown, name, &std::pair<std::string_view, const char*>::first);
      if (found == std::end(kKnown)) {
        return Status::invalid_argument("the URL has the parameter '" + name +
                                        "', which is not known; accepted are " + known_names());
      }
    }
    return {};
  }

  void complete() {
    const auto fill = [&](std::string_view name, const std::string& text) {
      if (!text.empty() && value(name).empty()) settings_[std::string(name)] = text;
    };
    fill("user", sources_.user);
    fill("dbname", sources_.database);
    for (const auto& [name, name_of_variable] : kKnown) {
      fill(name, variable(name_of_variable));
    }
    // libpq asks the system who runs this; a program without name services asks the environment.
    fill("user", variable("USER"));
    fill("dbname", value("user"));
    fill("application_name", sources_.application_name);
  }

  Status read_place() {
    const std::string& port = value("port");
    if (!port.empty()) {
      const char* const end = port.data() + port.size();
      const auto parsed = std::from_chars(port.data(), end, parameters_.port);
      if (parsed.ec != std::errc() || parsed.ptr != end || parameters_.port == 0) {
        // Not the text: it may be a part of a password that was not encoded.
        return Status::invalid_argument(
            "the URL's port is no number from 1 to 65535 (a / in a password is written %2F)");
      }
    }
    parameters_.host = value("host");
    if (parameters_.host.empty()) return find_socket();
    if (parameters_.host.find(',') != std::string::npos) {
      return Status::invalid_argument("the URL names several hosts, and one is accepted");
    }
    return {};
  }

  Status find_socket() {
    std::string tried;
    for (const char* directory : kSocketDirectories) {
      parameters_.host = directory;
      struct stat there{};
      if (::stat(parameters_.place().c_str(), &there) == 0) return {};
      tried += (tried.empty() ? "" : " and ") + parameters_.place();
    }
    return Status::io_error("the URL names no host, and there is no server's socket: neither " +
                            tried + " exists");
  }

  Status read_names() {
    parameters_.user = value("user");
    parameters_.database = value("dbname");
    parameters_.application_name = value("application_name");
    parameters_.options = value("options");
    if (!parameters_.user.empty()) return {};
    return Status::invalid_argument(
        "the URL names no user; accepted are postgres://USER@..., -U and PGUSER");
  }

  Status read_tls() {
    using enum TlsMode;
    constexpr std::pair<std::string_view, TlsMode> kModes[] = {
        {"disable", kDisable}, {"allow", kAllow},        {"prefer", kPrefer},
        {"require", kRequire}, {"verify-ca", kVerifyCa}, {"verify-full", kVerifyFull},
    };
    constexpr std::pair<std::string_view, bool> kNegotiations[] = {{"postgres", false},
                                                                   {"direct", true}};
    constexpr std::pair<std::string_view, ChannelBinding> kBindings[] = {
        {"disable", ChannelBinding::kDisable},
        {"prefer", ChannelBinding::kPrefer},
        {"require", ChannelBinding::kRequire},
    };
    const std::string& root = value("sslrootcert");
    if (root == "system") parameters_.tls = kVerifyFull;
    Status status = choose(settings_, "sslmode", kModes, &parameters_.tls);
    if (status.ok()) {
      status = choose(settings_, "sslnegotiation", kNegotiations, &parameters_.direct_tls);
    }
    if (status.ok()) {
      status = choose(settings_, "channel_binding", kBindings, &parameters_.channel_binding);
    }
    if (!status.ok()) return status;
    if (root == "system" && parameters_.tls != kVerifyFull) {
      return bad("sslmode", value("sslmode"), "verify-full, with sslrootcert=system");
    }
    if (parameters_.direct_tls && parameters_.tls < kRequire) {
      return bad("sslmode", value("sslmode").empty() ? "prefer" : value("sslmode"),
                 "require, verify-ca or verify-full, with sslnegotiation=direct");
    }
    return find_root_certificate(root);
  }

  // A file that is there is used whatever the mode is, as by libpq: `require` is `verify-ca` then.
  Status find_root_certificate(const std::string& named) {
    std::string path = named;
    if (path.empty() && !variable("HOME").empty())
      path = variable("HOME") + "/.postgresql/root.crt";
    struct stat there{};
    if (path == "system" || (!path.empty() && ::stat(path.c_str(), &there) == 0)) {
      parameters_.root_certificate = path;
      return {};
    }
    if (parameters_.tls < TlsMode::kVerifyCa || parameters_.is_unix_socket()) return {};
    return Status::io_error(
        "sslmode=" + value("sslmode") + " needs the authority's certificate, " +
        (path.empty() ? "and HOME is not set" : "and " + path + " is not there") +
        "; accepted are sslrootcert=FILE and sslrootcert=system");
  }

  Status read_timeout() {
    const std::string& text = value("connect_timeout");
    if (text.empty()) return {};
    int seconds = 0;
    const char* const end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, seconds);
    if (parsed.ec != std::errc() || parsed.ptr != end) {
      return bad("connect_timeout", text, "a number of seconds");
    }
    parameters_.connect_timeout = std::chrono::seconds(std::max(seconds, 0));
    return {};
  }

  void find_password() {
    if (const auto found = settings_.find("password");
        found != settings_.end() && !found->second.empty()) {
      parameters_.password = found->second;
      return;
    }
    std::string path = value("passfile");
    if (path.empty() && !variable("HOME").empty()) path = variable("HOME") + "/.pgpass";
    if (path.empty()) return;
    const bool usual =
        std::ranges::find(kSocketDirectories, parameters_.host) != std::end(kSocketDirectories);
    const std::string port = std::to_string(parameters_.port);
    parameters_.password = find_password_in(
        path,
        {usual ? "localhost" : parameters_.host, port, parameters_.database, parameters_.user},
        sources_.warn);
  }

  const ParameterSources& sources_;
  Parameters& parameters_;
  Settings settings_;
};

}  // namespace

std::string Parameters::place() const {
  const std::string number = std::to_string(port);
  if (is_unix_socket()) return host + "/.s.PGSQL." + number;
  return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + number;
}

Status read_parameters(const ParameterSources& sources, Parameters* parameters) {
  *parameters = {};
  return Reader(sources, parameters).read();
}

}  // namespace pglite::client
