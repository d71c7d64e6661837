#include "recording_filesystem.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <stdexcept>
#include <thread>
#include <unordered_map>
#include <utility>

#include "vfs/tree.h"

namespace pglite::durability {

namespace {

using Kind = Operation::Kind;

std::pair<std::string_view, std::string_view> split(std::string_view path) {
  const size_t slash = path.rfind('/');
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

class RecordingFile : public ForwardingFile {
 public:
  RecordingFile(std::unique_ptr<vfs::File> inner, uint64_t inode,
                std::shared_ptr<Recorder> recorder)
      : ForwardingFile(std::move(inner)), inode_(inode), recorder_(std::move(recorder)) {}

  Result<size_t> write(std::span<const std::byte> data, uint64_t offset) override {
    auto count = ForwardingFile::write(data, offset);
    if (count && *count > 0) {
      Operation operation = {
          .kind = Kind::kWrite, .inode = inode_, .offset = offset, .size = *count};
      const auto written = data.first(*count);
      // WAL segments are written as zeros first.
      if (!std::ranges::all_of(written, [](std::byte b) { return b == std::byte{0}; })) {
        operation.data.assign(reinterpret_cast<const char*>(written.data()), written.size());
      }
      recorder_->add(std::move(operation));
    }
    return count;
  }
  Result<void> truncate(uint64_t size) override {
    auto done = ForwardingFile::truncate(size);
    if (done) recorder_->add({.kind = Kind::kTruncate, .inode = inode_, .size = size});
    return done;
  }
  Result<void> sync() override {
    const size_t begun = recorder_->begin_sync();
    auto done = ForwardingFile::sync();
    if (done) recorder_->add({.kind = Kind::kSync, .inode = inode_, .begun = begun});
    return done;
  }
  Result<void> sync_data() override {
    const size_t begun = recorder_->begin_sync();
    auto done = ForwardingFile::sync_data();
    if (done) recorder_->add({.kind = Kind::kSync, .inode = inode_, .begun = begun});
    return done;
  }

 private:
  uint64_t inode_;
  std::shared_ptr<Recorder> recorder_;
};

bool is_entry_operation(Kind kind) {
  return kind != Kind::kWrite && kind != Kind::kTruncate && kind != Kind::kSync &&
         kind != Kind::kSyncAll;
}
bool makes_name(Kind kind) {
  return kind == Kind::kMakeFile || kind == Kind::kMakeDirectory || kind == Kind::kLink;
}

}  // namespace

uint64_t mix(uint64_t value) {
  value += 0x9E3779B97F4A7C15;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
  return value ^ (value >> 31);
}

std::string Operation::describe() const {
  const std::string file = "inode " + std::to_string(inode);
  const std::string entry = std::to_string(directory) + "/" + name;
  switch (kind) {
    case Kind::kWrite:
      return "write " + file + " at " + std::to_string(offset) + " of " + std::to_string(size) +
             (data.empty() ? " zeros" : "");
    case Kind::kTruncate:
      return "truncate " + file + " to " + std::to_string(size);
    case Kind::kMakeFile:
      return "make file " + entry + " " + file;
    case Kind::kMakeDirectory:
      return "make directory " + entry + " " + file;
    case Kind::kLink:
      return "link " + entry + " " + file;
    case Kind::kRemove:
      return "remove " + entry + " " + file;
    case Kind::kRename:
      return "rename " + entry + " to " + std::to_string(new_directory) + "/" + new_name;
    case Kind::kSync:
      return "sync " + file;
    case Kind::kSyncAll:
      return "sync everything";
  }
  return "";
}

void Recorder::add(Operation operation) {
  const std::scoped_lock lock(mutex_);
  log_.push_back(std::move(operation));
}

size_t Recorder::moment() const {
  const std::scoped_lock lock(mutex_);
  return log_.size();
}

size_t Recorder::begin_sync() {
  const size_t begun = moment();
  if (slowest_sync_.count() > 0) {
    std::this_thread::sleep_for(slowest_sync_ * (mix(begun) % 16) / 16);
  }
  return begun;
}

RecordingFileSystem::RecordingFileSystem(std::shared_ptr<vfs::FileSystem> inner,
                                         std::chrono::microseconds slowest_sync)
    : ForwardingFileSystem(std::move(inner)), recorder_(std::make_shared<Recorder>(slowest_sync)) {}

uint64_t RecordingFileSystem::inode(std::string_view path) {
  const auto found = inner().metadata(path, false);
  return found ? found->inode : 0;
}

Operation RecordingFileSystem::at(Operation::Kind kind, std::string_view path) {
  const auto [directory, name] = split(path);
  return {
      .kind = kind, .inode = inode(path), .directory = inode(directory), .name = std::string(name)};
}

Result<std::unique_ptr<vfs::File>> RecordingFileSystem::open(std::string_view path,
                                                             vfs::OpenFlags flags,
                                                             uint32_t permissions) {
  const bool was_there = inode(path) != 0;
  auto file = inner().open(path, flags, permissions);
  if (!file) return file;
  const Operation made = at(Kind::kMakeFile, path);
  if (!was_there) {
    recorder_->add(made);
  } else if (flags.truncate) {
    recorder_->add({.kind = Kind::kTruncate, .inode = made.inode});
  }
  return std::make_unique<RecordingFile>(std::move(*file), made.inode, recorder_);
}

Result<void> RecordingFileSystem::make_directory(std::string_view path, uint32_t permissions) {
  auto done = inner().make_directory(path, permissions);
  if (done) recorder_->add(at(Kind::kMakeDirectory, path));
  return done;
}

Result<void> RecordingFileSystem::remove_file(std::string_view path) {
  Operation operation = at(Kind::kRemove, path);
  auto done = inner().remove_file(path);
  if (done) recorder_->add(std::move(operation));
  return done;
}

Result<void> RecordingFileSystem::remove_directory(std::string_view path) {
  Operation operation = at(Kind::kRemove, path);
  auto done = inner().remove_directory(path);
  if (done) recorder_->add(std::move(operation));
  return done;
}

Result<void> RecordingFileSystem::rename(std::string_view from, std::string_view to) {
  Operation operation = at(Kind::kRename, from);
  const auto [directory, name] = split(to);
  operation.new_directory = inode(directory);
  operation.new_name = name;
  auto done = inner().rename(from, to);
  if (done) recorder_->add(std::move(operation));
  return done;
}

Result<void> RecordingFileSystem::make_symbolic_link(std::string_view, std::string_view) {
  return error(std::errc::operation_not_supported);
}

Result<void> RecordingFileSystem::make_hard_link(std::string_view from, std::string_view to) {
  auto done = inner().make_hard_link(from, to);
  if (done) recorder_->add(at(Kind::kLink, to));
  return done;
}

Result<void> RecordingFileSystem::truncate(std::string_view path, uint64_t size) {
  auto done = inner().truncate(path, size);
  if (done) recorder_->add({.kind = Kind::kTruncate, .inode = inode(path), .size = size});
  return done;
}

Result<void> RecordingFileSystem::sync_all() {
  const size_t begun = recorder_->begin_sync();
  auto done = inner().sync_all();
  if (done) recorder_->add({.kind = Kind::kSyncAll, .begun = begun});
  return done;
}

Choice Choice::from_seed(uint64_t seed, EntryModel entries) {
  constexpr Mode kModes[] = {Mode::kNothing, Mode::kAll,      Mode::kInOrder,  Mode::kByFile,
                             Mode::kByFile,  Mode::kBySector, Mode::kBySector, Mode::kBySector};
  const uint64_t random = mix(seed);
  return {.mode = kModes[random % std::size(kModes)],
          .seed = seed,
          .sector = (random >> 32) % 2 == 0 ? 512u : 4096u,
          .entries = entries};
}

std::string Choice::describe() const {
  constexpr const char* kNames[] = {"nothing", "all", "in order", "by file", "by sector"};
  return std::string(kNames[static_cast<size_t>(mode)]) + ", seed " + std::to_string(seed) +
         ", sectors of " + std::to_string(sector) +
         (entries == EntryModel::kStrict ? ", strict names" : "");
}

namespace {

// One replay. Moments are indices into the log: what is at a smaller index happened.
class Replay {
 public:
  Replay(const Log& log, size_t cut, const Choice& choice, vfs::MemoryFileSystem& filesystem)
      : log_(log), cut_(cut), choice_(choice), filesystem_(filesystem), keep_(cut, false) {}

