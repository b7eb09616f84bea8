// LibTorch's threads while it lives.
#pragma once

#include <ATen/Parallel.h>

namespace etrlrec {

class ThreadsScope {
 public:
  explicit ThreadsScope(int threads) : before_(at::get_num_threads()) {
    at::set_num_threads(threads);
  }
  ThreadsScope(const ThreadsScope&) = delete;
  ~ThreadsScope() { at::set_num_threads(before_); }

 private:
  int before_;
};

}  // namespace etrlrec
