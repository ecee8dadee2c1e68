// Two clusters side by side, and a sequence of requests sent to both.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "conformance/differential/exchange.h"
#include "harness/cluster.h"

namespace kv::differential {

struct PairOptions {
  std::string a = "etcd";  // the oracle's program
  std::string b = {};      // the program under test
  int members = 1;
  bool json = false;  // ask through the JSON gateways instead of gRPC
};

struct Mismatch {
  size_t step = 0;
  Request request;
  Answer a;
  Answer b;
};

class Pair {
 public:
  // Starts both on fresh data and waits until they serve; throws std::runtime_error with their last words when
  // they don't.
  explicit Pair(PairOptions options);

  // Asks both the same; the member is chosen by `step`, the same on both sides.
  std::optional<Mismatch> ask_both(size_t step, const Request& request);
  // Plays the requests in order up to the first difference.
  std::optional<Mismatch> play(const std::vector<Request>& requests);

  harness::Cluster& a() { return *a_; }
  harness::Cluster& b() { return *b_; }
  // The answer of `a` to the last ask_both(), and what the generator needs to know for the next.
  const Answer& last() const { return last_; }
  Known known;
  std::map<std::string, int> excused;  // differences that differences.cc allows, by reason

  // Falsifies b's answers where they satisfy this; for the proof that a difference is seen.
  std::function<void(const Request&, Answer&)> plant;

 private:
  Answer ask_one(harness::Cluster& cluster, int member, size_t step, const Request& request);

  PairOptions options_;
  std::unique_ptr<harness::Cluster> a_;
  std::unique_ptr<harness::Cluster> b_;
  Answer last_;
};

// A sequence as short as can be found in at most `tries` plays on fresh pairs, that ends in a difference. `fails`
// plays a sequence on a fresh pair.
std::vector<Request> shrink(std::vector<Request> requests,
                            const std::function<std::optional<Mismatch>(const std::vector<Request>&)>& fails,
                            int tries);

}  // namespace kv::differential
