// Runs a script statement by statement, and psql's commands in it.
#ifndef PGLITE_CLI_SCRIPT_H_
#define PGLITE_CLI_SCRIPT_H_

#include <functional>
#include <string>
#include <string_view>

#include "cli/line_source.h"
#include "cli/prompt/meta_commands.h"
#include "cli/query_runner.h"
#include "cli/statement_reader.h"

namespace pglite::cli {

class Script {
 public:
  // All of them must outlive this. `is_prompt`: what is wrong with a statement does not end it.
  Script(QueryRunner& runner, MetaCommands& commands, LineSource& source, bool is_prompt)
      : runner_(runner),
        commands_(commands),
        source_(source),
        reader_(source),
        is_prompt_(is_prompt) {}

  // Returns an exit code.
  int run();

  [[nodiscard]] const StatementReader& reader() const { return reader_; }
  // A COPY FROM STDIN is being given its data.
  [[nodiscard]] bool in_data() const { return in_data_; }
  // Forgets the statement that has begun.
  void reset() { reader_.reset(); }
  // Reads `text` before anything else.
  void insert(std::string_view text) { reader_.insert(text); }

  // Where set: called between statements, and between pieces of data.
  std::function<void()> progress;

 private:
  int run_statement(Statement statement);
  int run_command();
  int send_data();
  int restrict(const MetaCommand& command);

  QueryRunner& runner_;
  MetaCommands& commands_;
  LineSource& source_;
  StatementReader reader_;
  bool is_prompt_;
  bool in_data_ = false;
  bool has_ended_ = false;  // by \q
  Statement statement_;
  std::string restrict_key_;  // of the \restrict that holds; empty: none does
};

}  // namespace pglite::cli

#endif  // PGLITE_CLI_SCRIPT_H_
