#include "api/services/all.h"

#include <utility>

#include "api/net/server.h"
#include "api/services/recipes.h"
#include "api/services/services.h"

namespace kv::api {

void add_all_services(CallTable& table, server::Member& member, server::Locks& locks, server::Elections& elections,
                      std::function<bool()> serving) {
  add_kv(table, member);
  add_lease(table, member);
  add_watch(table, member);
  add_cluster(table, member);
  add_maintenance(table, member);
  add_auth(table, member);
  add_lock(table, locks);
  add_election(table, elections);
  add_health(table, std::move(serving));
  add_reflection(table);
}

}  // namespace kv::api
