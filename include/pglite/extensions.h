// Extensions that this library was not built with, in the form PGlite takes them: a .tar.gz of an
// installation's lib/ and share/, with side modules in WebAssembly.
//
//   pglite::Status status = pglite::compile_extension("my_extension.tar.gz", {});
//   options.extensions = {"my_extension.tar.gz"};
//   ... Instance::open(options, &instance); "CREATE EXTENSION my_extension"
//
// A module becomes machine code once, by the machine's C compiler, and is loaded in milliseconds from
// then on. The code is as little trusted as any guest's, but the file that holds it is the caller's
// own: it is in a directory that nobody else can write to.
#ifndef PGLITE_EXTENSIONS_H_
#define PGLITE_EXTENSIONS_H_

#include <pglite/status.h>

#include <functional>
#include <string>
#include <string_view>

namespace pglite {

// $XDG_CACHE_HOME/pglite-port or ~/.cache/pglite-port; empty where neither variable is set.
std::string user_cache();

// Prepares the extension, or the one side module, in `file` for Options::extensions, unless that was
// done before. `cache` is Options::cache: a directory that is made where it is missing; empty:
// user_cache(). `progress` gets lines for people, without their newline, now and then. It takes
// seconds to minutes, starts programs (python3, a C compiler) and waits for them.
//
// kIncompatible: the file is no extension, or has a module that cannot be translated. kUnavailable: a
// program that is needed is not there. kToolFailed: the compiler failed. kIoError: a file cannot be
// read or written, or others can write to the cache.
Status compile_extension(const std::string& file, const std::string& cache,
                         const std::function<void(std::string_view line)>& progress);

}  // namespace pglite

#endif  // PGLITE_EXTENSIONS_H_
