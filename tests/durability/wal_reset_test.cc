// A new WAL for clusters whose old one, or whose control file, is gone.
#include "postgres/cluster/wal_reset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "faulty_filesystem.h"
#include "postgres/guest/session_sql.h"
#include "server.h"

namespace pglite::durability {
namespace {

using postgres::ControlFile;
using postgres::crc32c;
using postgres::WalReset;
using testing::Contains;
using testing::HasSubstr;

constexpr const char* kControl = "/global/pg_control";
constexpr const char* kSegment = "/pg_wal/000000010000000000000001";

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

TEST(Crc32c, KnownValues) {  // RFC 3720, B.4
  EXPECT_EQ(crc32c(bytes_of("123456789")), 0xE3069283U);
  EXPECT_EQ(crc32c(bytes_of(std::string(32, '\0'))), 0x8A9136AAU);
  EXPECT_EQ(crc32c(bytes_of(std::string(32, '\xFF'))), 0x62A8AB43U);
  EXPECT_EQ(crc32c(bytes_of("1234"), bytes_of("56789")), 0xE3069283U);
}

class WalResetTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(postgres::read_control_file(*files, "", &before).ok());
    ASSERT_EQ(before.state, ControlFile::kShutDown);
  }

  Status plan(WalReset* out) const { return postgres::plan_wal_reset(*files, before, out); }
  WalReset planned() const {
    WalReset result;
    const Status status = plan(&result);
    EXPECT_TRUE(status.ok()) << status.message();
    return result;
  }
  void make(const std::string& path) const {
    ASSERT_TRUE(files->open(path, {.write = true, .create = true}, 0600)) << path;
  }
  void remove(const char* path) const { ASSERT_TRUE(files->remove_file(path)) << path; }
  void overwrite(const char* path, uint64_t offset, std::string_view bytes) const {
    auto file = files->open(path, {.write = true}, 0);
    ASSERT_TRUE(file && (*file)->write(bytes_of(bytes), offset)) << path;
  }
  std::vector<std::string> names(const char* directory) const {
    std::vector<std::string> result;
    auto opened = files->open(directory, {.read = true, .directory = true}, 0);
    const auto entries = (*opened)->entries();
    for (const auto& entry : *entries) result.push_back(entry.name);
    return result;
  }
  // The answer to `sql` in a server of its own, or why there is none.
  static std::string ask(const std::shared_ptr<vfs::FileSystem>& files, const std::string& sql) {
    return in_child(60, [&]() -> std::string {
      Server server;
      Status status = server.start(files);
      postgres::SqlResult result;
      if (status.ok()) status = postgres::run_sql(server.backend(), sql, &result);
      if (!status.ok()) return status.message() + "\n" + server.log();
      return result.rows.empty() ? "" : result.rows[0][0];
    });
  }

  std::shared_ptr<vfs::MemoryFileSystem> files = make_data_directory();
  ControlFile before;
};

TEST_F(WalResetTest, AShutDownClusterKeepsItsNumbers) {
  const WalReset reset = planned();
  EXPECT_TRUE(reset.was_shut_down);
  EXPECT_FALSE(reset.guessed);
  EXPECT_EQ(reset.segment_name(), "000000010000000000000002");
  EXPECT_EQ(reset.control.system_identifier, before.system_identifier);
  EXPECT_EQ(reset.control.checkpoint_copy.next_xid, before.checkpoint_copy.next_xid);
  EXPECT_EQ(reset.control.checkpoint_copy.next_oid, before.checkpoint_copy.next_oid);
  EXPECT_EQ(reset.control.checkpoint, 2 * 16777216 + 40);
}

TEST_F(WalResetTest, PlanningChangesNothing) {
  const auto image = [&] {
    auto file = files->open(kControl, {.read = true}, 0);
    std::string content(ControlFile::kFileSize, '\0');
    EXPECT_TRUE((*file)->read(std::as_writable_bytes(std::span(content)), 0));
    return content;
  };
  const std::string control = image();
  (void)planned();
  EXPECT_EQ(image(), control);
  EXPECT_THAT(names("/pg_wal"), testing::UnorderedElementsAre("000000010000000000000001",
                                                              "archive_status", "summaries"));
}

