add_library(kvd_raft_core_cluster STATIC core_cluster.cc)
target_link_libraries(kvd_raft_core_cluster PUBLIC kvd_options kv_raft_core)
target_include_directories(kvd_raft_core_cluster PUBLIC ${CMAKE_SOURCE_DIR}/tests)

kvd_test(raft_core_test
  SOURCES core_test.cc
  DEPS kvd_raft_core_cluster)
