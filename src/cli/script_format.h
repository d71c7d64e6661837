// What somebody gave as a script that is none.
#ifndef PGLITE_CLI_SCRIPT_FORMAT_H_
#define PGLITE_CLI_SCRIPT_FORMAT_H_

#include <pglite/status.h>

#include <string>

namespace pglite::cli {

// Looks at the beginning of an opened file; where it is read next does not change. kIncompatible:
// it is compressed, an archive, or text that is not UTF-8; the message says what to do with it.
// What cannot be read at a place of one's own (a pipe) is not looked at.
Status check_script(int fd, const std::string& name);

}  // namespace pglite::cli

#endif  // PGLITE_CLI_SCRIPT_FORMAT_H_
