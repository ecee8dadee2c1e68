add_library(kvd_raft_core_cluster STATIC core_cluster.cc core_scenario.cc)
target_link_libraries(kvd_raft_core_cluster PUBLIC kvd_options kv_raft_core)
target_include_directories(kvd_raft_core_cluster PUBLIC ${CMAKE_SOURCE_DIR}/tests)

kvd_test(raft_core_test
  SOURCES core_configuration_test.cc core_hostile_test.cc core_log_test.cc core_progress_test.cc core_quorum_test.cc core_random_test.cc core_test.cc
  DEPS kvd_raft_core_cluster)

# A test for every file of scenarios/.
kvd_test(raft_core_scenario_test
  SOURCES core_scenario_test.cc
  DEPS kvd_raft_core_cluster)
target_compile_definitions(raft_core_scenario_test PRIVATE KVD_SCENARIOS="${CMAKE_CURRENT_SOURCE_DIR}/scenarios")
