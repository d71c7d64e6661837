# What `cmake --install` puts where, in three components:
#
#   program      bin/pglite-port, and its man page and completions
#   library      lib/libpglite.so.VERSION
#   development  include/pglite, lib/libpglite.so, lib/libpglite.a, and how CMake and pkg-config find them
#
# Both libraries are linked from what the program is linked from; nothing is compiled again. The shared one has the C API,
# the static one the C++ API, too.
include(GNUInstallDirs)

install(TARGETS pglite-port RUNTIME COMPONENT program)
set(share ${CMAKE_INSTALL_DATAROOTDIR})
foreach(file IN ITEMS LICENSE THIRD_PARTY_NOTICES.md CHANGELOG.md)
  install(FILES ${PROJECT_SOURCE_DIR}/${file} DESTINATION ${share}/doc/pglite-port COMPONENT program OPTIONAL)
endforeach()
if(EXISTS ${PROJECT_SOURCE_DIR}/docs/man/pglite-port.1)
  install(FILES ${PROJECT_SOURCE_DIR}/docs/man/pglite-port.1
    DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT program)
endif()
if(EXISTS ${PROJECT_SOURCE_DIR}/completions)
  set(completions ${PROJECT_SOURCE_DIR}/completions)
  install(FILES ${completions}/pglite-port.bash
    DESTINATION ${share}/bash-completion/completions RENAME pglite-port COMPONENT program)
  install(FILES ${completions}/_pglite-port DESTINATION ${share}/zsh/site-functions COMPONENT program)
  install(FILES ${completions}/pglite-port.fish
    DESTINATION ${share}/fish/vendor_completions.d COMPONENT program)
endif()

# A sanitizer belongs to a whole program, so there is no library of it. For macOS there is none yet: what follows is ELF's.
if(PGLITE_SANITIZE OR APPLE)
  return()
endif()

set(library_source ${PROJECT_SOURCE_DIR}/src/pglite)
# What the dynamic linker takes for compatible: before 1.0 the versions of one minor version.
set(library_abi ${PROJECT_VERSION_MAJOR})
if(PROJECT_VERSION_MAJOR EQUAL 0)
  string(APPEND library_abi .${PROJECT_VERSION_MINOR})
endif()

add_library(pglite_shared SHARED $<TARGET_OBJECTS:pglite_c_api_objects>)
target_link_libraries(pglite_shared PRIVATE pglite_api)
set_target_properties(pglite_shared PROPERTIES
  OUTPUT_NAME pglite
  VERSION ${PROJECT_VERSION}
  SOVERSION ${library_abi}
  LINK_DEPENDS ${library_source}/exports.map
  LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/library)
target_link_options(pglite_shared PRIVATE
  # The C++ library is inside: a program in another language need not have it, nor the same one.
  -static-libstdc++ -static-libgcc
  -Wl,--version-script=${library_source}/exports.map -Wl,-Bsymbolic
  # Handlers of signals cannot be unloaded.
  -Wl,-z,nodelete
  -Wl,-z,defs -Wl,-z,text -Wl,-z,relro -Wl,-z,now -Wl,-z,pack-relative-relocs)

# One object that needs nothing but the C and C++ libraries, with its own names out of the way.
find_program(PGLITE_OBJCOPY NAMES llvm-objcopy-22 objcopy REQUIRED)
find_program(PGLITE_AR NAMES llvm-ar-22 ar REQUIRED)
set(library_object ${PROJECT_BINARY_DIR}/library/pglite.o)
set(library_archive ${PROJECT_BINARY_DIR}/library/libpglite.a)
add_executable(pglite_object $<TARGET_OBJECTS:pglite_c_api_objects>)
target_link_libraries(pglite_object PRIVATE "$<LINK_LIBRARY:WHOLE_ARCHIVE,pglite_api>")
target_link_options(pglite_object PRIVATE -r -nostdlib -Wl,--force-group-allocation)
set_target_properties(pglite_object PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/library)
add_custom_command(OUTPUT ${library_archive}
  COMMAND ${PGLITE_OBJCOPY} --wildcard --keep-global-symbols=${library_source}/static_symbols.txt
    --remove-section=.llvm_addrsig $<TARGET_FILE:pglite_object> ${library_object}
  COMMAND ${CMAKE_COMMAND} -E rm -f ${library_archive}
  COMMAND ${PGLITE_AR} qcD ${library_archive} ${library_object}
  COMMAND ${CMAKE_COMMAND} -E rm -f ${library_object}
  DEPENDS pglite_object ${library_source}/static_symbols.txt
  COMMENT "Making the static library one object"
  VERBATIM)
add_custom_target(pglite_static ALL DEPENDS ${library_archive})

install(TARGETS pglite_shared
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library NAMELINK_COMPONENT development)
install(FILES ${library_archive} DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/pglite
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development FILES_MATCHING PATTERN "*.h")

# Where they are is found from where they lie: a prefix may be chosen when they are installed, and moved.
include(CMakePackageConfigHelpers)
set(shared_name libpglite.so.${PROJECT_VERSION})
set(shared_soname libpglite.so.${library_abi})
set(package_directory ${CMAKE_INSTALL_LIBDIR}/cmake/pglite_port)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/pglite_portConfig.cmake.in
  ${PROJECT_BINARY_DIR}/library/pglite_portConfig.cmake
  INSTALL_DESTINATION ${package_directory}
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/library/pglite_portConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/library/pglite_portConfig.cmake
    ${PROJECT_BINARY_DIR}/library/pglite_portConfigVersion.cmake
  DESTINATION ${package_directory} COMPONENT development)

file(RELATIVE_PATH pc_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(${PROJECT_SOURCE_DIR}/cmake/pglite.pc.in ${PROJECT_BINARY_DIR}/library/pglite.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/library/pglite.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
