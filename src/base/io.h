// Reading and writing files: whole reads, memory maps, lines, atomic writes. An atomic write goes
// to a temporary name, is synced and then renamed. A result folder is complete when it appears:
// write into a FolderWriter, then commit().
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace etrlrec {

namespace fs = std::filesystem;

// Whole file as bytes. Errors (kInput) name the path and the reason; files above max_bytes are
// refused.
std::string read_file(const fs::path& path, uint64_t max_bytes = uint64_t{1} << 32);

// Calls on_line(line, number) for each line without its end (LF or CRLF), numbers from 1.
void for_each_line(const fs::path& path,
                   const std::function<void(std::string_view line, int64_t number)>& on_line);

// A file that appears complete or not at all, written piece by piece: the pieces go to a temporary
// name in the same folder; commit() syncs them and renames. The old content stays until the rename.
// Uncommitted work is deleted at destruction. Errors (kFailure) name the path.
class AtomicFile {
 public:
  explicit AtomicFile(fs::path path);
  AtomicFile(const AtomicFile&) = delete;
  ~AtomicFile();
  void write(std::string_view bytes);
  void commit();

 private:
  fs::path path_, temporary_;
  int descriptor_ = -1;
};
// The same with all bytes at once.
void write_file_atomic(const fs::path& path, std::string_view content);

// Read-only memory map of a file; movable, unmaps at destruction.
class MappedFile {
 public:
  explicit MappedFile(const fs::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();
  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Keeps a folder or a file for its holder while the object lives: two processes that go on in the
// same unfinished folder would spoil each other's work. Nothing is left on the disk, and a killed
// process holds nothing. Error (kUsage) when somebody else has it. On a file system without locks
// everybody may have everything.
class ExclusiveUse {
 public:
  explicit ExclusiveUse(const fs::path& path);  // of what exists
  ExclusiveUse(const ExclusiveUse&) = delete;
  ~ExclusiveUse();

 private:
  int fd_ = -1;
};

// A folder that appears complete or not at all. Refuses a target that exists and is not empty
// unless `replace`; with `replace` the old folder is removed only at commit. Uncommitted work is
// deleted at destruction.
class FolderWriter {
 public:
  explicit FolderWriter(fs::path target, bool replace = false);
  FolderWriter(const FolderWriter&) = delete;
  ~FolderWriter();
  const fs::path& path() const { return temporary_; }  // write here
  void commit();                                       // fsync, rename to the target

 private:
  fs::path target_, temporary_;
  bool committed_ = false;
};

}  // namespace etrlrec
