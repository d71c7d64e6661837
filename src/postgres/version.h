// The PostgreSQL that this program is made for, and the names that clusters have in common: each
// number and each name once. guest/layout.h has what pins PostgreSQL's memory, and compares the
// numbers here with a server that runs.
#ifndef PGLITE_POSTGRES_VERSION_H_
#define PGLITE_POSTGRES_VERSION_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pglite::postgres {

// --- Numbers of PostgreSQL 18 ---

inline constexpr std::string_view kMajorVersion = "18";      // what PG_VERSION holds
inline constexpr uint32_t kPgControlVersion = 1800;          // PG_CONTROL_VERSION, pg_control.h
inline constexpr uint32_t kCatalogVersion = 202506291;       // CATALOG_VERSION_NO, catversion.h
inline constexpr uint16_t kWalPageMagic = 0xD118;            // XLOG_PAGE_MAGIC, xlog_internal.h
inline constexpr size_t kBlockSize = 8192;                   // BLCKSZ
inline constexpr size_t kWalBlockSize = 8192;                // XLOG_BLCKSZ
inline constexpr size_t kWalSegmentNameSize = 24;            // of a WAL segment: hexadecimal digits
inline constexpr int64_t kPostgresEpochSeconds = 946684800;  // 2000-01-01, from 1970-01-01

// --- Names ---

inline constexpr std::string_view kDataDirectory = "/pglite/data";  // in the guest
inline constexpr std::string_view kInitialName = "postgres";  // the role and database of initdb
inline constexpr std::string_view kTemplateDatabase = "template1";  // always there

// Files in a data directory.
namespace names {

inline constexpr std::string_view kVersion = "PG_VERSION";
inline constexpr std::string_view kPid = "postmaster.pid";
inline constexpr std::string_view kControl = "global/pg_control";
inline constexpr std::string_view kWal = "pg_wal";
// Our own, at the top of a data directory: all begin with this. No archive has them.
inline constexpr std::string_view kOwnPrefix = ".pglite-port";
// Where a cluster is made from the template or restored, and where it lies when it is complete.
inline constexpr std::string_view kTemplateStaging = ".pglite-port-new";
inline constexpr std::string_view kTemplateComplete = ".pglite-port-new-complete";
inline constexpr std::string_view kRestoreStaging = ".pglite-port-restore";
inline constexpr std::string_view kRestoreComplete = ".pglite-port-restore-complete";
// In a new cluster until the role and database that were asked for with it are there.
inline constexpr std::string_view kUnfinished = ".pglite-port-unfinished";

}  // namespace names

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_VERSION_H_
