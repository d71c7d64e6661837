#include "cli/statement_reader.h"

#include <algorithm>
#include <utility>

namespace pglite::cli {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool begins_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool continues_word(char c) {
  return begins_word(c) || is_digit(c) || c == '$';
}

bool same_word(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [lower](char x, char y) { return lower(x) == lower(y); });
}

// The "$tag$" that `text` begins with, or nothing.
std::string_view dollar_tag(std::string_view text) {
  size_t end = 1;
  if (end < text.size() && begins_word(text[end])) {
    while (end < text.size() && text[end] != '$' && continues_word(text[end])) ++end;
  }
  return end < text.size() && text[end] == '$' ? text.substr(0, end + 1) : std::string_view();
}

}  // namespace

bool StatementReader::next_line() {
  if (!inserted_.empty()) {
    const size_t size = inserted_.find('\n') + 1;
    line_ = inserted_.substr(0, size);
    inserted_.erase(0, size);
    position_ = 0;
    return true;
  }
  if (!source_.next(&line_)) {
    line_.clear();
    position_ = 0;
    return false;
  }
  position_ = 0;
  if (line_number_++ == 0 && line_.starts_with("\xef\xbb\xbf")) position_ = 3;
  return true;
}

bool StatementReader::data_line(std::string* line) {
  if (!source_.next(line)) return false;
  ++line_number_;
  return true;
}

void StatementReader::begin_statement() {
  has_token_ = backslash_ = after_escape_string_ = false;
  paren_depth_ = begin_depth_ = word_count_ = 0;
  first_words_.clear();
}

void StatementReader::insert(std::string_view text) {
  inserted_ += text;
  if (!inserted_.empty() && !inserted_.ends_with('\n')) inserted_ += '\n';
}

Statement StatementReader::take_pending() {
  Statement taken;
  std::swap(taken, pending_);
  begin_statement();
  state_ = State::kNormal;
  comment_depth_ = 0;
  return taken;
}

void StatementReader::reset() {
  static_cast<void>(take_pending());
  inserted_.clear();
  line_.clear();
  position_ = 0;
}

StatementReader::Open StatementReader::open() const {
  switch (state_) {
    case State::kQuoted:
    case State::kEscaped:
      return Open::kString;
    case State::kIdentifier:
      return Open::kIdentifier;
    case State::kDollar:
      return Open::kDollar;
    case State::kComment:
      return Open::kComment;
    case State::kNormal:
      break;
  }
  if (paren_depth_ > 0) return Open::kParenthesis;
  return has_token_ ? Open::kStatement : Open::kNothing;
}

StatementReader::Result StatementReader::next(Statement* statement) {
  while (true) {
    if (position_ == line_.size() && !next_line()) {
      state_ = State::kNormal;
      if (!has_token_) return Result::kEnd;
      *statement = take_pending();
      return Result::kStatement;
    }
    if (pending_.text.empty()) {
      while (position_ < line_.size() && is_space(line_[position_])) ++position_;
      pending_.first_line = line_number_;
    }
    const size_t begin = position_;
    const bool complete = scan_line();
    pending_.text.append(line_, begin, position_ - begin);
    if (backslash_) {
      backslash_ = false;
      backslash_at_ = position_;
      if (!has_token_) pending_ = {};
      statement->text = rest();
      while (!statement->text.empty() && is_space(statement->text.back())) {
        statement->text.pop_back();
      }
      statement->first_line = line_number_;
      position_ = line_.size();
      return Result::kBackslash;
    }
    if (!complete) continue;
    // Nothing but comments before a semicolon is no statement.
    const bool is_statement = has_token_;
    *statement = take_pending();
    if (is_statement) return Result::kStatement;
  }
}

bool StatementReader::scan_line() {
  while (position_ < line_.size()) {
    switch (state_) {
      case State::kNormal:
        if (scan_normal()) return true;
        break;
      case State::kQuoted:
        scan_quoted('\'', false);
        break;
      case State::kEscaped:
        scan_quoted('\'', true);
        break;
      case State::kIdentifier:
        scan_quoted('"', false);
        break;
      case State::kDollar: {
        const size_t end = line_.find(dollar_tag_, position_);
        if (end == std::string::npos) {
          position_ = line_.size();
        } else {
          position_ = end + dollar_tag_.size();
          state_ = State::kNormal;
        }
        break;
      }
      case State::kComment:
        scan_comment();
        break;
    }
  }
  return false;
}

