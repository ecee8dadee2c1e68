# kv::Server for programs elsewhere: `cmake --install BUILD --component embed --prefix DIR` puts its header, libkv_server.a
# and kv-server.pc beside what the component `client` has put there (KvdClientPackage.cmake), and find_package(kv) then has
# the component `server` with kv::server. What both need is in the client's archive alone, so that a program that links
# both has it once.
add_library(kv_server_archive STATIC
  # Of src/base the client's archive has these two.
  "$<FILTER:$<TARGET_OBJECTS:kv_base>,EXCLUDE,/(status|thread)[.]cc[.]o$>")
foreach(room kv_tls kv_raft_core kv_raft_codec kv_raft_log kv_raft_transport kv_backup_file kv_store kv_server_core
    kv_server_offline kv_server kv_call_table kv_door_proto kv_api_net kv_api_json kv_api_rest kv_api_services kv_embed)
  target_sources(kv_server_archive PRIVATE $<TARGET_OBJECTS:${room}>)
endforeach()
set_target_properties(kv_server_archive PROPERTIES
  LINKER_LANGUAGE CXX OUTPUT_NAME kv_server EXPORT_NAME server
  ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/installed)
target_compile_features(kv_server_archive INTERFACE cxx_std_20)
target_link_libraries(kv_server_archive INTERFACE
  kv_client_archive RocksDB::rocksdb-shared PkgConfig::nghttp2 prometheus-cpp::core spdlog::spdlog OpenSSL::SSL
  OpenSSL::Crypto ZLIB::ZLIB absl::flat_hash_map absl::flat_hash_set absl::btree absl::hash absl::strings
  absl::any_invocable absl::function_ref crypt)

set(embed_install COMPONENT embed EXCLUDE_FROM_ALL)
install(TARGETS kv_server_archive EXPORT kvServerTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} ${embed_install}
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT kvServerTargets NAMESPACE kv:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/kv ${embed_install})
kvd_install_headers(embed base/log.h embed/server.h)
kvd_install_pkg_config(embed kv-server)
