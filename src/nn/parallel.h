// Independent tasks of unequal size on LibTorch's threads. Each task must write its own memory
// only, so that the result does not depend on which thread ran it.
#pragma once

#include <ATen/Parallel.h>

#include <atomic>
#include <cstdint>

namespace etrlrec {

template <typename F>
void parallel_tasks(int64_t count, const F& task) {
  const int64_t threads = std::min<int64_t>(at::get_num_threads(), count);
  if (threads <= 1 || at::in_parallel_region()) {
    for (int64_t i = 0; i < count; ++i) task(i);
    return;
  }
  std::atomic<int64_t> next{0};
  at::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t worker = begin; worker < end; ++worker) {
      for (int64_t i = next++; i < count; i = next++) task(i);
    }
  });
}

}  // namespace etrlrec
