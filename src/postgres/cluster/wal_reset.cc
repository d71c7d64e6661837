#include "postgres/cluster/wal_reset.h"

#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>
#include <optional>

#include "postgres/cluster/identity.h"
#include "vfs/tree.h"

namespace pglite::postgres {
namespace {

constexpr size_t kBlock = kBlockSize;  // and the WAL's
static_assert(kBlockSize == kWalBlockSize);
constexpr uint64_t kRelationSegment = uint64_t{1} << 30;  // RELSEG_SIZE blocks, in bytes
constexpr std::string_view kWal = "/pg_wal";
constexpr std::string_view kControl = "/global/pg_control";
constexpr std::string_view kNewControl = "/global/pg_control.new";
// PostgreSQL removes files of this prefix when it recovers.
constexpr std::string_view kNewSegment = "/pg_wal/xlogtemp.repair";

// XLogLongPageHeaderData, the head of a segment's first page; other pages have it up to and
// without the identifier.
struct WalPageHeader {
  static constexpr uint16_t kMagic = kWalPageMagic;
  static constexpr uint16_t kLong = 2;  // XLP_LONG_HEADER
  static constexpr size_t kShortSize = 24;

  uint16_t magic = kMagic;
  uint16_t info = 0;
  uint32_t timeline = 0;
  uint64_t address = 0;
  uint32_t remaining = 0;  // of a record that began on an earlier page
  uint64_t system_identifier = 0;
  uint32_t segment_size = 0;
  uint32_t block_size = kBlock;
};
static_assert(sizeof(WalPageHeader) == 40 && offsetof(WalPageHeader, system_identifier) == 24);

// XLogRecord with a body that is one checkpoint.
struct CheckpointRecord {
  static constexpr uint8_t kShutdown = 0x00;    // XLOG_CHECKPOINT_SHUTDOWN
  static constexpr uint8_t kOnline = 0x10;      // XLOG_CHECKPOINT_ONLINE
  static constexpr uint8_t kShortData = 0xFF;   // XLR_BLOCK_ID_DATA_SHORT
  static constexpr size_t kHeader = 24;         // SizeOfXLogRecord
  static constexpr size_t kBody = kHeader + 2;  // behind a marker and a length
  static constexpr size_t kSize = kBody + sizeof(CheckPoint);
  static constexpr size_t kInfo = 16, kManager = 17, kCrc = 20;  // offsets

  std::array<std::byte, kSize> bytes{};

  static CheckpointRecord make(const CheckPoint& checkpoint) {
    CheckpointRecord record;
    const uint32_t size = kSize;
    std::memcpy(record.bytes.data(), &size, sizeof size);
    record.bytes[kInfo] = std::byte{kShutdown};
    record.bytes[kHeader] = std::byte{kShortData};
    record.bytes[kHeader + 1] = std::byte{sizeof(CheckPoint)};
    std::memcpy(record.bytes.data() + kBody, &checkpoint, sizeof checkpoint);
    const uint32_t crc = record.crc();
    std::memcpy(record.bytes.data() + kCrc, &crc, sizeof crc);
    return record;
  }

  // The checksum covers the body first, then the header up to itself.
  [[nodiscard]] uint32_t crc() const {
    const std::span all(bytes);
    return crc32c(all.subspan(kHeader), all.first(kCrc));
  }

