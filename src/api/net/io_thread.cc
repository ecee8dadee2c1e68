#include "api/net/io_thread.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/thread.h"

namespace kv::api {
namespace asio = boost::asio;

namespace {
// Handlers that may run before the answers of a turn are written.
constexpr int kHandlersPerTurn = 64;
}  // namespace

thread_local IoThread* IoThread::current_ = nullptr;

IoThread::IoThread(std::string name, std::shared_ptr<const void> kept)
    : name_(std::move(name)),
      kept_(std::move(kept)),
      now_ms_(Clock::system().monotonic_ms()),
      read_buffer_(std::make_unique_for_overwrite<char[]>(kReadBytes)),
      write_buffer_(std::make_unique_for_overwrite<char[]>(kWriteBytes)) {}

IoThread::~IoThread() { KV_CHECK(!thread_.joinable(), "an I/O thread must be stopped before it is destroyed"); }

void IoThread::start() {
  thread_ = std::thread([this] { run(); });
}

void IoThread::stop() {
  if (thread_.joinable()) {
    post([this] { stopping_ = true; });
    thread_.join();
  }
  std::vector<Work> dropped;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    dropped.swap(inbox_);
  }
}

void IoThread::post(Work work) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    inbox_.push_back(std::move(work));
    wake = !std::exchange(woken_, true);
  }
  // The handler itself does nothing: run() looks into the inbox after whatever it ran.
  if (wake) asio::post(context_, [] {});
}

void IoThread::refresh_now() { now_ms_ = Clock::system().monotonic_ms(); }

void IoThread::adopt(std::shared_ptr<TurnMember> member) {
  TurnMember* key = member.get();
  members_.emplace(key, std::move(member));
}

void IoThread::release(TurnMember* member) {
  const auto found = members_.find(member);
  if (found == members_.end()) return;
  released_.push_back(std::move(found->second));
  members_.erase(found);
}

void IoThread::for_each_member(const std::function<void(TurnMember&)>& visit) {
  std::vector<std::shared_ptr<TurnMember>> all;
  all.reserve(members_.size());
  for (const auto& [key, member] : members_) all.push_back(member);
  for (const auto& member : all) visit(*member);
}

void IoThread::mark_dirty(TurnMember& member) {
  if (std::exchange(member.dirty_, true)) return;
  dirty_.push_back(member.shared_from_this());
}

void IoThread::run_inbox() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = false;
    if (inbox_.empty()) return;
    taken_.swap(inbox_);
  }
  for (Work& work : taken_) std::exchange(work, nullptr)();
  taken_.clear();
}

void IoThread::arm_timer() {
  const int64_t next = timers_.next_ms();
  if (next >= armed_ms_) return;  // what is armed comes first, and arms again
  armed_ms_ = next;
  timer_.expires_at(std::chrono::steady_clock::time_point(std::chrono::milliseconds(next)));
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) armed_ms_ = TimerWheel::kNever;
  });
}

void IoThread::run() {
  name_this_thread(name_);
  current_ = this;
  const auto guard = asio::make_work_guard(context_);
  while (!stopping_) {
    context_.run_one();
    for (int i = 1; i < kHandlersPerTurn && context_.poll_one() != 0; ++i) {
    }
    refresh_now();
    run_inbox();
    timers_.fire(now_ms_);

    writing_.swap(dirty_);
    for (const auto& member : writing_) {
      member->dirty_ = false;
      member->end_of_turn();
    }
    writing_.clear();
    if (!dirty_.empty()) asio::post(context_, [] {});  // one that has more to write than a turn allows
    released_.clear();
    arm_timer();
  }
  while (!members_.empty()) {
    const auto member = members_.begin()->second;
    member->abandon();
    release(member.get());
  }
  // Whoever was told of the end may have posted something that holds a call.
  std::vector<Work> dropped;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    dropped.swap(inbox_);
  }
  dropped.clear();
  dirty_.clear();
  released_.clear();
  timer_.cancel();
  // The waits that were cut off hold their connections.
  while (context_.poll() != 0) {
  }
  current_ = nullptr;
}

}  // namespace kv::api
