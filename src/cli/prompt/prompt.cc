#include "cli/prompt/prompt.h"

#include <unistd.h>

#include <memory>
#include <utility>

#include "cli/prompt/history.h"
#include "cli/prompt/interrupts.h"
#include "cli/prompt/line_editor.h"
#include "cli/prompt/meta_commands.h"
#include "cli/prompt/pager.h"
#include "cli/prompt/session_catalogue.h"
#include "cli/query_runner.h"
#include "cli/script.h"

namespace pglite::cli {
namespace {

class Prompt {
 public:
  Prompt(SqlSession& session, const SqlRequest& request, int in, Output& out, Output& err)
      : session_(session),
        out_(out),
        runner_(session, request.display, out, err),
        pager_(request.pager),
        commands_(runner_, in, &pager_),
        history_(request.history),
        catalogue_(runner_),
        source_([this](std::string* line) { return ask(line); }),
        script_(runner_, commands_, source_, true),
        in_(in) {}

  int run() {
    const auto cancel = [this] {
      // The terminal has put ^C where the cursor was.
      static_cast<void>(!::write(out_.fd(), "\n", 1));
      session_.cancel();
    };
    Status status = Interrupts::start(cancel, &interrupts_);
    if (status.ok()) {
      status = LineEditor::open(
          in_, out_.fd(), [this](std::string_view before) { return complete(before); }, &editor_);
    }
    if (!status.ok()) return runner_.fail(status);
    session_.interrupted = [this] { return interrupts_->take(); };
    runner_.pager = [this](const Extent& extent, const std::function<void()>& print) {
      return pager_.show(extent, out_, print);
    };
    commands_.remember = [this](const std::string& text) { remember(text); };
    last_entry_ = load_history();
    int code = learn_session();
    if (code == kExitOk) code = script_.run();
    static_cast<void>(out_.flush());
    session_.interrupted = nullptr;
    return code;
  }

 private:
  std::string load_history() {
    std::string last;
    for (std::string& entry : history_.load()) {
      editor_->remember(entry);
      last = std::move(entry);
    }
    return last;
  }

  int learn_session() {
    QueryRunner::Rows rows;
    const int code = runner_.fetch(
        "select pg_catalog.current_database(), pg_catalog.current_setting('is_superuser'), "
        "pg_catalog.current_setting('server_version')",
        &rows);
    if (code != kExitOk || rows.empty()) return code;
    database_ = rows[0][0].value_or("");
    runner_.set_superuser(rows[0][1] == "on");
    if (session_number_ == 0 && !runner_.display().quiet) {
      out_.write("PostgreSQL " + rows[0][2].value_or("") + " " + session_.place +
                 ". \\? for help, \\q to leave.\n");
    }
    session_number_ = runner_.session_number();
    return kExitOk;
  }

  // A server reports it; a session in this process does not.
  void learn_role() {
    QueryRunner::Rows rows;
    // In a transaction, SHOW would be its first statement.
    if (session_.reports_settings || runner_.transaction_status() != 'I') return;
    if (runner_.fetch("show is_superuser", &rows, true) == kExitOk && !rows.empty()) {
      runner_.set_superuser(rows[0][0] == "on");
    }
  }

  // For the script: a line of the next statement, or of data.
  bool ask(std::string* line) {
    const StatementReader& reader = script_.reader();
    catalogue_.forget();
    if (session_number_ != runner_.session_number()) static_cast<void>(learn_session());
    if (!script_.in_data() && !reader.in_statement()) learn_role();
    if (script_.in_data()) {
      if (!std::exchange(was_in_data_, true)) {
        out_.write(
            "Enter data to be copied followed by a newline.\n"
            "End with a backslash and a period on a line by itself, or with Ctrl-D.\n");
      }
    } else {
      was_in_data_ = false;
      if (reader.open() == StatementReader::Open::kNothing) remember(std::exchange(entry_, {}));
    }
    while (true) {
      static_cast<void>(out_.flush());
      runner_.display().screen_width = screen_of(out_.fd()).width;
      const std::string prompt =
          script_.in_data() ? ">> "
                            : prompt_text(database_, reader.open(), runner_.transaction_status(),
                                          runner_.is_superuser());
      std::string text;
      switch (editor_->read(prompt, &text)) {
        case LineEditor::Result::kLine:
          // One that came while nothing ran is of no use.
          static_cast<void>(interrupts_->take());
          if (!script_.in_data()) entry_ += text;
          hand_out(text, line);
          return true;
        case LineEditor::Result::kInterrupted:
          if (script_.in_data()) {
            interrupts_->note();
            return false;
          }
          script_.reset();
          entry_.clear();
          break;
        case LineEditor::Result::kEnd:
          if (script_.in_data()) {
            out_.write("\\.\n");
            return false;
          }
          remember(std::exchange(entry_, {}));
          out_.write("\\q\n");
          script_.reset();
          return false;
      }
    }
  }

  // The first line; the others of an entry that was recalled come next.
  void hand_out(const std::string& text, std::string* line) {
    const size_t end = text.find('\n') + 1;
    *line = text.substr(0, end);
    if (end < text.size()) script_.insert(text.substr(end));
  }

  void remember(std::string entry) {
    while (entry.ends_with('\n')) entry.pop_back();
    if (entry.find_first_not_of(" \t\n") == std::string::npos || entry.starts_with(' ') ||
        entry == last_entry_) {
      return;
    }
    editor_->remember(entry);
    if (const std::string wrong = history_.append(entry); !wrong.empty()) {
      runner_.show("pglite-port: warning: " + wrong + "\n");
    }
    last_entry_ = std::move(entry);
  }

  Completion complete(std::string_view before_cursor) {
    if (script_.in_data()) return {};
    return cli::complete(script_.reader().pending().text, before_cursor, catalogue_);
  }

  SqlSession& session_;
  Output& out_;
  QueryRunner runner_;
  Pager pager_;
  MetaCommands commands_;
  HistoryFile history_;
  SessionCatalogue catalogue_;
  LineSource source_;
  Script script_;
  int in_;
  std::unique_ptr<LineEditor> editor_;
  std::unique_ptr<Interrupts> interrupts_;
  std::string database_;
  int session_number_ = 0;
  std::string entry_;  // the lines since nothing was open
  std::string last_entry_;
  bool was_in_data_ = false;
};

}  // namespace

int run_prompt(SqlSession& session, const SqlRequest& request, int in, Output& out, Output& err) {
  return Prompt(session, request, in, out, err).run();
}

std::string prompt_text(std::string_view database, StatementReader::Open open,
                        char transaction_status, bool is_superuser) {
  const char state = [open] {
    switch (open) {
      case StatementReader::Open::kNothing:
        return '=';
      case StatementReader::Open::kStatement:
        return '-';
      case StatementReader::Open::kString:
        return '\'';
      case StatementReader::Open::kIdentifier:
        return '"';
      case StatementReader::Open::kDollar:
        return '$';
      case StatementReader::Open::kComment:
        return '*';
      case StatementReader::Open::kParenthesis:
        return '(';
    }
    return '=';
  }();
  std::string text(database);
  text += state;
  if (transaction_status == 'T') text += '*';
  if (transaction_status == 'E') text += '!';
  text += is_superuser ? "# " : "> ";
  return text;
}

}  // namespace pglite::cli
