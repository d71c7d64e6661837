// A command (-c) is sent as it is. A script is sent statement by statement, so that it can be of
// any size, errors can name its lines, and COPY FROM STDIN finds its data behind the statement.
#include "cli/sql.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "cli/error_report.h"
#include "cli/line_source.h"
#include "cli/script_format.h"
#include "cli/statement_reader.h"
#include "wire/backend.h"
#include "wire/frontend.h"
#include "wire/frontend_message.h"

namespace pglite::cli {
namespace {

constexpr int kExitOk = 0;
constexpr int kExitSqlError = 1;
constexpr int kExitEngine = 70;

class SqlRunner {
 public:
  SqlRunner(const SqlSession& session, Format format, Output& out, Output& err)
      : session_(session),
        writer_(make_writer(format, out)),
        out_(out),
        err_(err),
        standard_strings_(session.standard_strings) {}

  // Each returns an exit code; not 0: stop here.

  int run_command(const std::string& sql) {
    const size_t begin = sql.find_first_not_of(" \t\r\n");
    if (begin != std::string::npos && sql[begin] == '\\')
      return refuse_backslash(sql.substr(begin));
    statement_ = {sql, 1};
    if (const int code = send_statement(); code != kExitOk) return code;
    while (copy_in_) {
      const int code =
          send(wire::copy_fail("COPY FROM STDIN finds its data only in a script (-f or stdin)"));
      if (code != kExitOk) return code;
    }
    return kExitOk;
  }

  int run_script(LineSource& source) {
    script_ = source.name();
    StatementReader reader(source);
    while (true) {
      reader.set_standard_strings(standard_strings_);
      switch (reader.next(&statement_)) {
        case StatementReader::Result::kStatement:
          break;
        case StatementReader::Result::kEnd:
          return source.status().ok() ? kExitOk : fail(source.status());
        case StatementReader::Result::kBackslash:
          if (reader.in_statement() || !is_restriction(statement_.text)) {
            return refuse_backslash(statement_.text);
          }
          if (const int code = restrict(statement_.text); code != kExitOk) return code;
          continue;
      }
      int code = send_statement();
      if (code == kExitOk && copy_in_) code = send_copy_data(reader);
      if (code == kExitOk && !source.status().ok()) code = fail(source.status());
      if (code != kExitOk) return code;
    }
  }

 private:
  int send_statement() {
    constexpr size_t kLimit = wire::kLargeMessageLimit - 5;
    if (statement_.text.find('\0') != std::string::npos) {
      return refuse("a NUL byte cannot be part of SQL");
    }
    if (statement_.text.size() > kLimit) {
      return refuse("the statement is longer than " + std::to_string(kLimit) + " bytes");
    }
    return send(wire::query(statement_.text));
  }

  // The lines up to "\." or the end of the script.
  int send_copy_data(StatementReader& reader) {
    constexpr size_t kPiece = size_t{64} << 10;
    std::string data;
    std::string line;
    bool more = true;
    while (copy_in_) {
      more =
          more && reader.data_line(&line) && line != "\\.\n" && line != "\\.\r\n" && line != "\\.";
      if (more) data += line;
      if (!data.empty() && (!more || data.size() >= kPiece)) {
        if (const int code = send(wire::copy_data(data)); code != kExitOk) return code;
        data.clear();
      }
      if (!more && copy_in_) return send(wire::copy_done());
    }
    return kExitOk;
  }

  int send(std::string_view messages) {
    bool understood = true;
    const Status status = session_.exec(messages, [&](std::string_view bytes) {
      understood = understood && reader_.feed(bytes, [this](const wire::BackendMessage& message) {
        receive(message);
      });
      if (!out_.status().ok() && session_.give_up && !gave_up_) {
        gave_up_ = true;
        session_.give_up();
      }
    });
    if (!status.ok() && !gave_up_) return fail(status);
    if (!understood || malformed_) {
      return fail(Status::engine_gone("the backend sent a malformed message"));
    }
    if (const Status written = out_.flush(); !written.ok()) return fail(written);
    return failed_ ? kExitSqlError : kExitOk;
  }

  void receive(const wire::BackendMessage& message) {
    switch (message.type) {
      case 'T':
        if (!check(wire::parse_row_description(message.body, &columns_))) return;
        column_count_ = columns_.size();
        binary_.clear();
        for (const wire::Column& column : columns_) binary_.push_back(column.binary);
        writer_->begin(columns_);
        in_result_ = true;
        break;
      case 'D':
        if (!check(wire::parse_data_row(message.body, &row_) && in_result_ &&
                   row_.size() == column_count_)) {
          return;
        }
        show_binary();
        writer_->row(row_);
        break;
      case 'C': {
        std::string_view tag;
        if (!check(wire::parse_command_complete(message.body, &tag))) return;
        const bool had_result = end_result(true);
        // Printed, the tag of a COPY TO would look like the last line of its data.
        if (!copy_out_) writer_->command(tag, had_result);
        copy_in_ = copy_out_ = false;
        break;
      }
      case 'E':
        end_result(false);
        copy_in_ = copy_out_ = false;
        failed_ = true;
        if (!gave_up_) show_report(message.body, true);
        break;
      case 'N':
        show_report(message.body, false);
        break;
      case 'A': {
        wire::Notification n;
        if (!check(wire::parse_notification(message.body, &n))) return;
        std::string line = "Asynchronous notification \"" + std::string(n.channel) + "\"";
        if (!n.payload.empty()) line += " with payload \"" + std::string(n.payload) + "\"";
        show(line + " received from server process with PID " + std::to_string(n.pid) + ".\n");
        break;
      }
      case 'S': {
        std::string_view name;
        std::string_view value;
        if (!check(wire::parse_parameter_status(message.body, &name, &value))) return;
        if (name == "standard_conforming_strings") standard_strings_ = value == "on";
        break;
      }
      case 'G':
        copy_in_ = true;
        break;
      case 'H':
        copy_out_ = true;
        break;
      case 'd':
        out_.write(message.body);
        break;
      default:
        break;  // ReadyForQuery, EmptyQueryResponse, CopyDone: nothing to show
    }
  }

