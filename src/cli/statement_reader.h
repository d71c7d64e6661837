// Splits an SQL script into statements, as psql does (fe_utils/psqlscan.l): at semicolons outside
// of quotes, dollar quotes, comments, parentheses and BEGIN ATOMIC bodies. Reads no further than
// the line the statement ends in, so that the data of a COPY FROM STDIN can follow.
#ifndef PGLITE_CLI_STATEMENT_READER_H_
#define PGLITE_CLI_STATEMENT_READER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "cli/line_source.h"

namespace pglite::cli {

struct Statement {
  std::string text;         // with its semicolon, if it has one
  uint64_t first_line = 1;  // of the script, where the text begins
};

class StatementReader {
 public:
  explicit StatementReader(LineSource& source) : source_(source) {}

  enum class Result {
    kStatement,
    kEnd,        // of the script; look at the source's status()
    kBackslash,  // a psql command: `text` is the line from it on, `first_line` where it stands
  };
  // The next statement that consists of more than white space and comments. If the script ends
  // within a statement, that is handed out as it is: PostgreSQL will say what is missing. A psql
  // command may stand within a statement, which goes on behind it.
  Result next(Statement* statement);
  // After kBackslash: what stands `size` bytes behind the backslash is still to be read.
  void resume_behind(size_t size) { position_ = backslash_at_ + size; }

  // The statement that has begun and is not complete, as far as it was read.
  [[nodiscard]] const Statement& pending() const { return pending_; }
  [[nodiscard]] bool in_statement() const { return has_token_; }
  // Forgets it, and returns it.
  Statement take_pending();
  // Reads `text` before anything else of the script.
  void insert(std::string_view text);
  // Forgets what has begun, and what was read and not handed out.
  void reset();

  // What has to be closed before a semicolon ends the statement.
  enum class Open { kNothing, kStatement, kString, kIdentifier, kDollar, kComment, kParenthesis };
  [[nodiscard]] Open open() const;

  // Sets standard_conforming_strings from here on: whether a backslash in '...' is an ordinary
  // character. The server reports changes.
  void set_standard_strings(bool on) { standard_strings_ = on; }

  // The next whole line behind the line in which the last statement ended: data of a COPY.
  bool data_line(std::string* line);
  // The number of the line that was read last, from 1.
  [[nodiscard]] uint64_t line_number() const { return line_number_; }

 private:
  enum class State { kNormal, kQuoted, kEscaped, kIdentifier, kDollar, kComment };

  bool next_line();
  // Moves over the rest of the line or to a statement's end; true there.
  bool scan_line();
  bool scan_normal();
  void scan_word();
  void scan_quoted(char quote, bool escapes);
  void scan_comment();
  [[nodiscard]] std::string_view rest() const { return std::string_view(line_).substr(position_); }
  void note_word(std::string_view word);
  void begin_statement();

  LineSource& source_;
  Statement pending_;
  size_t backslash_at_ = 0;
  std::string inserted_;  // lines
  std::string line_;
  size_t position_ = 0;
  uint64_t line_number_ = 0;
  bool standard_strings_ = true;

  State state_ = State::kNormal;
  std::string dollar_tag_;  // "$tag$"
  int comment_depth_ = 0;
  bool after_escape_string_ = false;  // a quote on another line would continue it
  uint64_t escape_string_line_ = 0;

  // Of the statement in hand.
  bool has_token_ = false;
  bool backslash_ = false;
  int paren_depth_ = 0;
  int begin_depth_ = 0;
  int word_count_ = 0;
  std::string first_words_;  // the initials of CREATE OR REPLACE FUNCTION and the like
};

}  // namespace pglite::cli

#endif  // PGLITE_CLI_STATEMENT_READER_H_
