#include "cli/settings.h"

#include <algorithm>

namespace pglite::cli {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

Status split_words(std::string_view text, std::vector<std::string>* words) {
  std::string word;
  bool in_word = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (is_space(c)) {
      if (in_word) words->push_back(std::move(word));
      word.clear();
      in_word = false;
      continue;
    }
    in_word = true;
    if (c == '\\') {
      if (++i == text.size()) return Status::invalid_argument("a backslash stands at the end");
      word += text[i];
    } else if (c == '\'' || c == '"') {
      for (++i; i < text.size() && text[i] != c; ++i) {
        if (c == '"' && text[i] == '\\' && i + 1 < text.size() &&
            (text[i + 1] == '"' || text[i + 1] == '\\')) {
          ++i;
        }
        word += text[i];
      }
      if (i == text.size()) {
        return Status::invalid_argument(std::string("the quote ") + c + " is not closed");
      }
    } else {
      word += c;
    }
  }
  if (in_word) words->push_back(std::move(word));
  return {};
}

}  // namespace

Status parse_settings(std::string_view text, std::vector<std::string>* settings) {
  std::vector<std::string> words;
  if (Status status = split_words(text, &words); !status.ok()) return status;
  for (size_t i = 0; i < words.size(); ++i) {
    std::string setting;
    if (words[i] == "-c") {
      if (++i == words.size()) return Status::invalid_argument("-c lacks its name=value");
      setting = words[i];
    } else if (words[i].starts_with("-c")) {
      setting = words[i].substr(2);
    } else if (words[i].starts_with("--")) {
      setting = words[i].substr(2);
      const auto name_end = std::find(setting.begin(), setting.end(), '=');
      std::replace(setting.begin(), name_end, '-', '_');
    } else {
      return Status::invalid_argument("'" + words[i] + "' is not -c name=value");
    }
    const size_t equals = setting.find('=');
    if (equals == std::string::npos || equals == 0) {
      return Status::invalid_argument("'" + setting + "' is not name=value");
    }
    settings->push_back(std::move(setting));
  }
  return {};
}

}  // namespace pglite::cli
