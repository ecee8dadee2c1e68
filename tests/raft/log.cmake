kvd_test(raft_log_store_test SOURCES log_store_test.cc log_store_failure_test.cc
         DEPS kv_raft_log kv_raft_codec RocksDB::rocksdb-shared)
kvd_test(raft_log_recovery_test SOURCES log_store_recovery_test.cc log_store_crash_test.cc
         DEPS kv_raft_log kv_raft_codec RocksDB::rocksdb-shared TIMEOUT 600)
