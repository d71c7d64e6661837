#include "cli/prompt/meta_commands.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <span>
#include <utility>

#include "cli/prompt/child.h"
#include "cli/prompt/copy_command.h"
#include "cli/prompt/describe.h"
#include "cli/script.h"
#include "os/file.h"
#include "os/unique_fd.h"

namespace pglite::cli {
namespace {

// A script that runs itself must come to an end.
constexpr int kDepthLimit = 64;

constexpr std::string_view kHelp =
    R"(Statements end with a semicolon. Psql's commands, as psql has them:

  \q                      leave (or Ctrl-D)
  \? , \h [STATEMENT]     this; where SQL is explained

  \d [NAME]               list relations; describe one (a table, view, index, ...)
  \dt \di \dv \dm \ds \dE list tables, indexes, views, materialized views, sequences,
                          foreign tables
  \dn \df \dT \du \dx \l  list schemas, functions, types, roles, extensions, databases
                          behind each: a + for more, S for PostgreSQL's own, a
                          pattern of names (\dt app.*)

  \x [on|off|auto]        a line for each value
  \t  \a                  rows only; unaligned
  \pset [NAME [VALUE]]    format, null, expanded, tuples_only, pager
  \timing [on|off]        how long each statement takes

  \i FILE  \ir FILE       run a script; beside the one that runs
  \o [FILE]               results go to a file; back to the screen
  \copy TABLE from|to FILE [OPTIONS], \copy (QUERY) to FILE [OPTIONS]
                          as COPY, with a file on this side
  \echo  \qecho  \warn    print a text: to the screen, where results go, to stderr
  \e [FILE]               edit the statement or a file ($VISUAL, $EDITOR), then run it
  \g  \gx  \p  \r         run the statement; with \x; print it; forget it

  \c [DATABASE [ROLE]]    another session, in another database
  \conninfo               which this is

Tab completes, the arrows and Ctrl-R bring back earlier statements, Ctrl-C cancels.
)";

constexpr std::string_view kNames[] = {
    "?",  "a",  "c",  "connect", "conninfo", "copy", "d",     "dE",   "df", "di",     "dm",   "dn",
    "ds", "dt", "dT", "du",      "dv",       "dx",   "e",     "echo", "g",  "gx",     "h",    "i",
    "ir", "l",  "o",  "p",       "pset",     "q",    "qecho", "r",    "t",  "timing", "warn", "x"};

std::string on_off(bool on) {
  return on ? "on" : "off";
}

std::string errno_text() {
  return std::strerror(errno);
}

// The value of a connection string: a word, or something in quotes with backslashes in front of
// quotes and backslashes.
std::string connection_value(std::string_view text) {
  if (!text.starts_with('\'')) return std::string(text);
  std::string value;
  for (size_t i = 1; i < text.size() && text[i] != '\''; ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    value += text[i];
  }
  return value;
}

// Of PostgreSQL's manual, for a command of SQL.
std::string manual_page(std::string_view statement) {
  std::string name;
  for (const char c : statement) {
    if (c >= 'A' && c <= 'Z') name += static_cast<char>(c | 0x20);
    if (c >= 'a' && c <= 'z') name += c;
  }
  return name.empty() ? "sql-commands.html" : "sql-" + name + ".html";
}

// "~/x" in the home directory.
std::string expanded_path(const std::string& path) {
  const char* const home = std::getenv("HOME");
  return path.starts_with("~/") && home != nullptr ? home + path.substr(1) : path;
}

}  // namespace

std::vector<std::string_view> MetaCommands::names() {
  return {std::begin(kNames), std::end(kNames)};
}

int MetaCommands::refuse(const MetaCommand& command, const std::string& reason) {
  return runner_.refuse("\\" + command.name + ": " + reason);
}

int MetaCommands::confirm(const std::string& text) {
  if (!runner_.display().quiet) runner_.out().write(text + "\n");
  return kExitOk;
}

