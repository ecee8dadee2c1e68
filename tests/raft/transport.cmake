kvd_test(raft_codec_test SOURCES codec_test.cc transport_wire_test.cc DEPS kv_raft_transport)
    kvd_test(raft_transport_test SOURCES transport_test.cc transport_stranger_test.cc transport_payload_test.cc DEPS kv_raft_transport)
