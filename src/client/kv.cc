#include "client/kv.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client/client.h"

using namespace kv::client;
using kv::Code;
using kv::Status;

struct kv_client {
  std::unique_ptr<Client> client;
};
struct kv_result {
  GetResponse response;
};
struct kv_events {
  WatchResponse response;
};
struct kv_watch {
  Watcher watcher;
  std::stop_source stop{};
};
struct kv_keep_alive {
  KeepAlive alive;
};

namespace {

kv_code tell(const Status& status, kv_error* error) {
  const auto code = static_cast<kv_code>(status.code());
  if (error == nullptr) return code;
  error->code = code;
  const size_t size = std::min(status.text().size(), sizeof error->text - 1);
  std::memcpy(error->text, status.text().data(), size);
  error->text[size] = '\0';
  return code;
}

Status missing(const char* what) { return Status(Code::kInvalidArgument, std::string(what) + " is NULL"); }

// Runs `call`, and keeps exceptions in: there is none but for memory that is used up.
template <typename Call>
kv_code guarded(kv_error* error, Call&& call) {
  try {
    return tell(call(), error);
  } catch (const std::bad_alloc&) {
    return tell(Status(Code::kResourceExhausted, "out of memory"), error);
  } catch (const std::exception& e) {
    return tell(Status(Code::kInternal, e.what()), error);
  } catch (...) {
    return tell(Status(Code::kInternal, "unknown exception"), error);
  }
}

template <typename T>
void set(T* to, T value) {
  if (to != nullptr) *to = value;
}

std::string text_or_empty(const char* text) { return text != nullptr ? text : ""; }

std::string_view bytes(const char* data, size_t size) { return {data, data != nullptr ? size : 0}; }

Wait within(int64_t timeout_ms, std::stop_token stop = {}) {
  // So that what is to be added to now can't overflow: a century.
  constexpr int64_t kMax = 100LL * 365 * 24 * 3600 * 1000;
  Wait wait = timeout_ms < 0 ? Wait{} : at_most(std::chrono::milliseconds(std::min(timeout_ms, kMax)));
  wait.stop = std::move(stop);
  return wait;
}

kv_pair pair_of(const KeyValue& kv) {
  return {kv.key.data(),      kv.key.size(),   kv.value.data(), kv.value.size(),
          kv.create_revision, kv.mod_revision, kv.version,      kv.lease};
}

std::vector<std::string> split(std::string_view list) {
  std::vector<std::string> parts;
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (comma > 0) parts.emplace_back(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return parts;
}

Status get(kv_client* client, std::string_view key, GetOptions options, kv_result** result) {
  if (client == nullptr) return missing("client");
  if (result == nullptr) return missing("result");
  auto got = client->client->get(key, options);
  if (!got.ok()) return got.status();
  *result = new kv_result{*std::move(got)};
  return {};
}

// The options as this library has them, from those of a program that was built with another release's header.
kv::Result<kv_options> as_known(const kv_options* given) {
  constexpr size_t kFirstRelease = offsetof(kv_options, server_name);
  constexpr size_t kMax = 4096;  // what isn't set is seldom smaller
  const size_t size = given->size;
  if (size < kFirstRelease || size > kMax || size % alignof(kv_options) != 0) {
    return Status(Code::kInvalidArgument, "options.size is not set: begin with KV_OPTIONS_INIT");
  }
  kv_options known = {};
  std::memcpy(&known, given, std::min(size, sizeof known));
  const auto* const bytes = reinterpret_cast<const unsigned char*>(given);
  if (size > sizeof known && std::any_of(bytes + sizeof known, bytes + size, [](auto byte) { return byte != 0; })) {
    return Status(Code::kInvalidArgument, "options has a field set that this library is too old for");
  }
  return known;
}

// Does `op` if the key's mod_revision is `expected`, else reads the key.
Status compare_and(kv_client* client, std::string_view key, int64_t expected, Op op, int* done, int64_t* revision,
                   kv_result** current) {
  if (client == nullptr) return missing("client");
  Txn txn;
  txn.when({compare_mod_revision(key, Comparison::kEqual, expected)}).then({std::move(op)}).otherwise({get_op(key)});
  auto answer = client->client->commit(txn);
  if (!answer.ok()) return answer.status();
  auto* got = answer->succeeded || answer->responses.empty()
                  ? nullptr
                  : std::get_if<GetResponse>(&answer->responses.front().answer);
  if (current != nullptr) {
    *current = got != nullptr ? new kv_result{std::move(*got)} : nullptr;
    if (*current != nullptr) (*current)->response.header = answer->header;
  }
  set(done, answer->succeeded ? 1 : 0);
  set(revision, answer->header.revision);
  return {};
}

}  // namespace

const char* kv_code_name(kv_code code) { return kv::code_name(static_cast<Code>(code)).data(); }

kv_code kv_open(const kv_options* options, kv_client** client, kv_error* error) {
  return guarded(error, [&]() -> Status {
    if (options == nullptr || client == nullptr) return missing(options == nullptr ? "options" : "client");
    const auto known = as_known(options);
    if (!known.ok()) return known.status();
    ClientOptions wanted;
    if (known->endpoints != nullptr) wanted.endpoints = split(known->endpoints);
    if (known->dial_timeout_ms > 0) wanted.dial_timeout = std::chrono::milliseconds(known->dial_timeout_ms);
    if (known->call_timeout_ms > 0) wanted.call_timeout = std::chrono::milliseconds(known->call_timeout_ms);
    wanted.tls.ca_file = text_or_empty(known->ca_file);
    wanted.tls.cert_file = text_or_empty(known->cert_file);
    wanted.tls.key_file = text_or_empty(known->key_file);
    wanted.tls.server_name = text_or_empty(known->server_name);
    wanted.user = text_or_empty(known->user);
    wanted.password = text_or_empty(known->password);
    wanted.token = text_or_empty(known->token);
    auto made = Client::create(std::move(wanted));
    if (!made.ok()) return made.status();
    *client = new kv_client{*std::move(made)};
    return {};
  });
}

void kv_close(kv_client* client) { delete client; }

kv_code kv_get(kv_client* client, const char* key, size_t key_size, kv_result** result, kv_error* error) {
  return guarded(error, [&] { return get(client, bytes(key, key_size), {}, result); });
}

kv_code kv_get_prefix(kv_client* client, const char* prefix, size_t prefix_size, int64_t limit, int64_t revision,
                      kv_result** result, kv_error* error) {
  return guarded(error, [&] {
    const std::string_view all = bytes(prefix, prefix_size);
    return get(client, all.empty() ? unbounded() : all,
               {.range_end = prefix_end(all), .limit = limit, .revision = revision}, result);
  });
}

kv_code kv_get_range(kv_client* client, const char* key, size_t key_size, const char* end, size_t end_size,
                     int64_t limit, int64_t revision, kv_result** result, kv_error* error) {
  return guarded(error, [&] {
    return get(client, bytes(key, key_size),
               {.range_end = std::string(bytes(end, end_size)), .limit = limit, .revision = revision}, result);
  });
}

size_t kv_result_count(const kv_result* result) { return result != nullptr ? result->response.kvs.size() : 0; }

int kv_result_at(const kv_result* result, size_t at, kv_pair* pair) {
  if (at >= kv_result_count(result) || pair == nullptr) return 0;
  *pair = pair_of(result->response.kvs[at]);
  return 1;
}

int64_t kv_result_revision(const kv_result* result) { return result != nullptr ? result->response.header.revision : 0; }
int64_t kv_result_total(const kv_result* result) { return result != nullptr ? result->response.count : 0; }
void kv_result_free(kv_result* result) { delete result; }

kv_code kv_put(kv_client* client, const char* key, size_t key_size, const char* value, size_t value_size, int64_t lease,
               int64_t* revision, kv_error* error) {
  return guarded(error, [&]() -> Status {
    if (client == nullptr) return missing("client");
    const auto done = client->client->put(bytes(key, key_size), bytes(value, value_size), {.lease = lease});
    if (!done.ok()) return done.status();
    set(revision, done->header.revision);
    return {};
  });
}

kv_code kv_delete(kv_client* client, const char* key, size_t key_size, const char* end, size_t end_size,
                  int64_t* deleted, int64_t* revision, kv_error* error) {
  return guarded(error, [&]() -> Status {
    if (client == nullptr) return missing("client");
    const auto done = client->client->remove(bytes(key, key_size), {.range_end = std::string(bytes(end, end_size))});
    if (!done.ok()) return done.status();
    set(deleted, done->deleted);
    set(revision, done->header.revision);
    return {};
  });
}

kv_code kv_compare_and_swap(kv_client* client, const char* key, size_t key_size, int64_t expected, const char* value,
                            size_t value_size, int64_t lease, int* swapped, int64_t* revision, kv_result** current,
                            kv_error* error) {
  return guarded(error, [&] {
    const std::string_view name = bytes(key, key_size);
    return compare_and(client, name, expected, put_op(name, bytes(value, value_size), {.lease = lease}), swapped,
                       revision, current);
  });
}

kv_code kv_compare_and_delete(kv_client* client, const char* key, size_t key_size, int64_t expected, int* deleted,
                              int64_t* revision, kv_result** current, kv_error* error) {
  return guarded(error, [&] {
    const std::string_view name = bytes(key, key_size);
    return compare_and(client, name, expected, remove_op(name), deleted, revision, current);
  });
}

kv_code kv_watch_open(kv_client* client, const char* key, size_t key_size, const char* end, size_t end_size,
                      int64_t start_revision, kv_watch** watch, kv_error* error) {
  return guarded(error, [&]() -> Status {
    if (client == nullptr) return missing("client");
    if (watch == nullptr) return missing("watch");
    WatchOptions options{.range_end = std::string(bytes(end, end_size)), .start_revision = start_revision};
    options.prev_kv = true;
    *watch = new kv_watch{client->client->watch(bytes(key, key_size), std::move(options))};
    return {};
  });
}

kv_code kv_watch_ready(kv_watch* watch, int64_t timeout_ms, kv_error* error) {
  return guarded(error, [&]() -> Status {
    if (watch == nullptr) return missing("watch");
    return watch->watcher.wait_created(within(timeout_ms, watch->stop.get_token())).status();
  });
}

kv_code kv_watch_next(kv_watch* watch, int64_t timeout_ms, kv_events** events, kv_error* error) {
  return guarded(error, [&]() -> Status {
    if (watch == nullptr) return missing("watch");
    if (events == nullptr) return missing("events");
    const Wait wait = within(timeout_ms, watch->stop.get_token());
    for (;;) {
      auto next = watch->watcher.next(wait);
      if (!next.ok()) return next.status();
      if (next->progress()) continue;
      *events = new kv_events{*std::move(next)};
      return {};
    }
  });
}

int64_t kv_watch_compact_revision(const kv_watch* watch) {
  if (watch == nullptr) return 0;
  const auto end = watch->watcher.end();
  return end ? end->compact_revision : 0;
}

void kv_watch_stop(kv_watch* watch) {
  if (watch != nullptr) watch->stop.request_stop();
}

void kv_watch_close(kv_watch* watch) { delete watch; }

size_t kv_events_count(const kv_events* events) { return events != nullptr ? events->response.events.size() : 0; }

int kv_events_at(const kv_events* events, size_t at, kv_event* event) {
  if (at >= kv_events_count(events) || event == nullptr) return 0;
  const Event& from = events->response.events[at];
  *event = {};
  event->type = from.type == EventType::kPut ? KV_EVENT_PUT : KV_EVENT_DELETE;
  event->pair = pair_of(from.kv);
  if (from.prev_kv) {
    event->has_before = 1;
    event->before = pair_of(*from.prev_kv);
  }
  return 1;
}

int64_t kv_events_revision(const kv_events* events) {
  return kv_events_count(events) > 0 ? events->response.events.back().kv.mod_revision : 0;
}

void kv_events_free(kv_events* events) { delete events; }

kv_code kv_lease_grant(kv_client* client, int64_t ttl_s, int64_t* id, kv_error* error) {
  return guarded(error, [&]() -> Status {
    if (client == nullptr) return missing("client");
    if (id == nullptr) return missing("id");
    const auto granted = client->client->lease_grant(ttl_s);
    if (!granted.ok()) return granted.status();
    *id = granted->id;
    return {};
  });
}

kv_code kv_lease_revoke(kv_client* client, int64_t id, kv_error* error) {
  return guarded(error, [&]() -> Status {
    if (client == nullptr) return missing("client");
    return client->client->lease_revoke(id).status();
  });
}

kv_code kv_lease_keep_alive(kv_client* client, int64_t id, int64_t ttl_s, kv_keep_alive** alive, kv_error* error) {
  return guarded(error, [&]() -> Status {
    if (client == nullptr) return missing("client");
    if (alive == nullptr) return missing("alive");
    *alive = new kv_keep_alive{client->client->keep_alive(id, {.ttl_s = ttl_s})};
    return {};
  });
}

kv_code kv_keep_alive_wait_lost(kv_keep_alive* alive, int64_t timeout_ms, kv_error* error) {
  return guarded(error, [&]() -> Status {
    if (alive == nullptr) return missing("alive");
    return alive->alive.wait_lost(within(timeout_ms));
  });
}

int kv_keep_alive_lost(const kv_keep_alive* alive, kv_error* why) {
  if (alive == nullptr || !alive->alive.lost()) return 0;
  (void)guarded(why, [&] { return alive->alive.why_lost().value_or(Status()); });
  return 1;
}

void kv_keep_alive_close(kv_keep_alive* alive) { delete alive; }
