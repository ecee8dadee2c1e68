// Debian's librocksdb is not built with the thread sanitizer, which therefore sees its memory but not the fences and
// atomics that order it. Reports with a frame inside the library say nothing; those with none are ours.
//
// The library's frame is missing where the sanitizer has forgotten the stack of an older write. What reads bytes of
// RocksDB's without calling it are the decoders of the store and the copy into the answer; they touch nothing else that
// is shared.
//
// Likewise Debian's libgrpc. What is written before an operation is handed to its queue, and what the queue's thread
// does with it at the operation's end (gRPC's own templates, and the decoding of the answer), look unordered from
// there. In a blocking call, which waits in Pluck, the caller is that thread; for others it is AsyncNextInternal. From
// the moment when the queue hands the operation's tag to our thread we tell the sanitizer ourselves (client/poller.cc).
//
// What libgrpc and the parts of Abseil that it calls do inside malloc, memcpy, epoll_wait, ... the sanitizer does see,
// and takes each hand-over between gRPC's own threads for a race. Those calls are left out, by the library that makes
// them; not all calls from libraries without instrumentation (ignore_noninstrumented_modules), for libstdc++ is one,
// and what its strings do is ours.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
  return "race:librocksdb\n"
         "race:kv::store::decode_record\n"
         "race:kv::store::decode_change\n"
         "race:kv::store::HistoryReader::\n"
         "race:kv::store::fill_key_value\n"
         "race:grpc::CompletionQueue::AsyncNextInternal\n"
         "race:grpc::CompletionQueue::Pluck\n"
         "called_from_lib:libgrpc.so\n"
         "called_from_lib:libgrpc++.so\n"
         "called_from_lib:libgpr.so\n"
         "called_from_lib:libabsl_graphcycles_internal.so\n"
         "called_from_lib:libabsl_status.so\n"
         "called_from_lib:libabsl_strings.so\n"
         "called_from_lib:libabsl_time.so\n";
}

extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "history_size=7"; }
