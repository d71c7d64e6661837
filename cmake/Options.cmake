# How our own code is compiled. Translated guest code has options of its own (aot/).
set(PGLITE_SANITIZE "" CACHE STRING "Sanitizers in our own code: address, fuzzer, thread, or none")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # Paths inside the checkout are made relative, so that a second checkout of the same commit finds
  # the objects of the first.
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
      ${CCACHE_PROGRAM})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()

add_library(pglite_port_options INTERFACE)
target_include_directories(pglite_port_options INTERFACE
  ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
target_compile_options(pglite_port_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor
  -Wold-style-cast -Woverloaded-virtual -Wimplicit-fallthrough -Werror)
# Guest code has no sanitizer: its faults are caught by the guard regions of its memory.
if(PGLITE_SANITIZE)
  set(sanitize_compile -fno-omit-frame-pointer -fno-optimize-sibling-calls)
  if(PGLITE_SANITIZE STREQUAL "address")
    list(APPEND sanitize_compile -fsanitize=address,undefined -fno-sanitize-recover=undefined)
    set(sanitize_link -fsanitize=address,undefined)
  elseif(PGLITE_SANITIZE STREQUAL "fuzzer")
    # As address, and coverage; the fuzz targets alone link libFuzzer with its main (tests/fuzz).
    list(APPEND sanitize_compile
      -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined)
    set(sanitize_link -fsanitize=fuzzer-no-link,address,undefined)
  elseif(PGLITE_SANITIZE STREQUAL "thread")
    list(APPEND sanitize_compile -fsanitize=thread)
    set(sanitize_link -fsanitize=thread)
  else()
    message(FATAL_ERROR "PGLITE_SANITIZE is '${PGLITE_SANITIZE}': address, fuzzer and thread are known")
  endif()
  target_compile_options(pglite_port_options INTERFACE ${sanitize_compile})
  target_link_options(pglite_port_options INTERFACE ${sanitize_link})
endif()

# lld resolves references between static libraries in any order: translated code and the floors that
# implement its imports need each other.
add_link_options(-fuse-ld=lld)
