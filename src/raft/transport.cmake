# The bytes of messages and configurations; the streams between members.
kvd_library(kv_raft_codec SOURCES codec.cc DEPS kv_base)
kvd_library(kv_raft_transport
  SOURCES transport.cc transport_inbound.cc transport_link.cc transport_lookup.cc transport_query.cc transport_socket.cc transport_wire.cc
  DEPS kv_raft_codec kv_base kv_tls Boost::system)
