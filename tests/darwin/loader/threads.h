#ifndef PGLITE_TESTS_DARWIN_LOADER_THREADS_H_
#define PGLITE_TESTS_DARWIN_LOADER_THREADS_H_

#include "image.h"

namespace pglite::loader {

// Before the program's first instruction.
void prepare_thread_variables(const Image& image);
void begin_thread_variables();

// What the program's thread variables are found with: address of a descriptor in, of the variable
// out.
extern "C" void find_thread_variable();

}  // namespace pglite::loader

#endif  // PGLITE_TESTS_DARWIN_LOADER_THREADS_H_
