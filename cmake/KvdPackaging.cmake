# `cmake --install` and the .deb (`cpack -G DEB` in the build folder). Only what exists is installed, so that a tree
# without the daemon still configures.
include(GNUInstallDirs)
# The package needs the two programs, not the tests: whoever makes it has built what it wants in it.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY TRUE)

foreach(program kvd kvctl)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endforeach()
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/deploy/debian/copyright
  DESTINATION ${CMAKE_INSTALL_DOCDIR} OPTIONAL)
# Debian wants a package's changes in it, compressed.
configure_file(${CMAKE_SOURCE_DIR}/deploy/debian/changelog.in ${CMAKE_BINARY_DIR}/debian/changelog @ONLY)
file(ARCHIVE_CREATE OUTPUT ${CMAKE_BINARY_DIR}/debian/changelog.gz PATHS ${CMAKE_BINARY_DIR}/debian/changelog
  FORMAT raw COMPRESSION GZip COMPRESSION_LEVEL 9)
install(FILES ${CMAKE_BINARY_DIR}/debian/changelog.gz DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/docs/examples ${CMAKE_SOURCE_DIR}/deploy DESTINATION ${CMAKE_INSTALL_DOCDIR}
  PATTERN debian EXCLUDE)
# Installed and not enabled: a member begins to serve when its owner says so.
install(FILES ${CMAKE_SOURCE_DIR}/deploy/kvd.service DESTINATION lib/systemd/system)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME kvd)
set(CPACK_PACKAGE_VENDOR "kvd")
set(CPACK_PACKAGE_CONTACT "The kvd maintainers <kvd@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Raft-replicated key-value store that speaks etcd's API")
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/deploy/debian/postinst
  ${CMAKE_SOURCE_DIR}/deploy/debian/prerm ${CMAKE_SOURCE_DIR}/deploy/debian/postrm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION TRUE)
set(CPACK_DEBIAN_PACKAGE_SECTION database)
# CPack puts the summary before it, and a space before each line.
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
  "kvd keeps a cluster's configuration and the addresses of its services, agrees
on every change by Raft, and answers etcd's v3 API, so that etcd's clients
work without a change.
.
This package holds the daemon, kvd, and its command line client, kvctl.")
# The libraries that the programs are linked with, as dpkg-shlibdeps finds them.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_PROJECT_CONFIG_FILE ${CMAKE_SOURCE_DIR}/cmake/KvdPackagingNeeds.cmake)
include(CPack)
