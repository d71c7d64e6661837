// The command lines that initdb gives to system() and popen().
#ifndef PGLITE_POSTGRES_PROGRAMS_COMMAND_LINE_H_
#define PGLITE_POSTGRES_PROGRAMS_COMMAND_LINE_H_

#include <string>
#include <string_view>
#include <vector>

namespace pglite::postgres {

// The words of a shell command, up to its first redirection or operator: quotes and backslashes as
// POSIX's shell has them; nothing is expanded.
std::vector<std::string> split_command_line(std::string_view command);

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_PROGRAMS_COMMAND_LINE_H_
