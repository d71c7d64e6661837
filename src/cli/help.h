// The texts of `help`, `help COMMAND` and --help: 80 columns, examples first.
#ifndef PGLITE_CLI_HELP_H_
#define PGLITE_CLI_HELP_H_

#include <string>

namespace CLI {
class App;
}

namespace pglite::cli {

// Of the whole program. `app` has the common options, and the commands as its subcommands.
std::string help_text(const CLI::App& app);
// Of one command: its own options, and those of the common ones that it heeds.
std::string help_text(const CLI::App& app, const CLI::App& command);

}  // namespace pglite::cli

#endif  // PGLITE_CLI_HELP_H_
