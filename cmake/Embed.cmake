# embed(TARGET SYMBOL FILE): makes the object library TARGET with FILE between the symbols SYMBOL_begin
# and SYMBOL_end.
enable_language(ASM)

set(embed_template ${CMAKE_CURRENT_LIST_DIR}/embed.S.in)
function(embed target SYMBOL FILE)
  set(assembly ${CMAKE_CURRENT_BINARY_DIR}/${SYMBOL}.S)
  configure_file(${embed_template} ${assembly} @ONLY)
  add_library(${target} OBJECT ${assembly})
  set_source_files_properties(${assembly} PROPERTIES OBJECT_DEPENDS ${FILE})
endfunction()
