// A command (-c) is sent as it is. A script is sent statement by statement, so that it can be of
// any size, errors can name its lines, and COPY FROM STDIN finds its data behind the statement.
#include "cli/sql.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "cli/line_source.h"
#include "cli/progress.h"
#include "cli/prompt/meta_commands.h"
#include "cli/prompt/prompt.h"
#include "cli/query_runner.h"
#include "cli/script.h"
#include "cli/script_format.h"
#include "os/unique_fd.h"

namespace pglite::cli {
namespace {

int run_command(const std::string& sql, QueryRunner& runner, MetaCommands& commands) {
  const size_t begin = sql.find_first_not_of(" \t\r\n");
  if (begin != std::string::npos && sql[begin] == '\\') {
    LineSource source(sql);
    return Script(runner, commands, source, false).run();
  }
  int code = runner.run({sql, 1});
  while (code == kExitOk && runner.wants_data()) {
    code = runner.fail_data("COPY FROM STDIN finds its data only in a script (-f or stdin)");
  }
  return code;
}

// What is not a person at a prompt.
int run_input(QueryRunner& runner, MetaCommands& commands, const SqlRequest& request, int in,
              int out, int err) {
  for (const std::string& command : request.commands) {
    if (const int code = run_command(command, runner, commands); code != kExitOk) return code;
  }
  if (!request.commands.empty()) return kExitOk;
  if (request.file.empty() || request.file == "-") {
    LineSource source(in, "<stdin>");
    return Script(runner, commands, source, false).run();
  }
  const os::UniqueFd file(::open(request.file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) {
    return runner.fail(
        Status::io_error("cannot open " + request.file + ": " + std::strerror(errno)));
  }
  if (const Status status = check_script(file.get(), request.file); !status.ok()) {
    return runner.fail(status);
  }
  LineSource source(file.get(), request.file);
  Script script(runner, commands, source, false);
  commands.set_script_path(request.file);
  // On a screen that results scroll over, they show how far it is.
  const bool is_seen = ::isatty(out) == 1 && !request.display.quiet;
  Progress progress(is_seen ? -1 : if_terminal(err), request.file, size_of_file(file.get()));
  script.progress = [&] { progress.update(source.bytes()); };
  runner.before_message = [&] { progress.clear(); };
  const int code = script.run();
  runner.before_message = nullptr;
  return code;
}

}  // namespace

bool SqlRequest::is_interactive(int in, int out) const {
  return commands.empty() && file.empty() && ::isatty(in) == 1 && ::isatty(out) == 1;
}

int run_sql(SqlSession& session, const SqlRequest& request, int in, Output& out, Output& err) {
  QueryRunner runner(session, request.display, out, err);
  if (request.is_interactive(in, out.fd())) {
    if (!request.single_transaction) return run_prompt(session, request, in, out, err);
    return runner.fail(
        Status::invalid_argument("--single-transaction (PGLITE_SQL_SINGLE_TRANSACTION) is not for "
                                 "a prompt; accepted with it "
                                 "are -c, -f and a script on stdin"));
  }
  MetaCommands commands(runner, in, nullptr);
  if (!request.single_transaction) {
    return run_input(runner, commands, request, in, out.fd(), err.fd());
  }
  session.connect = [](const std::string&, const std::string&) {
    return Status::invalid_argument("another session cannot be part of --single-transaction");
  };
  QueryRunner::Rows none;
  int code = runner.fetch("BEGIN", &none);
  if (code != kExitOk) return code;
  code = run_input(runner, commands, request, in, out.fd(), err.fd());
  if (code == kExitSqlError) (void)runner.fetch("ROLLBACK", &none);
  return code == kExitOk ? runner.fetch("COMMIT", &none) : code;
}

}  // namespace pglite::cli
