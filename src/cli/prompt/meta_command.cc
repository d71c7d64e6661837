#include "cli/prompt/meta_command.h"

#include <algorithm>

namespace pglite::cli {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

int octal_digit(char c) {
  return c >= '0' && c <= '7' ? c - '0' : -1;
}

class Parser {
 public:
  explicit Parser(std::string_view line) : line_(line) {}

  MetaCommand parse() {
    ++at_;
    const size_t name_at = at_;
    // "\\" is no name.
    while (!is_at_end() && !is_space(line_[at_]) && line_[at_] != '\\') ++at_;
    command_.name = line_.substr(name_at, at_ - name_at);
    command_.rest = line_.substr(at_);
    if (command_.name == "copy" || command_.name == "h" || command_.name == "help" ||
        command_.name == "restrict" || command_.name == "unrestrict") {
      at_ = line_.size();
    } else {
      while (command_.error.empty() && next_argument()) {
      }
    }
    command_.size = at_;
    return std::move(command_);
  }

 private:
  [[nodiscard]] bool is_at_end() const { return at_ == line_.size(); }

  bool next_argument() {
    while (!is_at_end() && is_space(line_[at_])) ++at_;
    if (is_at_end()) return false;
    if (line_[at_] == '\\') {
      if (line_.substr(at_).starts_with("\\\\")) at_ += 2;
      return false;
    }
    std::string argument;
    while (!is_at_end() && !is_space(line_[at_]) && line_[at_] != '\\') {
      if (line_[at_] == '\'') {
        append_quoted(argument);
      } else if (line_[at_] == '"') {
        append_identifier(argument);
      } else {
        argument += line_[at_++];
      }
    }
    command_.arguments.push_back(std::move(argument));
    return true;
  }

  void append_quoted(std::string& argument) {
    for (++at_; !is_at_end(); ++at_) {
      if (line_[at_] == '\'') {
        ++at_;
        if (is_at_end() || line_[at_] != '\'') return;
        argument += '\'';
      } else if (line_[at_] == '\\' && at_ + 1 < line_.size()) {
        ++at_;
        append_escape(argument);
      } else {
        argument += line_[at_];
      }
    }
    command_.error = "unterminated quoted string";
  }

  // At the character behind the backslash; leaves off at its last one.
  void append_escape(std::string& argument) {
    constexpr std::string_view kLetters = "nrtbf";
    constexpr std::string_view kMeant = "\n\r\t\b\f";
    const char c = line_[at_];
    if (const size_t letter = kLetters.find(c); letter != std::string_view::npos) {
      argument += kMeant[letter];
    } else if (octal_digit(c) >= 0) {
      int value = octal_digit(c);
      for (int more = 0; more < 2 && at_ + 1 < line_.size() && octal_digit(line_[at_ + 1]) >= 0;
           ++more) {
        value = value * 8 + octal_digit(line_[++at_]);
      }
      argument += static_cast<char>(value);
    } else {
      argument += c;
    }
  }

  void append_identifier(std::string& argument) {
    do argument += line_[at_++];
    while (!is_at_end() && line_[at_] != '"');
    if (is_at_end()) {
      command_.error = "unterminated quoted string";
    } else {
      argument += line_[at_++];
    }
  }

  std::string_view line_;
  size_t at_ = 0;
  MetaCommand command_;
};

}  // namespace

MetaCommand parse_meta_command(std::string_view line) {
  return Parser(line).parse();
}

std::string identifier_named(std::string_view argument) {
  std::string name;
  bool quoted = false;
  for (size_t i = 0; i < argument.size(); ++i) {
    char c = argument[i];
    if (c == '"') {
      const bool doubled = quoted && argument.substr(i + 1).starts_with('"');
      if (doubled) {
        name += argument[i++];
      } else {
        quoted = !quoted;
      }
      continue;
    }
    if (!quoted && c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
    name += c;
  }
  return name;
}

bool parse_switch(std::string_view argument, bool* value) {
  std::string lower(argument);
  std::ranges::transform(lower, lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  });
  const auto is_one_of = [&](std::initializer_list<std::string_view> words) {
    return std::ranges::find(words, lower) != words.end();
  };
  *value = is_one_of({"on", "true", "yes", "1"});
  return *value || is_one_of({"off", "false", "no", "0"});
}

}  // namespace pglite::cli
