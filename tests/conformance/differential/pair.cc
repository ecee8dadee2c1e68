#include "conformance/differential/pair.h"

#include "conformance/differential/differences.h"
#include "conformance/differential/json_exchange.h"

#include <algorithm>
#include <stdexcept>

namespace kv::differential {
namespace {

void need_ready(harness::Cluster& cluster, const std::string& binary) {
  if (cluster.wait_ready()) return;
  std::string words;
  for (int i = 0; i < cluster.size(); ++i) words += "\n---- " + std::to_string(i) + "\n" + cluster.last_words(i);
  throw std::runtime_error(binary + " does not serve" + words);
}

}  // namespace

Pair::Pair(PairOptions options) : options_(std::move(options)) {
  a_ = std::make_unique<harness::Cluster>(harness::ClusterOptions{.binary = options_.a, .members = options_.members});
  b_ = std::make_unique<harness::Cluster>(harness::ClusterOptions{.binary = options_.b, .members = options_.members});
  a_->start_all();
  b_->start_all();
  need_ready(*a_, options_.a);
  need_ready(*b_, options_.b);
}

Answer Pair::ask_one(harness::Cluster& cluster, int member, size_t step, const Request& request) {
  return options_.json ? ask_json(cluster.endpoint(member), request, step) : ask(cluster.client(member), request);
}

std::optional<Mismatch> Pair::ask_both(size_t step, const Request& request) {
  const int member = static_cast<int>(step % static_cast<size_t>(options_.members));
  last_ = ask_one(*a_, member, step, request);
  Answer b = ask_one(*b_, member, step, request);
  if (plant) plant(request, b);
  if (last_ != b) {
    const std::string reason = excuse(request, last_, b);
    if (reason.empty()) return Mismatch{step, request, last_, b};
    ++excused[reason];
  }
  if (last_.code == grpc::StatusCode::OK) {
    known.revision = last_.revision;
    if (const auto* compaction = std::get_if<etcdserverpb::CompactionRequest>(&request)) {
      known.compacted = compaction->revision();
    }
  }
  return std::nullopt;
}

std::optional<Mismatch> Pair::play(const std::vector<Request>& requests) {
  for (size_t i = 0; i < requests.size(); ++i) {
    if (auto found = ask_both(i, requests[i])) return found;
  }
  return std::nullopt;
}

std::vector<Request> shrink(std::vector<Request> requests,
                            const std::function<std::optional<Mismatch>(const std::vector<Request>&)>& fails,
                            int tries) {
  // Delta debugging (Zeller): leave out ever smaller pieces. The last request shows the difference and stays.
  size_t piece = requests.size() / 2;
  while (piece > 0 && tries > 0) {
    bool smaller = false;
    for (size_t from = 0; from + 1 < requests.size() && tries > 0;) {
      std::vector<Request> fewer = requests;
      const size_t to = std::min(from + piece, requests.size() - 1);
      fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(from), fewer.begin() + static_cast<std::ptrdiff_t>(to));
      --tries;
      if (const auto found = fails(fewer)) {
        fewer.resize(found->step + 1);
        requests = std::move(fewer);
        smaller = true;
      } else {
        from = to;
      }
    }
    piece = smaller ? std::min(piece, requests.size() / 2) : piece / 2;
  }
  return requests;
}

}  // namespace kv::differential
