#include "cli/run.h"

#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "cli/configuration.h"
#include "cli/local_session.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/serve.h"
#include "cli/server_session.h"
#include "cli/sql.h"
#include "os/file.h"
#include "os/shutdown_signals.h"
#include "pglite/json_log.h"
#include "port/port.h"

namespace pglite::cli {
namespace {

void print(int fd, const std::string& text) {
  // Only the exit code could tell of a failure here, and it has more important things to tell.
  Output(fd, "stderr").write(text);
}

// The engine will judge the module. This only gives a plain message for the common mistake.
Status check_readable(const std::string& path) {
  if (path.empty()) return {};
  const auto file = os::open_regular_file(path);
  if (file) return {};
  return Status::io_error("cannot read the module " + path +
                          " (--wasm, PGLITE_WASM_PATH): " + file.error().reason +
                          "; leave both unset for the module that this program was built with");
}

// What has to be right before an instance is opened; loads its snapshot.
Status prepare(const Host& host, const Configuration& configuration, Options* options) {
  if (Status status = check_readable(options->wasm_path); !status.ok()) return status;
  if (configuration.snapshot.empty()) return {};
  return host.load_snapshot(configuration.snapshot, &options->snapshot);
}

Status open_instance(const Host& host, const Configuration& configuration,
                     std::unique_ptr<Instance>* out) {
  Options options = configuration.engine;
  Status status = prepare(host, configuration, &options);
  return status.ok() ? host.open(options, out) : status;
}

// Saves the snapshot of an instance whose session went well, before it is closed.
Status keep_snapshot(const std::string& path, Instance& instance) {
  if (path.empty()) return {};
  std::shared_ptr<const Snapshot> snapshot;
  Status status = instance.snapshot(&snapshot);
  return status.ok() ? snapshot->save(path) : status;
}

int run_port(const Host& host, const Configuration& configuration) {
  // This comes first: a signal while the engine starts must end in a clean shutdown as well.
  os::ShutdownSignals signals;
  port::PortOptions options;
  options.in = host.in;
  options.out = host.out;
  options.signals = &signals;
  options.framing = configuration.framing;
  options.end_cancels = configuration.stdin_end;
  options.debug = configuration.engine.debug;
  options.log = configuration.engine.log;
  options.before_close = [&](Instance& instance) {
    return keep_snapshot(configuration.save_snapshot, instance);
  };
  std::unique_ptr<Instance> instance;
  if (Status status = open_instance(host, configuration, &instance); !status.ok()) {
    port::send_error_frame(status.message(), options);
    return status.exit_code();
  }
  if (::isatty(host.in) == 1) {
    print(host.err,
          "pglite-port: waiting for requests from a program, or lines of SQL; for people there are "
          "\"pglite-port sql\" (a prompt) and \"pglite-port serve\" (for clients)\n");
  }
  return port::serve(*instance, options);
}

int fail(const Host& host, const Status& status) {
  print(host.err, "pglite-port: " + status.message() + "\n");
  return status.exit_code();
}

int close_instance(const Host& host, Instance& instance, int exit_code) {
  if (const Status status = instance.close(); !status.ok()) {
    const int close_code = fail(host, status);
    if (exit_code == 0) return close_code;
  }
  return exit_code;
}

int run_serve(const Host& host, const Configuration& configuration) {
  Status status = check_readable(configuration.engine.wasm_path);
  int exit_code = 0;
  if (status.ok()) status = serve(host.open_cluster, host.load_snapshot, configuration, &exit_code);
  if (status.ok()) return exit_code;
  if (configuration.engine.log_format == LogFormat::kText) return fail(host, status);
  print(host.err, json_log_line("FATAL", status.message()) + "\n");
  return status.exit_code();
}

// While this exists, a write to a reader that has gone fails and does not end the process.
class IgnoreBrokenPipes {
 public:
  IgnoreBrokenPipes() {
    struct sigaction ignore{};
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &ignore, &before_);
  }
  ~IgnoreBrokenPipes() { sigaction(SIGPIPE, &before_, nullptr); }
  IgnoreBrokenPipes(const IgnoreBrokenPipes&) = delete;
  IgnoreBrokenPipes& operator=(const IgnoreBrokenPipes&) = delete;

