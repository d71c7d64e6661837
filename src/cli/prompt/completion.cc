#include "cli/prompt/completion.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <utility>

#include "cli/prompt/meta_command.h"
#include "cli/prompt/meta_commands.h"

namespace pglite::cli {
namespace {

using Names = Catalogue::Names;

// What a statement begins with.
constexpr std::string_view kVerbs[] = {
    "abort",   "alter",   "analyze", "begin",    "call",      "checkpoint", "close",
    "cluster", "comment", "commit",  "copy",     "create",    "deallocate", "declare",
    "delete",  "discard", "do",      "drop",     "end",       "execute",    "explain",
    "fetch",   "grant",   "import",  "insert",   "listen",    "load",       "lock",
    "merge",   "move",    "notify",  "prepare",  "reassign",  "refresh",    "reindex",
    "release", "reset",   "revoke",  "rollback", "savepoint", "security",   "select",
    "set",     "show",    "start",   "table",    "truncate",  "unlisten",   "update",
    "vacuum",  "values",  "with"};

// Behind these stands the name of a relation.
constexpr std::string_view kBeforeRelations[] = {
    "from",   "join",    "into",       "update", "table", "truncate", "only",  "view",
    "vacuum", "analyze", "references", "copy",   "lock",  "sequence", "index", "cluster"};

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  });
  return out;
}

std::string upper(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c & ~0x20) : c;
  });
  return out;
}

template <size_t kSize>
bool contains(const std::string_view (&words)[kSize], std::string_view word) {
  return std::ranges::find(words, word) != std::end(words);
}

bool is_in_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '$' || static_cast<unsigned char>(c) >= 0x80;
}

// Words (with their quotes), dots and other characters of SQL; strings and comments are left out.
struct Tokens {
  std::vector<std::string_view> tokens;
  bool is_open = false;         // ends within a string or a comment
  size_t last_word = SIZE_MAX;  // where the word (or qualified name) begins that ends the text
};

size_t behind(std::string_view text, std::string_view end, size_t from, bool* is_open) {
  const size_t found = text.find(end, from);
  *is_open = found == std::string_view::npos;
  return *is_open ? text.size() : found + end.size();
}

Tokens tokenize(std::string_view text) {
  Tokens out;
  size_t at = 0;
  bool after_dot = false;
  while (at < text.size()) {
    const char c = text[at];
    const std::string_view rest = text.substr(at);
    const size_t begin = at;
    if (rest.starts_with("--")) {
      at = behind(text, "\n", at, &out.is_open);
    } else if (rest.starts_with("/*")) {
      at = behind(text, "*/", at + 2, &out.is_open);
    } else if (c == '\'') {
      at = behind(text, "'", at + 1, &out.is_open);
    } else if (c == '"' || is_in_word(c)) {
      bool quote_is_open = false;
      if (c == '"') {
        at = behind(text, "\"", at + 1, &quote_is_open);
      } else {
        while (at < text.size() && is_in_word(text[at])) ++at;
      }
      out.tokens.push_back(text.substr(begin, at - begin));
      if (!after_dot) out.last_word = begin;
      after_dot = false;
      continue;
    } else {
      ++at;
      if (c == '.') {
        after_dot = out.last_word != SIZE_MAX;
        out.tokens.push_back(rest.substr(0, 1));
        continue;
      }
      if (c != ' ' && c != '\t' && c != '\n') out.tokens.push_back(rest.substr(0, 1));
    }
    out.last_word = SIZE_MAX;
    after_dot = false;
  }
  return out;
}

// Which relations a statement names, by their names and aliases.
std::map<std::string, Catalogue::Relation> relations_in(
    const std::vector<std::string_view>& tokens) {
  constexpr std::string_view kNoAliases[] = {"on",    "using",  "where",     "join",   "left",
                                             "right", "inner",  "full",      "cross",  "natural",
                                             "set",   "order",  "group",     "values", "select",
                                             "limit", "having", "returning", "union",  "from"};
  std::map<std::string, Catalogue::Relation> relations;
  bool is_expected = false;
  bool in_from = false;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const std::string word = lower(tokens[i]);
    if (is_expected && (is_in_word(word[0]) || word[0] == '"') && word != "only" &&
        word != "lateral") {
      Catalogue::Relation relation;
      relation.name = identifier_named(tokens[i]);
      if (i + 2 < tokens.size() && tokens[i + 1] == ".") {
        relation.schema = std::exchange(relation.name, identifier_named(tokens[i + 2]));
        i += 2;
      }
      relations[relation.name] = relation;
      size_t alias = i + 1;
      if (alias < tokens.size() && lower(tokens[alias]) == "as") ++alias;
      if (alias < tokens.size() && (is_in_word(tokens[alias][0]) || tokens[alias][0] == '"') &&
          !contains(kNoAliases, lower(tokens[alias]))) {
        relations[identifier_named(tokens[alias])] = relation;
        i = alias;
      }
      is_expected = false;
      continue;
    }
    if (word == ",") {
      is_expected = in_from;
    } else if (contains(kBeforeRelations, word)) {
      is_expected = true;
      in_from = word == "from" || word == "join";
    } else if (word != "only" && word != "lateral") {
      is_expected = false;
      if (contains(kNoAliases, word)) in_from = false;
    }
  }
  return relations;
}

