// postgres:// URLs (manual, "Connection Strings"), read as libpq reads them: it takes characters
// that RFC 3986 does not, so that passwords need less encoding than the RFC wants.
#ifndef PGLITE_CLIENT_URL_H_
#define PGLITE_CLIENT_URL_H_

#include <pglite/status.h>

#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace pglite::client {

// By libpq's names: host, port, user, password, dbname, sslmode ...
using Settings = std::map<std::string, std::string, std::less<>>;

// Whether it begins with postgres:// or postgresql://.
bool is_url(std::string_view text);

// Takes a URL apart; what it does not say is not in `*settings`. Names of parameters are not
// judged. kInvalidArgument: the message has no part of the URL that may be (a part of) a password.
Status parse_url(std::string_view url, Settings* settings);

}  // namespace pglite::client

#endif  // PGLITE_CLIENT_URL_H_