 private:
  struct sigaction before_{};
};

Status open_server_session(const Host& host, const Configuration& configuration,
                           const char* application_name, const std::string& client_encoding,
                           SessionSignals signals, std::unique_ptr<ServerSession>* out) {
  client::ParameterSources sources = configuration.server_url;
  sources.application_name = application_name;
  sources.environment = [](const char* name) { return std::getenv(name); };
  sources.warn = [&](std::string_view line) {
    print(host.err, "pglite-port: warning: " + std::string(line) + "\n");
  };
  client::Parameters parameters;
  Status status = client::read_parameters(sources, &parameters);
  parameters.client_encoding = client_encoding;
  return status.ok() ? ServerSession::open(parameters, signals, out) : status;
}

int run_sql_on_server(const Host& host, const Configuration& configuration) {
  const IgnoreBrokenPipes ignore;
  const SessionSignals signals = configuration.sql.is_interactive(host.in, host.out)
                                     ? SessionSignals::kLeave
                                     : SessionSignals::kEnd;
  std::unique_ptr<ServerSession> session;
  // All output is UTF-8.
  if (const Status status =
          open_server_session(host, configuration, "pglite-port", "UTF8", signals, &session);
      !status.ok()) {
    return fail(host, status);
  }
  Output out(host.out, "stdout");
  Output err(host.err, "stderr");
  SqlSession sql;
  const auto learn = [&] {
    sql.standard_strings = session->connection().reported("standard_conforming_strings") != "off";
  };
  learn();
  sql.reports_settings = true;
  sql.exec = [&](std::string_view request, const ResponseSink& sink) {
    return session->exec(request, sink);
  };
  sql.give_up = sql.cancel = [&] { session->cancel(); };
  sql.connect = [&](const std::string& database, const std::string& user) {
    Status status = session->connect(database, user);
    if (status.ok()) learn();
    return status;
  };
  sql.place = "on the server " + session->connection().parameters().place();
  return run_sql(sql, configuration.sql, host.in, out, err);
}

int run_sql_command(const Host& host, const Configuration& configuration) {
  // The instance must still be closed when the reader has gone. SIGINT and SIGTERM end this
  // process, as they end a psql that waits for a query; at a prompt, SIGINT only cancels.
  const IgnoreBrokenPipes ignore;
  Options options = configuration.engine;
  if (Status status = prepare(host, configuration, &options); !status.ok()) {
    return fail(host, status);
  }
  LocalSession local(host.open, options);
  if (Status status = local.open(); !status.ok()) return fail(host, status);
  Output out(host.out, "stdout");
  Output err(host.err, "stderr");
  SqlSession session;
  session.exec = [&](std::string_view request, const ResponseSink& sink) {
    return local.instance()->exec_protocol(request, sink);
  };
  session.give_up = session.cancel = [&] { local.cancel(); };
  session.connect = [&](const std::string& database, const std::string& user) {
    Status status = local.connect(database, user);
    session.is_lost = local.instance() == nullptr;
    return status;
  };
  session.place = local.place();
  int exit_code = run_sql(session, configuration.sql, host.in, out, err);
  Instance* const instance = local.instance();
  if (instance == nullptr) return exit_code;
  if (exit_code == 0) {
    const Status kept = keep_snapshot(configuration.save_snapshot, *instance);
    if (!kept.ok()) exit_code = fail(host, kept);
  }
  return close_instance(host, *instance, exit_code);
}

int run_initdb(const Host& host, const Configuration& configuration) {
  std::unique_ptr<Instance> instance;
  if (Status status = open_instance(host, configuration, &instance); !status.ok()) {
    return fail(host, status);
  }
  return close_instance(host, *instance, 0);
}

Status dump_sql(const Host& host, const Configuration& configuration, const ByteSink& sink) {
  std::unique_ptr<Instance> instance;
  Status status = open_instance(host, configuration, &instance);
  if (!status.ok()) return status;
  const BackupRequest& request = configuration.backup;
  status = instance->dump_sql(request.arguments, request.compression, sink);
  const Status closed = instance->close();
  return status.ok() ? closed : status;
}

Status dump_server(const Host& host, const Configuration& configuration, const ByteSink& sink) {
  std::unique_ptr<ServerSession> server;
  // pg_dump writes in the database's encoding, unless it is told another one.
  Status status =
      open_server_session(host, configuration, "pg_dump", "", SessionSignals::kEnd, &server);
  if (!status.ok()) return status;
  const client::Parameters& parameters = server->connection().parameters();
  DumpSession session;
  session.username = parameters.user;
  session.database = parameters.database;
  session.exec = [&](std::string_view request, const ResponseSink& answer) {
    return server->exec(request, answer);
  };
  session.cancel = [&] { server->cancel(); };
  const BackupRequest& request = configuration.backup;
  return host.dump_sql(session, request.arguments, request.compression, sink,
                       [&](std::string_view line) { configuration.engine.log(0, line); });
}

Status dump_with_progress(const Host& host, const Configuration& configuration) {
  const BackupRequest& request = configuration.backup;
  // On a screen that the dump goes to, it shows how far it is.
  const bool is_seen = (request.file.empty() || request.file == "-") && ::isatty(host.out) == 1;
  Progress progress(is_seen ? -1 : if_terminal(host.err), "dump", 0);
  uint64_t done = 0;
  const auto dump = [&](const ByteSink& sink) {
    const ByteSink counted = [&](std::string_view bytes) {
      done += bytes.size();
      progress.update(done);
      return sink(bytes);
    };
    if (configuration.is_of_server()) return dump_server(host, configuration, counted);
    return request.sql ? dump_sql(host, configuration, counted)
                       : host.dump(configuration.engine, request.compression, counted);
  };
  return run_dump(dump, request, host.out);
}

Status restore_with_progress(const Host& host, const Configuration& configuration) {
  const std::string& file = configuration.backup.file;
  std::error_code unknown;
  const auto size = std::filesystem::file_size(file, unknown);
  Progress progress(if_terminal(host.err), "restore", unknown ? 0 : size);
  uint64_t done = 0;
  const auto restore = [&](const Options& options, const ByteSource& source) {
    return host.restore(options, [&](char* buffer, size_t capacity, size_t* count) {
      const Status status = source(buffer, capacity, count);
      done += *count;
      progress.update(done);
      return status;
    });
  };
  return run_restore(restore, configuration.engine, configuration.backup, host.in);
}

int run_backup_command(const Host& host, const Configuration& configuration) {
  const IgnoreBrokenPipes ignore;
  Status status = check_readable(configuration.engine.wasm_path);
  if (status.ok() && configuration.command == Command::kDump) {
    status = dump_with_progress(host, configuration);
  } else if (status.ok()) {
    status = restore_with_progress(host, configuration);
  }
  return status.ok() ? 0 : fail(host, status);
}

int run_repair(const Host& host, Waiting& waiting, const Configuration& configuration) {
  const IgnoreBrokenPipes ignore;
  // The work goes on when the reader of the report has gone.
  const Status status =
      host.reset_wal(configuration.engine, configuration.repair, [&](std::string_view line) {
        waiting.clear();
        print(host.out, std::string(line) + "\n");
      });
  return status.ok() ? 0 : fail(host, status);
}

int run_compile(const Host& host, Waiting& waiting, const Configuration& configuration) {
  for (const std::string& file : configuration.compile) {
    const Status status = host.compile_extension({.file = file,
                                                  .cache = configuration.engine.cache,
                                                  .wasm_path = configuration.engine.wasm_path},
                                                 [&](std::string_view line) {
                                                   waiting.clear();
                                                   print(host.err, std::string(line) + "\n");
                                                 });
    if (!status.ok()) return fail(host, status);
  }
  return 0;
}

// What may take long without telling how far it is, with a line about it where somebody looks.
Host with_waiting(const Host& host, Waiting& waiting) {
  Host shown = host;
  const auto opening = [&waiting](const Options& options, const std::function<Status()>& open) {
    const bool is_quick = options.data_dir == "memory://";
    return is_quick ? open() : waiting.during("opening " + options.data_dir, open);
  };
  shown.open = [&host, opening](const Options& options, std::unique_ptr<Instance>* out) {
    return opening(options, [&] { return host.open(options, out); });
  };
  shown.open_cluster = [&host, opening](const Options& options, std::unique_ptr<Cluster>* out) {
    return opening(options, [&] { return host.open_cluster(options, out); });
  };
  shown.reset_wal = [&](const Options& options, const RepairRequest& request,
                        const ReportSink& report) {
    return waiting.during("repairing " + options.data_dir,
                          [&] { return host.reset_wal(options, request, report); });
  };
  shown.compile_extension = [&](const CompileRequest& request,
                                const std::function<void(std::string_view)>& progress) {
    return waiting.during("compiling " + request.file,
                          [&] { return host.compile_extension(request, progress); });
  };
  return shown;
}

}  // namespace