  static std::optional<CheckPoint> parse(std::span<const std::byte> at) {
    CheckpointRecord record;
    uint32_t size = 0;
    std::memcpy(&size, at.data(), sizeof size);
    if (size != kSize) return std::nullopt;
    std::memcpy(record.bytes.data(), at.data(), kSize);
    const auto byte = [&](size_t index) { return static_cast<uint8_t>(record.bytes.at(index)); };
    uint32_t crc = 0;
    std::memcpy(&crc, record.bytes.data() + kCrc, sizeof crc);
    if (byte(kManager) != 0 || (byte(kInfo) != kShutdown && byte(kInfo) != kOnline) ||
        byte(kHeader) != kShortData || byte(kHeader + 1) != sizeof(CheckPoint) ||
        crc != record.crc()) {
      return std::nullopt;
    }
    CheckPoint checkpoint;
    std::memcpy(&checkpoint, record.bytes.data() + kBody, sizeof checkpoint);
    return checkpoint;
  }
};

Status failed(std::string_view path, std::errc error) {
  return Status::io_error("\"" + std::string(path.substr(1)) +
                          "\" in the data directory: " + std::make_error_code(error).message());
}

// Names in a directory; none where it is missing.
Status list(vfs::FileSystem& files, std::string_view path, std::vector<std::string>* names) {
  auto directory = files.open(path, {.read = true, .directory = true}, 0);
  if (!directory && directory.error() == std::errc::no_such_file_or_directory) return {};
  if (!directory) return failed(path, directory.error());
  auto entries = (*directory)->entries();
  if (!entries) return failed(path, entries.error());
  for (vfs::DirectoryEntry& entry : *entries) names->push_back(std::move(entry.name));
  std::ranges::sort(*names);
  return {};
}

std::optional<uint64_t> number(std::string_view text, int base) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Names and pages are believed up to here, 64 PiB of WAL: no cluster comes so far, and behind what
// is believed there must be room for new WAL. What has a checksum, which may stand for a WAL that
// was begun behind such a name, is believed up to twice as far.
constexpr uint64_t kMostWal = uint64_t{1} << 56;
constexpr uint64_t kMostCheckedWal = uint64_t{1} << 57;
// Each is an archive recovery or a promotion.
constexpr uint32_t kMostTimelines = 1U << 24;

bool is_hexadecimal(std::string_view text) {
  return text.find_first_not_of("0123456789ABCDEF") == std::string_view::npos;
}

// Whether PostgreSQL takes it for a segment, or for a partial one: what a new WAL replaces.
bool is_segment_name(std::string_view name) {
  if (name.ends_with(".partial")) name.remove_suffix(8);
  return name.size() == 24 && is_hexadecimal(name);
}

struct SegmentName {
  uint32_t timeline;
  uint64_t segment;
};

// Timeline, upper and lower half of the number; the lower has only as many values as there are
// segments in 4 GiB.
std::optional<SegmentName> parse_segment_name(std::string_view name, uint32_t segment_size) {
  if (!is_segment_name(name)) return std::nullopt;
  const auto timeline = number(name.substr(0, 8), 16);
  const auto high = number(name.substr(8, 8), 16);
  const auto low = number(name.substr(16, 8), 16);
  const uint64_t per_high = (uint64_t{1} << 32) / segment_size;
  if (!timeline || !high || !low || *low >= per_high) return std::nullopt;
  return SegmentName{static_cast<uint32_t>(*timeline), *high * per_high + *low};
}

bool is_plausible(const CheckPoint& checkpoint) {
  return checkpoint.timeline != 0 && checkpoint.redo < kMostCheckedWal;
}

bool valid_segment_size(uint32_t size) {
  return std::has_single_bit(size) && size >= (1U << 20) && size <= (1U << 30);
}

std::string position(uint64_t lsn) {
  char text[32];
  std::snprintf(text, sizeof text, "%X/%X", static_cast<uint32_t>(lsn >> 32),
                static_cast<uint32_t>(lsn));
  return text;
}

std::string time_text(int64_t seconds) {
  const time_t time = seconds;
  std::tm parts{};
  char text[64] = "?";
  if (gmtime_r(&time, &parts) != nullptr) {
    (void)std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts);
  }
  return text;
}

// Files that hold something for each number of a circle of 2^32: segments, 32 pages each.
struct Slru {
  std::string_view path;
  uint32_t per_segment;
  [[nodiscard]] uint32_t last_segment() const { return UINT32_MAX / per_segment; }
  // The number behind a segment's last one.
  [[nodiscard]] uint64_t end_of(uint32_t segment) const {
    return std::min((uint64_t{segment} + 1) * per_segment, uint64_t{1} << 32);
  }
};
constexpr Slru kXact{.path = "/pg_xact", .per_segment = 1U << 20};
constexpr Slru kMultiOffsets{.path = "/pg_multixact/offsets", .per_segment = 1U << 16};
constexpr Slru kMultiMembers{.path = "/pg_multixact/members", .per_segment = 52352};
constexpr uint32_t kFirstXid = 3;  // FirstNormalTransactionId
// Numbers are given out until the oldest in use is half a circle behind; PostgreSQL stops some
// millions before that. What names say must not bring a cluster there.
constexpr uint32_t kMostAge = (1U << 31) - (1U << 24);

class Planner {
 public:
  Planner(vfs::FileSystem& files, WalReset* plan) : files_(files), plan_(*plan) {}

