kvd_test(raft_log_store_test SOURCES log_store_test.cc
         DEPS kv_raft_log kv_raft_codec RocksDB::rocksdb-shared)
