// The plan of a WAL reset over clusters whose files say anything; what is planned can be done.
#include "postgres/cluster/wal_reset.h"

#include <algorithm>
#include <array>
#include <span>

#include "target.h"
#include "vfs/memory_filesystem.h"

namespace pglite::fuzz {
namespace {

using postgres::ControlFile;
using postgres::WalReset;

constexpr size_t kBlock = 8192;
constexpr uint32_t kSegmentSize = uint32_t{1} << 20;  // PostgreSQL's smallest
constexpr std::string_view kDirectories[] = {
    "/pg_wal", "/pg_xact", "/pg_multixact/offsets",  "/pg_multixact/members",
    "/base/5", "/global",  "/pg_wal/archive_status", "/base"};
// An input: what pg_control is (below), its bytes, then files: a directory with 8 * how the content
// is to be taken, sizes of name and content, both.
enum class Control : uint8_t { kMissing, kAsItIs, kSealed };
enum class Content : uint8_t { kAsItIs, kWalPage, kRelationPage };

// A WAL page's header and one record behind it, whose checksum is made right: offsets as in
// access/xlogrecord.h.
std::string wal_page(std::string_view bytes) {
  constexpr size_t kHeader = 40;
  constexpr size_t kRecord = 26 + sizeof(postgres::CheckPoint);
  std::string page(bytes);
  page.resize(kBlock);
  const auto record = std::as_writable_bytes(std::span(page)).subspan(kHeader, kRecord);
  const uint32_t crc = postgres::crc32c(record.subspan(24), record.first(20));
  std::memcpy(record.data() + 20, &crc, sizeof crc);
  return page;
}

void put(vfs::MemoryFileSystem& files, const std::string& path, std::string_view content) {
  auto file = files.open(path, {.write = true, .create = true, .truncate = true}, 0600);
  if (file) (void)(*file)->write(std::as_bytes(std::span(content)), 0);
}

void fill(vfs::MemoryFileSystem& files, Input& input) {
  for (const std::string_view directory : kDirectories) {
    FUZZ_CHECK(files.make_directories(directory, 0700));
  }
  const auto kind = static_cast<Control>(input.get<uint8_t>() % 3);
  ControlFile control;
  const std::string_view bytes = input.take(sizeof control);
  if (!bytes.empty()) std::memcpy(static_cast<void*>(&control), bytes.data(), bytes.size());
  if (kind == Control::kAsItIs) {
    put(files, "/global/pg_control", bytes);
  } else if (kind == Control::kSealed) {
    const auto content = postgres::encode(control);
    put(files, "/global/pg_control",
        {reinterpret_cast<const char*>(content.data()), content.size()});
  }
  while (!input.empty()) {
    const auto where = input.get<uint8_t>();
    const size_t name_size = input.get<uint8_t>();
    const size_t content_size = input.get<uint16_t>() % (2 * kBlock);
    const std::string name(input.take(name_size));
    std::string content(input.take(content_size));
    if (name.empty() || name.find('/') != std::string::npos ||
        name.find('\0') != std::string::npos || name == "." || name == "..") {
      continue;
    }
    switch (static_cast<Content>(where / 8 % 3)) {
      case Content::kAsItIs:
        break;
      case Content::kWalPage:
        content = wal_page(content);
        break;
      case Content::kRelationPage:
        content.resize(kBlock);
        break;
    }
    put(files, std::string(kDirectories[where % 8]) + "/" + name, content);
  }
}

std::string file(int directory, Content kind, std::string_view name, std::string_view content) {
  std::string out{static_cast<char>(directory + 8 * static_cast<int>(kind)),
                  static_cast<char>(name.size())};
  const auto size = static_cast<uint16_t>(content.size());
  out.append(reinterpret_cast<const char*>(&size), sizeof size);
  return out.append(name).append(content);
}

ControlFile built_in() {
  ControlFile control;
  control.wal_segment_size = kSegmentSize;
  control.block_size = kBlock;
  return control;
}

}  // namespace

std::vector<std::string> seeds() {
  ControlFile control = built_in();
  control.state = ControlFile::kShutDown;
  control.system_identifier = 42;
  control.checkpoint = uint64_t{3} * kSegmentSize + 40;
  control.checkpoint_copy.redo = control.checkpoint;
  control.checkpoint_copy.timeline = 1;
  control.checkpoint_copy.next_xid = 700;
  control.checkpoint_copy.next_multi = 1;
  std::string bytes(sizeof control, '\0');
  std::memcpy(bytes.data(), static_cast<const void*>(&control), sizeof control);
  // A WAL of one page with a checkpoint record, as a reset writes it.
  std::string segment;
  {
    vfs::MemoryFileSystem files;
    FUZZ_CHECK(files.make_directory("/global", 0700));
    const auto content = postgres::encode(control);
    put(files, "/global/pg_control",
        {reinterpret_cast<const char*>(content.data()), content.size()});
    WalReset plan;
    FUZZ_CHECK(postgres::plan_wal_reset(files, built_in(), &plan).ok());
    FUZZ_CHECK(postgres::apply_wal_reset(files, plan).ok());
    auto written = files.open("/pg_wal/" + plan.segment_name(), {.read = true}, 0);
    std::array<std::byte, 160> head{};
    FUZZ_CHECK(written && (*written)->read(head, 0));
    segment = file(0, Content::kWalPage, plan.segment_name(),
                   {reinterpret_cast<const char*>(head.data()), head.size()});
  }
  const std::string slru = file(1, Content::kAsItIs, "0000", "x") +
                           file(2, Content::kAsItIs, "0000", "x") +
                           file(3, Content::kAsItIs, "0000", "x");
  // An LSN, checksum, flags, lower, upper, special, size with version.
  std::string page(24, '\0');
  page[4] = 7;
  const uint16_t fields[] = {9, 0, 24, kBlock, kBlock, kBlock | 4};
  std::memcpy(page.data() + 8, fields, sizeof fields);
  const std::string relation = file(4, Content::kRelationPage, "16384_fsm.1", page);
  const auto with = [](Control kind, const std::string& rest) {
    return std::string(1, static_cast<char>(kind)) + rest;
  };
  const std::string none(sizeof control, '\0');
  control.state = 6;  // DB_IN_PRODUCTION
  std::string running(sizeof control, '\0');
  std::memcpy(running.data(), static_cast<const void*>(&control), sizeof control);
  return {with(Control::kSealed, bytes + segment + slru),
          with(Control::kSealed, running + segment + slru + relation),
          with(Control::kMissing, none + segment + slru + relation),
          with(Control::kMissing, none + slru + relation +
                                      file(0, Content::kAsItIs, "000000010000000000000009", "") +
                                      file(6, Content::kAsItIs, "x.ready", "")),
          with(Control::kAsItIs, bytes.substr(0, 100) + segment + slru)};
}

}  // namespace pglite::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pglite;
  using namespace pglite::fuzz;
  Input input(data, size);
  vfs::MemoryFileSystem files;
  fill(files, input);
  WalReset plan;
  Status status = postgres::plan_wal_reset(files, built_in(), &plan);
  if (!status.ok()) {
    FUZZ_CHECK(!status.message().empty());
    return 0;
  }
  const ControlFile& control = plan.control;
  FUZZ_CHECK(plan.segment_name().size() == 24);
  // The WAL begins where the control file says, which must not have run over the end of numbers.
  FUZZ_CHECK(control.checkpoint / control.wal_segment_size == plan.segment);
  FUZZ_CHECK(control.checkpoint == control.checkpoint_copy.redo);
  FUZZ_CHECK(control.state == ControlFile::kShutDown);
  if (control.wal_segment_size > kSegmentSize) return 0;  // it would be written

  FUZZ_CHECK(postgres::apply_wal_reset(files, plan).ok());
  ControlFile written;
  FUZZ_CHECK(postgres::read_control_file(files, "", &written).ok());
  FUZZ_CHECK(written.checkpoint == control.checkpoint);
  const auto segment = files.metadata("/pg_wal/" + plan.segment_name(), false);
  FUZZ_CHECK(segment && segment->size == control.wal_segment_size);
  // Done again, it goes on right behind that.
  WalReset again;
  FUZZ_CHECK(postgres::plan_wal_reset(files, built_in(), &again).ok());
  FUZZ_CHECK(again.was_shut_down && !again.guessed);
  FUZZ_CHECK(again.segment == plan.segment + 1);
  FUZZ_CHECK(again.control.checkpoint_copy.next_xid == control.checkpoint_copy.next_xid);
  return 0;
}
