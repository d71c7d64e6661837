#include "cli/prompt/line_editor.h"

#include <fcntl.h>
#include <histedit.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstring>
#include <utility>
#include <vector>

#include "cli/display_text.h"
#include "cli/prompt/history.h"
#include "cli/prompt/pager.h"

namespace pglite::cli {
namespace {

// libedit converts characters as the locale says. A static program finds the locales of the system
// where there are any.
void use_utf8() {
  for (const char* name : {"C.UTF-8", "en_US.UTF-8", ""}) {
    if (std::setlocale(LC_CTYPE, name) != nullptr) return;
  }
}

size_t count_characters(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

size_t width_of(std::string_view text) {
  return display_lines(text).front().width;
}

}  // namespace

LineEditor& LineEditor::of(editline* edit) {
  void* data = nullptr;
  el_get(edit, EL_CLIENTDATA, &data);
  return *static_cast<LineEditor*>(data);
}

Status LineEditor::open(int in, int out, Complete complete, std::unique_ptr<LineEditor>* editor) {
  use_utf8();
  std::unique_ptr<LineEditor> made(new LineEditor(std::move(complete)));
  // libedit wants streams, and their descriptors are closed with them.
  made->in_.reset(::fdopen(::fcntl(in, F_DUPFD_CLOEXEC, 0), "r"));
  made->out_.reset(::fdopen(::fcntl(out, F_DUPFD_CLOEXEC, 0), "w"));
  if (made->in_ && made->out_) {
    made->edit_ = el_init("pglite-port", made->in_.get(), made->out_.get(), made->out_.get());
  }
  made->history_ = history_init();
  if (made->edit_ == nullptr || made->history_ == nullptr) {
    return Status::io_error(std::string("cannot edit lines on this terminal: ") +
                            std::strerror(errno));
  }
  EditLine* const edit = made->edit_;
  el_set(edit, EL_CLIENTDATA, made.get());
  el_set(edit, EL_PROMPT, +[](EditLine* e) { return of(e).prompt_.data(); });
  el_set(edit, EL_SIGNAL, 1);
  HistEvent event;
  history(made->history_, &event, H_SETSIZE, static_cast<int>(HistoryFile::kLimit));
  history(made->history_, &event, H_SETUNIQUE, 1);
  el_set(edit, EL_HIST, history, made->history_);
  el_set(edit, EL_EDITOR, "emacs");
  made->bind_keys();
  *editor = std::move(made);
  return {};
}

LineEditor::~LineEditor() {
  if (edit_ != nullptr) el_end(edit_);
  if (history_ != nullptr) history_end(history_);
}

void LineEditor::bind_keys() {
  using Function = unsigned char (*)(EditLine*, wint_t);
  el_set(edit_, EL_ADDFN, "pglite-complete", "Complete the word",
         static_cast<Function>([](EditLine* e, wint_t) { return of(e).complete_word(); }));
  el_set(edit_, EL_ADDFN, "pglite-interrupt", "Forget the line",
         static_cast<Function>([](EditLine* e, wint_t) -> unsigned char {
           of(e).interrupted_ = true;
           // Has the line end as by Enter.
           el_push(e, "\n");
           return CC_NORM;
         }));
  el_set(edit_, EL_ADDFN, "pglite-suspend", "Stop until the shell goes on with the program",
         static_cast<Function>([](EditLine*, wint_t) -> unsigned char {
           // To the process group, as the terminal does it; libedit handles the signal.
           ::kill(0, SIGTSTP);
           return CC_REDISPLAY;
         }));
  el_set(edit_, EL_BIND, "^I", "pglite-complete", nullptr);
  // While a line is edited the terminal makes no signals of keys: Ctrl-C is one.
  el_set(edit_, EL_SETTY, "-d", "-isig", nullptr);
  el_set(edit_, EL_BIND, "^C", "pglite-interrupt", nullptr);
  el_set(edit_, EL_BIND, "^Z", "pglite-suspend", nullptr);
  constexpr std::pair<const char*, const char*> kKeys[] = {
      {"^R", "em-inc-search-prev"},      {"^W", "ed-delete-prev-word"},
      {"\\e[3~", "ed-delete-next-char"}, {"\\e[1~", "ed-move-to-beg"},
      {"\\e[4~", "ed-move-to-end"},      {"\\e[H", "ed-move-to-beg"},
      {"\\e[F", "ed-move-to-end"},       {"\\e[1;5C", "em-next-word"},
      {"\\e[1;5D", "ed-prev-word"}};
  for (const auto& [key, function] : kKeys) el_set(edit_, EL_BIND, key, function, nullptr);
  // The user's own, as for any program with libedit.
  el_source(edit_, nullptr);
}

LineEditor::Result LineEditor::read(const std::string& prompt, std::string* line) {
  prompt_ = prompt;
  interrupted_ = false;
  int count = 0;
  const char* const text = el_gets(edit_, &count);
  if (interrupted_) return Result::kInterrupted;
  if (text == nullptr || count <= 0) return Result::kEnd;
  *line = text;
  return Result::kLine;
}

void LineEditor::remember(const std::string& entry) {
  HistEvent event;
  history(history_, &event, H_ENTER, entry.c_str());
}

unsigned char LineEditor::complete_word() {
  // Text that is pasted has tabs in it that ask for nothing.
  int waiting = 0;
  if (::ioctl(fileno(in_.get()), FIONREAD, &waiting) == 0 && waiting > 0) {
    el_insertstr(edit_, " ");
    return CC_REFRESH;
  }
  const LineInfo* const info = el_line(edit_);
  const std::string before(info->buffer, info->cursor);
  const Completion completion = complete_(before);
  if (completion.candidates.empty()) return CC_ERROR;
  const std::string word = before.substr(completion.begin);
  std::string replacement = common_beginning(completion.candidates);
  const bool is_only = completion.candidates.size() == 1;
  const bool wants_more =
      std::string_view(".(/").find(replacement.empty() ? ' ' : replacement.back()) !=
      std::string_view::npos;
  if (is_only && !wants_more) replacement += ' ';
  if (replacement.size() > word.size() || (is_only && replacement != word)) {
    el_deletestr(edit_, static_cast<int>(count_characters(word)));
    el_insertstr(edit_, replacement.c_str());
    return CC_REFRESH;
  }
  if (is_only) return CC_NORM;
  list(completion.candidates);
  return CC_REDISPLAY;
}

// In columns, as ls does.
void LineEditor::list(const std::vector<std::string>& candidates) const {
  constexpr size_t kMost = 200;
  const size_t count = std::min(candidates.size(), kMost);
  size_t width = 0;
  for (size_t i = 0; i < count; ++i) width = std::max(width, width_of(candidates[i]) + 2);
  const size_t screen = std::max<size_t>(screen_of(fileno(out_.get())).width, 40);
  const size_t columns = std::max<size_t>(screen / width, 1);
  const size_t lines = (count + columns - 1) / columns;
  std::string text = "\n";
  for (size_t line = 0; line < lines; ++line) {
    for (size_t i = line; i < count; i += lines) {
      text += candidates[i];
      if (i + lines < count) text.append(width - width_of(candidates[i]), ' ');
    }
    text += '\n';
  }
  if (count < candidates.size()) {
    text += "... and " + std::to_string(candidates.size() - count) + " more\n";
  }
  std::fputs(text.c_str(), out_.get());
  std::fflush(out_.get());
}

}  // namespace pglite::cli
