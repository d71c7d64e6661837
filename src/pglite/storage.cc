#include "pglite/storage.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <span>
#include <system_error>

#include "os/file.h"
#include "pglite/instance.h"
#include "pglite/json_log.h"
#include "pglite/json_log_record.h"
#include "postgres/build/images.h"
#include "postgres/cluster/start_failure.h"
#include "postgres/guest/backend.h"
#include "vfs/image.h"
#include "wasm/guest_module.h"
#include "wasm/module_registry.h"

namespace pglite {

namespace {

constexpr std::string_view kMemoryScheme = "memory://";

}  // namespace

void Storage::log(int level, std::string_view line) const {
  try {
    if (!options_.log || level > options_.debug) return;
    options_.log(level, logs_json() ? json_log_line("LOG", line) : std::string(line));
  } catch (...) {  // NOLINT(bugprone-empty-catch): there is nowhere left to report it
  }
}

// PostgreSQL's server log has no levels of ours: what ends the server is an error, the rest is its
// life.
int Storage::note_server_line(std::string_view line) {
  const std::string_view final_words = postgres::final_words(line);
  if (!final_words.empty()) last_fatal_ = final_words;
  constexpr size_t kMostLines = 200;
  if (starting_ && start_log_.size() < kMostLines) start_log_.emplace_back(line);
  return final_words.empty() ? log_level_ : 0;
}

void Storage::log_server_line(std::string_view line) try {
  if (logs_json()) {
    log_text(line, 0);
  } else {
    const int level = note_server_line(line);
    const bool is_held = holds_last_words_ && level == 0 && options_.debug == 0 &&
                         !postgres::final_words(line).empty();
    if (is_held) {
      release_last_words({});
      last_words_ = line;
    } else {
      log(level, line);
    }
  }
} catch (...) {  // NOLINT(bugprone-empty-catch): the guest writes it, and must not be unwound
}

void Storage::release_last_words(const Status& status) {
  const std::string_view words = postgres::final_words(last_words_);
  const bool is_said = !status.ok() && status.message().find(words) != std::string::npos;
  if (!last_words_.empty() && !is_said) log(0, last_words_);
  last_words_.clear();
}

void Storage::log_record(const postgres::LogRecord& record) try {
  using Kind = postgres::LogRecord::Kind;
  // Until PostgreSQL knows where its log goes, it writes what it has written as JSON once more as
  // text.
  const bool is_said = record.kind == Kind::kText && record.pid != 0 && record.pid == json_pid_;
  json_pid_ = record.kind == Kind::kJson ? record.pid : 0;
  switch (record.kind) {
    case Kind::kText:
      if (!is_said) log_text(record.bytes, record.pid);
      return;
    case Kind::kLost: {
      const std::string line = json_log_line(
          "LOG", "a record of the server log is left out: it was too long, or did not end",
          record.pid);
      if (options_.log) options_.log(0, line);
      return;
    }
    case Kind::kJson: {
      const JsonLogRecord json = read_json_log(record.bytes, record.pid);
      int level = log_level_;
      for (const std::string& line : json.text) level = std::min(level, note_server_line(line));
      if (options_.log && level <= options_.debug) options_.log(level, json.line);
      return;
    }
  }
} catch (...) {  // NOLINT(bugprone-empty-catch): the guest writes it, and must not be unwound
}

void Storage::log_text(std::string_view text, int32_t pid) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.empty()) continue;
    const int level = note_server_line(line);
    if (!options_.log || level > options_.debug) continue;
    // "FATAL:  message"
    const std::string_view words = postgres::final_words(line);
    const bool is_final = words.starts_with("FATAL:  ") || words.starts_with("PANIC:  ");
    options_.log(level, is_final ? json_log_line(words.substr(0, 5), words.substr(8), pid)
                                 : json_log_line("LOG", line, pid));
  }
}

Status Storage::choose_module() {
  modules_ =
      std::make_shared<wasm::ModuleStore>(wasm::library_directory(cache_directory(options_.cache)));
  if (options_.wasm_path.empty()) return {};
  CompiledFile file{.path = options_.wasm_path};
  std::string bytes;
  Status status = read_module_file("module", file.path, &bytes, &file.sha256);
  if (!status.ok()) return status;
  if (const auto chosen = modules_->choose_main(file.sha256); !chosen) {
    return Status::incompatible("the module \"" + file.path + "\" is not the PGlite " +
                                version().pglite +
                                " that this program was built with, and cannot "
                                "be used: " +
                                chosen.error());
  }
  return modules_->is_main_linked() ? Status()
                                    : ExtensionImage::open(file, options_.cache, &bundle_);
}

