# The streams between members, and the bytes of their messages.
kvd_library(kv_raft_transport
  SOURCES codec.cc transport.cc transport_inbound.cc transport_link.cc transport_lookup.cc transport_wire.cc
  DEPS kv_base Boost::system)
