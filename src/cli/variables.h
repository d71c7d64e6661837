// The environment variables of this program: those that look like one and are none.
#ifndef PGLITE_CLI_VARIABLES_H_
#define PGLITE_CLI_VARIABLES_H_

#include <string>
#include <vector>

namespace pglite::cli {

// A line for each variable of `environment` ("NAME=value", ended by a null pointer, as environ(7))
// whose name begins with PGLITE_ and is neither in `known` nor one of the build's and the tests':
// most likely it is misspelt, and has no effect. The nearest name is said with it. An empty
// variable counts as not set.
std::vector<std::string> unknown_variables(const char* const* environment,
                                           const std::vector<std::string>& known);

}  // namespace pglite::cli

#endif  // PGLITE_CLI_VARIABLES_H_