  Status plan(const ControlFile& built_in);

 private:
  Status read_control(const ControlFile& built_in);
  Status find_checkpoint();
  Status search_segment(const std::string& name);
  Status read_pages();
  Status read_relation(const std::string& path);
  Status guess_limits();
  Status complete_lost_control();
  Status advance_numbers();
  // Reads `segments_` from the names in the WAL.
  void believe_segment_names();
  // Numbers of the segments of an SLRU, in order.
  Status slru_segments(const Slru& slru, std::vector<uint32_t>* numbers);
  // How far the numbers of an SLRU must go on behind `next`: behind every segment that lies ahead
  // of it in the circle of 2^32 and not further than `most`.
  uint32_t ahead_of(uint32_t next, const Slru& slru, const std::vector<uint32_t>& segments,
                    uint32_t most);
  void finish();
  void find(std::string line) { plan_.findings.push_back(std::move(line)); }
  void disbelieve(std::string_view path, const std::string& why) {
    find("the name " + std::string(path.substr(1)) + " is not believed: " + why);
  }

  vfs::FileSystem& files_;
  WalReset& plan_;
  ControlFile& control_ = plan_.control;
  bool damaged_ = false;  // pg_control
  std::vector<std::string> wal_;
  std::vector<SegmentName> segments_;  // those of wal_ that are believed
  // Of the newest checkpoint record found in the WAL; 0: none.
  uint64_t found_at_ = 0;
  CheckPoint found_;
  uint64_t found_identifier_ = 0;
  uint32_t found_segment_size_ = 0;
  // What the pages of relations know.
  uint64_t last_page_lsn_ = 0;
  bool checksums_ = false;
  uint64_t last_relation_ = 0;
};

Status Planner::read_control(const ControlFile& built_in) {
  const auto there = files_.metadata(kControl, true);
  const bool missing = !there && there.error() == std::errc::no_such_file_or_directory;
  if (!missing) {
    Status status = read_control_file(files_, "", &control_);
    if (status.code() == StatusCode::kIoError) return status;
    if (status.ok() && !valid_segment_size(control_.wal_segment_size)) {
      status = Status::incompatible("its WAL segment size is impossible");
    }
    if (status.ok() &&
        !(is_plausible(control_.checkpoint_copy) && control_.checkpoint < kMostCheckedWal)) {
      status = Status::incompatible("its checkpoint is impossible");
    }
    if (status.ok() && control_.catalog_version != kCatalogVersion) {
      return Status::incompatible(
          "global/pg_control is that of another PostgreSQL: catalog version " +
          std::to_string(control_.catalog_version));
    }
    if (status.ok()) {
      plan_.was_shut_down = control_.state == ControlFile::kShutDown;
      find("global/pg_control is intact: last checkpoint at " + position(control_.checkpoint) +
           ", " + time_text(control_.checkpoint_copy.time) + "; the server was " +
           (plan_.was_shut_down ? "shut down with it" : "not shut down"));
      return {};
    }
    // Read, intact, and of another version.
    const auto bytes = std::as_bytes(std::span(&control_, 1));
    if (there->size >= sizeof control_ && control_.version != ControlFile::kVersion &&
        control_.crc == crc32c(bytes.first(offsetof(ControlFile, crc)))) {
      return status;
    }
  }
  damaged_ = true;
  find(std::string("global/pg_control is ") + (missing ? "missing" : "damaged"));
  control_ = built_in;
  control_.system_identifier = 0;
  return {};
}

Status Planner::search_segment(const std::string& name) {
  const std::string path = std::string(kWal) + "/" + name;
  auto file = files_.open(path, {.read = true}, 0);
  if (!file) return failed(path, file.error());
  std::array<std::byte, kBlock> page{};
  WalPageHeader header;
  uint64_t first = 0;  // where the segment begins
  uint64_t identifier = 0;
  uint32_t size = 0;
  for (uint64_t offset = 0; offset == 0 || offset < size; offset += kBlock) {
    const auto count = (*file)->read(page, offset);
    if (!count) return failed(path, count.error());
    if (*count < kBlock) return {};
    std::memcpy(&header, page.data(), sizeof header);
    if (header.magic != WalPageHeader::kMagic) {
      if (offset == 0) return {};
      continue;
    }
    if (offset == 0) {
      const auto named = valid_segment_size(header.segment_size)
                             ? parse_segment_name(name, header.segment_size)
                             : std::nullopt;
      // One that was renamed for further use still has its old contents.
      if (!named || named->segment * header.segment_size != header.address ||
          header.address >= kMostCheckedWal) {
        return {};
      }
      first = header.address;
      identifier = header.system_identifier;
      size = header.segment_size;
    }
    if (header.address != first + offset) continue;
    const size_t begin = offset == 0 ? sizeof header : WalPageHeader::kShortSize;
    for (size_t at = begin; at + CheckpointRecord::kSize <= kBlock; at += 8) {
      const auto checkpoint = CheckpointRecord::parse(std::span(page).subspan(at));
      if (!checkpoint || !is_plausible(*checkpoint) || header.address + at <= found_at_) continue;
      found_at_ = header.address + at;
      found_ = *checkpoint;
      found_identifier_ = identifier;
      found_segment_size_ = size;
    }
  }
  return {};
}

// The last checkpoint record that lies on one page: nearly all do.
Status Planner::find_checkpoint() {
  for (const std::string& name : wal_) {
    if (name.size() != 24) continue;
    Status status = search_segment(name);
    if (!status.ok()) return status;
  }
  if (found_at_ == 0) {
    plan_.guessed = true;
    return {};
  }
  control_.checkpoint_copy = found_;
  control_.system_identifier = found_identifier_;
  control_.wal_segment_size = found_segment_size_;
  find("values are taken from the last checkpoint record in the WAL, at " + position(found_at_) +
       ", " + time_text(found_.time));
  return {};
}

void Planner::believe_segment_names() {
  for (const std::string& name : wal_) {
    if (!is_segment_name(name)) continue;
    const auto segment = parse_segment_name(name, control_.wal_segment_size);
    const std::string path = std::string(kWal) + "/" + name;
    if (!segment) {
      disbelieve(path, "there is no such segment");
    } else if (segment->timeline == 0 || segment->timeline > kMostTimelines) {
      disbelieve(path, "no cluster has such a timeline");
    } else if (segment->segment >= kMostWal / control_.wal_segment_size) {
      disbelieve(path, "no WAL comes so far");
    } else {
      segments_.push_back(*segment);
    }
  }
}

Status Planner::slru_segments(const Slru& slru, std::vector<uint32_t>* numbers) {
  std::vector<std::string> names;
  Status status = list(files_, slru.path, &names);
  for (const std::string& name : names) {
    if (name.size() < 4 || name.size() > 6 || !is_hexadecimal(name)) continue;
    const auto value = number(name, 16);
    if (value && *value <= slru.last_segment()) {
      numbers->push_back(static_cast<uint32_t>(*value));
    } else {
      disbelieve(std::string(slru.path) + "/" + name, "there is no such segment");
    }
  }
  std::ranges::sort(*numbers);
  return status;
}

// What pg_resetwal's manual page tells the user to work out from the names of files.
Status Planner::guess_limits() {
  std::vector<uint32_t> xact;
  std::vector<uint32_t> multi;
  std::vector<uint32_t> members;
  Status status = slru_segments(kXact, &xact);
  if (status.ok()) status = slru_segments(kMultiOffsets, &multi);
  if (status.ok()) status = slru_segments(kMultiMembers, &members);
  if (!status.ok()) return status;
  if (xact.empty() || multi.empty()) {
    return Status::incompatible(
        "global/pg_control is lost, and no values for a new one can be found: pg_xact or "
        "pg_multixact is empty or missing");
  }
  // In a circle of 2^32, only the segments of less than its half can be told apart in order.
  const auto wrapped = [](const Slru& slru, const std::vector<uint32_t>& segments) {
    return !segments.empty() &&
           uint64_t{segments.back() - segments.front() + 1} * slru.per_segment > kMostAge;
  };
  if (wrapped(kXact, xact) || wrapped(kMultiOffsets, multi) || wrapped(kMultiMembers, members)) {
    return Status::incompatible(
        "global/pg_control is lost, and no values for a new one can be found: transaction numbers "
        "have wrapped around");
  }
  CheckPoint& checkpoint = control_.checkpoint_copy;
  checkpoint = {};
  checkpoint.timeline = 1;
  for (const SegmentName& segment : segments_) {
    checkpoint.timeline = std::max(checkpoint.timeline, segment.timeline);
  }
  checkpoint.previous_timeline = checkpoint.timeline;
  checkpoint.full_page_writes = 1;
  checkpoint.oldest_xid = std::max(kFirstXid, xact.front() * kXact.per_segment);
  checkpoint.next_xid = kXact.end_of(xact.back());
  checkpoint.oldest_multi = std::max(1U, multi.front() * kMultiOffsets.per_segment);
  checkpoint.next_multi = static_cast<uint32_t>(kMultiOffsets.end_of(multi.back()));
  if (!members.empty()) {
    checkpoint.next_multi_offset = static_cast<uint32_t>(kMultiMembers.end_of(members.back()));
  }
  checkpoint.next_oid = 16384;  // FirstNormalObjectId
  find("its values are guessed from names and sizes of files");
  return {};
}

uint32_t Planner::ahead_of(uint32_t next, const Slru& slru, const std::vector<uint32_t>& segments,
                           uint32_t most) {
  uint32_t ahead = 0;
  for (const uint32_t segment : segments) {
    const uint32_t distance = static_cast<uint32_t>(slru.end_of(segment)) - next;
    if (distance >= (1U << 30)) continue;  // that far ahead is behind
    if (distance <= most) {
      ahead = std::max(ahead, distance);
      continue;
    }
    char name[16];
    (void)std::snprintf(name, sizeof name, "/%04X", segment);
    disbelieve(std::string(slru.path) + name, "no numbers can have come so far");
  }
  return ahead;
}

// How many numbers can be given out before the oldest is too old.
uint32_t room(uint32_t next, uint32_t oldest) {
  const uint32_t age = next - oldest;
  return age < kMostAge ? kMostAge - age : 0;
}

// What a checkpoint record does not have.
Status Planner::complete_lost_control() {
  ClusterIdentity identity;
  if (Status status = make_identity(&identity); !status.ok()) return status;
  if (control_.system_identifier == 0) control_.system_identifier = identity.system_identifier;
  control_.nonce = identity.nonce;
  control_.data_checksum_version = checksums_ ? 1 : 0;
  return {};
}

Status Planner::advance_numbers() {
  CheckPoint& checkpoint = control_.checkpoint_copy;
  std::vector<uint32_t> xact;
  std::vector<uint32_t> offsets;
  std::vector<uint32_t> members;
  Status status = slru_segments(kXact, &xact);
  if (status.ok()) status = slru_segments(kMultiOffsets, &offsets);
  if (status.ok()) status = slru_segments(kMultiMembers, &members);
  if (!status.ok()) return status;
  const auto next_xid = static_cast<uint32_t>(checkpoint.next_xid);
  checkpoint.next_xid += ahead_of(next_xid, kXact, xact, room(next_xid, checkpoint.oldest_xid));
  if (static_cast<uint32_t>(checkpoint.next_xid) < kFirstXid) checkpoint.next_xid += kFirstXid;
  checkpoint.next_multi += ahead_of(checkpoint.next_multi, kMultiOffsets, offsets,
                                    room(checkpoint.next_multi, checkpoint.oldest_multi));
  if (checkpoint.next_multi == 0) checkpoint.next_multi = 1;
  // How many members are in use is not known here; PostgreSQL allows for nearly all of the circle.
  checkpoint.next_multi_offset +=
      ahead_of(checkpoint.next_multi_offset, kMultiMembers, members, 1U << 30);
  checkpoint.next_oid = static_cast<uint32_t>(
      std::clamp<uint64_t>(last_relation_ + 1, checkpoint.next_oid, UINT32_MAX));
  return {};
}

// Pages carry the position of the WAL record that wrote them last: new WAL must lie behind.
Status Planner::read_relation(const std::string& path) {
  auto file = files_.open(path, {.read = true}, 0);
  if (!file) return failed(path, file.error());
  std::vector<std::byte> buffer(size_t{1} << 20);
  for (uint64_t offset = 0; offset < kRelationSegment; offset += buffer.size()) {
    const auto count = (*file)->read(buffer, offset);
    if (!count) return failed(path, count.error());
    for (size_t at = 0; at + kBlock <= *count; at += kBlock) {
      // PageHeaderData: LSN (upper half first), checksum, flags, lower, upper, special, size and
      // layout version.
      struct {
        uint32_t lsn_high, lsn_low;
        uint16_t checksum, flags, lower, upper, special, size_and_version;
      } page{};
      std::memcpy(&page, buffer.data() + at, sizeof page);
      constexpr uint16_t kSizeAndVersion = kBlock | 4;
      const uint64_t lsn = uint64_t{page.lsn_high} << 32 | page.lsn_low;
      // A position that no cluster reaches is damage.
      const bool plausible = page.size_and_version == kSizeAndVersion && page.lower <= page.upper &&
                             page.upper <= page.special && page.special <= kBlock && lsn < kMostWal;
      if (!plausible) continue;
      checksums_ = checksums_ || page.checksum != 0;
      last_page_lsn_ = std::max(last_page_lsn_, lsn);
    }
    if (*count < buffer.size()) return {};
  }
  return {};
}

Status Planner::read_pages() {
  std::vector<std::string> directories = {"/global"};
  std::vector<std::string> databases;
  Status status = list(files_, "/base", &databases);
  for (const std::string& name : databases) {
    if (number(name, 10)) directories.push_back("/base/" + name);
  }
  for (const std::string& directory : directories) {
    std::vector<std::string> names;
    if (status.ok()) status = list(files_, directory, &names);
    for (const std::string& name : names) {
      // A relation's number, then maybe its fork and its segment: 16384_fsm.1
      const auto relation = number(name.substr(0, name.find_first_of("_.")), 10);
      if (!relation) continue;
      const std::string path = directory + "/" + name;
      if (*relation > UINT32_MAX) {
        disbelieve(path, "there is no such object");
        continue;
      }
      last_relation_ = std::max(last_relation_, *relation);
      if (status.ok()) status = read_relation(path);
      // Its values are known; the pages only make sure of them.
      if (plan_.was_shut_down) status = Status();
    }
  }
  return status;
}

void Planner::finish() {
  const uint64_t size = control_.wal_segment_size;
  CheckPoint& checkpoint = control_.checkpoint_copy;
  plan_.segment =
      std::max({checkpoint.redo, control_.checkpoint, found_at_, last_page_lsn_}) / size;
  for (const SegmentName& segment : segments_) {
    plan_.segment = std::max(plan_.segment, segment.segment);
  }
  ++plan_.segment;

  const int64_t now = ::time(nullptr);
  checkpoint.redo = plan_.segment * size + sizeof(WalPageHeader);
  checkpoint.time = now;
  checkpoint.oldest_active_xid = 0;
  control_.checkpoint = checkpoint.redo;
  control_.time = now;
  control_.state = ControlFile::kShutDown;
  control_.minimum_recovery_point = 0;
  control_.minimum_recovery_point_timeline = 0;
  control_.backup_start_point = 0;
  control_.backup_end_point = 0;
  control_.backup_end_required = 0;
  // The server writes its own settings there when it starts; with "minimal" it compares none.
  control_.wal_level = 0;
  control_.wal_log_hints = 0;
  control_.track_commit_timestamp = 0;

  const auto line = [&](const std::string& name, uint64_t value) {
    find("  " + name + std::to_string(value));
  };
  find(plan_.guessed ? "guessed values:" : "values:");
  line("system identifier        ", control_.system_identifier);
  line("data page checksums      ", control_.data_checksum_version);
  line("timeline                 ", checkpoint.timeline);
  line("next transaction         ", checkpoint.next_xid);
  line("oldest transaction       ", checkpoint.oldest_xid);
  line("next multixact           ", checkpoint.next_multi);
  line("next multixact offset    ", checkpoint.next_multi_offset);
  line("oldest multixact         ", checkpoint.oldest_multi);
  line("next object              ", checkpoint.next_oid);
  find("  first WAL segment        " + plan_.segment_name());
}

Status Planner::plan(const ControlFile& built_in) {
  Status status = read_control(built_in);
  if (status.ok()) status = list(files_, kWal, &wal_);
  if (status.ok() && damaged_) status = find_checkpoint();
  if (status.ok()) believe_segment_names();
  // Also of a cluster that was shut down: where the WAL was once begun anew at a wrong place,
  // pg_control is in order and says less than the pages.
  if (status.ok()) status = read_pages();
  if (status.ok() && plan_.guessed) status = guess_limits();
  if (status.ok() && damaged_) status = complete_lost_control();
  if (status.ok() && !plan_.was_shut_down) status = advance_numbers();
  if (status.ok()) finish();
  return status;
}

Status sync(vfs::FileSystem& files, std::string_view directory) {
  const auto synced = vfs::sync_directory(files, directory);
  return synced ? Status() : failed(directory, synced.error());
}

// A file of `size` bytes that begins with `content`, complete under its name or not there.
Status write_file(vfs::FileSystem& files, std::string_view temporary, const std::string& path,
                  std::span<const std::byte> content, uint64_t size) {
  (void)files.remove_file(temporary);
  auto file = files.open(temporary, {.write = true, .create = true, .exclusive = true}, 0600);
  if (!file) return failed(path, file.error());
  // Zeros, not a hole: a commit must not find the disk full.
  const std::vector<std::byte> zeros(size_t{1} << 20);
  for (uint64_t at = content.size(); at < size;) {
    const size_t count = std::min<uint64_t>(zeros.size(), size - at);
    const auto written = (*file)->write(std::span(zeros).first(count), at);
    if (!written) return failed(path, written.error());
    if (*written == 0) return failed(path, std::errc::no_space_on_device);
    at += *written;
  }
  const auto written = (*file)->write(content, 0);
  if (!written) return failed(path, written.error());
  if (*written != content.size()) return failed(path, std::errc::no_space_on_device);
  if (const auto synced = (*file)->sync(); !synced) return failed(path, synced.error());
  if (const auto moved = files.rename(temporary, path); !moved) return failed(path, moved.error());
  return sync(files, path.substr(0, path.rfind('/')));
}

Status remove_files(vfs::FileSystem& files, const std::string& directory,
                    const std::function<bool(std::string_view)>& unwanted) {
  std::vector<std::string> names;
  Status status = list(files, directory, &names);
  if (!status.ok()) return status;
  bool removed = false;
  for (const std::string& name : names) {
    if (!unwanted(name)) continue;
    const std::string path = directory + "/" + name;
    if (const auto done = files.remove_file(path); !done) return failed(path, done.error());
    removed = true;
  }
  return removed ? sync(files, directory) : Status();
}

}  // namespace

