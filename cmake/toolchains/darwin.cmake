# Programs for macOS, compiled on another system: clang and lld, with the headers, the list of libSystem's symbols and
# the libraries that scripts/darwin_sysroot has put into PGLITE_DARWIN_SYSROOT. Used by the presets darwin-arm64 and
# darwin-amd64, which set PGLITE_DARWIN_ARCHITECTURE (arm64, x86_64).
if(NOT EXISTS ${PGLITE_DARWIN_SYSROOT}/made-by)
  message(FATAL_ERROR "There is no sysroot for macOS: scripts/darwin_sysroot darwin-arm64 (or darwin-amd64)")
endif()
set(CMAKE_SYSTEM_NAME Darwin)
# CMake tries small projects with this file, too.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES PGLITE_DARWIN_ARCHITECTURE PGLITE_DARWIN_SYSROOT)
set(CMAKE_SYSTEM_PROCESSOR ${PGLITE_DARWIN_ARCHITECTURE})
set(CMAKE_OSX_ARCHITECTURES ${PGLITE_DARWIN_ARCHITECTURE} CACHE STRING "")
# As in scripts/darwin/sysroot.py.
set(CMAKE_OSX_DEPLOYMENT_TARGET 12.0 CACHE STRING "")
set(CMAKE_OSX_SYSROOT ${PGLITE_DARWIN_SYSROOT} CACHE PATH "")

foreach(language C CXX ASM)
  set(CMAKE_${language}_COMPILER_TARGET ${PGLITE_DARWIN_ARCHITECTURE}-apple-macos12.0)
endforeach()
set(CMAKE_C_COMPILER clang-22)
set(CMAKE_CXX_COMPILER clang++-22)
set(CMAKE_ASM_COMPILER clang-22)
find_program(CMAKE_AR llvm-ar-22)
find_program(CMAKE_RANLIB llvm-ranlib-22)
find_program(CMAKE_INSTALL_NAME_TOOL llvm-install-name-tool-22)
set(CMAKE_LINKER_TYPE LLD)
# lld signs by itself only what cannot run unsigned, which is arm64.
set(CMAKE_EXE_LINKER_FLAGS_INIT "-fuse-ld=lld -Wl,-adhoc_codesign")
set(CMAKE_SHARED_LINKER_FLAGS_INIT -fuse-ld=lld)
# Processors of macOS 12 on x86-64 all have SSE 4.2, and its CRC-32C.
if(PGLITE_DARWIN_ARCHITECTURE STREQUAL "x86_64")
  set(CMAKE_C_FLAGS_INIT -msse4.2)
endif()
# How libc++ is configured (scripts/darwin/sysroot.py).
file(STRINGS ${PGLITE_DARWIN_SYSROOT}/libc++.options CMAKE_CXX_FLAGS_INIT)
string(APPEND CMAKE_CXX_FLAGS_INIT " ${CMAKE_C_FLAGS_INIT}")

# Nothing of this machine's own system gets in; its programs are used.
set(CMAKE_FIND_ROOT_PATH ${PGLITE_DARWIN_SYSROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
