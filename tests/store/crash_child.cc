// A process to be killed: opens the store, applies batch after batch of a seeded sequence from where the state stands,
// and compacts in between. Every ten batches it writes a byte to its standard output. The test kills it with SIGKILL at
// a random moment and looks at what is left.
//
//   store_crash_child DIRECTORY SEED
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "crash_script.h"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  kv::store::StoreOptions options = kv::store::crash_options(argv[1]);
  auto store = kv::store::Store::open(options);
  if (!store.ok()) {
    std::fprintf(stderr, "%s\n", store.status().to_string().c_str());
    return 3;
  }
  const kv::store::CrashScript script(std::strtoull(argv[2], nullptr, 10));
  uint64_t index = (*store)->applied_index();
  for (;;) {
    // Tells the test how far it is.
    if (index % 10 == 0 && ::write(STDOUT_FILENO, "b", 1) != 1) return 4;
    ++index;
    const auto batch = (*store)->begin();
    script.apply(index, [&](const auto& request) {
      kv::store::ResponseOf<decltype(request)> response;
      return kv::store::apply_to(*batch, request, &response);
    });
    if (!batch->commit(index, 1).ok()) return 5;
  }
}
