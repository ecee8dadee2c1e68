/* The client of a kvd or etcd cluster for C, and for every language that can call C: the essentials of kv::Client.
 *
 *   kv_options options = KV_OPTIONS_INIT;
 *   kv_error error;
 *   kv_client* client = NULL;
 *   options.endpoints = "10.0.0.1:2379,10.0.0.2:2379";
 *   if (kv_open(&options, &client, &error) != KV_OK) return complain(error.text);
 *   if (kv_put(client, "message", 7, "hello", 5, 0, NULL, &error) != KV_OK) return complain(error.text);
 *   kv_close(client);
 *
 * Every function that can fail returns a code, KV_OK for none, and tells it with a text in `error`, which may be NULL.
 * What is written through an out parameter is written on success only. Out parameters may be NULL where the answer
 * isn't wanted, except handles.
 *
 * Keys and values are bytes with a size; NULL goes with 0. What a handle points at lives until the handle is freed.
 * Any thread may call any function with any handle, except that freeing or closing one must be its last use. Calls
 * block until they are answered or their time is over. No exception leaves a function.
 *
 * What the calls promise, when they are sent again, and how watches go on at other members: docs/client.md.
 */
#ifndef KV_KV_H
#define KV_KV_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define KV_API __attribute__((visibility("default")))
#else
#define KV_API
#endif

/* gRPC's codes; the texts that come with them are etcd's. */
typedef enum kv_code {
  KV_OK = 0,
  KV_CANCELED = 1,
  KV_UNKNOWN = 2,
  KV_INVALID_ARGUMENT = 3,
  KV_DEADLINE_EXCEEDED = 4,
  KV_NOT_FOUND = 5,
  KV_ALREADY_EXISTS = 6,
  KV_PERMISSION_DENIED = 7,
  KV_RESOURCE_EXHAUSTED = 8,
  KV_FAILED_PRECONDITION = 9,
  KV_ABORTED = 10,
  KV_OUT_OF_RANGE = 11,
  KV_UNIMPLEMENTED = 12,
  KV_INTERNAL = 13,
  KV_UNAVAILABLE = 14,
  KV_DATA_LOSS = 15,
  KV_UNAUTHENTICATED = 16
} kv_code;

typedef struct kv_error {
  kv_code code;
  char text[512]; /* ends with a zero; cut if it is longer */
} kv_error;

/* "Unavailable". */
KV_API const char* kv_code_name(kv_code code);

typedef struct kv_client kv_client;         /* a cluster */
typedef struct kv_result kv_result;         /* keys that were found */
typedef struct kv_watch kv_watch;           /* a watch */
typedef struct kv_events kv_events;         /* changes that it saw */
typedef struct kv_keep_alive kv_keep_alive; /* a lease that is kept alive */

/* Later releases add fields at the end. By `size` a library knows which of them the program has, so that a newer library
   serves a program that was built with an older header; an older library refuses, with KV_INVALID_ARGUMENT, a field
   that it doesn't know and that is set. */
typedef struct kv_options {
  size_t size;             /* of this struct: KV_OPTIONS_INIT sets it */
  const char* endpoints;   /* host:port, http:// or https:// URLs, unix:path; commas between them */
  int64_t dial_timeout_ms; /* 0: as ClientOptions has it, as for all below */
  int64_t call_timeout_ms;
  const char* ca_file; /* PEM; any of these three or server_name, and endpoints without a scheme are spoken to by TLS */
  const char* cert_file;
  const char* key_file;
  const char* user; /* name and password, or a token */
  const char* password;
  const char* token;
  /* The name that servers' certificates are to be for, whatever the endpoints are called; else each endpoint's host. */
  const char* server_name;
} kv_options;

#define KV_OPTIONS_INIT \
  { sizeof(kv_options), NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL }

/* Connects to nothing yet. */
KV_API kv_code kv_open(const kv_options* options, kv_client** client, kv_error* error);
/* NULL is fine, as for all that free. Watches and keep-alives may outlive it, and are over then. */
KV_API void kv_close(kv_client* client);

typedef struct kv_pair {
  const char* key;
  size_t key_size;
  const char* value;
  size_t value_size;
  int64_t create_revision;
  int64_t mod_revision;
  int64_t version;
  int64_t lease;
} kv_pair;

/* One key: a result with it, or an empty one. */
KV_API kv_code kv_get(kv_client* client, const char* key, size_t key_size, kv_result** result, kv_error* error);
/* All keys with this prefix, in order, at most `limit` (0: all), as of `revision` (0: now). */
KV_API kv_code kv_get_prefix(kv_client* client, const char* prefix, size_t prefix_size, int64_t limit, int64_t revision,
                             kv_result** result, kv_error* error);
/* All keys in [key, end), likewise; an end of one zero byte stands for no upper bound. */
KV_API kv_code kv_get_range(kv_client* client, const char* key, size_t key_size, const char* end, size_t end_size,
                            int64_t limit, int64_t revision, kv_result** result, kv_error* error);

