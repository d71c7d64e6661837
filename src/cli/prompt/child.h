// Programs that a prompt runs on its terminal: a pager, an editor.
#ifndef PGLITE_CLI_PROMPT_CHILD_H_
#define PGLITE_CLI_PROMPT_CHILD_H_

#include <string>

namespace pglite::cli {

// Starts a command of the shell, whose standard input is `in`, with signals as a new program
// expects them. Returns its process id, or -1: errno says why.
int start_shell(const std::string& command, int in);

// Waits until it has ended. True: with the status 0.
bool wait_for_child(int pid);

// Whether the program is found in PATH.
bool has_program(const std::string& name);

}  // namespace pglite::cli

#endif  // PGLITE_CLI_PROMPT_CHILD_H_