int MetaCommands::show_text(const std::string& text) {
  if (pager_ != nullptr) {
    pager_->show(text, runner_.out());
  } else {
    runner_.out().write(text);
  }
  return kExitOk;
}

MetaCommands::Outcome MetaCommands::run(const MetaCommand& command, StatementReader& reader) {
  if (!command.error.empty()) return {.code = refuse(command, command.error)};
  if (auto outcome = run_on_statement(command, reader)) return *std::move(outcome);
  std::optional<int> code = run_setting(command);
  if (!code) code = run_plain(command);
  if (!code) {
    code = runner_.refuse("psql's command \\" + command.name +
                          " is not supported; \\? lists those that are");
  }
  static_cast<void>(runner_.out().flush());
  return {.code = *code};
}

// Those that end something, or that are about the statement that has begun.
std::optional<MetaCommands::Outcome> MetaCommands::run_on_statement(const MetaCommand& command,
                                                                    StatementReader& reader) {
  const std::string& name = command.name;
  if (name.empty()) return Outcome{};  // "\\" only separates
  if (name == "q" || name == "quit") return Outcome{.ends = true};
  if (name == "copy") return copy(command);
  if (name == "g" || name == "gx") {
    if (!command.arguments.empty()) {
      return Outcome{.code =
                         refuse(command, "takes no arguments here; \\o sends results to a file")};
    }
    if (!reader.in_statement()) return Outcome{};
    if (name == "gx") expanded_before_ = std::exchange(runner_.display().expanded, Expanded::kOn);
    return Outcome{.statement = reader.take_pending()};
  }
  if (name == "p") {
    return Outcome{.code = show_text(reader.in_statement() ? reader.pending().text + "\n"
                                                           : "Query buffer is empty.\n")};
  }
  if (name == "r") {
    static_cast<void>(reader.take_pending());
    return Outcome{.code = confirm("Query buffer reset (cleared).")};
  }
  if (name == "e" || name == "edit") return Outcome{.code = edit(reader, command.arguments)};
  return std::nullopt;
}

void MetaCommands::statement_done() {
  if (expanded_before_) runner_.display().expanded = *expanded_before_;
  expanded_before_.reset();
}

std::optional<int> MetaCommands::run_setting(const MetaCommand& command) {
  const std::string& name = command.name;
  const Arguments& arguments = command.arguments;
  Display& display = runner_.display();
  if (name == "x") return set_expanded(arguments);
  if (name == "t") return toggle("Tuples only", arguments, &display.tuples_only);
  if (name == "timing") return toggle("Timing", arguments, &timing_);
  if (name == "pset") return set_display(arguments);
  if (name == "a") {
    return set_format(display.format == Format::kTable ? Format::kUnaligned : Format::kTable);
  }
  return std::nullopt;
}

std::optional<int> MetaCommands::run_plain(const MetaCommand& command) {
  const std::string& name = command.name;
  const Arguments& arguments = command.arguments;
  const std::string first = arguments.empty() ? "" : arguments[0];
  if (name == "?") return show_text(std::string(kHelp));
  if (name == "h" || name == "help") {
    return show_text("See https://www.postgresql.org/docs/18/" + manual_page(command.rest) + "\n");
  }
  if (name == "i" || name == "include" || name == "ir" || name == "include_relative") {
    return include(command);
  }
  if (name == "o" || name == "out") return redirect(arguments);
  if (name == "c" || name == "connect") return connect(arguments);
  if (name == "conninfo") return connection_info();
  if (name == "echo") return echo(arguments, false, runner_.out());
  if (name == "qecho") return echo(arguments, false, runner_.results());
  if (name == "warn") return echo(arguments, true, runner_.out());
  if (name == "l" || name == "list" || name == "l+" || name == "list+") {
    return list_databases(first, name.ends_with('+'), runner_);
  }
  DescribeRequest request;
  if (parse_describe(name, &request)) {
    request.pattern = first;
    return describe(request, runner_);
  }
  return std::nullopt;
}

