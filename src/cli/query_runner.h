// Sends SQL to a session and shows what comes back.
#ifndef PGLITE_CLI_QUERY_RUNNER_H_
#define PGLITE_CLI_QUERY_RUNNER_H_

#include <pglite/status.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/output.h"
#include "cli/result_writer.h"
#include "cli/sql_session.h"
#include "cli/statement_reader.h"
#include "wire/backend.h"

namespace pglite::cli {

inline constexpr int kExitOk = 0;
inline constexpr int kExitSqlError = 1;
inline constexpr int kExitEngine = 70;

// Methods that return an int return an exit code: kExitOk; kExitSqlError, where the session goes
// on; anything else: it is over. What is wrong has then been shown.
class QueryRunner {
 public:
  using Rows = std::vector<std::vector<std::optional<std::string>>>;

  // All of them must outlive this.
  QueryRunner(SqlSession& session, Display display, Output& out, Output& err);

  // The script that statements come from, for messages; empty: none. Returns the one before.
  std::string set_script(std::string name);
  // What the messages that follow are about.
  void set_statement(Statement statement) { statement_ = std::move(statement); }

  // SQL that stands where the statement stands.
  [[nodiscard]] Statement in_place(std::string sql) const {
    return {std::move(sql), statement_.first_line};
  }

  // Sends the statement as one simple Query.
  int run(Statement statement);
  // Shows the result of a query of our own.
  int show_query(const std::string& sql, const Caption& caption);
  // Has the rows of a query of our own. `is_silent`: says nothing of errors.
  int fetch(const std::string& sql, Rows* rows, bool is_silent = false);
  // Shows what is no result of a query.
  void show_table(const std::vector<std::string>& columns, const Rows& rows,
                  const Caption& caption);

  // COPY FROM STDIN waits.
  [[nodiscard]] bool wants_data() const { return copy_in_; }
  int send_data(std::string_view data);
  int end_data();
  int fail_data(std::string_view reason);
  // Data of COPY TO STDOUT goes there; null: to where results go.
  void set_copy_target(Output* target) { copy_target_ = target; }

  // On stderr, behind all that was printed.
  void show(std::string_view text);
  // Shows an error of our own. Returns kExitSqlError.
  int refuse(const std::string& reason);
  int fail(const Status& status);

  [[nodiscard]] Display& display() { return display_; }
  // After a change of the format.
  void renew_writer() { writer_ = make_writer(display_, *results_); }
  // Results go to a file from here on; null: to `out` again.
  void set_results(std::unique_ptr<Output> file);
  // Where results go.
  [[nodiscard]] Output& results() { return *results_; }
  // After the session was replaced by another one.
  void begin_session();
  // How many there were; from 1.
  [[nodiscard]] int session_number() const { return session_number_; }
  // As the server has last reported it, or as it was set.
  [[nodiscard]] bool is_superuser() const { return is_superuser_; }
  void set_superuser(bool is_superuser) { is_superuser_ = is_superuser; }
  [[nodiscard]] Output& out() { return out_; }
  [[nodiscard]] SqlSession& session() { return session_; }
  [[nodiscard]] bool standard_strings() const { return standard_strings_; }
  // As in ReadyForQuery.
  [[nodiscard]] char transaction_status() const { return transaction_status_; }

  // Where set: shows a result of this extent on a page of its own by calling `print`, and returns
  // true.
  std::function<bool(const Extent& extent, const std::function<void()>& print)> pager;
  // Where set: called before something is shown on stderr.
  std::function<void()> before_message;

 private:
  int send(std::string_view messages);
  void receive(const wire::BackendMessage& message);
  void receive_row(std::string_view body);
  bool check(bool good);
  bool end_result(bool complete);
  void show_binary();
  void show_report(std::string_view body, bool is_error);
  void show_notification(std::string_view body);

  SqlSession& session_;
  Display display_;
  Output& out_;
  Output& err_;
  std::unique_ptr<Output> file_;
  Output* results_;
  std::unique_ptr<ResultWriter> writer_;
  Output* copy_target_ = nullptr;
  std::string script_;
  Statement statement_;

  wire::BackendReader reader_;
  std::vector<wire::Column> columns_;  // their names are valid in begin() only
  size_t column_count_ = 0;
  std::vector<bool> binary_;
  Row row_;
  std::vector<std::string> hex_;
  Rows* fetched_ = nullptr;
  bool is_silent_ = false;
  bool is_own_ = false;  // the query is not the statement
  bool in_result_ = false;
  bool copy_in_ = false;
  bool copy_out_ = false;
  bool failed_ = false;
  bool gave_up_ = false;
  bool malformed_ = false;
  bool standard_strings_;
  char transaction_status_ = 'I';
  bool is_superuser_ = true;
  int session_number_ = 1;
};

}  // namespace pglite::cli

#endif  // PGLITE_CLI_QUERY_RUNNER_H_