  void run() {
    find_existing("/");
    find_syncs();
    choose_entries();
    apply_entries();
    apply_contents();
  }

 private:
  uint64_t random(uint64_t a, uint64_t b) const { return mix(choice_.seed ^ mix(a ^ mix(b))); }

  // The moment up to which what happened from `begin` on, to the thing called `what`, is kept.
  size_t moment(size_t begin, uint64_t what) const {
    switch (choice_.mode) {
      case Choice::Mode::kNothing:
        return begin;
      case Choice::Mode::kAll:
        return cut_;
      case Choice::Mode::kInOrder:
        // One moment for all, in the last stretch of the log.
        return cut_ - std::min<size_t>(cut_, random(1, 1) % 200);
      default:
        // Uniform, and both ends often.
        switch (random(what, 2) % 4) {
          case 0:
            return begin;
          case 1:
            return cut_;
          default:
            return begin + random(what, 3) % (cut_ - begin + 1);
        }
    }
  }

  void find_existing(const std::string& path) {
    const auto metadata = filesystem_.metadata(path, false);
    if (!metadata) throw std::logic_error("replay: no " + path);
    paths_[metadata->inode] = path;
    if (!S_ISDIR(metadata->mode)) return;
    const auto directory = filesystem_.open(path, {.read = true, .directory = true}, 0);
    const auto entries = (*directory)->entries();
    for (const vfs::DirectoryEntry& entry : *entries) {
      find_existing((path == "/" ? path : path + "/") + entry.name);
    }
  }

