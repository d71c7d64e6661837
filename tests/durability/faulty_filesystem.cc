#include "faulty_filesystem.h"

#include <cerrno>

namespace pglite::durability {

const char* name(Fault fault) {
  constexpr const char* kNames[] = {
      "ENOSPC",      "EDQUOT",         "EIO",       "EINTR", "EMFILE",
      "short write", "EIO on writing", "full disk", "EROFS", "ENFILE"};
  return kNames[static_cast<size_t>(fault)];
}

bool applies(Fault fault, Call call) {
  const bool is_write = call == Call::kWrite || call == Call::kGrow;
  const bool is_truncate = call == Call::kTruncate || call == Call::kExtend;
  switch (fault) {
    case Fault::kNoSpace:
    case Fault::kQuota:
      return call == Call::kMake || is_write || is_truncate || call == Call::kRename ||
             call == Call::kSync;
    case Fault::kIoError:
      return true;
    case Fault::kInterrupted:
      return call == Call::kOpen || call == Call::kOpenToWrite || call == Call::kMake ||
             call == Call::kRead || is_write || is_truncate || call == Call::kSync;
    case Fault::kTooManyFiles:
    case Fault::kTooManyFilesInSystem:
      return call == Call::kOpen || call == Call::kOpenToWrite || call == Call::kMake;
    case Fault::kShortWrite:
      return is_write;
    case Fault::kWriteError:
      return call == Call::kMake || is_write || is_truncate || call == Call::kSync ||
             call == Call::kRemove || call == Call::kRename;
    case Fault::kFullDisk:
      return call == Call::kMake || call == Call::kGrow || call == Call::kExtend;
    case Fault::kReadOnly:
      return call == Call::kMake || is_write || is_truncate || call == Call::kOpenToWrite ||
             call == Call::kRemove || call == Call::kRename;
  }
  return false;
}

bool FaultyFileSystem::State::strike(Call call, std::string_view path) {
  constexpr const char* kNames[] = {"open",          "make",   "read",   "write", "truncate",
                                    "sync",          "remove", "rename", "list",  "metadata",
                                    "open to write", "grow",   "extend"};
  calls.push_back(call);
  if (!armed || !applies(fault, call)) return false;
  if (left > 0) {
    --left;
    return false;
  }
  armed = lasting;
  if (!failed.empty()) return true;
  failed = std::string(kNames[static_cast<size_t>(call)]) + " " + std::string(path);
  return true;
}

std::errc FaultyFileSystem::State::code() const {
  switch (fault) {
    case Fault::kNoSpace:
    case Fault::kFullDisk:
      return std::errc::no_space_on_device;
    case Fault::kQuota:
      return static_cast<std::errc>(EDQUOT);
    case Fault::kInterrupted:
      return std::errc::interrupted;
    case Fault::kTooManyFiles:
      return std::errc::too_many_files_open;
    case Fault::kTooManyFilesInSystem:
      return std::errc::too_many_files_open_in_system;
    case Fault::kReadOnly:
      return std::errc::read_only_file_system;
    default:
      return std::errc::io_error;
  }
}

class FaultyFile : public ForwardingFile {
 public:
  FaultyFile(std::unique_ptr<vfs::File> inner, std::string path,
             std::shared_ptr<FaultyFileSystem::State> state)
      : ForwardingFile(std::move(inner)), path_(std::move(path)), state_(std::move(state)) {}

