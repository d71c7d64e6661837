// global/pg_control of PostgreSQL 18 (src/include/catalog/pg_control.h): what a server must know
// before it can read its WAL.
#ifndef PGLITE_POSTGRES_CLUSTER_CONTROL_FILE_H_
#define PGLITE_POSTGRES_CLUSTER_CONTROL_FILE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "pglite/status.h"
#include "postgres/version.h"
#include "vfs/filesystem.h"

namespace pglite::postgres {

// struct CheckPoint: the body of a checkpoint record.
struct CheckPoint {
  uint64_t redo = 0;  // where recovery begins: a position in the WAL
  uint32_t timeline = 0;
  uint32_t previous_timeline = 0;
  uint8_t full_page_writes = 0;
  int32_t wal_level = 0;
  uint64_t next_xid = 0;  // with its epoch in the upper half
  uint32_t next_oid = 0;
  uint32_t next_multi = 0;
  uint32_t next_multi_offset = 0;
  uint32_t oldest_xid = 0;
  uint32_t oldest_xid_database = 0;
  uint32_t oldest_multi = 0;
  uint32_t oldest_multi_database = 0;
  int64_t time = 0;  // seconds since 1970
  uint32_t oldest_commit_timestamp_xid = 0;
  uint32_t newest_commit_timestamp_xid = 0;
  uint32_t oldest_active_xid = 0;
};
static_assert(sizeof(CheckPoint) == 88);

// struct ControlFileData. Both this and the guest's C align 8-byte members to 8.
struct ControlFile {
  static constexpr uint32_t kVersion = kPgControlVersion;
  static constexpr uint32_t kShutDown = 1;   // DB_SHUTDOWNED
  static constexpr size_t kFileSize = 8192;  // PG_CONTROL_FILE_SIZE: zeros behind it

  uint64_t system_identifier = 0;
  uint32_t version = kVersion;
  uint32_t catalog_version = kCatalogVersion;
  uint32_t state = 0;
  int64_t time = 0;
  uint64_t checkpoint = 0;  // the last checkpoint record
  CheckPoint checkpoint_copy;
  uint64_t unlogged_lsn = 0;
  uint64_t minimum_recovery_point = 0;
  uint32_t minimum_recovery_point_timeline = 0;
  uint64_t backup_start_point = 0;
  uint64_t backup_end_point = 0;
  uint8_t backup_end_required = 0;
  int32_t wal_level = 0;
  uint8_t wal_log_hints = 0;
  int32_t max_connections = 0;
  int32_t max_worker_processes = 0;
  int32_t max_wal_senders = 0;
  int32_t max_prepared_transactions = 0;
  int32_t max_locks_per_transaction = 0;
  uint8_t track_commit_timestamp = 0;
  // How the server that made the cluster was built.
  uint32_t maximum_alignment = 0;
  double float_format = 0;
  uint32_t block_size = 0;
  uint32_t relation_segment_blocks = 0;
  uint32_t wal_block_size = 0;
  uint32_t wal_segment_size = 0;
  uint32_t name_length = 0;
  uint32_t index_columns = 0;
  uint32_t toast_chunk_size = 0;
  uint32_t large_object_block_size = 0;
  uint8_t float8_by_value = 0;
  uint32_t data_checksum_version = 0;
  uint8_t default_char_signedness = 0;
  std::array<std::byte, 32> nonce{};  // mock_authentication_nonce
  uint32_t crc = 0;                   // CRC-32C of all before it
};
static_assert(sizeof(ControlFile) == 296);
static_assert(offsetof(ControlFile, checkpoint_copy) == 40);
static_assert(offsetof(ControlFile, float_format) == 208);
static_assert(offsetof(ControlFile, nonce) == 257);
static_assert(offsetof(ControlFile, crc) == 292);

// Of two pieces, one after the other.
uint32_t crc32c(std::span<const std::byte> first, std::span<const std::byte> second = {});

// Reads it from the cluster at `data_directory`. kIoError: it is missing or cannot be read.
// kIncompatible: it is too short, of another version, or its checksum is wrong.
Status read_control_file(vfs::FileSystem& filesystem, std::string_view data_directory,
                         ControlFile* control);

// The file's content, with a new checksum.
std::array<std::byte, ControlFile::kFileSize> encode(const ControlFile& control);

}  // namespace pglite::postgres

#endif  // PGLITE_POSTGRES_CLUSTER_CONTROL_FILE_H_
