// PGLITE_OPTIONS: "-c name=value -c other='with spaces'".
#ifndef PGLITE_CLI_SETTINGS_H_
#define PGLITE_CLI_SETTINGS_H_

#include <pglite/status.h>

#include <string>
#include <string_view>
#include <vector>

namespace pglite::cli {

// Appends each "name=value" to `*settings`. Words are separated by white space; quotes ('...',
// "...") and backslashes work as in a shell. As PostgreSQL's own command line, it takes
// "-c name=value", "-cname=value" and "--name=value", where dashes in the name mean underscores.
Status parse_settings(std::string_view text, std::vector<std::string>* settings);

}  // namespace pglite::cli

#endif  // PGLITE_CLI_SETTINGS_H_
