#include "client/c_interface.h"

#include <stdio.h>
#include <string.h>

#include "client/kv.h"

static char failure[1024];
static kv_error error;

#define TEXT2(x) #x
#define TEXT(x) TEXT2(x)
#define SIZED(text) text, (sizeof(text) - 1)
/* Ends the test, with the last error's text. */
#define CHECK(condition)                                                                             \
  do {                                                                                               \
    if (!(condition)) {                                                                              \
      snprintf(failure, sizeof failure, "line " TEXT(__LINE__) ": %s (%s)", #condition, error.text); \
      return failure;                                                                                \
    }                                                                                                \
  } while (0)

static const int64_t kLong = 60000;

static kv_client* open_client(const char* endpoint) {
  kv_options options = KV_OPTIONS_INIT;
  kv_client* client = NULL;
  memset(&error, 0, sizeof error);
  options.endpoints = endpoint;
  options.call_timeout_ms = 30000;
  return kv_open(&options, &client, &error) == KV_OK ? client : NULL;
}

static int is(const char* data, size_t size, const char* wanted) {
  return size == strlen(wanted) && memcmp(data, wanted, size) == 0;
}

const char* c_keys(const char* endpoint) {
  kv_client* client = open_client(endpoint);
  kv_result* result = NULL;
  kv_pair pair;
  int64_t first = 0, second = 0, deleted = 0;
  CHECK(client != NULL);
  CHECK(kv_put(client, SIZED("c/keys/a"), SIZED("one"), 0, &first, &error) == KV_OK);
  CHECK(kv_put(client, SIZED("c/keys/b\0zero"), SIZED("\0\xff"), 0, &second, &error) == KV_OK);
  CHECK(second > first);
  CHECK(kv_put(client, SIZED("c/keys/c"), NULL, 0, 0, NULL, NULL) == KV_OK);

  CHECK(kv_get(client, SIZED("c/keys/a"), &result, &error) == KV_OK);
  CHECK(kv_result_count(result) == 1 && kv_result_at(result, 0, &pair));
  CHECK(is(pair.key, pair.key_size, "c/keys/a") && is(pair.value, pair.value_size, "one"));
  CHECK(pair.create_revision == first && pair.mod_revision == first && pair.version == 1 && pair.lease == 0);
  CHECK(!kv_result_at(result, 1, &pair));
  kv_result_free(result);

  CHECK(kv_get_prefix(client, SIZED("c/keys/"), 2, 0, &result, &error) == KV_OK);
  CHECK(kv_result_count(result) == 2 && kv_result_total(result) == 3 && kv_result_revision(result) > second);
  CHECK(kv_result_at(result, 1, &pair) && pair.key_size == 13 && pair.value_size == 2 && pair.value[1] == '\xff');
  kv_result_free(result);
  CHECK(kv_get_range(client, SIZED("c/keys/a"), SIZED("c/keys/b"), 0, 0, &result, &error) == KV_OK);
  CHECK(kv_result_count(result) == 1);
  kv_result_free(result);
  CHECK(kv_get_prefix(client, SIZED("c/keys/"), 0, first, &result, &error) == KV_OK);
  CHECK(kv_result_count(result) == 1);
  kv_result_free(result);

  CHECK(kv_delete(client, SIZED("c/keys/a"), NULL, 0, &deleted, NULL, &error) == KV_OK && deleted == 1);
  CHECK(kv_delete(client, SIZED("c/keys/"), SIZED("c/keys0"), &deleted, &second, &error) == KV_OK && deleted == 2);
  CHECK(kv_get(client, SIZED("c/keys/a"), &result, &error) == KV_OK && kv_result_count(result) == 0);
  kv_result_free(result);
  kv_close(client);
  return NULL;
}

const char* c_compare(const char* endpoint) {
  kv_client* client = open_client(endpoint);
  kv_result* current = NULL;
  kv_pair pair;
  int done = 0;
  int64_t created = 0, changed = 0;
  CHECK(client != NULL);
  CHECK(kv_compare_and_swap(client, SIZED("c/cas"), 0, SIZED("1"), 0, &done, &created, &current, &error) == KV_OK);
  CHECK(done && created > 0 && current == NULL);
  CHECK(kv_compare_and_swap(client, SIZED("c/cas"), created, SIZED("2"), 0, &done, &changed, NULL, &error) == KV_OK);
  CHECK(done && changed > created);
  CHECK(kv_compare_and_swap(client, SIZED("c/cas"), created, SIZED("3"), 0, &done, NULL, &current, &error) == KV_OK);
  CHECK(!done && kv_result_at(current, 0, &pair));
  CHECK(is(pair.value, pair.value_size, "2") && pair.mod_revision == changed);
  kv_result_free(current);
  CHECK(kv_compare_and_delete(client, SIZED("c/cas"), created, &done, NULL, NULL, &error) == KV_OK && !done);
  CHECK(kv_compare_and_delete(client, SIZED("c/cas"), changed, &done, NULL, NULL, &error) == KV_OK && done);
  CHECK(kv_compare_and_swap(client, SIZED("c/cas"), changed, SIZED("4"), 0, &done, NULL, &current, &error) == KV_OK);
  CHECK(!done && current != NULL && kv_result_count(current) == 0);
  kv_result_free(current);
  kv_close(client);
  return NULL;
}

const char* c_watch(const char* endpoint) {
  kv_client* client = open_client(endpoint);
  kv_watch* watch = NULL;
  kv_events* events = NULL;
  kv_event event;
  int64_t first = 0;
  CHECK(client != NULL);
  CHECK(kv_put(client, SIZED("c/watch/a"), SIZED("1"), 0, &first, &error) == KV_OK);
  CHECK(kv_watch_open(client, SIZED("c/watch/"), SIZED("c/watch0"), 0, &watch, &error) == KV_OK);
  CHECK(kv_watch_ready(watch, kLong, &error) == KV_OK);
  CHECK(kv_watch_next(watch, 1, &events, &error) == KV_DEADLINE_EXCEEDED);
  CHECK(kv_put(client, SIZED("c/watch/a"), SIZED("2"), 0, &first, &error) == KV_OK);
  CHECK(kv_watch_next(watch, kLong, &events, &error) == KV_OK);
  CHECK(kv_events_count(events) == 1 && kv_events_revision(events) == first && kv_events_at(events, 0, &event));
  CHECK(event.type == KV_EVENT_PUT && is(event.pair.value, event.pair.value_size, "2"));
  CHECK(event.has_before && is(event.before.value, event.before.value_size, "1"));
  CHECK(!kv_events_at(events, 1, &event));
  kv_events_free(events);
  CHECK(kv_delete(client, SIZED("c/watch/a"), NULL, 0, NULL, NULL, &error) == KV_OK);
  CHECK(kv_watch_next(watch, -1, &events, &error) == KV_OK && kv_events_at(events, 0, &event));
  CHECK(event.type == KV_EVENT_DELETE && is(event.pair.key, event.pair.key_size, "c/watch/a"));
  kv_events_free(events);

  kv_watch_stop(watch);
  CHECK(kv_watch_next(watch, -1, &events, &error) == KV_CANCELED);
  kv_watch_close(watch);
  CHECK(kv_watch_open(client, SIZED("c/watch/"), NULL, 0, 0, &watch, &error) == KV_OK);
  kv_close(client);
  CHECK(kv_watch_next(watch, kLong, &events, &error) == KV_CANCELED);
  kv_watch_close(watch);
  return NULL;
}

/* The history up to revision 3 has been compacted by the caller. */
const char* c_watch_compacted(const char* endpoint) {
  kv_client* client = open_client(endpoint);
  kv_watch* watch = NULL;
  kv_events* events = NULL;
  CHECK(client != NULL);
  CHECK(kv_watch_open(client, SIZED("c/old"), NULL, 0, 1, &watch, &error) == KV_OK);
  CHECK(kv_watch_compact_revision(watch) == 0);
  CHECK(kv_watch_next(watch, kLong, &events, &error) == KV_OUT_OF_RANGE);
  CHECK(strcmp(error.text, "etcdserver: mvcc: required revision has been compacted") == 0);
  CHECK(kv_watch_compact_revision(watch) == 3);
  kv_watch_close(watch);
  kv_close(client);
  return NULL;
}

const char* c_lease(const char* endpoint) {
  kv_client* client = open_client(endpoint);
  kv_keep_alive* alive = NULL;
  kv_result* result = NULL;
  kv_pair pair;
  int64_t lease = 0;
  CHECK(client != NULL);
  CHECK(kv_lease_grant(client, 3, &lease, &error) == KV_OK && lease != 0);
  CHECK(kv_put(client, SIZED("c/lease"), SIZED("x"), lease, NULL, &error) == KV_OK);
  CHECK(kv_get(client, SIZED("c/lease"), &result, &error) == KV_OK);
  CHECK(kv_result_at(result, 0, &pair) && pair.lease == lease);
  kv_result_free(result);
  CHECK(kv_lease_keep_alive(client, lease, 3, &alive, &error) == KV_OK);
  CHECK(!kv_keep_alive_lost(alive, &error));
  CHECK(kv_keep_alive_wait_lost(alive, 0, &error) == KV_DEADLINE_EXCEEDED);
  CHECK(kv_lease_revoke(client, lease, &error) == KV_OK);
  CHECK(kv_keep_alive_wait_lost(alive, kLong, &error) == KV_OK);
  CHECK(kv_keep_alive_lost(alive, &error) && error.code == KV_NOT_FOUND);
  CHECK(strcmp(error.text, "etcdserver: requested lease not found") == 0);
  kv_keep_alive_close(alive);
  CHECK(kv_get(client, SIZED("c/lease"), &result, &error) == KV_OK && kv_result_count(result) == 0);
  kv_result_free(result);
  kv_close(client);
  return NULL;
}

const char* c_errors(const char* endpoint) {
  kv_client* client = open_client(endpoint);
  kv_client* none = NULL;
  kv_result* result = NULL;
  kv_pair pair;
  kv_options options = KV_OPTIONS_INIT;
  CHECK(client != NULL);
  CHECK(kv_put(client, NULL, 0, SIZED("x"), 0, NULL, &error) == KV_INVALID_ARGUMENT);
  CHECK(strcmp(error.text, "etcdserver: key is not provided") == 0 && error.code == KV_INVALID_ARGUMENT);
  CHECK(kv_put(client, SIZED("c/e"), SIZED("x"), 4711, NULL, &error) == KV_NOT_FOUND);
  CHECK(kv_put(client, SIZED("c/e"), SIZED("x"), 4711, NULL, NULL) == KV_NOT_FOUND);
  CHECK(kv_get_prefix(client, SIZED("c/e"), 0, INT64_MAX, &result, &error) == KV_OUT_OF_RANGE && result == NULL);
  CHECK(strcmp(kv_code_name(KV_NOT_FOUND), "NotFound") == 0);
  kv_close(client);

  options.endpoints = "nowhere";
  CHECK(kv_open(&options, &none, &error) == KV_INVALID_ARGUMENT && none == NULL && error.text[0] != '\0');
  options.endpoints = ",";
  CHECK(kv_open(&options, &none, &error) == KV_INVALID_ARGUMENT && none == NULL);
  options.size = 3;
  CHECK(kv_open(&options, &none, &error) == KV_INVALID_ARGUMENT && none == NULL);
  CHECK(kv_open(NULL, &none, &error) == KV_INVALID_ARGUMENT);

  CHECK(kv_get(NULL, SIZED("x"), &result, &error) == KV_INVALID_ARGUMENT);
  CHECK(kv_watch_next(NULL, 0, NULL, &error) == KV_INVALID_ARGUMENT);
  CHECK(kv_result_count(NULL) == 0 && !kv_result_at(NULL, 0, &pair));
  kv_close(NULL);
  kv_result_free(NULL);
  kv_events_free(NULL);
  kv_watch_close(NULL);
  kv_keep_alive_close(NULL);
  return NULL;
}

/* As a program has them that was built with the header of the first release, and with that of one to come. */
struct first_options {
  size_t size;
  const char* endpoints;
  int64_t dial_timeout_ms, call_timeout_ms;
  const char *ca_file, *cert_file, *key_file, *user, *password, *token;
};
struct later_options {
  kv_options known;
  const char* unknown;
};

static kv_code open_and_put(const void* options) {
  kv_client* client = NULL;
  kv_code code = kv_open((const kv_options*)options, &client, &error);
  if (code == KV_OK) code = kv_put(client, SIZED("c/options"), SIZED("x"), 0, NULL, &error);
  kv_close(client);
  return code;
}

const char* c_options(const char* endpoint) {
  /* Behind the first: what must not be taken for an option. */
  struct {
    struct first_options options;
    const char* not_ours;
  } first;
  struct later_options later;
  memset(&first, 0, sizeof first);
  first.options.size = sizeof first.options;
  first.options.endpoints = endpoint;
  first.not_ours = (const char*)1;
  CHECK(open_and_put(&first.options) == KV_OK);

  memset(&later, 0, sizeof later);
  later.known.size = sizeof later;
  later.known.endpoints = endpoint;
  CHECK(open_and_put(&later) == KV_OK);
  later.unknown = "what a newer library would do";
  CHECK(open_and_put(&later) == KV_INVALID_ARGUMENT);
  later.known.size = (size_t)-8;
  CHECK(open_and_put(&later) == KV_INVALID_ARGUMENT);
  return NULL;
}

const char* c_tls(const char* endpoint, const char* ca_file) {
  kv_options options = KV_OPTIONS_INIT;
  options.endpoints = endpoint;
  options.ca_file = ca_file;
  options.dial_timeout_ms = 1000;
  CHECK(open_and_put(&options) == KV_UNAVAILABLE);
  options.server_name = "elsewhere.example";
  CHECK(open_and_put(&options) == KV_UNAVAILABLE);
  options.server_name = "kvd.example";
  options.dial_timeout_ms = 60000;
  options.call_timeout_ms = 60000;
  CHECK(open_and_put(&options) == KV_OK);
  return NULL;
}
