#ifndef PGLITE_TESTS_DARWIN_LOADER_FILES_H_
#define PGLITE_TESTS_DARWIN_LOADER_FILES_H_

namespace pglite::loader {

// Of open(2), and of fcntl(2)'s F_GETFL and F_SETFL.
int from_darwin_open_flags(int flags);
int to_darwin_open_flags(int flags);

}  // namespace pglite::loader

#endif  // PGLITE_TESTS_DARWIN_LOADER_FILES_H_