  Result<size_t> read(std::span<std::byte> buffer, uint64_t offset) override {
    if (strike(Call::kRead)) return error(state_->code());
    return ForwardingFile::read(buffer, offset);
  }
  Result<size_t> write(std::span<const std::byte> data, uint64_t offset) override {
    const auto before = ForwardingFile::metadata();
    const bool grows = before && offset + data.size() > before->size;
    if (strike(grows ? Call::kGrow : Call::kWrite)) {
      if (state_->fault != Fault::kShortWrite) return error(state_->code());
      return ForwardingFile::write(data.first((data.size() + 1) / 2), offset);
    }
    return ForwardingFile::write(data, offset);
  }
  Result<void> truncate(uint64_t size) override {
    const auto before = ForwardingFile::metadata();
    const bool extends = before && size > before->size;
    if (strike(extends ? Call::kExtend : Call::kTruncate)) return error(state_->code());
    return ForwardingFile::truncate(size);
  }
  Result<void> sync() override {
    if (strike(Call::kSync)) return error(state_->code());
    return ForwardingFile::sync();
  }
  Result<void> sync_data() override {
    if (strike(Call::kSync)) return error(state_->code());
    return ForwardingFile::sync_data();
  }
  Result<vfs::Metadata> metadata() override {
    if (strike(Call::kMetadata)) return error(state_->code());
    return ForwardingFile::metadata();
  }
  Result<std::vector<vfs::DirectoryEntry>> entries() override {
    if (strike(Call::kList)) return error(state_->code());
    return ForwardingFile::entries();
  }

 private:
  bool strike(Call call) { return state_->strike(call, path_); }

  std::string path_;
  std::shared_ptr<FaultyFileSystem::State> state_;
};

FaultyFileSystem::FaultyFileSystem(std::shared_ptr<vfs::FileSystem> inner)
    : ForwardingFileSystem(std::move(inner)), state_(std::make_shared<State>()) {}

void FaultyFileSystem::arm(Fault fault, size_t n) {
  state_->armed = true;
  state_->lasting = false;
  state_->fault = fault;
  state_->left = n;
  state_->failed.clear();
}

void FaultyFileSystem::break_down(Fault fault, size_t n) {
  arm(fault, n);
  state_->lasting = true;
}

Result<std::unique_ptr<vfs::File>> FaultyFileSystem::open(std::string_view path,
                                                          vfs::OpenFlags flags,
                                                          uint32_t permissions) {
  const bool makes = flags.create && !inner().metadata(path, true);
  const Call call = makes ? Call::kMake : flags.write ? Call::kOpenToWrite : Call::kOpen;
  if (state_->strike(call, path)) return error(state_->code());
  auto file = inner().open(path, flags, permissions);
  if (!file) return file;
  return std::make_unique<FaultyFile>(std::move(*file), std::string(path), state_);
}

Result<vfs::Metadata> FaultyFileSystem::metadata(std::string_view path, bool follow) {
  if (state_->strike(Call::kMetadata, path)) return error(state_->code());
  return inner().metadata(path, follow);
}

Result<void> FaultyFileSystem::make_directory(std::string_view path, uint32_t permissions) {
  if (state_->strike(Call::kMake, path)) return error(state_->code());
  return inner().make_directory(path, permissions);
}

Result<void> FaultyFileSystem::remove_file(std::string_view path) {
  if (state_->strike(Call::kRemove, path)) return error(state_->code());
  return inner().remove_file(path);
}

Result<void> FaultyFileSystem::remove_directory(std::string_view path) {
  if (state_->strike(Call::kRemove, path)) return error(state_->code());
  return inner().remove_directory(path);
}

Result<void> FaultyFileSystem::rename(std::string_view from, std::string_view to) {
  if (state_->strike(Call::kRename, from)) return error(state_->code());
  return inner().rename(from, to);
}

Result<void> FaultyFileSystem::make_hard_link(std::string_view from, std::string_view to) {
  if (state_->strike(Call::kMake, to)) return error(state_->code());
  return inner().make_hard_link(from, to);
}

Result<void> FaultyFileSystem::truncate(std::string_view path, uint64_t size) {
  if (state_->strike(Call::kTruncate, path)) return error(state_->code());
  return inner().truncate(path, size);
}

Result<void> FaultyFileSystem::sync_all() {
  if (state_->strike(Call::kSync, "everything")) return error(state_->code());
  return inner().sync_all();
}

}  // namespace pglite::durability
