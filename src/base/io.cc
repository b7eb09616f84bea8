#include "base/io.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <utility>

#include "base/check.h"

namespace etrlrec {
namespace {

// A file descriptor that closes itself.
class Descriptor {
 public:
  Descriptor(const fs::path& path, int flags, mode_t mode = 0)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {
    CHECK(fd_ >= 0, kInput, "{}: cannot open: {}", path.string(), std::strerror(errno));
  }
  Descriptor(const Descriptor&) = delete;
  ~Descriptor() { ::close(fd_); }
  int get() const { return fd_; }

 private:
  int fd_;
};

void sync_path(const fs::path& path, int flags) {
  const Descriptor file(path, flags);
  CHECK(::fsync(file.get()) == 0, kFailure, "{}: fsync failed: {}", path.string(),
        std::strerror(errno));
}

// Removes the temporary files and folders that killed processes left next to a target: their names
// end in the id of a process that is no more.
void remove_abandoned(const fs::path& folder, const std::string& prefix) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix)) continue;
    pid_t owner = 0;
    const char* end = name.data() + name.size();
    const auto [rest, error] = std::from_chars(name.data() + prefix.size(), end, owner);
    if (error != std::errc() || rest != end || owner <= 0) continue;
    if (::kill(owner, 0) != 0 && errno == ESRCH) fs::remove_all(entry.path(), ignored);
  }
}

// Unique next to the target: the process id is enough, a process writes a path once at a time.
fs::path temporary_name(const fs::path& target) {
  const fs::path clean = target.has_filename() ? target : target.parent_path();
  const std::string prefix = fmt::format(".{}.tmp-", clean.filename().string());
  remove_abandoned(clean.has_parent_path() ? clean.parent_path() : ".", prefix);
  return clean.parent_path() / fmt::format("{}{}", prefix, ::getpid());
}

// Puts `fresh` in the place of the folder `target`, at no moment without one; `fresh` then holds
// the old content. File systems that cannot exchange names get two renames.
void exchange_folders(const fs::path& fresh, const fs::path& target) {
  if (::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) return;
  CHECK(errno == EINVAL || errno == ENOSYS, kFailure, "{}: cannot replace: {}", target.string(),
        std::strerror(errno));
  fs::path old = fresh;
  old += "-old";
  fs::rename(target, old);
  fs::rename(fresh, target);
  fs::rename(old, fresh);
}

}  // namespace

std::string read_file(const fs::path& path, uint64_t max_bytes) {
  std::error_code error;
  CHECK(!fs::is_directory(path, error), kInput, "{}: expected a file, found a folder",
        path.string());
  std::ifstream stream(path, std::ios::binary);
  CHECK(stream.good(), kInput, "{}: cannot open: {}", path.string(), std::strerror(errno));
  const uint64_t size = fs::file_size(path, error);
  CHECK(!error && size <= max_bytes, kInput, "{}: expected at most {} bytes, found {}",
        path.string(), max_bytes, size);
  std::string content(size, '\0');
  stream.read(content.data(), static_cast<std::streamsize>(size));
  CHECK(stream.gcount() == static_cast<std::streamsize>(size), kInput,
        "{}: expected {} bytes, could read {}", path.string(), size, stream.gcount());
  return content;
}

void for_each_line(const fs::path& path,
                   const std::function<void(std::string_view line, int64_t number)>& on_line) {
  const MappedFile file(path);
  std::string_view rest = file.text();
  for (int64_t number = 1; !rest.empty(); ++number) {
    const size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    on_line(line, number);
  }
}

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)), temporary_(temporary_name(path_)) {
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  CHECK(descriptor_ >= 0, kInput, "{}: cannot open: {}", temporary_.string(), std::strerror(errno));
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  std::error_code ignored;
  fs::remove(temporary_, ignored);
}

void AtomicFile::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    CHECK(written > 0 || errno == EINTR, kFailure, "{}: cannot write: {}", path_.string(),
          std::strerror(errno));
    if (written > 0) bytes.remove_prefix(static_cast<size_t>(written));
  }
}

void AtomicFile::commit() {
  CHECK(::fsync(descriptor_) == 0, kFailure, "{}: fsync failed: {}", path_.string(),
        std::strerror(errno));
  ::close(descriptor_);
  descriptor_ = -1;
  fs::rename(temporary_, path_);
}

void write_file_atomic(const fs::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

MappedFile::MappedFile(const fs::path& path) {
  const Descriptor file(path, O_RDONLY);
  struct stat status {};
  CHECK(::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode), kInput,
        "{}: expected a regular file", path.string());
  size_ = static_cast<size_t>(status.st_size);
  if (size_ == 0) return;
  void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  CHECK(mapped != MAP_FAILED, kInput, "{}: cannot map: {}", path.string(), std::strerror(errno));
  data_ = static_cast<const std::byte*>(mapped);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

ExclusiveUse::ExclusiveUse(const fs::path& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  CHECK(fd_ >= 0, kInput, "{}: cannot open: {}", path.string(), std::strerror(errno));
  if (::flock(fd_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  ::close(fd_);
  fail(ExitCode::kUsage,
       "{}: another process is at work there\nhint: wait for it, or choose another folder",
       path.string());
}

ExclusiveUse::~ExclusiveUse() { ::close(fd_); }

FolderWriter::FolderWriter(fs::path target, bool replace) : target_(std::move(target)) {
  if (!target_.has_filename()) target_ = target_.parent_path();
  CHECK(replace || !fs::exists(target_) || (fs::is_directory(target_) && fs::is_empty(target_)),
        kUsage, "{}: exists already\nhint: choose another --out, or remove it", target_.string());
  if (target_.has_parent_path()) fs::create_directories(target_.parent_path());
  temporary_ = temporary_name(target_);
  fs::remove_all(temporary_);
  fs::create_directories(temporary_);
}

FolderWriter::~FolderWriter() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(temporary_, ignored);
}

void FolderWriter::commit() {
  for (const auto& entry : fs::recursive_directory_iterator(temporary_)) {
    if (entry.is_regular_file()) sync_path(entry.path(), O_RDONLY);
  }
  sync_path(temporary_, O_RDONLY | O_DIRECTORY);
  const bool replaces = fs::exists(target_);
  if (replaces) {
    exchange_folders(temporary_, target_);
  } else {
    fs::rename(temporary_, target_);
  }
  committed_ = true;
  sync_path(target_.has_parent_path() ? target_.parent_path() : fs::path("."),
            O_RDONLY | O_DIRECTORY);
  if (replaces) fs::remove_all(temporary_);
}

}  // namespace etrlrec