// The record is found where pg_control would say that it is, and holds what it says.
TEST_F(WalResetTest, TheLastCheckpointIsFoundInTheWal) {
  remove(kControl);
  const WalReset reset = planned();
  EXPECT_FALSE(reset.guessed);
  EXPECT_FALSE(reset.was_shut_down);
  EXPECT_EQ(reset.control.system_identifier, before.system_identifier);
  EXPECT_EQ(reset.control.data_checksum_version, before.data_checksum_version);
  EXPECT_EQ(reset.control.checkpoint_copy.oldest_xid, before.checkpoint_copy.oldest_xid);
  char position[32];
  std::snprintf(position, sizeof position, "at 0/%X,", static_cast<unsigned>(before.checkpoint));
  EXPECT_THAT(reset.findings, Contains(HasSubstr(position)));
}

TEST_F(WalResetTest, WithoutAnyRecordValuesAreGuessed) {
  remove(kControl);
  remove(kSegment);
  const WalReset reset = planned();
  EXPECT_TRUE(reset.guessed);
  // What pg_resetwal's manual page tells to take: behind the last segment of pg_xact and so on.
  EXPECT_EQ(reset.control.checkpoint_copy.next_xid, 0x100000U);
  EXPECT_EQ(reset.control.checkpoint_copy.oldest_xid, 3U);
  EXPECT_EQ(reset.control.checkpoint_copy.next_multi, 0x10000U);
  EXPECT_EQ(reset.control.checkpoint_copy.next_multi_offset, 52352U);
  EXPECT_EQ(reset.control.data_checksum_version, 1U);
  // Not before what pages say that the WAL had reached.
  EXPECT_EQ(reset.segment, 2U);
}

TEST_F(WalResetTest, PagesSayHowFarTheWalHadCome) {
  overwrite("/global/1262", 0, std::string_view("\3\0\0\0\0\0\0\7", 8));  // an LSN of 3/07000000
  remove(kControl);
  EXPECT_EQ(planned().segment, 3 * 256 + 7 + 1U);
}

// --- What names of files say has bounds ---

TEST_F(WalResetTest, SegmentsThatCannotBeAreNotBelieved) {
  for (const std::string name :
       {"00000001FFFFFFFF000000FF", "0000000101000000000000FF", "000000010000000000000100",
        "00000000000000000000000A", "02000000000000000000000A"}) {
    make("/pg_wal/" + name);
    for (const bool lost : {false, true}) {
      if (lost) remove(kControl);
      const WalReset reset = planned();
      EXPECT_EQ(reset.segment_name(), "000000010000000000000002") << name;
      EXPECT_THAT(reset.findings, Contains(HasSubstr("pg_wal/" + name + " is not believed")));
    }
    files = make_data_directory();
  }
}

TEST_F(WalResetTest, SegmentsThatCanBeAreBelieved) {
  make("/pg_wal/0000000100FFFFFF000000FE");
  make("/pg_wal/00000001000000000000000a");  // not PostgreSQL's
  WalReset reset = planned();
  EXPECT_EQ(reset.segment_name(), "0000000100FFFFFF000000FF");
  ASSERT_TRUE(postgres::apply_wal_reset(*files, reset).ok());
  EXPECT_THAT(names("/pg_wal"),
              testing::UnorderedElementsAre("0000000100FFFFFF000000FF", "00000001000000000000000a",
                                            "archive_status", "summaries"));
  EXPECT_EQ(ask(files, "CREATE TABLE t AS SELECT 1; SELECT count(*) FROM t"), "1");
}

// An earlier repair may have believed too much.
TEST_F(WalResetTest, ACheckpointThatCannotBeIsDamage) {
  for (const bool is_redo : {false, true}) {
    ControlFile far = before;
    (is_redo ? far.checkpoint_copy.redo : far.checkpoint) = uint64_t{1} << 57;
    overwrite(kControl, 0,
              {reinterpret_cast<const char*>(postgres::encode(far).data()), sizeof far});
    const WalReset reset = planned();
    EXPECT_THAT(reset.findings, Contains("global/pg_control is damaged"));
    EXPECT_EQ(reset.segment_name(), "000000010000000000000002");
  }
}

