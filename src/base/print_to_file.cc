#include "base/print_to_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "base/check.h"

namespace etrlrec {
namespace {

void flush() {
  std::cout.flush();
  std::fflush(stdout);
}

}  // namespace

PrintToFile::PrintToFile(const std::filesystem::path& path) {
  flush();
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  CHECK(file >= 0, kFailure, "{}: cannot be written", path.string());
  stdout_ = ::dup(STDOUT_FILENO);
  ::dup2(file, STDOUT_FILENO);
  ::close(file);
}

PrintToFile::~PrintToFile() {
  flush();
  ::dup2(stdout_, STDOUT_FILENO);
  ::close(stdout_);
}

}  // namespace etrlrec
