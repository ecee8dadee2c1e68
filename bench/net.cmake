# kvd_grpc_null: calls that do nothing, to see what the door itself costs.
add_executable(kvd_grpc_null ${CMAKE_CURRENT_LIST_DIR}/grpc_null.cc)
target_link_libraries(kvd_grpc_null PRIVATE kvd_options kv_api_net kv_proto)
