// The command serve: a cluster on sockets, until a signal ends it.
#ifndef PGLITE_CLI_SERVE_H_
#define PGLITE_CLI_SERVE_H_

#include <pglite/cluster.h>

#include <functional>
#include <memory>

#include "cli/configuration.h"

namespace pglite::cli {

using OpenClusterFunction = std::function<Status(const Options&, std::unique_ptr<Cluster>*)>;

// On success `*exit_code` is the program's.
Status serve(const OpenClusterFunction& open, const Configuration& configuration, int* exit_code);

}  // namespace pglite::cli

#endif  // PGLITE_CLI_SERVE_H_