TEST_F(WalResetTest, TheWalGoesOnBehindThePagesOfAClusterThatWasShutDownToo) {
  overwrite("/global/1262", 0, std::string_view("\3\0\0\0\0\0\0\7", 8));
  const WalReset reset = planned();
  EXPECT_TRUE(reset.was_shut_down);
  EXPECT_EQ(reset.segment, 3 * 256 + 7 + 1U);
}

TEST_F(WalResetTest, NumbersThatCannotBeAreNotBelieved) {
  ControlFile crashed = before;
  crashed.state = 6;  // DB_IN_PRODUCTION
  crashed.checkpoint_copy.oldest_xid = 3;
  crashed.checkpoint_copy.next_xid = 0x78000000;
  overwrite(kControl, 0,
            {reinterpret_cast<const char*>(postgres::encode(crashed).data()), sizeof crashed});
  // Out of range, and so far ahead that no transaction number could be given out any more.
  const std::vector<std::string> wrong = {"/pg_xact/1000",
                                          "/pg_xact/FFFFFF",
                                          "/pg_xact/07FF",
                                          "/pg_multixact/offsets/10000",
                                          "/pg_multixact/members/14079",
                                          "/base/5/4294967296"};
  for (const std::string& name : wrong) make(name);
  make("/pg_xact/0790");
  const WalReset reset = planned();
  EXPECT_EQ(reset.control.checkpoint_copy.next_xid, 0x79100000U);
  EXPECT_LT(reset.control.checkpoint_copy.next_multi, 0x20000U);
  EXPECT_LT(reset.control.checkpoint_copy.next_multi_offset, 200000U);
  EXPECT_LT(reset.control.checkpoint_copy.next_oid, 100000U);
  for (const std::string& name : wrong) {
    EXPECT_THAT(reset.findings, Contains(HasSubstr(name.substr(1) + " is not believed")));
  }
}

// More than a quarter of the circle behind the oldest.
TEST_F(WalResetTest, GuessedNumbersAreBehindTheLastSegment) {
  remove(kControl);
  remove(kSegment);
  make("/pg_xact/0500");
  make("/pg_multixact/offsets/6000");
  make("/pg_multixact/members/6000");
  const ControlFile control = planned().control;
  EXPECT_EQ(control.checkpoint_copy.next_xid, 0x50100000U);
  EXPECT_EQ(control.checkpoint_copy.next_multi, 0x60010000U);
  EXPECT_EQ(control.checkpoint_copy.next_multi_offset, 0x6001U * 52352);
}

TEST_F(WalResetTest, ADamagedControlFileIsNotBelieved) {
  for (const uint64_t offset : {0U, 8U, 12U, 64U, 228U, 292U}) {
    overwrite(kControl, offset, "\xA5\xA5");
    const WalReset reset = planned();
    EXPECT_THAT(reset.findings, Contains("global/pg_control is damaged"));
    EXPECT_EQ(reset.control.system_identifier, before.system_identifier) << offset;
    EXPECT_EQ(reset.control.wal_segment_size, before.wal_segment_size) << offset;
    overwrite(kControl, 0,
              {reinterpret_cast<const char*>(postgres::encode(before).data()), sizeof before});
  }
}

TEST_F(WalResetTest, AnotherVersionsControlFileIsRefused) {
  ControlFile other = before;
  other.version = 1700;
  overwrite(kControl, 0,
            {reinterpret_cast<const char*>(postgres::encode(other).data()), sizeof other});
  WalReset reset;
  EXPECT_EQ(plan(&reset).code(), StatusCode::kIncompatible);
  other = before;
  other.catalog_version = 202400000;
  overwrite(kControl, 0,
            {reinterpret_cast<const char*>(postgres::encode(other).data()), sizeof other});
  const Status status = plan(&reset);
  EXPECT_EQ(status.code(), StatusCode::kIncompatible);
  EXPECT_THAT(status.message(), HasSubstr("202400000"));
}

