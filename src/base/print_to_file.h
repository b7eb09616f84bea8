// The stdout of the process in a file for a while: what a command prints for a person is kept when
// it runs as part of something larger.
#pragma once

#include <filesystem>

namespace etrlrec {

// While it lives, what is printed to stdout goes to the file, which is made anew. Error (kFailure)
// where it cannot be written.
class PrintToFile {
 public:
  explicit PrintToFile(const std::filesystem::path& path);
  PrintToFile(const PrintToFile&) = delete;
  ~PrintToFile();

 private:
  int stdout_;  // the descriptor it was
};

}  // namespace etrlrec
