# kvd_manual(TARGET SECTION): has the program write its manual page as soon as it is linked, so that there never is one
# without the other, and installs it compressed, as Debian wants it: without the time, so that the same tree gives the
# same package.
include(GNUInstallDirs)
find_program(KVD_GZIP gzip REQUIRED)

function(kvd_manual target section)
  set(page ${CMAKE_BINARY_DIR}/man/${target}.${section})
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/man)
  add_custom_command(TARGET ${target} POST_BUILD
    COMMAND ${target} __man > ${page}
    COMMAND ${KVD_GZIP} -9nkf ${page}
    BYPRODUCTS ${page} ${page}.gz
    VERBATIM)
  install(FILES ${page}.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endfunction()
