#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>

#include <pglite/extensions.h>

#include "cli/run.h"
#include "os/program_file.h"

namespace {

// Without one of the standard descriptors, the first file that is opened would take its number, and
// frames or messages would end up in it. Input is then empty, and output fails: it would be lost.
void occupy_standard_descriptors() {
  for (int fd = 0; fd >= 0 && fd <= STDERR_FILENO;) {
    const bool has_input = ::fcntl(STDIN_FILENO, F_GETFD) >= 0;
    fd = ::open("/dev/null", has_input ? O_RDONLY : O_RDWR);
    if (fd > STDERR_FILENO) ::close(fd);
  }
}

}  // namespace

int main(int argc, char** argv) {
  occupy_standard_descriptors();
  // A file that grows over RLIMIT_FSIZE must be an error for PostgreSQL, and not end this process.
  signal(SIGXFSZ, SIG_IGN);
  pglite::cli::Host host;
  host.open = pglite::Instance::open;
  host.open_cluster = pglite::Cluster::open;
  host.load_snapshot = pglite::Snapshot::load;
  host.dump = pglite::dump_data_directory;
  host.dump_sql = pglite::dump_sql;
  host.restore = pglite::restore_data_directory;
  host.reset_wal = pglite::reset_wal;
  host.compile_extension = pglite::compile_extension;
  host.version = pglite::version();
  const std::filesystem::path program = pglite::os::program_path().value_or("");
  host.program_directory = program.parent_path().string();
  return pglite::cli::run(argc, argv, host);
}
