// A full disk, met after all. A member whose log or state can't be written must end: what its memory holds beside the
// disk can't be trusted any more, and no failed write or sync is ever retried as if nothing had happened. So the
// process is replaced by a new one, which waits in words until there is room and then begins as after a crash: it reads
// what is on the disk, and the log decides. It neither serves nor votes meanwhile, and a supervisor sees no crash loop.
#pragma once

#include <csignal>
#include <cstdint>
#include <string>

namespace kvd {

// Waits until half of what shall stay free (--min-free-bytes; see server/space_guard.h), and a megabyte at least, is
// free on the disk of `data_dir`, at most a stop signal long: with less a member could not even begin. Says so once
// when it has to wait. The number of the signal, which must be blocked; 0: there is room.
int wait_for_room(const std::string& data_dir, int64_t min_free_bytes, const sigset_t& stop_signals);

// Replaces the process by the same program with the same arguments. Any thread; all others end. After a second, so that
// even a disk that is full again at once makes no busy loop.
[[noreturn]] void begin_anew(char* const* argv);

}  // namespace kvd
