# The raft log on RocksDB.
kvd_library(kv_raft_log
  SOURCES log_store.cc log_store_check.cc log_store_record.cc log_store_synced.cc log_store_wal.cc
  DEPS kv_base
  PRIVATE_DEPS kv_raft_codec RocksDB::rocksdb-shared)
