// Which build of pglite-port this is.
#ifndef PGLITE_POSTGRES_SNAPSHOT_BUILD_IDENTITY_H_
#define PGLITE_POSTGRES_SNAPSHOT_BUILD_IDENTITY_H_

#include <string_view>

namespace pglite::postgres {

// 32 bytes that differ between two builds whose guest modules, images or host code differ: what a
// snapshot belongs to. Generated (build_identity.py).
std::string_view build_identity();

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_SNAPSHOT_BUILD_IDENTITY_H_
