#ifndef PGLITE_TESTS_DARWIN_LOADER_UNWINDING_H_
#define PGLITE_TESTS_DARWIN_LOADER_UNWINDING_H_

#include "image.h"

namespace pglite::loader {

// Tells this system's unwinder about the program's functions, so that its exceptions are caught.
void describe_frames(const Image& image);

}  // namespace pglite::loader

#endif  // PGLITE_TESTS_DARWIN_LOADER_UNWINDING_H_