class Completer {
 public:
  Completer(std::string_view statement, std::string_view line, Catalogue& catalogue)
      : statement_(statement), line_(line), catalogue_(catalogue) {}

  Completion run() {
    const size_t first = line_.find_first_not_of(" \t");
    if (first != std::string_view::npos && line_[first] == '\\') {
      complete_command(line_.substr(first));
    } else {
      complete_sql();
    }
    Completion result;
    result.begin = line_.size() - word_.size();
    std::ranges::sort(found_);
    const auto same = std::ranges::unique(found_);
    found_.erase(same.begin(), same.end());
    result.candidates = std::move(found_);
    return result;
  }

 private:
  // Those that begin with the word, whose case does not matter but within quotes.
  void add(const Names& names, std::string_view prefix = {}, std::string_view end = {}) {
    const std::string wanted = lower(word_);
    for (const std::string& name : names) {
      const std::string candidate = std::string(prefix) + name + std::string(end);
      if (candidate.starts_with(word_) || lower(candidate).starts_with(wanted)) {
        found_.push_back(candidate);
      }
    }
  }

  template <class Words>
  void add_keywords(const Words& words) {
    const bool is_lower = !word_.empty() && word_[0] >= 'a' && word_[0] <= 'z';
    const std::string wanted = lower(word_);
    for (const auto& word : words) {
      if (std::string_view(word).starts_with(wanted)) {
        found_.push_back(is_lower ? std::string(word) : upper(word));
      }
    }
  }

  void add_relations() {
    add(catalogue_.relations(""));
    add(catalogue_.schemas(), "", ".");
  }

  void add_files() {
    namespace fs = std::filesystem;
    const size_t slash = word_.rfind('/') + 1;  // npos + 1 is 0
    std::string directory(word_.substr(0, slash));
    const char* const home = std::getenv("HOME");
    const std::string prefix = directory;
    if (directory.starts_with("~/") && home != nullptr) directory.replace(0, 1, home);
    const std::string_view beginning = word_.substr(slash);
    std::error_code error;
    for (fs::directory_iterator entry(directory.empty() ? "." : directory, error), end;
         !error && entry != end; entry.increment(error)) {
      const std::string name = entry->path().filename().string();
      if (!name.starts_with(beginning) || (beginning.empty() && name.starts_with('.'))) continue;
      std::error_code unknown;
      found_.push_back(prefix + name + (entry->is_directory(unknown) ? "/" : ""));
    }
  }

  void complete_command(std::string_view text) {
    const size_t word_at = text.find_last_of(" \t") + 1;
    word_ = text.substr(word_at);
    if (word_at == 0) {
      for (const std::string_view name : MetaCommands::names()) {
        const std::string command = "\\" + std::string(name);
        if (command.starts_with(word_)) found_.push_back(command);
      }
      return;
    }
    const MetaCommand command = parse_meta_command(text.substr(0, word_at));
    const std::string& name = command.name;
    if (name == "i" || name == "ir" || name == "o" || name == "e" || name == "include") {
      add_files();
    } else if (name == "c" || name == "connect" || name.starts_with('l')) {
      add(catalogue_.databases());
    } else if (name == "x" || name == "t" || name == "timing") {
      add({"on", "off"});
      if (name == "x") add({"auto"});
    } else if (name == "pset") {
      add({"expanded", "format", "null", "pager", "tuples_only"});
    } else if (name == "copy") {
      const std::string before = " " + lower(command.rest);
      const bool behind_table =
          before.find(" from ") != std::string::npos || before.find(" to ") != std::string::npos;
      if (behind_table) {
        add_files();
      } else if (command.rest.find_first_not_of(" \t") == std::string::npos) {
        add_relations();
      } else {
        add({"from", "to"});
      }
    } else if (name.starts_with("dn")) {
      add(catalogue_.schemas());
    } else if (name.starts_with("du")) {
      add(catalogue_.roles());
    } else if (name.starts_with("df")) {
      add(catalogue_.functions(""));
    } else if (name.starts_with('d')) {
      add_relations_qualified();
    }
  }

  // The word may have its schema in front.
  void add_relations_qualified() {
    const size_t dot = word_.rfind('.');
    if (dot == std::string_view::npos) return add_relations();
    const std::string schema = identifier_named(word_.substr(0, dot));
    add(catalogue_.relations(schema), word_.substr(0, dot + 1));
  }

