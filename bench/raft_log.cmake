add_executable(raft_log_bench ${CMAKE_CURRENT_LIST_DIR}/raft_log_bench.cc)
target_link_libraries(raft_log_bench PRIVATE kvd_options kv_raft_log RocksDB::rocksdb-shared benchmark::benchmark_main)
