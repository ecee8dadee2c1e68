#include "api/services/health_checks.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "base/metrics.h"

namespace kv::api {
namespace {

using etcdserverpb::AlarmType;
using server::Member;

using Reply = absl::AnyInvocable<void(HttpResponse)>;
// Calls `done` once, from any thread: with ok, or why the check failed.
using Check = std::function<void(Member& member, std::function<void(Status)> done)>;
struct NamedCheck {
  std::string name;
  Check run;
};
using Checks = std::vector<NamedCheck>;

// ---- the query ----

// The values of `name` in the query, each once and none of them empty. No escapes: what is asked for here are plain
// words.
std::set<std::string> values_of(std::string_view query, std::string_view name) {
  std::set<std::string> values;
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    const size_t equals = pair.find('=');
    if (pair.substr(0, equals) == name && equals != std::string_view::npos && equals + 1 < pair.size()) {
      values.emplace(pair.substr(equals + 1));
    }
  }
  return values;
}

bool is_given(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    if (pair.substr(0, pair.find('=')) == name) return true;
  }
  return false;
}

// ---- the checks ----

// By the member's own view of the alarms: a member that is cut off must say so by the checks that ask a quorum, and no
// other check may fail or wait for that.
void check_corruption(Member& member, const std::function<void(Status)>& done) {
  Status status;
  for (const auto& alarm : member.alarms()) {
    if (alarm.alarm() == AlarmType::CORRUPT) status = {Code::kDataLoss, "alarm activated: CORRUPT"};
  }
  done(std::move(status));
}

void check_non_learner(Member& member, std::function<void(Status)> done) {
  member.status(std::make_shared<OwnCall>(), std::make_unique<etcdserverpb::StatusRequest>(),
                [done = std::move(done)](Status status, etcdserverpb::StatusResponse&& response) {
                  if (response.islearner()) status = {Code::kUnavailable, "not supported for learner"};
                  done(std::move(status));
                });
}

NamedCheck read_check(bool serializable) {
  return {serializable ? "serializable_read" : "linearizable_read",
          [serializable](Member& member, std::function<void(Status)> done) {
            member.check_health(serializable, std::move(done));
          }};
}

// ---- a run of checks ----

void count(const std::string& type, const std::string& name, bool ok) {
  Metrics& metrics = Metrics::global();
  metrics.gauge("etcd_server_healthcheck", "The result of each kind of healthcheck.", {{"type", type}, {"name", name}})
      .set(ok ? 1 : 0);
  metrics
      .counter("etcd_server_healthchecks_total", "The total number of each kind of healthcheck.",
               {{"type", type}, {"name", name}, {"status", ok ? "success" : "error"}})
      .add();
}

// Runs the checks one after the other and answers; belongs to the callbacks that it hands out.
class CheckRun : public std::enable_shared_from_this<CheckRun> {
 public:
  CheckRun(Member& member, std::string type, Checks checks, bool verbose, Reply reply)
      : member_(member),
        type_(std::move(type)),
        checks_(std::move(checks)),
        verbose_(verbose),
        reply_(std::move(reply)) {}

  void next() {
    if (at_ == checks_.size()) return answer();
    checks_[at_].run(member_, [self = shared_from_this()](const Status& status) {
      const std::string& name = self->checks_[self->at_++].name;
      count(self->type_, name, status.ok());
      self->failed_ = self->failed_ || !status.ok();
      self->lines_ +=
          status.ok() ? "[+]" + name + " ok\n" : "[-]" + name + " failed: " + std::string(status.text()) + "\n";
      self->next();
    });
  }

 private:
  void answer() {
    HttpResponse response;
    response.headers.emplace_back("X-Content-Type-Options", "nosniff");
    if (failed_) {
      log_warning("health check failed", {{"path", "/" + type_}, {"reason", lines_}});
      response.status = 503;
      response.body = lines_ + "\n";  // as Go's http.Error ends what it prints
    } else {
      response.body = (verbose_ ? lines_ : "") + "ok\n";
    }
    reply_(std::move(response));
  }

  Member& member_;
  const std::string type_;
  const Checks checks_;
  const bool verbose_;
  Reply reply_;
  size_t at_ = 0;
  bool failed_ = false;
  std::string lines_;
};

void add_checks(std::vector<Route>& routes, Member& member, const std::string& type, const Checks& checks) {
  routes.push_back(
      {"GET", "/" + type, [&member, type, checks](const std::shared_ptr<HttpRequest>& request, Reply reply) {
         std::set<std::string> excluded = values_of(request->query, "exclude");
         Checks chosen;
         for (const NamedCheck& check : checks) {
           if (excluded.erase(check.name) == 0) chosen.push_back(check);
         }
         // A newer version may have them: not an error.
         for (const std::string& name : excluded) {
           log_warning("there is no health check to exclude", {{"path", "/" + type}, {"check", name}});
         }
         std::make_shared<CheckRun>(member, type, std::move(chosen), is_given(request->query, "verbose"),
                                    std::move(reply))
             ->next();
       }});
  for (const NamedCheck& check : checks) {
    routes.push_back({"GET", "/" + type + "/" + check.name,
                      [&member, type, check](const std::shared_ptr<HttpRequest>& request, Reply reply) {
                        std::make_shared<CheckRun>(member, type, Checks{check}, is_given(request->query, "verbose"),
                                                   std::move(reply))
                            ->next();
                      }});
  }
}

// ---- /health ----

struct HealthMetrics {
  Counter& successes =
      Metrics::global().counter("etcd_server_health_success", "The total number of successful health checks");
  Counter& failures =
      Metrics::global().counter("etcd_server_health_failures", "The total number of failed health checks");
};
HealthMetrics& health_metrics() {
  static HealthMetrics metrics;
  return metrics;
}

void answer_health(Reply& reply, const std::string& reason) {
  (reason.empty() ? health_metrics().successes : health_metrics().failures).add();
  HttpResponse response;
  response.status = reason.empty() ? 200 : 503;
  response.content_type = "application/json";
  const nlohmann::ordered_json body = {{"health", reason.empty() ? "true" : "false"}, {"reason", reason}};
  response.body = body.dump() + "\n";
  reply(std::move(response));
}

void health(Member& member, const HttpRequest& request, Reply reply) {
  const bool serializable = values_of(request.query, "serializable").contains("true");
  const std::set<std::string> excluded = values_of(request.query, "exclude");
  for (const auto& alarm : member.alarms()) {
    const std::string name = AlarmType_Name(alarm.alarm());
    if (!excluded.contains(name)) return answer_health(reply, "ALARM " + name);
  }
  if (!serializable && member.leader() == 0) return answer_health(reply, "RAFT NO LEADER");
  auto shared = std::make_shared<Reply>(std::move(reply));
  member.check_health(serializable, [shared](const Status& read) {
    answer_health(*shared, read.ok() ? "" : "RANGE ERROR:" + std::string(read.text()));
  });
}

}  // namespace

std::vector<Route> health_routes(Member& member) {
  (void)health_metrics();  // shown from the start
  std::vector<Route> routes;
  routes.push_back({"GET", "/health", [&member](const std::shared_ptr<HttpRequest>& request, Reply reply) {
                      health(member, *request, std::move(reply));
                    }});
  add_checks(routes, member, "livez", {read_check(true)});
  add_checks(
      routes, member, "readyz",
      {{"data_corruption", check_corruption}, read_check(true), read_check(false), {"non_learner", check_non_learner}});
  return routes;
}

}  // namespace kv::api