  // For each inode the moment of its last sync, and which names are safe.
  void find_syncs() {
    std::unordered_map<uint64_t, std::vector<size_t>> made_by;    // what named an inode first
    std::unordered_map<uint64_t, std::vector<size_t>> directory;  // not yet safe, by directory
    const std::function<void(uint64_t, size_t)> make_names_safe = [&](uint64_t inode,
                                                                      size_t begun) {
      const auto found = made_by.find(inode);
      if (found == made_by.end()) return;
      std::vector<size_t> makers;
      std::erase_if(found->second, [&](size_t at) {
        if (at < begun) makers.push_back(at);
        return at < begun;
      });
      for (const size_t at : makers) {
        keep_[at] = true;
        make_names_safe(log_[at].directory, begun);
      }
    };
    for (size_t i = 0; i < cut_; ++i) {
      const Operation& operation = log_[i];
      if (operation.kind == Kind::kSyncAll) {
        all_synced_ = std::max(all_synced_, operation.begun);
        std::fill_n(keep_.begin(), operation.begun, true);
      } else if (operation.kind == Kind::kSync) {
        size_t& synced = synced_[operation.inode];
        synced = std::max(synced, operation.begun);
        std::erase_if(directory[operation.inode], [&](size_t at) {
          if (at < operation.begun) keep_[at] = true;
          return at < operation.begun;
        });
        if (choice_.entries == EntryModel::kWithFile) {
          make_names_safe(operation.inode, operation.begun);
        }
      } else if (is_entry_operation(operation.kind)) {
        directory[operation.kind == Kind::kRename ? operation.new_directory : operation.directory]
            .push_back(i);
        if (makes_name(operation.kind)) made_by[operation.inode].push_back(i);
      }
    }
  }

  void choose_entries() {
    for (size_t i = 0; i < cut_; ++i) {
      const Operation& operation = log_[i];
      if (keep_[i] || !is_entry_operation(operation.kind)) continue;
      keep_[i] = choice_.mode == Choice::Mode::kBySector ? random(i, 4) % 2 == 0
                                                         : i < moment(0, operation.directory);
    }
    // What is kept needs what was done to the same names before.
    std::set<std::pair<uint64_t, std::string_view>> needed;
    for (size_t i = cut_; i-- > 0;) {
      const Operation& operation = log_[i];
      if (!is_entry_operation(operation.kind)) continue;
      const bool rename = operation.kind == Kind::kRename;
      const std::pair<uint64_t, std::string_view> from(operation.directory, operation.name);
      const std::pair<uint64_t, std::string_view> to(operation.new_directory, operation.new_name);
      if (needed.contains(from) || (rename && needed.contains(to))) keep_[i] = true;
      if (!keep_[i]) continue;
      needed.insert(from);
      if (rename) needed.insert(to);
    }
  }

  // Empty where the directory itself did not survive.
  std::string path(uint64_t directory, const std::string& name) const {
    const auto found = paths_.find(directory);
    if (found == paths_.end()) return "";
    return (found->second == "/" ? "" : found->second) + "/" + name;
  }

  void apply_entries() {
    for (size_t i = 0; i < cut_; ++i) {
      const Operation& operation = log_[i];
      if (!keep_[i]) continue;
      const std::string name = path(operation.directory, operation.name);
      if (name.empty()) continue;
      switch (operation.kind) {
        case Kind::kMakeFile: {
          auto file = filesystem_.open(
              name, {.read = true, .write = true, .create = true, .exclusive = true}, 0600);
          if (!file) continue;
          files_[operation.inode] = std::move(*file);
          paths_[operation.inode] = name;
          break;
        }
        case Kind::kMakeDirectory:
          if (filesystem_.make_directory(name, 0700)) paths_[operation.inode] = name;
          break;
        case Kind::kLink:
          if (const auto old = paths_.find(operation.inode); old != paths_.end()) {
            (void)filesystem_.make_hard_link(old->second, name);
          }
          break;
        case Kind::kRemove:
          (void)file(operation.inode);  // its contents do not matter, but later writes to it do
          if (!filesystem_.remove_file(name)) remove_directory(name);
          if (const auto old = paths_.find(operation.inode);
              old != paths_.end() && old->second == name) {
            paths_.erase(old);
          }
          break;
        case Kind::kRename: {
          const std::string target = path(operation.new_directory, operation.new_name);
          if (target.empty()) continue;
          forget(target);
          if (!filesystem_.rename(name, target)) continue;
          // What is in a directory goes with it.
          for (auto& [inode, path] : paths_) {
            if (path.starts_with(name + "/")) path.replace(0, name.size(), target);
          }
          paths_[operation.inode] = target;
          break;
        }
        default:
          break;
      }
    }
  }