int run(int argc, const char* const* argv, const Host& plain_host) {
  Waiting waiting(if_terminal(plain_host.err));
  const Host host = with_waiting(plain_host, waiting);
  CommandLine command_line = parse_command_line(argc, argv, host.version, host.program_directory);
  for (const std::string& warning : command_line.warnings) {
    const bool json = command_line.configuration.engine.log_format == LogFormat::kJson;
    print(host.err,
          (json ? json_log_line("WARNING", warning) : "pglite-port: warning: " + warning) + "\n");
  }
  if (!command_line.status.ok()) return fail(host, command_line.status);
  if (command_line.text) {
    Output out(host.out, "stdout");
    out.write(*command_line.text);
    const Status status = out.flush();
    return status.ok() ? 0 : fail(host, status);
  }
  Configuration& configuration = command_line.configuration;
  // One write for each line, so that lines of several processes on one stderr stay whole.
  configuration.engine.log = [fd = host.err, debug = configuration.engine.debug, &waiting](
                                 int level, std::string_view line) {
    if (level > debug) return;
    waiting.clear();
    print(fd, std::string(line) + "\n");
  };
  switch (configuration.command) {
    case Command::kPort:
      return run_port(host, configuration);
    case Command::kServe:
      return run_serve(host, configuration);
    case Command::kSql:
      return configuration.is_of_server() ? run_sql_on_server(host, configuration)
                                          : run_sql_command(host, configuration);
    case Command::kInitdb:
      return run_initdb(host, configuration);
    case Command::kDump:
    case Command::kRestore:
      return run_backup_command(host, configuration);
    case Command::kRepair:
      return run_repair(host, waiting, configuration);
    case Command::kCompile:
      return run_compile(host, waiting, configuration);
  }
  return 70;
}

}  // namespace pglite::cli
