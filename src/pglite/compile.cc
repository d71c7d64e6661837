// compile_extension(): unpacks the toolkit that is linked in (aot/CMakeLists.txt), has its
// compile.py do the work, and packs the files that it leaves.
#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "os/directory_lock.h"
#include "os/file.h"
#include "os/native_library.h"
#include "os/new_file.h"
#include "os/pipe.h"
#include "pglite/extension_files.h"
#include "pglite/extensions.h"
#include "pglite/without_exceptions.h"
#include "postgres/build/images.h"
#include "postgres/guest/backend.h"
#include "postgres/guest/layout.h"
#include "postgres/sessions/verify.h"
#include "tarball/gzip.h"
#include "tarball/tar.h"
#include "vfs/image.h"
#include "wasm/module_registry.h"
#include "wasm/module_store.h"

extern "C" {
extern const char pglite_toolkit_begin[];
extern const char pglite_toolkit_end[];
extern char** environ;
}

namespace pglite {

namespace {

namespace fs = std::filesystem;

Status io_error(const std::string& what, std::errc error) {
  return Status::io_error(what + ": " + std::make_error_code(error).message());
}

constexpr std::string_view kWorkPrefix = ".work-";

// A directory in `parent` that goes with this. It is locked while it is used.
class WorkDirectory {
 public:
  explicit WorkDirectory(const std::string& parent)
      : path_(parent + "/" + std::string(kWorkPrefix) + "XXXXXX") {
    remove_leftovers(parent);
    if (mkdtemp(path_.data()) == nullptr) {
      path_.clear();
      return;
    }
    lock_ = os::UniqueFd(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (lock_.get() >= 0) (void)os::lock_directory(lock_.get());
  }
  ~WorkDirectory() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  WorkDirectory(const WorkDirectory&) = delete;
  WorkDirectory& operator=(const WorkDirectory&) = delete;

  // Empty: it could not be made.
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  // Of those that were killed.
  static void remove_leftovers(const std::string& parent) {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(parent, ignored)) {
      if (!entry.path().filename().native().starts_with(kWorkPrefix)) continue;
      const os::UniqueFd old(open(entry.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      if (old.get() >= 0 && os::lock_directory(old.get())) fs::remove_all(entry.path(), ignored);
    }
  }

  std::string path_;
  os::UniqueFd lock_;
};

Status write_file(const std::string& path, std::string_view bytes, mode_t mode) {
  const os::UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (fd.get() < 0) return io_error("cannot write \"" + path + "\"", static_cast<std::errc>(errno));
  const auto written = os::write_all(fd.get(), std::as_bytes(std::span(bytes)));
  return written ? Status() : io_error("cannot write \"" + path + "\"", written.error());
}

Status unpack_toolkit(const std::string& directory) {
  std::string_view packed(&pglite_toolkit_begin[0], &pglite_toolkit_end[0]);
  tarball::GunzipReader unpacked([&](char* buffer, size_t size, size_t* count) {
    *count = packed.copy(buffer, size);
    packed.remove_prefix(*count);
    return Status();
  });
  tarball::TarReader archive(
      [&](char* buffer, size_t size, size_t* count) { return unpacked.read(buffer, size, count); });
  while (true) {
    tarball::TarEntry entry;
    bool end = false;
    Status status = archive.next(&entry, &end);
    if (!status.ok() || end) return status;
    std::string content(entry.size, '\0');
    for (size_t at = 0, count = 1; status.ok() && count != 0; at += count) {
      status = archive.read(content.data() + at, content.size() - at, &count);
    }
    if (!status.ok()) return status;
    const fs::path file = fs::path(directory) / entry.name;
    fs::create_directories(file.parent_path());
    status = write_file(file.string(), content, S_IRWXU);
    if (!status.ok()) return status;
  }
}

// The directories that the compiled code is in, for their user only.
Status make_directories(const std::string& directory) {
  std::error_code error;
  fs::create_directories(fs::path(directory).parent_path(), error);
  if (!error && mkdir(directory.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
    error = std::make_error_code(static_cast<std::errc>(errno));
  }
  if (error) return Status::io_error("cannot make \"" + directory + "\": " + error.message());
  const auto opened = wasm::open_library_file(directory, "");
  if (opened) return {};
  if (opened.error() == std::errc::operation_not_permitted) {
    return Status::io_error("others than you can write to \"" + directory +
                            "\", and machine code is loaded from there");
  }
  return io_error("cannot use \"" + directory + "\"", opened.error());
}

// Runs the program, with our stderr; what it writes to stdout, and its exit code. -1: it was ended
// by a signal.
Status run_program(const std::vector<std::string>& arguments, std::string* output, int* code) {
  auto pipe = os::make_pipe();
  if (!pipe) return io_error("no pipe", pipe.error());
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, pipe->writer.get(), STDOUT_FILENO);
  std::vector<char*> words;
  words.reserve(arguments.size() + 1);
  for (const std::string& argument : arguments)
    words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  pid_t child = 0;
  const int failed = posix_spawnp(&child, words[0], &actions, nullptr, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) {
    return Status::unavailable(arguments[0] + " is needed and cannot be started (" +
                               std::make_error_code(static_cast<std::errc>(failed)).message() +
                               "): install it, for example with \"apt-get install " + arguments[0] +
                               "\"");
  }
  pipe->writer = os::UniqueFd();
  auto text = os::read_all(pipe->reader.get());
  int status = 0;
  (void)os::retry([&] { return waitpid(child, &status, 0); });
  *output = text ? *text : "";
  *code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return {};
}

Status failure(int code, std::string message) {
  while (message.ends_with('\n')) message.pop_back();
  switch (code) {
    case 65:
      return Status::incompatible(message);
    case 69:
      return Status::unavailable(message);
    case 74:
      return Status::io_error(message);
    default:
      break;
  }
  if (message.empty()) message = "the compilation ended without a message";
  return {StatusCode::kToolFailed, message};
}

Status pack(const std::string& tree, const std::string& file) {
  const auto image = vfs::write_image_of_directory(tree);
  if (!image) return io_error("cannot pack the files", image.error());
  auto packed = os::NewFile::create(file);
  if (!packed) return io_error("cannot write \"" + file + "\"", packed.error());
  auto written = os::write_all(packed->fd(), std::as_bytes(std::span(*image)));
  if (written) written = packed->commit();
  return written ? Status() : io_error("cannot write \"" + file + "\"", written.error());
}

// A tree over the image of a main module's files, with the template cluster.
Status make_tree(const ExtensionImage& image, const std::shared_ptr<wasm::ModuleStore>& modules,
                 const std::function<void(std::string_view)>& log, postgres::GuestTree* out) {
  auto tree = postgres::make_guest_tree(image.bytes(), log);
  if (!tree ||
      !vfs::load_image(postgres::data_directory_image(), *tree->memory, postgres::kDataDirectory)) {
    return Status::incompatible("its files cannot be unpacked");
  }
  *out = std::move(*tree);
  out->modules = modules;
  return {};
}

// Whether PostgreSQL in that main module is as this program knows it.
Status verify(const CompiledFile& file, const std::string& cache) {
  std::shared_ptr<const ExtensionImage> image;
  Status status = ExtensionImage::open(file, cache, &image);
  if (!status.ok()) return status;
  const auto modules =
      std::make_shared<wasm::ModuleStore>(wasm::library_directory(cache_directory(cache)));
  if (const auto chosen = modules->choose_main(file.sha256); !chosen) {
    return Status::incompatible(chosen.error());
  }
  std::string log;
  const auto keep = [&](std::string_view line) { log.append(line).append("; "); };
  postgres::BackendConfig config;
  config.log = keep;
  status = make_tree(*image, modules, keep, &config.tree);
  if (!status.ok()) return status;
  std::unique_ptr<postgres::Backend> backend;
  status = postgres::Backend::start(config, &backend);
  if (!status.ok()) return Status::incompatible(status.message() + " (" + log + ")");
  status = postgres::verify_layout(*backend);
  backend.reset();
  if (!status.ok()) return status;
  postgres::PostmasterConfig server;
  server.log = keep;
  status = make_tree(*image, modules, keep, &server.tree);
  return status.ok() ? postgres::verify_sessions(std::move(server)) : status;
}

// What the modules of `file` are for: the main module `wasm_path`, or the one that is linked in.
Status find_purpose(const std::string& wasm_path, CompiledFile* file) {
  const std::string linked = wasm::find_module_by_name("pglite")->sha256;
  if (wasm_path.empty()) return {};
  std::string bytes;
  std::string sha256;
  Status status = read_module_file("module", wasm_path, &bytes, &sha256);
  file->is_whole = status.ok() && sha256 != linked && sha256 != file->sha256;
  return status;
}

Status compile(const CompileRequest& request,
               const std::function<void(std::string_view)>& progress) {
  CompiledFile file{.path = request.file};
  std::string content;
  Status status = read_module_file("file", file.path, &content, &file.sha256);
  if (status.ok()) status = find_purpose(request.wasm_path, &file);
  if (!status.ok()) return status;
  if (wasm::find_module_by_sha256(file.sha256) != nullptr && !file.is_whole) {
    progress(file.path + ": built in");
    return {};
  }
  if (!os::has_native_libraries()) {
    return Status::unavailable("on this system there are only the modules that are built in");
  }
  const std::string known = cache_directory(request.cache);
  if (known.empty()) {
    return Status::io_error(
        "there is no place for what is compiled: HOME and XDG_CACHE_HOME are not set");
  }
  const std::string directory = wasm::library_directory(known);
  status = make_directories(directory);
  if (!status.ok()) return status;
  const std::string image = directory + "/" + file.image_name();
  if (access(image.c_str(), R_OK) == 0) {
    progress(file.path + ": compiled already");
    return {};
  }
  const WorkDirectory work(directory);
  if (work.path().empty()) {
    return io_error("cannot write to \"" + directory + "\"", static_cast<std::errc>(errno));
  }
  const std::string toolkit = work.path() + "/toolkit";
  status = unpack_toolkit(toolkit);
  std::string linked;
  for (uint32_t i = 0; i < guest_module_count && !file.is_whole; ++i) {
    linked.append(guest_modules[i]->sha256).append("\n");
  }
  if (status.ok()) status = write_file(work.path() + "/linked", linked, S_IRUSR);
  if (!status.ok()) return status;
  std::string output;
  int code = 0;
  status = run_program({"python3", toolkit + "/compile.py", "--toolkit", toolkit, "--work",
                        work.path(), "--libraries", directory, "--abi-identity", guest_abi_identity,
                        "--linked", work.path() + "/linked", file.path},
                       &output, &code);
  if (status.ok() && code != 0) status = failure(code, output);
  const std::string tree = work.path() + "/tree";
  if (!status.ok() || !fs::exists(tree)) return status;
  status = pack(tree, image);
  if (!status.ok() || !fs::exists(tree + "/pglite")) return status;
  progress(file.path + ": trying it");
  status = verify(file, request.cache);
  if (status.ok()) return status;
  std::error_code ignored;
  fs::remove(image, ignored);
  return Status::incompatible("this program cannot run the PGlite build \"" + file.path +
                              "\": " + status.message());
}

}  // namespace

Status compile_extension(const CompileRequest& request,
                         const std::function<void(std::string_view line)>& progress) {
  return without_exceptions([&] { return compile(request, progress); });
}

}  // namespace pglite
