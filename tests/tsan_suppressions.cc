// Debian's librocksdb is not built with the thread sanitizer, which therefore sees its memory but not the fences and
// atomics that order it. Reports with a frame inside the library say nothing; those with none are ours.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() { return "race:librocksdb\n"; }
