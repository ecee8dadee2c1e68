// Files and directories that must be there after a crash. A name is on disk only once its directory is synced (ALICE,
// OSDI 2014): whoever makes, renames or removes one syncs the directory as well.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace kv {

// Errors of all: Internal, with the path and the system's words; NotFound where the path does not exist.

// Of a file or a directory: what it holds, and for a directory the names in it.
Status sync_path(const std::string& path);
// The directory, all that it holds, and the directory that holds it.
Status sync_tree(const std::string& path);
// rename(2), durable: the directories of both names are synced. Replaces a file, but no directory that holds something.
Status rename_durably(const std::string& from, const std::string& to);
// Removes all that `path` holds, and `path`; ok when there is none. Durable.
Status remove_durably(const std::string& path);
// Makes the file or replaces it, so that after a crash either the old bytes are there or the new ones, whole.
Status write_file_durably(const std::string& path, std::string_view bytes);
Status read_file(const std::string& path, std::string* bytes);
// At most `size` bytes from `offset` on; fewer only where the file ends.
Status read_file_part(const std::string& path, uint64_t offset, size_t size, std::string* bytes);
// Adds to the file's end, and makes it where there is none. Not synced.
Status append_to_file(const std::string& path, std::string_view bytes);
// XXH3 over all of it, as checksum() would have it.
Status checksum_file(const std::string& path, uint64_t* sum);

}  // namespace kv