std::string WalReset::segment_name() const {
  const uint64_t per_high = (uint64_t{1} << 32) / control.wal_segment_size;
  char name[32];
  std::snprintf(name, sizeof name, "%08X%08X%08X", control.checkpoint_copy.timeline,
                static_cast<uint32_t>(segment / per_high),
                static_cast<uint32_t>(segment % per_high));
  return name;
}

Status plan_wal_reset(vfs::FileSystem& files, const ControlFile& built_in, WalReset* plan) {
  return Planner(files, plan).plan(built_in);
}

Status apply_wal_reset(vfs::FileSystem& files, const WalReset& plan) {
  const ControlFile& control = plan.control;
  const auto made = files.make_directory(kWal, 0700);
  if (!made && made.error() != std::errc::file_exists) return failed(kWal, made.error());
  if (made) {
    if (Status status = sync(files, "/"); !status.ok()) return status;
  }

  WalPageHeader header;
  header.info = WalPageHeader::kLong;
  header.timeline = control.checkpoint_copy.timeline;
  header.address = plan.segment * control.wal_segment_size;
  header.system_identifier = control.system_identifier;
  header.segment_size = control.wal_segment_size;
  const CheckpointRecord record = CheckpointRecord::make(control.checkpoint_copy);
  std::array<std::byte, kBlock> page{};
  std::memcpy(page.data(), &header, sizeof header);
  std::ranges::copy(record.bytes, page.begin() + sizeof header);
  const std::string segment = plan.segment_name();
  Status status = write_file(files, kNewSegment, std::string(kWal) + "/" + segment, page,
                             control.wal_segment_size);
  if (status.ok()) {
    const auto content = encode(control);
    status = write_file(files, kNewControl, std::string(kControl), content, content.size());
  }
  if (!status.ok()) return status;

  const std::string wal(kWal);
  status = remove_files(files, wal, [&](std::string_view name) {
    return name != segment && (is_segment_name(name) || name.starts_with("xlogtemp."));
  });
  if (status.ok()) {
    status = remove_files(files, wal + "/archive_status", [](std::string_view name) {
      return name.ends_with(".ready") || name.ends_with(".done");
    });
  }
  if (!status.ok()) return status;
  return remove_files(files, wal + "/summaries",
                      [](std::string_view name) { return name.ends_with(".summary"); });
}

}  // namespace pglite::postgres
