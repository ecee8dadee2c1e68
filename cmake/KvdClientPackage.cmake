# The client library for programs elsewhere: `cmake --install BUILD --component client --prefix DIR` puts the headers
# under include/kv/, libkv_client.a for C++, libkv.so for C, a CMake package (find_package(kv) with kv::client and kv::kv)
# and kv-client.pc and kv.pc there. It is no part of a plain `cmake --install`, which installs the programs.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# One archive has all of the house that the client needs; of src/base that is very little, and without what the rest of
# it brings along.
add_library(kv_client_base OBJECT ${CMAKE_SOURCE_DIR}/src/base/status.cc ${CMAKE_SOURCE_DIR}/src/base/thread.cc)
target_link_libraries(kv_client_base PRIVATE kvd_options)
set(client_objects
  $<TARGET_OBJECTS:kv_client> $<TARGET_OBJECTS:kv_client_base> $<TARGET_OBJECTS:kv_proto>
  $<TARGET_OBJECTS:kv_proto_grpc>)
set(client_deps gRPC::grpc++ protobuf::libprotobuf Threads::Threads)

add_library(kv_client_archive STATIC ${client_objects})
set_target_properties(kv_client_archive PROPERTIES
  LINKER_LANGUAGE CXX OUTPUT_NAME kv_client EXPORT_NAME client
  ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/installed)
target_compile_features(kv_client_archive INTERFACE cxx_std_20)
target_link_libraries(kv_client_archive INTERFACE ${client_deps})

# The C interface alone is seen from outside.
add_library(kv_shared SHARED ${client_objects})
set_target_properties(kv_shared PROPERTIES
  LINKER_LANGUAGE CXX OUTPUT_NAME kv EXPORT_NAME kv VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib LINK_DEPENDS ${CMAKE_SOURCE_DIR}/cmake/kv.map)
target_link_libraries(kv_shared PRIVATE ${client_deps})
target_link_options(kv_shared PRIVATE -Wl,--version-script=${CMAKE_SOURCE_DIR}/cmake/kv.map)

# <kv/client/client.h> and <kv/kv.h> in the build tree too, so that examples read as programs elsewhere do.
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/include/kv)
foreach(room base client embed)
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/src/${room} ${CMAKE_BINARY_DIR}/include/kv/${room} SYMBOLIC)
endforeach()
file(CREATE_LINK ${CMAKE_SOURCE_DIR}/src/client/kv.h ${CMAKE_BINARY_DIR}/include/kv/kv.h SYMBOLIC)

set(client_install COMPONENT client EXCLUDE_FROM_ALL)
install(TARGETS kv_client_archive kv_shared EXPORT kvTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} ${client_install}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ${client_install}
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT kvTargets NAMESPACE kv:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/kv ${client_install})

# What the installed headers include is found under kv/ and collides with nobody's "base/" or "client/".
set(headers base/check.h base/status.h)
foreach(name async auth cache client election lease mutex range registry semaphore session stm txn types wait watch)
  list(APPEND headers client/${name}.h)
endforeach()
function(kvd_install_headers component)
  install(CODE "set(source \"${CMAKE_SOURCE_DIR}/src\")
set(include \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_INCLUDEDIR}/kv\")
set(headers \"${ARGN}\")" COMPONENT ${component} EXCLUDE_FROM_ALL)
  install(SCRIPT ${CMAKE_SOURCE_DIR}/cmake/InstallHeaders.cmake COMPONENT ${component} EXCLUDE_FROM_ALL)
endfunction()
kvd_install_headers(client ${headers})
# That of the C interface includes nothing of ours.
install(FILES ${CMAKE_SOURCE_DIR}/src/client/kv.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/kv ${client_install})

set(package ${CMAKE_BINARY_DIR}/package)
write_basic_package_version_file(${package}/kvConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_SOURCE_DIR}/cmake/kvConfig.cmake ${package}/kvConfigVersion.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/kv ${client_install})
function(kvd_install_pkg_config component)
  file(RELATIVE_PATH up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  string(REGEX REPLACE "/$" "" up "${up}")
  foreach(pc ${ARGN})
    configure_file(${CMAKE_SOURCE_DIR}/cmake/${pc}.pc.in ${CMAKE_BINARY_DIR}/package/${pc}.pc @ONLY)
    install(FILES ${CMAKE_BINARY_DIR}/package/${pc}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
      COMPONENT ${component} EXCLUDE_FROM_ALL)
  endforeach()
endfunction()
kvd_install_pkg_config(client kv kv-client)