int MetaCommands::toggle(std::string_view what, const Arguments& arguments, bool* value) {
  if (arguments.empty()) {
    *value = !*value;
  } else if (!parse_switch(arguments[0], value)) {
    return runner_.refuse("'" + arguments[0] + "' is neither on nor off");
  }
  return confirm(std::string(what) + " is " + on_off(*value) + ".");
}

int MetaCommands::set_expanded(const Arguments& arguments) {
  Expanded& expanded = runner_.display().expanded;
  if (!arguments.empty() && arguments[0] == "auto") {
    expanded = Expanded::kAuto;
    return confirm("Expanded display is used automatically.");
  }
  bool on = expanded != Expanded::kOff;
  const int code = toggle("Expanded display", arguments, &on);
  expanded = on ? Expanded::kOn : Expanded::kOff;
  return code;
}

int MetaCommands::set_format(Format format) {
  runner_.display().format = format;
  runner_.renew_writer();
  const bool is_table = format == Format::kTable;
  return confirm("Output format is " + (is_table ? "aligned" : std::string(name_of(format))) + ".");
}

int MetaCommands::set_display(const Arguments& arguments) {
  Display& display = runner_.display();
  if (arguments.empty()) {
    const char* const expanded = display.expanded == Expanded::kAuto ? "auto" : nullptr;
    runner_.out().write(
        "expanded                 " +
        (expanded != nullptr ? expanded : on_off(display.expanded == Expanded::kOn)) +
        "\nformat                   " + std::string(name_of(display.format)) +
        "\nnull                     '" + display.null_text + "'" + "\npager                    " +
        on_off(pager_ != nullptr && pager_->is_on()) + "\ntuples_only              " +
        on_off(display.tuples_only) + "\n");
    return kExitOk;
  }
  const std::string& name = arguments[0];
  const Arguments rest(arguments.begin() + 1, arguments.end());
  if (name == "expanded" || name == "x") return set_expanded(rest);
  if (name == "tuples_only" || name == "t") {
    return toggle("Tuples only", rest, &display.tuples_only);
  }
  if (name == "null") {
    if (!rest.empty()) display.null_text = rest[0];
    return confirm("Null display is \"" + display.null_text + "\".");
  }
  if (name == "format") {
    if (rest.empty()) return set_format(display.format);
    const auto format = format_named(rest[0] == "aligned" ? "table" : rest[0]);
    if (format) return set_format(*format);
    return runner_.refuse("\\pset format: '" + rest[0] +
                          "' is not known; accepted are aligned, unaligned, csv and json");
  }
  if (name == "pager") {
    if (pager_ == nullptr) return kExitOk;  // a script has none
    bool on = pager_->is_on();
    const int code = toggle("Pager", rest, &on);
    pager_->set_on(on);
    return code;
  }
  return runner_.refuse("\\pset: '" + name +
                        "' is not known; accepted are expanded, format, null, pager and "
                        "tuples_only");
}

int MetaCommands::echo(const Arguments& arguments, bool to_stderr, Output& out) {
  std::string text;
  const bool no_newline = !arguments.empty() && arguments[0] == "-n";
  for (size_t i = no_newline ? 1 : 0; i < arguments.size(); ++i) {
    if (i > (no_newline ? 1U : 0U)) text += ' ';
    text += arguments[i];
  }
  if (!no_newline) text += '\n';
  if (to_stderr) {
    runner_.show(text);
  } else {
    out.write(text);
  }
  return kExitOk;
}

int MetaCommands::redirect(const Arguments& arguments) {
  if (arguments.empty()) {
    runner_.set_results(nullptr);
    return kExitOk;
  }
  if (arguments[0].starts_with('|')) {
    return runner_.refuse("\\o: a command is not supported; a file is");
  }
  const std::string path = expanded_path(arguments[0]);
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return runner_.refuse("\\o: cannot write to " + path + ": " + errno_text());
  runner_.set_results(std::make_unique<Output>(os::UniqueFd(fd), path));
  return kExitOk;
}

