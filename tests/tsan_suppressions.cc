// Debian's librocksdb is not built with the thread sanitizer, which therefore sees its memory but not the fences and
// atomics that order it. Reports with a frame inside the library say nothing; those with none are ours.
//
// The library's frame is missing where the sanitizer has forgotten the stack of an older write. What reads bytes of
// RocksDB's without calling it are the decoders of the store and the copy into the answer; they touch nothing else that
// is shared.
//
// Likewise Debian's libgrpc. What is written before an operation is handed to its queue, and what the queue's thread does
// with it at the operation's end (gRPC's own templates, and the decoding of the answer), look unordered from there. From
// the moment when the queue hands the operation's tag to our thread we tell the sanitizer ourselves (client/poller.cc).
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
  return "race:librocksdb\n"
         "race:kv::store::decode_record\n"
         "race:kv::store::decode_change\n"
         "race:kv::store::HistoryReader::\n"
         "race:kv::store::fill_key_value\n"
         "race:grpc::CompletionQueue::AsyncNextInternal\n";
}

extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "history_size=7"; }
