// Object identifiers of built-in types (PostgreSQL's catalog/pg_type.dat), which never change.
#ifndef PGLITE_CLI_TYPE_OID_H_
#define PGLITE_CLI_TYPE_OID_H_

#include <cstdint>

namespace pglite::cli {

inline constexpr uint32_t kBoolOid = 16;
inline constexpr uint32_t kInt8Oid = 20;
inline constexpr uint32_t kInt2Oid = 21;
inline constexpr uint32_t kInt4Oid = 23;
inline constexpr uint32_t kOidOid = 26;
inline constexpr uint32_t kXidOid = 28;
inline constexpr uint32_t kCidOid = 29;
inline constexpr uint32_t kJsonOid = 114;
inline constexpr uint32_t kFloat4Oid = 700;
inline constexpr uint32_t kFloat8Oid = 701;
inline constexpr uint32_t kMoneyOid = 790;
inline constexpr uint32_t kNumericOid = 1700;
inline constexpr uint32_t kJsonbOid = 3802;
inline constexpr uint32_t kXid8Oid = 5069;

}  // namespace pglite::cli

#endif  // PGLITE_CLI_TYPE_OID_H_