  bool check(bool good) {
    malformed_ = malformed_ || !good;
    return good;
  }

  bool end_result(bool complete) {
    const bool had_result = in_result_;
    if (had_result) writer_->end(complete);
    in_result_ = false;
    return had_result;
  }

  // Only a binary cursor sends such values to a simple Query; they are shown as bytea is.
  void show_binary() {
    constexpr char kDigits[] = "0123456789abcdef";
    hex_.resize(row_.size());
    for (size_t i = 0; i < row_.size(); ++i) {
      std::optional<std::string_view>& value = row_[i];
      if (!binary_[i] || !value) continue;
      hex_[i] = "\\x";
      for (char c : *value) {
        hex_[i] += kDigits[static_cast<unsigned char>(c) >> 4];
        hex_[i] += kDigits[static_cast<unsigned char>(c) & 15];
      }
      value = hex_[i];
    }
  }

  void show_report(std::string_view body, bool is_error) {
    wire::ErrorFields fields;
    if (!check(wire::parse_error(body, &fields))) return;
    show(report(fields, statement_.text, script_, statement_.first_line, is_error));
  }

  // What was printed so far goes first, so that both streams on one terminal are in order.
  void show(std::string_view text) {
    static_cast<void>(out_.flush());
    err_.write(text);
    static_cast<void>(err_.flush());
  }

  static std::string_view first_word(std::string_view text) {
    return text.substr(0, text.find_first_of(" \t\r\n"));
  }

  static bool is_restriction(std::string_view text) {
    return first_word(text) == "\\restrict" || first_word(text) == "\\unrestrict";
  }

  // pg_dump puts \restrict KEY and \unrestrict KEY around its dump. Between them psql runs no other
  // backslash command, so that text of the dumped database cannot run one. This program runs none
  // at all; it only checks that the two keys are the same.
  int restrict(std::string_view text) {
    const std::string_view command = first_word(text);
    const auto refuse_it = [&](const char* reason) {
      return refuse(std::string(command) + ": " + reason);
    };
    const size_t begin = text.find_first_not_of(" \t", command.size());
    if (begin == std::string_view::npos) return refuse_it("missing required argument");
    const std::string_view key = text.substr(begin);
    if (key.find_first_of(" \t\\'\"") != std::string_view::npos) {
      return refuse_it("the key is not one word");
    }
    if (command == "\\restrict") {
      if (!restrict_key_.empty()) return refuse_it("already in restricted mode");
      restrict_key_ = key;
      return kExitOk;
    }
    if (restrict_key_.empty()) return refuse_it("not currently in restricted mode");
    if (restrict_key_ != key) return refuse_it("wrong key");
    restrict_key_.clear();
    return kExitOk;
  }

  int refuse_backslash(std::string_view text) {
    return refuse("psql's command " + std::string(first_word(text)) +
                  " is not supported; only SQL is");
  }

  int refuse(const std::string& reason) {
    if (!script_.empty()) {
      show(script_ + ":" + std::to_string(statement_.first_line) + ": ERROR:  " + reason + "\n");
    } else {
      show("ERROR:  " + reason + "\n");
    }
    return kExitSqlError;
  }

  int fail(const Status& status) {
    show("pglite-port: " + status.message() + "\n");
    return status.exit_code() == kExitOk ? kExitEngine : status.exit_code();
  }

  const SqlSession& session_;
  std::unique_ptr<ResultWriter> writer_;
  Output& out_;
  Output& err_;
  std::string script_;
  Statement statement_;

  wire::BackendReader reader_;
  std::vector<wire::Column> columns_;  // their names are valid in begin() only
  size_t column_count_ = 0;
  std::vector<bool> binary_;
  Row row_;
  std::vector<std::string> hex_;
  bool in_result_ = false;
  bool copy_in_ = false;
  bool copy_out_ = false;
  bool failed_ = false;
  bool gave_up_ = false;
  bool malformed_ = false;
  bool standard_strings_;
  std::string restrict_key_;  // of the \restrict that holds; empty: none does
};

}  // namespace

int run_sql(const SqlSession& session, const SqlRequest& request, int in, Output& out,
            Output& err) {
  SqlRunner runner(session, request.format, out, err);
  for (const std::string& command : request.commands) {
    if (const int code = runner.run_command(command); code != kExitOk) return code;
  }
  if (!request.commands.empty()) return kExitOk;

  if (request.file.empty() || request.file == "-") {
    LineSource source(in, "<stdin>");
    return runner.run_script(source);
  }
  const int fd = ::open(request.file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const Status status =
        Status::io_error("cannot open " + request.file + ": " + std::strerror(errno));
    err.write("pglite-port: " + status.message() + "\n");
    return status.exit_code();
  }
  if (const Status status = check_script(fd, request.file); !status.ok()) {
    ::close(fd);
    err.write("pglite-port: " + status.message() + "\n");
    return status.exit_code();
  }
  LineSource source(fd, request.file);
  const int code = runner.run_script(source);
  ::close(fd);
  return code;
}

}  // namespace pglite::cli