// Reads a token, or the beginning of one that has a state of its own. True: the statement ends
// here.
bool StatementReader::scan_normal() {
  const char c = line_[position_];
  if (is_space(c)) {
    ++position_;
    return false;
  }
  if (rest().starts_with("--")) {
    position_ = line_.size();
    return false;
  }
  if (rest().starts_with("/*")) {
    state_ = State::kComment;
    return false;
  }
  if (c == ';') {
    ++position_;
    return paren_depth_ == 0 && begin_depth_ == 0;
  }
  if (c == '\\') {
    backslash_ = true;
    return true;
  }
  has_token_ = true;
  const bool continues_escape = after_escape_string_ && line_number_ > escape_string_line_;
  after_escape_string_ = false;
  if (c == '\'') {
    ++position_;
    state_ = continues_escape || !standard_strings_ ? State::kEscaped : State::kQuoted;
  } else if (c == '"') {
    ++position_;
    state_ = State::kIdentifier;
  } else if (c == '$') {
    const std::string_view tag = dollar_tag(rest());
    if (tag.empty()) {
      ++position_;
    } else {
      dollar_tag_ = tag;
      position_ += tag.size();
      state_ = State::kDollar;
    }
  } else if (begins_word(c)) {
    scan_word();
  } else if (is_digit(c)) {
    // Letters right behind a number belong to it, so that 1e'..' has no escape string in it.
    while (position_ < line_.size() &&
           (is_digit(line_[position_]) || begins_word(line_[position_])))
      ++position_;
  } else {
    if (c == '(') ++paren_depth_;
    if (c == ')' && paren_depth_ > 0) --paren_depth_;
    ++position_;
  }
  return false;
}

void StatementReader::scan_word() {
  const size_t begin = position_;
  while (position_ < line_.size() && continues_word(line_[position_])) ++position_;
  const std::string_view word = std::string_view(line_).substr(begin, position_ - begin);
  if (word.size() == 1 && rest().starts_with('\'')) {
    const char prefix = static_cast<char>(word[0] | 0x20);
    if (prefix == 'e' || prefix == 'b' || prefix == 'x') {
      ++position_;
      state_ = prefix == 'e' ? State::kEscaped : State::kQuoted;
      return;
    }
  }
  note_word(word);
}

// In CREATE [OR REPLACE] {FUNCTION | PROCEDURE}, BEGIN opens a body of statements and CASE an
// expression, both closed by END. The first words are recognised by their position, so that a
// column named "begin" elsewhere does no harm.
void StatementReader::note_word(std::string_view word) {
  for (std::string_view known : {"create", "function", "procedure", "or", "replace"}) {
    if (static_cast<size_t>(word_count_) == first_words_.size() && first_words_.size() < 4 &&
        same_word(word, known)) {
      first_words_ += known[0];
      break;
    }
  }
  ++word_count_;
  const std::string_view words = first_words_;
  const bool routine = words.starts_with("cf") || words.starts_with("cp") ||
                       words.starts_with("corf") || words.starts_with("corp");
  if (!routine || paren_depth_ > 0) return;
  if (same_word(word, "begin")) {
    ++begin_depth_;
  } else if (same_word(word, "case")) {
    if (begin_depth_ > 0) ++begin_depth_;
  } else if (same_word(word, "end")) {
    if (begin_depth_ > 0) --begin_depth_;
  }
}

void StatementReader::scan_quoted(char quote, bool escapes) {
  while (position_ < line_.size()) {
    const char c = line_[position_++];
    if (escapes && c == '\\' && position_ < line_.size()) {
      ++position_;
      continue;
    }
    if (c != quote) continue;
    // A doubled quote closes and opens again, in the same state.
    if (position_ < line_.size() && line_[position_] == quote) {
      ++position_;
      continue;
    }
    state_ = State::kNormal;
    after_escape_string_ = escapes;
    escape_string_line_ = line_number_;
    return;
  }
}

void StatementReader::scan_comment() {
  while (position_ < line_.size()) {
    if (rest().starts_with("/*")) {
      ++comment_depth_;
      position_ += 2;
    } else if (rest().starts_with("*/")) {
      position_ += 2;
      if (--comment_depth_ == 0) {
        state_ = State::kNormal;
        return;
      }
    } else {
      ++position_;
    }
  }
}

}  // namespace pglite::cli