namespace {

// Settings that want something that is not there. Who asks for one is told so; what a directory's
// configuration says is not followed.
struct Refused {
  std::string_view name;
  std::vector<std::string_view> accepted;  // lower case
  std::string_view reason;
};

const std::vector<Refused>& refused_settings() {
  static const std::vector<std::string_view> kOff = {"off", "false", "no", "0"};
  static const std::vector<Refused> kRefused = {
      // There is no archiver, and no archive_command could be run.
      {"archive_mode", kOff, "nothing here archives WAL, and all of it would be kept"},
      {"io_method", {"sync"}, "PostgreSQL has no I/O workers here"},
      {"logging_collector", kOff, "the server log goes to the program that runs PostgreSQL"},
      {"summarize_wal", kOff, "there is no process that summarizes WAL"},
      {"shared_memory_type", {"mmap"}, "there is no other shared memory"},
      {"dynamic_shared_memory_type", {"posix"}, "there is no other shared memory"},
  };
  return kRefused;
}

}  // namespace

Status Storage::check_settings() const {
  for (const std::string& setting : options_.settings) {
    const size_t equals = setting.find('=');
    if (equals == std::string::npos) continue;
    // As PostgreSQL reads names and values here.
    std::string name = setting.substr(0, equals);
    std::ranges::replace(name, '-', '_');
    std::string value = setting.substr(equals + 1);
    for (std::string* text : {&name, &value}) {
      for (char& c : *text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    const auto refused = std::ranges::find(refused_settings(), name, &Refused::name);
    if (refused == refused_settings().end() ||
        std::ranges::find(refused->accepted, value) != refused->accepted.end()) {
      continue;
    }
    return Status::invalid_argument(
        "the setting " + setting + " cannot be followed: " + std::string(refused->reason) +
        "; only " + std::string(refused->accepted.front()) + " is accepted");
  }
  return {};
}

bool Storage::has_own_names() const {
  return options_.username != postgres::kInitialName || options_.database != postgres::kInitialName;
}

Status Storage::open() {
  if (Status status = choose_module(); !status.ok()) return status;
  if (Status status = check_settings(); !status.ok()) return status;
  in_memory_ = options_.data_dir == kMemoryScheme;
  if (!in_memory_ && options_.snapshot != nullptr) {
    return Status::invalid_argument("a snapshot is for the data directory memory://, not for \"" +
                                    options_.data_dir + "\"");
  }
  durability_ = options_.durability;
  if (durability_ == Durability::kDefault) {
    durability_ = in_memory_ ? Durability::kOff : Durability::kFull;
  }
  std::shared_ptr<vfs::Device> server_log;
  if (logs_json()) {
    server_log = std::make_shared<postgres::LogPipe>(
        [this](const postgres::LogRecord& record) { log_record(record); });
  } else {
    server_log =
        std::make_shared<vfs::LineSink>([this](std::string_view line) { log_server_line(line); });
  }
  // What was compiled lies in a file, which its owner may change.
  auto tree = bundle_ != nullptr
                  ? postgres::make_guest_tree(bundle_->bytes(), std::move(server_log))
                  : postgres::make_guest_tree(postgres::bundle_image(), std::move(server_log),
                                              vfs::Unpacking::kAsUsed);
  if (!tree) return Status::engine_gone("PGlite's files cannot be unpacked");
  tree_ = std::move(*tree);
  tree_.modules = modules_;
  if (Status status = add_extensions(); !status.ok()) return status;
  if (in_memory_) {
    is_new_ = options_.snapshot == nullptr;
    return {};
  }
  std::string path;
  if (Status status = postgres::host_path(options_.data_dir, &path); !status.ok()) return status;
  const vfs::SyncPolicy durability = postgres::sync_policy_of(durability_);
  Status status =
      options_.create
          ? postgres::DataDirectory::open(path, durability, postgres::data_directory_image(),
                                          has_own_names(), &directory_)
          : postgres::DataDirectory::open_existing(path, durability, &directory_);
  if (!status.ok()) return status;
  is_new_ = directory_->is_new();
  std::shared_ptr<vfs::FileSystem> files = directory_->filesystem();
  bool synced = false;
  status = directory_->sync_before_recovery(&synced);
  if (!status.ok()) return status;
  if (synced) {
    synced_files_ = std::make_shared<postgres::SyncedFileSystem>(files);
    files = synced_files_;
  }
  if (!tree_.root->mount(postgres::kDataDirectory, files)) {
    return Status::engine_gone("the data directory cannot be mounted");
  }
  return {};
}

Status Storage::add_extensions() {
  for (const std::string& path : options_.extensions) {
    CompiledFile file{.path = path, .is_whole = !modules_->is_main_linked()};
    std::string bytes;
    std::shared_ptr<const ExtensionImage> image;
    Status status = read_module_file("extension", path, &bytes, &file.sha256);
    if (status.ok()) status = ExtensionImage::open(file, options_.cache, &image);
    if (status.ok()) status = image->add_to(*tree_.memory);
    if (!status.ok()) return status;
    extensions_.push_back(std::move(image));
  }
  return {};
}

Status Storage::load_files(const postgres::SnapshotFile* snapshot) {
  vfs::MemoryFileSystem& memory = *tree_.memory;
  if (snapshot != nullptr && snapshot->has_session() && !modules_->is_main_linked()) {
    return Status::invalid_argument(
        "a snapshot of a session is of the built-in module, and cannot go on in another one");
  }
  if ((snapshot == nullptr || snapshot->is_overlay()) &&
      !vfs::load_image(postgres::data_directory_image(), memory, postgres::kDataDirectory,
                       vfs::Unpacking::kAsUsed)) {
    return Status::engine_gone("the template data directory is damaged");
  }
  if (snapshot == nullptr) return {};
  if (!vfs::load_image(snapshot->tree_image(), memory, postgres::kDataDirectory)) {
    return Status::incompatible("the snapshot is damaged: its files cannot be unpacked");
  }
  for (const std::string& path : snapshot->removed_files()) {
    (void)memory.remove_file(path);
  }
  return {};
}

void Storage::close() {
  synced_files_.reset();
  directory_.reset();
  tree_ = {};
  extensions_.clear();
  bundle_.reset();
  modules_.reset();
}

bool Storage::has_room() const {
  constexpr uint64_t kRoom = uint64_t{512} << 20;  // bytes: vacuuming for half a second writes less
  if (directory_ == nullptr) return true;
  const auto disk = directory_->filesystem()->statistics("/");
  return disk && disk->blocks_free * disk->block_size >= kRoom;
}

std::string Storage::preload() const {
  std::string names;
  for (const std::string& name : options_.preload) names += (names.empty() ? "" : ", ") + name;
  return names;
}

std::vector<std::string> Storage::settings() const {
  std::vector<std::string> settings;
  // Of what a configuration may ask for that is not our template's.
  if (!in_memory_ || options_.snapshot != nullptr) {
    settings = {"archive_mode=off", "logging_collector=off", "summarize_wal=off",
                "shared_memory_type=mmap", "dynamic_shared_memory_type=posix"};
  }
  if (!options_.preload.empty()) settings.push_back("shared_preload_libraries=" + preload());
  settings.insert(settings.end(), options_.settings.begin(), options_.settings.end());
  return settings;
}

Status Storage::end_start(const Status& status) {
  if (synced_files_ != nullptr) synced_files_->forget();
  synced_files_.reset();
  holds_last_words_ = false;
  release_last_words(status);
  if (status.ok()) return status;
  if (directory_ != nullptr) {
    const auto failure = postgres::explain_start_failure(directory_->path(), start_log_, status);
    if (failure.kind != postgres::StartFailure::Kind::kOther) return failure.status;
  }
  // Of what was asked for, and not of the directory.
  const std::string no_database = "database \"" + options_.database + "\" does not exist";
  if (last_fatal_ == "FATAL:  " + no_database) return Status::invalid_argument(no_database);
  const auto says = [&](const char* text) { return last_fatal_.find(text) != std::string::npos; };
  if (!options_.settings.empty() && (says("parameter \"") || says(" requires a value"))) {
    return Status::invalid_argument("a setting is refused: " +
                                    last_fatal_.substr(last_fatal_.find(':') + 3));
  }
  return status;
}

void Storage::started(int level) {
  starting_ = false;
  log_level_ = level;
  start_log_ = {};
}

}  // namespace pglite
