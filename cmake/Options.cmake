# How our own code is compiled. Translated guest code has options of its own (aot/).
option(PGLITE_SANITIZE "AddressSanitizer and UndefinedBehaviorSanitizer in our own code" OFF)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # Paths inside the checkout are made relative, so that a second checkout of the same commit finds
  # the objects of the first.
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
      ${CCACHE_PROGRAM})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()

add_library(pglite_port_options INTERFACE)
target_include_directories(pglite_port_options INTERFACE
  ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
target_compile_options(pglite_port_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor
  -Wold-style-cast -Woverloaded-virtual -Wimplicit-fallthrough -Werror)
if(PGLITE_SANITIZE)
  target_compile_options(pglite_port_options INTERFACE
    -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(pglite_port_options INTERFACE -fsanitize=address,undefined)
endif()

# lld resolves references between static libraries in any order: translated code and the floors that
# implement its imports need each other.
add_link_options(-fuse-ld=lld)
