/* The test of the C interface that is written in C. */
#ifndef KVD_TESTS_CLIENT_C_INTERFACE_H
#define KVD_TESTS_CLIENT_C_INTERFACE_H

#ifdef __cplusplus
extern "C" {
#endif

/* Each uses keys of its own at `endpoint`. NULL, or what isn't as it should be. */
const char* c_keys(const char* endpoint);
const char* c_compare(const char* endpoint);
const char* c_watch(const char* endpoint);
const char* c_watch_compacted(const char* endpoint);
const char* c_lease(const char* endpoint);
const char* c_errors(const char* endpoint);
const char* c_options(const char* endpoint);
/* At `endpoint` is a server whose certificate, signed by that in `ca_file`, is for "kvd.example" alone. */
const char* c_tls(const char* endpoint, const char* ca_file);

#ifdef __cplusplus
}
#endif

#endif
