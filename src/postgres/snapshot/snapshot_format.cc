#include "postgres/snapshot/snapshot_format.h"

#include <cstring>

#include "emscripten/process_state.h"
#include "postgres/guest/guest_tree.h"
#include "postgres/snapshot/build_identity.h"
#include "vfs/descriptor_table.h"
#include "vfs/image.h"
#include "wasm/byte_stream.h"
#include "wasm/module_registry.h"

namespace pglite::postgres {

namespace {

constexpr std::array<char, 8> kMagic = {'P', 'G', 'L', 'P', 'S', 'N', 'A', 'P'};
constexpr uint32_t kFormat = 5;
// How much stands before the pages at most; a header that says more is damaged.
constexpr uint64_t kLargestTables = uint64_t{256} << 20;
constexpr size_t kRunSize = 24, kPatchSize = 8, kPathSize = 4;

uint64_t round_up(uint64_t value, uint64_t to) {
  return (value + to - 1) / to * to;
}

std::string_view text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Each check answers null, or what is wrong.

const char* check_sizes(const SnapshotHeader& header, uint64_t size) {
  if (header.kind > SnapshotKind::kFiles) return "it is of no known kind";
  if (header.state_size > kLargestTables || header.tables_size > kLargestTables ||
      pages_offset(header.state_size, header.tables_size) > header.tree_offset ||
      header.tree_offset > size || header.tree_size != size - header.tree_offset ||
      header.tree_offset % vfs::kImageAlignment != 0) {
    return "its header is wrong";
  }
  return nullptr;
}

const char* check_runs(const std::vector<PageRun>& runs, const SnapshotHeader& header,
                       uint64_t memory_size) {
  uint64_t guest_end = 0;
  uint64_t file_end = pages_offset(header.state_size, header.tables_size);
  for (const PageRun& run : runs) {
    if (run.size == 0 || run.size % kSnapshotPage != 0 || run.guest_offset % kSnapshotPage != 0 ||
        run.file_offset % kSnapshotPage != 0) {
      return "its pages are not aligned";
    }
    if (run.guest_offset < guest_end || run.size > memory_size ||
        run.guest_offset > memory_size - run.size) {
      return "its pages are out of place in memory";
    }
    if (run.file_offset < file_end || run.size > header.tree_offset ||
        run.file_offset > header.tree_offset - run.size) {
      return "its pages are out of place in the file";
    }
    guest_end = run.guest_offset + run.size;
    file_end = run.file_offset + run.size;
  }
  return nullptr;
}

const char* check_patches(const std::vector<Patch>& patches, uint64_t memory_size) {
  for (const Patch& patch : patches) {
    if (patch.kind > Patch::Kind::kStartTime) return "it patches what is not known";
    if (uint64_t{patch.address} + patch_size(patch.kind) > memory_size) {
      return "it patches beyond its memory";
    }
  }
  return nullptr;
}

const char* check_overlay(const SnapshotHeader& header, SnapshotOrigin origin,
                          const std::vector<std::string>& removed) {
  // A snapshot that somebody took is a whole tree.
  const bool is_overlay = header.kind == SnapshotKind::kOverlay;
  if (is_overlay && origin != SnapshotOrigin::kProgram) return "it is an overlay";
  if (!is_overlay && !removed.empty()) return "it removes files from nothing";
  const std::string below = std::string(kDataDirectory) + '/';
  for (const std::string& path : removed) {
    if (!path.starts_with(below) || path.find('\0') != std::string::npos ||
        vfs::normalize_path("/", path) != path) {
      return "it removes files outside of the data directory";
    }
  }
  return nullptr;
}

const char* check_state(std::string_view state, const guest_module& main) {
  emscripten::ProcessState parsed;
  const char* wrong = emscripten::decode_process_state(
      state, main, nullptr, vfs::DescriptorTable::kDefaultLimit, &parsed);
  // Who opens it may have the library.
  return wrong == emscripten::kUnknownLibrary ? nullptr : wrong;
}

bool decode_tables(std::string_view bytes, SnapshotTables* tables) {
  wasm::ByteReader in(bytes);
  tables->runs.resize(in.get_count(kRunSize));
  for (PageRun& run : tables->runs) {
    run.guest_offset = in.get<uint64_t>();
    run.size = in.get<uint64_t>();
    run.file_offset = in.get<uint64_t>();
  }
  tables->patches.resize(in.get_count(kPatchSize));
  for (Patch& patch : tables->patches) {
    patch.kind = in.get<Patch::Kind>();
    patch.address = in.get<uint32_t>();
  }
  tables->removed.resize(in.get_count(kPathSize));
  for (std::string& path : tables->removed) path = in.get_string();
  return in.at_end();
}

// What `rest`, the state and tables behind a right header, has to say.
const char* read_rest(const SnapshotHeader& header, std::string_view rest, SnapshotOrigin origin,
                      SnapshotContents* out) {
  if (header.kind == SnapshotKind::kFiles) {
    return rest.empty() ? nullptr : "it has a session and is of files only";
  }
  out->state = rest.substr(0, header.state_size);
  if (!decode_tables(rest.substr(header.state_size), &out->tables)) return "its tables are wrong";
  const guest_module& main = *wasm::find_module_by_name("pglite");
  const auto pages = emscripten::saved_memory_pages(out->state, main);
  if (!pages) return "its process state is wrong";
  const uint64_t memory_size = *pages * WASM_DEFAULT_PAGE_SIZE;
  if (const char* wrong = check_runs(out->tables.runs, header, memory_size)) return wrong;
  if (const char* wrong = check_patches(out->tables.patches, memory_size)) return wrong;
  if (const char* wrong = check_overlay(header, origin, out->tables.removed)) return wrong;
  // A process that is restored from it checks the state again; here it is for the message.
  return origin == SnapshotOrigin::kFile ? check_state(out->state, main) : nullptr;
}

}  // namespace

std::string encode_tables(const SnapshotTables& tables) {
  wasm::ByteWriter out;
  out.put(static_cast<uint32_t>(tables.runs.size()));
  for (const PageRun& run : tables.runs) {
    out.put(run.guest_offset);
    out.put(run.size);
    out.put(run.file_offset);
  }
  out.put(static_cast<uint32_t>(tables.patches.size()));
  for (const Patch& patch : tables.patches) {
    out.put(patch.kind);
    out.put(patch.address);
  }
  out.put(static_cast<uint32_t>(tables.removed.size()));
  for (const std::string& path : tables.removed) out.put_string(path);
  return out.take();
}

uint64_t pages_offset(uint64_t state_size, uint64_t tables_size) {
  return round_up(sizeof(SnapshotHeader) + state_size + tables_size, kSnapshotPage);
}

SnapshotHeader make_header(SnapshotKind kind, std::string_view state, std::string_view tables,
                           uint64_t pages_end, uint64_t tree_size) {
  SnapshotHeader header{};
  header.magic = kMagic;
  header.format = kFormat;
  header.kind = kind;
  std::memcpy(header.build.data(), build_identity().data(), header.build.size());
  header.state_size = state.size();
  header.tables_size = tables.size();
  header.tree_offset = round_up(pages_end, vfs::kImageAlignment);
  header.tree_size = tree_size;
  header.file_size = header.tree_offset + header.tree_size;
  const std::string sha256 = snapshot_checksum(header, std::string(state).append(tables));
  std::memcpy(header.sha256.data(), sha256.data(), header.sha256.size());
  return header;
}

std::string snapshot_checksum(SnapshotHeader header, std::string_view rest) {
  header.sha256 = {};
  std::string covered(reinterpret_cast<const char*>(&header), sizeof header);
  covered += rest;
  return wasm::sha256(std::as_bytes(std::span(covered)));
}

Status read_snapshot(std::span<const std::byte> bytes, const std::string& name,
                     SnapshotOrigin origin, SnapshotContents* out) {
  const auto damaged = [&](const std::string& what) {
    return Status::incompatible("snapshot \"" + name + "\" is damaged: " + what);
  };
  SnapshotHeader header{};
  if (bytes.size() < sizeof header) return damaged("it is too short");
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != kMagic) {
    return Status::incompatible("\"" + name + "\" is not a snapshot of pglite-port");
  }
  if (header.format != kFormat ||
      std::string_view(header.build.data(), header.build.size()) != build_identity()) {
    return Status::incompatible("snapshot \"" + name +
                                "\" was made by another build of pglite-port: make it again");
  }
  if (header.file_size != bytes.size()) {
    return damaged("it has " + std::to_string(bytes.size()) + " bytes, not " +
                   std::to_string(header.file_size));
  }
  if (const char* wrong = check_sizes(header, bytes.size())) return damaged(wrong);
  const std::string_view rest =
      text(bytes.subspan(sizeof header, header.state_size + header.tables_size));
  if (origin == SnapshotOrigin::kFile &&
      snapshot_checksum(header, rest) !=
          std::string_view(header.sha256.data(), header.sha256.size())) {
    return damaged("its checksum is wrong");
  }
  if (const char* wrong = read_rest(header, rest, origin, out)) return damaged(wrong);
  out->tree = bytes.subspan(header.tree_offset);
  out->kind = header.kind;
  return {};
}

}  // namespace pglite::postgres
