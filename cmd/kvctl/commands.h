// The commands of kvctl. Each function adds its part to the tree; `context` must outlive the tree, and its streams
// are what the commands read and print.
#pragma once

#include "kvctl/command_line.h"
#include "kvctl/globals.h"

namespace kv::kvctl {

// The headings of `kvctl --help`; they stand in the order in which commands are added.
inline constexpr const char* kKeysGroup = "Keys";
inline constexpr const char* kWatchingGroup = "Watching";
inline constexpr const char* kLeasesGroup = "Leases";
inline constexpr const char* kConcurrencyGroup = "Concurrency";
inline constexpr const char* kClusterGroup = "Cluster";
inline constexpr const char* kMaintenanceGroup = "Maintenance";
inline constexpr const char* kSecurityGroup = "Security";
inline constexpr const char* kToolsGroup = "Tools";
inline constexpr const char* kHelpGroup = "Help";

void add_key_value_commands(Command& root, Context& context);  // get put del txn compaction
void add_watch_command(Command& root, Context& context, const VariableReader& variable);
void add_explore_commands(Command& root, Context& context);  // tree history diff
void add_edit_command(Command& root, Context& context, const VariableReader& variable);
void add_lease_commands(Command& root, Context& context);        // lease grant, revoke, timetolive, list, keep-alive
void add_concurrency_commands(Command& root, Context& context);  // lock elect
void add_endpoint_commands(Command& root, Context& context);     // endpoint health, status, hashkv
void add_guard_commands(Command& root, Context& context);        // alarm list, disarm; downgrade; move-leader
void add_auth_commands(Command& root, Context& context);         // auth, user, role
void add_check_commands(Command& root, Context& context);        // check perf, datascale
void add_bench_command(Command& root, Context& context);         // bench put, range, txn, watch, lease-keepalive
void add_member_commands(Command& root, Context& context);       // member add, remove, update, list, promote
void add_snapshot_commands(Command& root, Context& context);     // snapshot save, status, restore; hashkv
void add_top_command(Command& root, Context& context, const VariableReader& variable);
void add_defrag_command(Command& root, Context& context);
void add_mirror_command(Command& root, Context& context);      // make-mirror
void add_transfer_commands(Command& root, Context& context);   // export import
void add_completion_command(Command& root, Context& context);  // completion bash, fish, zsh
void add_utility_commands(Command& root, Context& context);    // version options help

// All of the above, in the order of `kvctl --help`, and the flags that every command has.
void add_commands(Command& root, Context& context, const VariableReader& variable);

// The endpoints to ask: those of the flags, or with `cluster` every client URL of the cluster's members.
std::variant<std::vector<std::string>, Exit> endpoints_to_ask(const Context& context, bool cluster);

// Runs one command line, without the program's name, and returns the exit code. `variable` reads the environment.
int run_kvctl(const std::vector<std::string>& args, Context& context, const VariableReader& variable);

}  // namespace kv::kvctl
