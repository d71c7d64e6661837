#include "cli/script.h"

#include <chrono>
#include <cstdio>
#include <utility>

namespace pglite::cli {

int Script::run() {
  const std::string before = runner_.set_script(source_.name());
  int code = kExitOk;
  while (code == kExitOk && !has_ended_) {
    reader_.set_standard_strings(runner_.standard_strings());
    const StatementReader::Result result = reader_.next(&statement_);
    if (result == StatementReader::Result::kEnd) break;
    if (is_prompt_) statement_.first_line = 1;  // nobody counts what was typed before
    code = result == StatementReader::Result::kBackslash ? run_command()
                                                         : run_statement(std::move(statement_));
    if (runner_.session().interrupted && runner_.session().interrupted()) {
      reader_.reset();
      if (code == kExitOk) code = kExitSqlError;
    }
    if (is_prompt_ && code == kExitSqlError) code = kExitOk;
    if (progress) progress();
  }
  if (code == kExitOk && !source_.status().ok()) code = runner_.fail(source_.status());
  runner_.set_script(before);
  return code;
}

int Script::run_statement(Statement statement) {
  using std::chrono::steady_clock;
  const auto begin = steady_clock::now();
  int code = runner_.run(std::move(statement));
  if (code == kExitOk && runner_.wants_data()) code = send_data();
  if (commands_.timing()) {
    char line[64];
    const std::chrono::duration<double, std::milli> taken = steady_clock::now() - begin;
    const int size = std::snprintf(line, sizeof line, "Time: %.3f ms\n", taken.count());
    runner_.out().write({line, static_cast<size_t>(size)});
  }
  return code;
}

// The lines up to "\." or the end of the script.
int Script::send_data() {
  constexpr size_t kPiece = size_t{64} << 10;
  std::string data;
  std::string line;
  bool more = true;
  in_data_ = true;
  int code = kExitOk;
  while (code == kExitOk && runner_.wants_data()) {
    more =
        more && reader_.data_line(&line) && line != "\\.\n" && line != "\\.\r\n" && line != "\\.";
    if (runner_.session().interrupted && runner_.session().interrupted()) {
      code = runner_.fail_data("canceled by user");
      break;
    }
    if (more) data += line;
    if (!data.empty() && (!more || data.size() >= kPiece)) {
      code = runner_.send_data(data);
      data.clear();
    }
    if (code == kExitOk && !more && runner_.wants_data()) {
      code = runner_.end_data();
      break;
    }
    if (progress) progress();
  }
  in_data_ = false;
  return code;
}

int Script::run_command() {
  const MetaCommand command = parse_meta_command(statement_.text);
  runner_.set_statement(statement_);
  if (command.name == "restrict" || command.name == "unrestrict") return restrict(command);
  if (!restrict_key_.empty()) {
    return runner_.refuse("\\" + command.name +
                          ": not allowed between \\restrict and \\unrestrict");
  }
  reader_.resume_behind(command.size);
  MetaCommands::Outcome outcome = commands_.run(command, reader_);
  if (outcome.wants_data && outcome.code == kExitOk) outcome.code = send_data();
  has_ended_ = outcome.ends;
  if (outcome.code == kExitOk && outcome.statement) {
    outcome.code = run_statement(std::move(*outcome.statement));
    commands_.statement_done();
  }
  // Nothing more of the line is run, as in psql.
  if (outcome.code != kExitOk) reader_.resume_behind(statement_.text.size());
  return outcome.code;
}

// pg_dump puts \restrict KEY and \unrestrict KEY around its dump. Between them no other backslash
// command is run, so that text of the dumped database cannot run one.
int Script::restrict(const MetaCommand& command) {
  const std::string name = "\\" + command.name;
  const auto refuse_it = [&](const char* reason) { return runner_.refuse(name + ": " + reason); };
  const size_t begin = command.rest.find_first_not_of(" \t");
  if (reader_.in_statement()) return refuse_it("not allowed within a statement");
  if (begin == std::string::npos) return refuse_it("missing required argument");
  const std::string key = command.rest.substr(begin);
  if (key.find_first_of(" \t\\'\"") != std::string::npos) {
    return refuse_it("the key is not one word");
  }
  if (command.name == "restrict") {
    if (!restrict_key_.empty()) return refuse_it("already in restricted mode");
    restrict_key_ = key;
    return kExitOk;
  }
  if (restrict_key_.empty()) return refuse_it("not currently in restricted mode");
  if (restrict_key_ != key) return refuse_it("wrong key");
  restrict_key_.clear();
  return kExitOk;
}

}  // namespace pglite::cli