  void complete_sql() {
    const std::string text = std::string(statement_) + std::string(line_);
    const Tokens all = tokenize(text);
    if (all.is_open) return;
    std::vector<std::string_view> before = all.tokens;
    if (all.last_word != SIZE_MAX && all.last_word >= statement_.size()) {
      word_ = line_.substr(all.last_word - statement_.size());
      const char* const begin = text.data() + all.last_word;
      std::erase_if(before, [&](std::string_view token) { return token.data() >= begin; });
    }
    // Only the last statement counts.
    const auto semicolon = std::find(before.rbegin(), before.rend(), ";");
    before.erase(before.begin(), semicolon.base());
    const auto relations = relations_in(all.tokens);
    if (const size_t dot = word_.rfind('.'); dot != std::string_view::npos) {
      return complete_qualified(dot, relations);
    }
    if (before.empty()) return add_keywords(kVerbs);
    const std::string previous = lower(before.back());
    const std::string one_before = before.size() > 1 ? lower(before[before.size() - 2]) : "";
    if (contains(kBeforeRelations, previous)) return add_relations();
    if (previous == "," && is_in_from_list(before)) return add_relations();
    if (previous == "schema") return add(catalogue_.schemas());
    if (previous == "database") return add(catalogue_.databases());
    if (previous == "role" || previous == "user" || (previous == "to" && one_before == "owner")) {
      return add(catalogue_.roles());
    }
    if (before.size() == 1 && (previous == "set" || previous == "show" || previous == "reset")) {
      return add(catalogue_.settings());
    }
    if (previous == "call" || previous == "function" || previous == "procedure") {
      return add(catalogue_.functions(""), "", "(");
    }
    for (const auto& [name, relation] : relations) add(catalogue_.columns(relation));
    if (is_before_column(before)) return;
    // All there is would be too much to look through.
    if (word_.empty()) return;
    add_keywords(catalogue_.keywords());
    add(catalogue_.functions(""), "", "(");
    for (const auto& [name, relation] : relations) add({name}, "", ".");
  }

  void complete_qualified(size_t dot, const std::map<std::string, Catalogue::Relation>& relations) {
    const std::string_view qualifier = word_.substr(0, dot + 1);
    const size_t inner = word_.substr(0, dot).rfind('.');
    const std::string name = identifier_named(inner == std::string_view::npos
                                                  ? word_.substr(0, dot)
                                                  : word_.substr(inner + 1, dot - inner - 1));
    if (inner != std::string_view::npos) {
      return add(catalogue_.columns({identifier_named(word_.substr(0, inner)), name}), qualifier);
    }
    const auto found = relations.find(name);
    if (found != relations.end()) add(catalogue_.columns(found->second), qualifier);
    add(catalogue_.relations(name), qualifier);
    add(catalogue_.functions(name), qualifier, "(");
  }

  // Whether nothing but a column can stand here.
  static bool is_before_column(const std::vector<std::string_view>& tokens) {
    const std::string verb = lower(tokens.front());
    const std::string previous = lower(tokens.back());
    if (verb == "update" && previous == "set") return true;
    return verb == "insert" && (previous == "(" || previous == ",") &&
           std::ranges::none_of(tokens, [](std::string_view token) {
             const std::string word = lower(token);
             return word == "values" || word == "select";
           });
  }

  // Whether the last clause that began is FROM.
  static bool is_in_from_list(const std::vector<std::string_view>& tokens) {
    constexpr std::string_view kClauses[] = {"from",  "select", "where",  "group",
                                             "order", "set",    "values", "("};
    for (auto token = tokens.rbegin(); token != tokens.rend(); ++token) {
      const std::string word = lower(*token);
      if (contains(kClauses, word)) return word == "from";
    }
    return false;
  }

  std::string_view statement_;
  std::string_view line_;
  Catalogue& catalogue_;
  std::string_view word_;
  Names found_;
};

}  // namespace

Completion complete(std::string_view statement, std::string_view line, Catalogue& catalogue) {
  return Completer(statement, line, catalogue).run();
}

std::string common_beginning(const std::vector<std::string>& candidates) {
  if (candidates.empty()) return {};
  std::string common = candidates.front();
  for (const std::string& candidate : candidates) {
    const auto differ = std::ranges::mismatch(common, candidate);
    common.erase(differ.in1, common.end());
  }
  // Not in the middle of a character.
  const std::string& whole = candidates.front();
  while (!common.empty() && common.size() < whole.size() &&
         (static_cast<unsigned char>(whole[common.size()]) & 0xc0) == 0x80) {
    common.pop_back();
  }
  return common;
}

}  // namespace pglite::cli
