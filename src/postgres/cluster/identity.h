// What makes one cluster, and one session, different from every other.
//
// A cluster that is copied from a template, and an instance that starts from a snapshot, would
// otherwise share what initdb and the start of a server choose at random: the system identifier and
// the authentication nonce in pg_control, the state of the random number generator, the times of
// start.
#ifndef PGLITE_POSTGRES_CLUSTER_IDENTITY_H_
#define PGLITE_POSTGRES_CLUSTER_IDENTITY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "pglite/status.h"
#include "vfs/filesystem.h"

namespace pglite::postgres {

// From pg_control (src/include/catalog/pg_control.h).
struct ClusterIdentity {
  uint64_t system_identifier = 0;
  std::array<std::byte, 32> nonce{};  // mock_authentication_nonce
};

// A new identity: the identifier as initdb composes it (seconds, microseconds, 12 bits; the latter
// random here, for there may be many a microsecond), the nonce random. kIoError: the system gives
// no random bytes.
Status make_identity(ClusterIdentity* identity);

// Reads it from the cluster at `data_directory`. kIncompatible when pg_control is not one of this
// version or its checksum is wrong.
Status read_identity(vfs::FileSystem& filesystem, std::string_view data_directory,
                     ClusterIdentity* identity);

// Whether the cluster at `data_directory` was shut down, so that its files are complete without its
// WAL. Failures as read_identity.
Status read_shut_down(vfs::FileSystem& filesystem, std::string_view data_directory,
                      bool* shut_down);

// Gives the cluster at `data_directory`, which is not running, another identity: pg_control with
// its checksum, and the headers of the WAL segments, which repeat the identifier.
Status write_identity(vfs::FileSystem& filesystem, std::string_view data_directory,
                      const ClusterIdentity& identity);

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_CLUSTER_IDENTITY_H_
