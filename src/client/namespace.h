// The keys of a namespace: a prefix that a client's view puts before every key it sends and takes off every key it
// gets. Internal; Client::in_namespace() is what users see.
//
// It maps intervals as etcd's client/v3/namespace does: an end without a bound becomes the end of the prefix, so that
// nothing outside is ever reached.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "client/lease.h"
#include "client/txn.h"
#include "client/types.h"

namespace kv::client {

class Namespace {
 public:
  explicit Namespace(std::string prefix) : prefix_(std::move(prefix)) {}

  const std::string& prefix() const { return prefix_; }
  bool is_all() const { return prefix_.empty(); }

  // InvalidArgument, with the server's text, for the empty key: with a prefix the server would take it.
  Status check(std::string_view key) const;
  Status check(const Txn& txn) const;

  std::string key(std::string_view key) const { return prefix_ + std::string(key); }
  std::string range_end(std::string_view end) const;
  Txn txn(const Txn& from) const;

  // Of a request to the server: a key, and an end where there is one.
  template <typename Request>
  void widen(Request& request) const {
    if (is_all()) return;
    request.set_key(key(request.key()));
    if constexpr (requires { request.range_end(); }) request.set_range_end(range_end(request.range_end()));
  }

  void strip(std::string& key) const { key.erase(0, prefix_.size()); }
  void strip(GetResponse& response) const;
  void strip(PutResponse& response) const;
  void strip(RemoveResponse& response) const;
  void strip(TxnResponse& response) const;
  // Keys outside are left out.
  void strip(LeaseTimeToLiveResponse& response) const;

 private:
  Op op(const Op& from) const;

  std::string prefix_;
};

}  // namespace kv::client