int MetaCommands::include(const MetaCommand& command) {
  if (command.arguments.empty()) return refuse(command, "the file is missing");
  const bool is_relative = command.name.starts_with("ir") || command.name == "include_relative";
  std::string path = expanded_path(command.arguments[0]);
  if (is_relative && !path.starts_with('/')) path = directory_ + path;
  if (depth_ == kDepthLimit) return refuse(command, "scripts run each other too deeply");
  const os::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return refuse(command, "cannot open " + path + ": " + errno_text());
  const std::string before = std::exchange(directory_, path.substr(0, path.rfind('/') + 1));
  ++depth_;
  LineSource source(file.get(), path);
  const int code = Script(runner_, *this, source, false).run();
  --depth_;
  directory_ = before;
  return code;
}

int MetaCommands::connect(const Arguments& arguments) {
  if (!runner_.session().connect) {
    return runner_.refuse("\\connect: there is only one session here");
  }
  // pg_dump says that the other parameters stay, which they do here.
  const bool says_reuse = !arguments.empty() && arguments[0] == "-reuse-previous=on";
  const size_t first = says_reuse ? 1 : 0;
  for (size_t i = first + 2; i < arguments.size(); ++i) {
    if (arguments[i] != "-") {
      return runner_.refuse("\\connect: another host or port is not supported; start another sql");
    }
  }
  const auto named = [&](size_t i) {
    return i < arguments.size() && arguments[i] != "-" ? identifier_named(arguments[i])
                                                       : std::string();
  };
  std::string database = named(first);
  if (database.starts_with("dbname=")) {
    database = connection_value(std::string_view(database).substr(7));
  } else if (database.find("://") != std::string::npos || database.find('=') != std::string::npos) {
    return runner_.refuse("\\connect: another server is not supported; start another sql");
  }
  const std::string user = named(first + 1);
  const Status status = runner_.session().connect(database, user);
  if (!status.ok()) {
    if (runner_.session().is_lost) return runner_.fail(status);
    return runner_.refuse("\\connect: " + status.message());
  }
  runner_.begin_session();
  QueryRunner::Rows rows;
  const int code = runner_.fetch("select pg_catalog.current_database(), current_user", &rows);
  if (code != kExitOk || rows.empty()) return code;
  return confirm("You are now connected to database \"" + rows[0][0].value_or("") +
                 "\" as user \"" + rows[0][1].value_or("") + "\".");
}

int MetaCommands::connection_info() {
  QueryRunner::Rows rows;
  const int code = runner_.fetch("select pg_catalog.current_database(), session_user", &rows);
  if (code != kExitOk || rows.empty()) return code;
  runner_.out().write("You are connected to database \"" + rows[0][0].value_or("") +
                      "\" as user \"" + rows[0][1].value_or("") + "\" " + runner_.session().place +
                      ".\n");
  return kExitOk;
}

MetaCommands::Outcome MetaCommands::copy(const MetaCommand& command) {
  const CopyCommand copy = parse_copy_command(command.rest);
  if (!copy.error.empty()) return {.code = runner_.refuse(copy.error)};
  const std::string path = expanded_path(copy.file);
  if (!copy.from) return {.code = copy_to(copy.sql, path)};
  if (!path.empty()) {
    const os::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status{};
    if (!file) return {.code = refuse(command, "cannot open " + path + ": " + errno_text())};
    if (::fstat(file.get(), &status) == 0 && S_ISDIR(status.st_mode)) {
      return {.code = refuse(command, path + " is a directory")};
    }
    return {.code = copy_from(copy.sql, file.get(), path)};
  }
  if (copy.is_program_stdin) return {.code = copy_from(copy.sql, in_, "stdin")};
  const int code = runner_.run(runner_.in_place(copy.sql));
  return {.code = code, .wants_data = code == kExitOk && runner_.wants_data()};
}

