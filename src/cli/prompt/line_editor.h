// A line from a person at a terminal, who may edit it, have it completed and recall earlier ones.
//
// The only place that knows libedit. It changes the locale of the process for characters
// (LC_CTYPE), and signal handlers while it waits: one object at a time.
#ifndef PGLITE_CLI_PROMPT_LINE_EDITOR_H_
#define PGLITE_CLI_PROMPT_LINE_EDITOR_H_

#include <pglite/status.h>

#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "cli/prompt/completion.h"

struct editline;
struct history;

namespace pglite::cli {

class LineEditor {
 public:
  using Complete = std::function<Completion(std::string_view before_cursor)>;

  // Of the terminal `in` and `out`.
  static Status open(int in, int out, Complete complete, std::unique_ptr<LineEditor>* editor);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  enum class Result {
    kLine,
    kEnd,          // Ctrl-D, or the terminal is gone
    kInterrupted,  // Ctrl-C
  };
  // `*line`: with its newline; an entry of the history may have several lines.
  Result read(const std::string& prompt, std::string* line);
  // What the arrows bring back; not in the file.
  void remember(const std::string& entry);

 private:
  struct CloseFile {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  using File = std::unique_ptr<std::FILE, CloseFile>;

  explicit LineEditor(Complete complete) : complete_(std::move(complete)) {}
  void bind_keys();
  unsigned char complete_word();
  void list(const std::vector<std::string>& candidates) const;
  static LineEditor& of(editline* edit);

  Complete complete_;
  File in_;
  File out_;
  editline* edit_ = nullptr;
  history* history_ = nullptr;
  std::string prompt_;
  bool interrupted_ = false;
};

}  // namespace pglite::cli

#endif  // PGLITE_CLI_PROMPT_LINE_EDITOR_H_