  // With what is in it on disk, where that was removed or renamed and is so no longer.
  void remove_directory(const std::string& name) {
    std::vector<uint64_t> below;
    for (const auto& [inode, path] : paths_) {
      if (path.starts_with(name + "/")) below.push_back(inode);
    }
    for (const uint64_t inode : below) {
      (void)file(inode);
      paths_.erase(inode);
    }
    (void)vfs::remove_tree(filesystem_, name);
  }

  // Whoever had the name is found by it no longer.
  void forget(const std::string& name) {
    const auto old =
        std::ranges::find_if(paths_, [&](const auto& entry) { return entry.second == name; });
    if (old == paths_.end()) return;
    (void)file(old->first);
    paths_.erase(old);
  }

  vfs::File* file(uint64_t inode) {
    auto& file = files_[inode];
    if (file == nullptr) {
      const auto found = paths_.find(inode);
      if (found == paths_.end()) return nullptr;
      auto opened = filesystem_.open(found->second, {.read = true, .write = true}, 0);
      if (!opened) return nullptr;
      file = std::move(*opened);
    }
    return file.get();
  }

  void apply_contents() {
    for (size_t i = 0; i < cut_; ++i) {
      const Operation& operation = log_[i];
      if (operation.kind != Kind::kWrite && operation.kind != Kind::kTruncate) continue;
      vfs::File* target = file(operation.inode);
      if (target == nullptr) continue;
      const auto synced = synced_.find(operation.inode);
      const size_t begin = std::max(all_synced_, synced == synced_.end() ? 0 : synced->second);
      const bool safe = i < begin;
      const bool whole = choice_.mode != Choice::Mode::kBySector;
      if (safe || whole || operation.kind == Kind::kTruncate) {
        if (safe || i < moment(begin, operation.inode))
          apply(*target, operation, 0, operation.size);
        continue;
      }
      for (uint64_t at = 0; at < operation.size;) {
        const uint64_t sector = (operation.offset + at) / choice_.sector;
        const uint64_t end =
            std::min(operation.size, (sector + 1) * choice_.sector - operation.offset);
        if (i < moment(begin, operation.inode ^ mix(sector + 7))) {
          apply(*target, operation, at, end);
        }
        at = end;
      }
    }
  }

  // The bytes from `begin` to `end` of a write, or a truncation.
  static void apply(vfs::File& file, const Operation& operation, uint64_t begin, uint64_t end) {
    if (operation.kind == Kind::kTruncate) {
      (void)file.truncate(operation.size);
      return;
    }
    static const std::string zeros(size_t{1} << 20, '\0');
    while (begin < end) {
      const bool zero = operation.data.empty();
      const uint64_t length = zero ? std::min<uint64_t>(end - begin, zeros.size()) : end - begin;
      const char* bytes = zero ? zeros.data() : operation.data.data() + begin;
      (void)file.write(std::as_bytes(std::span(bytes, length)), operation.offset + begin);
      begin += length;
    }
  }

  const Log& log_;
  size_t cut_;
  const Choice& choice_;
  vfs::MemoryFileSystem& filesystem_;
  std::vector<bool> keep_;  // of names
  std::unordered_map<uint64_t, size_t> synced_;
  size_t all_synced_ = 0;  // the moment of the last sync of everything
  std::unordered_map<uint64_t, std::string> paths_;
  std::unordered_map<uint64_t, std::unique_ptr<vfs::File>> files_;
};

}  // namespace

void replay(const Log& log, size_t cut, const Choice& choice, vfs::MemoryFileSystem& filesystem) {
  Replay(log, cut, choice, filesystem).run();
}

std::string describe_cut(const Log& log, size_t cut, const Choice& choice) {
  std::string text =
      "after operation " + std::to_string(cut) + " (" + choice.describe() + "); the last were\n";
  for (size_t at = cut - std::min<size_t>(cut, 5); at < cut; ++at) {
    text += "  " + log[at].describe() + "\n";
  }
  return text;
}

}  // namespace pglite::durability