int MetaCommands::copy_from(const std::string& sql, int fd, const std::string& name) {
  if (const int code = runner_.run(runner_.in_place(sql)); code != kExitOk) return code;
  std::string piece(size_t{64} << 10, '\0');
  while (runner_.wants_data()) {
    if (runner_.session().interrupted && runner_.session().interrupted()) {
      return runner_.fail_data("canceled by user");
    }
    const ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) {
      pollfd ready = {fd, POLLIN, 0};
      ::poll(&ready, 1, -1);
      continue;
    }
    if (got < 0) return runner_.fail_data("cannot read " + name + ": " + errno_text());
    if (got == 0) return runner_.end_data();
    const int code = runner_.send_data(std::string_view(piece).substr(0, static_cast<size_t>(got)));
    if (code != kExitOk) return code;
  }
  return kExitOk;
}

int MetaCommands::copy_to(const std::string& sql, const std::string& path) {
  if (path.empty()) return runner_.run(runner_.in_place(sql));
  const os::UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!file) return runner_.refuse("\\copy: cannot write to " + path + ": " + errno_text());
  Output output(file.get(), path);
  runner_.set_copy_target(&output);
  const int code = runner_.run(runner_.in_place(sql));
  runner_.set_copy_target(nullptr);
  const Status written = output.flush();
  if (code == kExitOk && !written.ok()) return runner_.refuse("\\copy: " + written.message());
  return code;
}

int MetaCommands::edit(StatementReader& reader, const Arguments& arguments) {
  if (pager_ == nullptr) return runner_.refuse("\\e: an editor needs a person; this is a script");
  std::string path;
  const bool is_temporary = arguments.empty();
  if (is_temporary) {
    const char* const directory = std::getenv("TMPDIR");
    path = std::string(directory != nullptr && *directory != '\0' ? directory : "/tmp") +
           "/pglite-port-XXXXXX.sql";
    const os::UniqueFd file(::mkostemps(path.data(), 4, O_CLOEXEC));
    if (!file) return runner_.refuse("\\e: cannot make " + path + ": " + errno_text());
    const std::string text = reader.in_statement() ? reader.pending().text : last_edited_;
    if (!os::write_all(file.get(), std::as_bytes(std::span(text)))) {
      ::unlink(path.c_str());
      return runner_.refuse("\\e: cannot write to " + path);
    }
  } else {
    path = expanded_path(arguments[0]);
  }
  const char* editor = std::getenv("VISUAL");
  if (editor == nullptr || *editor == '\0') editor = std::getenv("EDITOR");
  if (editor == nullptr || *editor == '\0') editor = "vi";
  std::string quoted;
  for (const char c : path) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  const int pid = start_shell(std::string(editor) + " '" + quoted + "'", in_);
  const bool done = pid >= 0 && wait_for_child(pid);
  if (runner_.session().interrupted) static_cast<void>(runner_.session().interrupted());
  std::string text;
  bool is_read = false;
  if (done) {
    const os::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    auto content = os::read_all(file.get());
    if (file && content) {
      text = *std::move(content);
      is_read = true;
    }
  }
  if (is_temporary) ::unlink(path.c_str());
  if (!done) return runner_.refuse("\\e: the editor " + std::string(editor) + " has failed");
  if (!is_read) return runner_.refuse("\\e: cannot read " + path);
  static_cast<void>(reader.take_pending());
  while (text.ends_with('\n')) text.pop_back();
  if (text.empty()) return kExitOk;
  last_edited_ = text;
  if (remember) remember(text);
  // What will be run now was not seen on the screen.
  runner_.out().write(text + "\n");
  static_cast<void>(runner_.out().flush());
  reader.insert(text);
  return kExitOk;
}

}  // namespace pglite::cli
