// Pieces of the fuzz targets. A target gives one parser arbitrary bytes: it may refuse them with an
// Error and nothing else; a crash, another exception, a hang or a blow-up of memory is a finding.
// ./run check runs every target for a minute under address and undefined-behaviour sanitizers.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/io.h"

namespace etrlrec::fuzz {

inline std::string_view bytes_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// A folder in memory that goes with the process.
class Folder {
 public:
  Folder() : path_(fmt::format("/dev/shm/etrlrec-fuzz-{}", ::getpid())) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path put(const char* name, std::string_view bytes) const {
    const std::filesystem::path path = path_ / name;
    std::FILE* file = std::fopen(path.c_str(), "wb");
    CHECK(file != nullptr, kFailure, "{}: cannot be written", path.string());
    std::fwrite(bytes.data(), 1, bytes.size(), file);
    std::fclose(file);
    return path;
  }

 private:
  std::filesystem::path path_;
};

inline const Folder& folder() {
  static const Folder instance;
  return instance;
}

// Runs a parser; a refusal is as good as success.
template <typename Parse>
int may_refuse(const Parse& parse) {
  try {
    parse();
  } catch (const Error&) {
  }
  return 0;
}

}  // namespace etrlrec::fuzz
