// Extensions that this library was not built with, in the form PGlite takes them: a .tar.gz of an
// installation's lib/ and share/, with side modules in WebAssembly.
//
//   pglite::Status status = pglite::compile_extension({.file = "my_extension.tar.gz"}, progress);
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

struct CompileRequest {
  // An extension, a side module, or PGlite's main module (dist/pglite.wasm of its package, with
  // pglite.data and pglite.js beside it).
  std::string file;
  // As in Options. A `cache` that is missing is made.
  std::string cache;
  std::string wasm_path;
};

// Prepares a file for Options::extensions or Options::wasm_path, unless that was done before. A main
// module is tried, too: only a build of PGlite that is much like the linked one can be run.
// `progress` gets lines for people, without their newline, now and then. It takes
// seconds to minutes, starts programs (python3, a C compiler) and waits for them.
//
// kIncompatible: the file is nothing of these, has a module that cannot be translated, or is a main
// module that cannot be run. kUnavailable: a
// program that is needed is not there. kToolFailed: the compiler failed. kIoError: a file cannot be
// read or written, or others can write to the cache.
Status compile_extension(const CompileRequest& request,
                         const std::function<void(std::string_view line)>& progress);

}  // namespace pglite

#endif  // PGLITE_EXTENSIONS_H_
