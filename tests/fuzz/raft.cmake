set(codec ${CMAKE_SOURCE_DIR}/src/raft/codec.cc ${CMAKE_SOURCE_DIR}/src/raft/transport_wire.cc)
kvd_fuzz(fuzz_raft_message SOURCES raft_message.cc ${codec} DEPS kv_base)
kvd_fuzz(fuzz_raft_stream SOURCES raft_stream.cc ${codec} DEPS kv_base)
