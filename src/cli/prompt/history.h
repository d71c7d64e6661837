// The statements of earlier prompts, in a file for its owner only. A line each, with \n for a
// newline and \\ for a backslash.
#ifndef PGLITE_CLI_PROMPT_HISTORY_H_
#define PGLITE_CLI_PROMPT_HISTORY_H_

#include <string>
#include <string_view>
#include <vector>

namespace pglite::cli {

class HistoryFile {
 public:
  static constexpr size_t kLimit = 2000;  // of entries that are kept

  // `path`; "none": nothing is kept; empty: pglite-port/history in the user's directory for state
  // (XDG_STATE_HOME, or .local/state in HOME).
  explicit HistoryFile(const std::string& path);

  // The newest kLimit entries, the oldest first. What cannot be read is no history.
  std::vector<std::string> load();
  // Adds an entry, at once: prompts that run at the same time share the file. An entry that begins
  // with a space is for nobody to remember. Returns what is wrong, once; else an empty string.
  std::string append(std::string_view entry);

 private:
  std::string path_;  // empty: none
};

}  // namespace pglite::cli

#endif  // PGLITE_CLI_PROMPT_HISTORY_H_