KV_API size_t kv_result_count(const kv_result* result);
/* 0 if there is no such place. */
KV_API int kv_result_at(const kv_result* result, size_t at, kv_pair* pair);
/* The store's revision when it answered. */
KV_API int64_t kv_result_revision(const kv_result* result);
/* How many keys the range has, whatever the limit. */
KV_API int64_t kv_result_total(const kv_result* result);
KV_API void kv_result_free(kv_result* result);

/* `lease` 0: none. A write that fails with KV_UNAVAILABLE or KV_DEADLINE_EXCEEDED may or may not have happened. */
KV_API kv_code kv_put(kv_client* client, const char* key, size_t key_size, const char* value, size_t value_size,
                      int64_t lease, int64_t* revision, kv_error* error);
/* With an end: all keys in [key, end). */
KV_API kv_code kv_delete(kv_client* client, const char* key, size_t key_size, const char* end, size_t end_size,
                         int64_t* deleted, int64_t* revision, kv_error* error);

/* Puts if the key's mod_revision is `expected`; 0: if there is no such key. `*swapped` says whether it was so. If it
   wasn't, `*current` has the key as it is, or nothing; else it is NULL. Both at one revision, atomically. */
KV_API kv_code kv_compare_and_swap(kv_client* client, const char* key, size_t key_size, int64_t expected,
                                   const char* value, size_t value_size, int64_t lease, int* swapped, int64_t* revision,
                                   kv_result** current, kv_error* error);
/* Likewise deletes. */
KV_API kv_code kv_compare_and_delete(kv_client* client, const char* key, size_t key_size, int64_t expected,
                                     int* deleted, int64_t* revision, kv_result** current, kv_error* error);

typedef enum kv_event_type { KV_EVENT_PUT = 0, KV_EVENT_DELETE = 1 } kv_event_type;

typedef struct kv_event {
  kv_event_type type;
  kv_pair pair;   /* of a deletion: the key, and in mod_revision the deletion's revision */
  int has_before; /* whether `before` is what the key held before */
  kv_pair before;
} kv_event;

/* Every change of the key, or of [key, end), from `start_revision` on (0: from now on). Goes on at another member when
   its own fails, without a gap and without a double. */
KV_API kv_code kv_watch_open(kv_client* client, const char* key, size_t key_size, const char* end, size_t end_size,
                             int64_t start_revision, kv_watch** watch, kv_error* error);
/* Waits until a server has the watch: what happens from now on is seen. `timeout_ms` < 0: for ever, here and below. */
KV_API kv_code kv_watch_ready(kv_watch* watch, int64_t timeout_ms, kv_error* error);
/* The next changes: all of one or more whole revisions. KV_DEADLINE_EXCEEDED: none yet, call again. KV_CANCELED: it was
   stopped. KV_OUT_OF_RANGE: the history that it needs is compacted. Each other code: it is over, too. */
KV_API kv_code kv_watch_next(kv_watch* watch, int64_t timeout_ms, kv_events** events, kv_error* error);
/* The first revision that a new watch may start from, after KV_OUT_OF_RANGE; else 0. */
KV_API int64_t kv_watch_compact_revision(const kv_watch* watch);
/* Ends kv_watch_next() and kv_watch_ready() in other threads, now and from now on. */
KV_API void kv_watch_stop(kv_watch* watch);
KV_API void kv_watch_close(kv_watch* watch);

KV_API size_t kv_events_count(const kv_events* events);
KV_API int kv_events_at(const kv_events* events, size_t at, kv_event* event);
KV_API int64_t kv_events_revision(const kv_events* events);
KV_API void kv_events_free(kv_events* events);

/* `*id` is the new lease, for kv_put(). */
KV_API kv_code kv_lease_grant(kv_client* client, int64_t ttl_s, int64_t* id, kv_error* error);
/* Ends it and deletes its keys. */
KV_API kv_code kv_lease_revoke(kv_client* client, int64_t id, kv_error* error);
/* Keeps it alive until the handle is closed, which doesn't revoke it. `ttl_s` as it was granted. */
KV_API kv_code kv_lease_keep_alive(kv_client* client, int64_t id, int64_t ttl_s, kv_keep_alive** alive,
                                   kv_error* error);
/* KV_OK once the lease is lost; KV_DEADLINE_EXCEEDED if it isn't in time. */
KV_API kv_code kv_keep_alive_wait_lost(kv_keep_alive* alive, int64_t timeout_ms, kv_error* error);
/* Whether it is lost, and then why. */
KV_API int kv_keep_alive_lost(const kv_keep_alive* alive, kv_error* why);
KV_API void kv_keep_alive_close(kv_keep_alive* alive);

#ifdef __cplusplus
}
#endif

#endif