TEST_F(WalResetTest, NumbersOfAClusterThatWasNotShutDownGoOnBehindItsFiles) {
  ControlFile crashed = before;
  crashed.state = 6;  // DB_IN_PRODUCTION
  crashed.checkpoint_copy.next_xid = (uint64_t{5} << 32) | 0xFFF00123;
  crashed.checkpoint_copy.oldest_xid = 0xFFD00000;
  crashed.checkpoint_copy.next_multi = 0xFFFF0001;
  crashed.checkpoint_copy.oldest_multi = 0xFFFE0000;
  overwrite(kControl, 0,
            {reinterpret_cast<const char*>(postgres::encode(crashed).data()), sizeof crashed});
  for (const char* name : {"/pg_xact/0FFF", "/pg_multixact/offsets/FFFF"}) {
    ASSERT_TRUE(files->open(name, {.write = true, .create = true}, 0600));
  }
  const WalReset reset = planned();
  // Around the circle, into the segment 0 that is there as well, with the next epoch.
  EXPECT_EQ(reset.control.checkpoint_copy.next_xid, (uint64_t{6} << 32) | 0x100000);
  EXPECT_EQ(reset.control.checkpoint_copy.next_multi, 0x10000U);
}

TEST_F(WalResetTest, WithoutPgXactThereIsNothingToGuessFrom) {
  remove(kControl);
  remove(kSegment);
  remove("/pg_xact/0000");
  WalReset reset;
  EXPECT_EQ(plan(&reset).code(), StatusCode::kIncompatible);
}

TEST_F(WalResetTest, PostgresStartsWithTheNewWal) {
  remove(kSegment);
  ASSERT_TRUE(files->open("/pg_wal/000000010000000000000001.partial",
                          {.write = true, .create = true}, 0600));
  ASSERT_TRUE(files->open("/pg_wal/archive_status/000000010000000000000001.ready",
                          {.write = true, .create = true}, 0600));
  const WalReset reset = planned();
  const Status status = postgres::apply_wal_reset(*files, reset);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_THAT(names("/pg_wal"), testing::UnorderedElementsAre("000000010000000000000002",
                                                              "archive_status", "summaries"));
  EXPECT_TRUE(names("/pg_wal/archive_status").empty());
  EXPECT_EQ(ask(files, "CREATE TABLE t AS SELECT 1; SELECT count(*) FROM t"), "1");
}

TEST_F(WalResetTest, AMissingDirectoryIsMade) {
  remove(kSegment);
  for (const char* path : {"/pg_wal/archive_status", "/pg_wal/summaries", "/pg_wal"}) {
    ASSERT_TRUE(files->remove_directory(path));
  }
  ASSERT_TRUE(postgres::apply_wal_reset(*files, planned()).ok());
  EXPECT_EQ(ask(files, "SELECT 1"), "1");
}

// Whichever call fails, the next attempt goes through.
TEST_F(WalResetTest, ItCanBeInterruptedAndRepeated) {
  size_t failures = 0;
  for (const bool lost_control : {false, true}) {
    for (size_t n = 0;; ++n) {
      files = make_data_directory();
      remove(lost_control ? kControl : kSegment);
      FaultyFileSystem faulty(files);
      WalReset reset = planned();
      faulty.arm(Fault::kIoError, n);
      Status status = postgres::apply_wal_reset(faulty, reset);
      if (faulty.failed().empty()) break;
      // What a failed attempt left could not be removed: there was nothing.
      if (status.ok()) {
        EXPECT_THAT(faulty.failed(), testing::AnyOf("remove /pg_wal/xlogtemp.repair",
                                                    "remove /global/pg_control.new"));
      }
      failures += status.ok() ? 0 : 1;
      reset = planned();
      status = postgres::apply_wal_reset(*files, reset);
      ASSERT_TRUE(status.ok()) << status.message();
      EXPECT_EQ(names("/pg_wal").size(), 3U) << faulty.failed();
      EXPECT_EQ(reset.control.system_identifier, before.system_identifier) << faulty.failed();
      EXPECT_EQ(ask(files, "SELECT count(*) > 400 FROM pg_class"), "t") << faulty.failed();
    }
  }
  EXPECT_GT(failures, 20U);
}

}  // namespace
}  // namespace pglite::durability
