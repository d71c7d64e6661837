// Snapshot files with a right checksum and hostile contents: SnapshotFile's tables, and the process
// state that Process::restore makes a guest of.
//
// The built-in snapshot is taken apart when the target starts. An input is what may be changed in
// it: the size of the state, the state, the tables. Pages and files stay.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <span>

#include "postgres/build/images.h"
#include "postgres/guest/backend.h"
#include "postgres/guest/guest_tree.h"
#include "postgres/snapshot/snapshot_file.h"
#include "target.h"
#include "vfs/image.h"
#include "wasm/module_registry.h"

namespace pglite::fuzz {
namespace {

using postgres::SnapshotFile;

// As in snapshot_format.h, written a second time.
struct Header {
  std::array<char, 8> magic;
  uint32_t format;
  uint32_t kind;
  std::array<char, 32> build;
  uint64_t file_size;
  uint64_t state_size;
  uint64_t tables_size;
  uint64_t tree_offset;
  uint64_t tree_size;
  std::array<char, 64> sha256;
};
static_assert(sizeof(Header) == 152);

// Pages and files lie this much further behind, so that state and tables may grow.
constexpr uint64_t kRoom = uint64_t{1} << 20;

std::string_view linked() {
  const auto bytes = postgres::boot_snapshot();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Header linked_header() {
  Header header{};
  std::memcpy(static_cast<void*>(&header), linked().data(), sizeof header);
  header.kind = 0;  // as in what users keep
  return header;
}

// A file that snapshots are written to, with all that stays the same.
class Scratch {
 public:
  Scratch() : file_(std::tmpfile()) {
    FUZZ_CHECK(file_ != nullptr);
    write(linked(), kRoom);
  }
  ~Scratch() { std::fclose(file_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  void write(std::string_view bytes, uint64_t offset) {
    FUZZ_CHECK(::pwrite(fileno(file_), bytes.data(), bytes.size(), static_cast<off_t>(offset)) ==
               static_cast<ssize_t>(bytes.size()));
  }
  [[nodiscard]] os::UniqueFd descriptor() const { return os::UniqueFd(::dup(fileno(file_))); }

 private:
  std::FILE* file_;
};

postgres::GuestTree make_tree() {
  auto tree = postgres::make_guest_tree(postgres::bundle_image(), [](std::string_view) {});
  FUZZ_CHECK(tree);
  FUZZ_CHECK(
      vfs::load_image(postgres::data_directory_image(), *tree->memory, postgres::kDataDirectory));
  const Header header = linked_header();
  FUZZ_CHECK(vfs::load_image(postgres::boot_snapshot().subspan(header.tree_offset), *tree->memory,
                             postgres::kDataDirectory));
  return std::move(*tree);
}

}  // namespace

std::vector<std::string> seeds() {
  postgres::SnapshotContents contents;
  FUZZ_CHECK(postgres::read_snapshot(postgres::boot_snapshot(), "built-in",
                                     postgres::SnapshotOrigin::kProgram, &contents)
                 .ok());
  postgres::SnapshotTables tables = contents.tables;
  tables.removed.clear();
  for (postgres::PageRun& run : tables.runs) run.file_offset += kRoom;
  std::string input(4, '\0');
  const auto size = static_cast<uint32_t>(contents.state.size());
  std::memcpy(input.data(), &size, sizeof size);
  return {input + std::string(contents.state) + postgres::encode_tables(tables)};
}

}  // namespace pglite::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pglite;
  using namespace pglite::fuzz;
  static Scratch scratch;
  static const postgres::GuestTree tree = make_tree();
  static const std::string good = seeds()[0];

  Input input(data, size);
  const auto state_size = input.get<uint32_t>();
  const std::string state(input.take(state_size));
  const std::string tables(input.rest());
  if (sizeof(Header) + state.size() + tables.size() > kRoom) return 0;
  Header header = linked_header();
  header.file_size += kRoom;
  header.tree_offset += kRoom;
  header.state_size = state.size();
  header.tables_size = tables.size();
  header.sha256 = {};
  std::string covered(reinterpret_cast<const char*>(&header), sizeof header);
  covered += state + tables;
  const std::string sha256 = wasm::sha256(std::as_bytes(std::span(covered)));
  std::memcpy(header.sha256.data(), sha256.data(), header.sha256.size());
  covered.replace(0, sizeof header, reinterpret_cast<const char*>(&header), sizeof header);
  scratch.write(covered, 0);

  const bool is_good = std::string_view(reinterpret_cast<const char*>(data), size) == good;
  std::shared_ptr<const SnapshotFile> snapshot;
  Status status = SnapshotFile::open(scratch.descriptor(), "fuzz", &snapshot);
  if (!status.ok()) {
    FUZZ_CHECK(!is_good && status.code() == StatusCode::kIncompatible);
    return 0;
  }
  postgres::BackendConfig config;
  config.tree = tree;
  config.log = [](std::string_view) {};
  std::unique_ptr<postgres::Backend> backend;
  status = postgres::Backend::restore(config, snapshot->state(), *snapshot, &backend);
  FUZZ_CHECK(status.ok() || (!is_good && !status.message().empty()));
  if (!status.ok()) return 0;
  std::string saved;
  FUZZ_CHECK(backend->save(&saved).ok() || !is_good);
  FUZZ_CHECK(!is_good || !saved.empty());
  return 0;
}
