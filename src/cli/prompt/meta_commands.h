// What psql's commands do. Those that need a person are refused in a script.
#ifndef PGLITE_CLI_PROMPT_META_COMMANDS_H_
#define PGLITE_CLI_PROMPT_META_COMMANDS_H_

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/line_source.h"
#include "cli/prompt/meta_command.h"
#include "cli/prompt/pager.h"
#include "cli/query_runner.h"
#include "cli/statement_reader.h"

namespace pglite::cli {

class MetaCommands {
 public:
  // `in`: standard input. `pager`: of a prompt; null: this is none. All must outlive this.
  MetaCommands(QueryRunner& runner, int in, Pager* pager)
      : runner_(runner), in_(in), pager_(pager) {}

  struct Outcome {
    int code = 0;                          // as QueryRunner's
    bool ends = false;                     // the script, or the prompt
    bool wants_data = false;               // a COPY has begun, whose data stands behind the command
    std::optional<Statement> statement{};  // to be run now; statement_done() when it was
  };
  // `reader` is at the command.
  Outcome run(const MetaCommand& command, StatementReader& reader);
  void statement_done();
  // Of the script that runs, for \ir.
  void set_script_path(const std::string& path) {
    directory_ = path.substr(0, path.rfind('/') + 1);
  }

  // Where set: gets what was edited.
  std::function<void(const std::string& text)> remember;

  [[nodiscard]] bool timing() const { return timing_; }
  // Of all commands, without the backslash.
  static std::vector<std::string_view> names();

 private:
  using Arguments = std::vector<std::string>;

  [[nodiscard]] std::optional<Outcome> run_on_statement(const MetaCommand& command,
                                                        StatementReader& reader);
  [[nodiscard]] std::optional<int> run_plain(const MetaCommand& command);
  [[nodiscard]] std::optional<int> run_setting(const MetaCommand& command);
  Outcome copy(const MetaCommand& command);
  int copy_from(const std::string& sql, int fd, const std::string& name);
  int copy_to(const std::string& sql, const std::string& file);
  int edit(StatementReader& reader, const Arguments& arguments);
  int include(const MetaCommand& command);
  int connect(const Arguments& arguments);
  int connection_info();
  int redirect(const Arguments& arguments);
  int echo(const Arguments& arguments, bool to_stderr, Output& out);
  int set_display(const Arguments& arguments);
  int toggle(std::string_view what, const Arguments& arguments, bool* value);
  int set_expanded(const Arguments& arguments);
  int set_format(Format format);
  int show_text(const std::string& text);
  // What a command has set, unless it is to be quiet.
  int confirm(const std::string& text);
  int refuse(const MetaCommand& command, const std::string& reason);

  QueryRunner& runner_;
  int in_;
  Pager* pager_;
  bool timing_ = false;
  int depth_ = 0;          // of scripts in scripts
  std::string directory_;  // of the script that runs, with its slash; for \ir
  std::string last_edited_;
  std::optional<Expanded> expanded_before_;  // \gx
};

}  // namespace pglite::cli

#endif  // PGLITE_CLI_PROMPT_META_COMMANDS_H_
