// The command serve: a cluster on sockets, until a signal ends it.
#ifndef PGLITE_CLI_SERVE_H_
#define PGLITE_CLI_SERVE_H_

#include <pglite/cluster.h>

#include <functional>
#include <memory>
#include <string>

#include "cli/configuration.h"

namespace pglite::cli {

using OpenClusterFunction = std::function<Status(const Options&, std::unique_ptr<Cluster>*)>;

using LoadSnapshotFunction =
    std::function<Status(const std::string& path, std::shared_ptr<const Snapshot>*)>;

// On success `*exit_code` is the program's.
Status serve(const OpenClusterFunction& open, const LoadSnapshotFunction& load,
             const Configuration& configuration, int* exit_code);

}  // namespace pglite::cli

#endif  // PGLITE_CLI_SERVE_H_
