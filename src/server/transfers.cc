#include "server/transfers.h"

#include <algorithm>
#include <iterator>

#include "server/errors.h"

namespace kv::server {

void Transfers::wait_for(uint64_t target, int64_t expires_ms, Over over) {
  add({target, false, expires_ms, std::move(over)});
}

void Transfers::wait_for_change(uint64_t from, int64_t expires_ms, Over over) {
  add({from, true, expires_ms, std::move(over)});
}

void Transfers::add(Wait wait) {
  {
    const std::lock_guard lock(mutex_);
    if (!closed_) {
      waits_.push_back(std::move(wait));
      return;
    }
  }
  wait.over(errors::stopped());
}

template <typename Predicate>
void Transfers::end_if(Predicate ended, const Status& status) {
  std::vector<Wait> over;
  {
    const std::lock_guard lock(mutex_);
    const auto rest = std::stable_partition(waits_.begin(), waits_.end(), [&](const Wait& w) { return !ended(w); });
    std::move(rest, waits_.end(), std::back_inserter(over));
    waits_.erase(rest, waits_.end());
  }
  for (Wait& wait : over) wait.over(status);
}

void Transfers::leader_is(uint64_t leader) {
  end_if([&](const Wait& w) { return w.change ? w.node != leader : w.node == leader; }, Status());
}

void Transfers::expire(int64_t now_ms) {
  end_if([&](const Wait& w) { return w.expires_ms <= now_ms; }, errors::timed_out());
}

void Transfers::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  end_if([](const Wait&) { return true; }, errors::stopped());
}

}  // namespace kv::server
