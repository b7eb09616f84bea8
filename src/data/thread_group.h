// Threads for the work of one call, in rooms that do not link the kernels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

namespace etrlrec {

// `asked`, or as many as the machine has where it is 0.
inline int32_t thread_count(int32_t asked) {
  return asked > 0 ? asked : std::max(1, static_cast<int32_t>(std::thread::hardware_concurrency()));
}

// Calls work(0) ... work(threads - 1) at the same time and waits for all of them. What the first of
// them throws, by number, is thrown again.
template <typename F>
void run_threads(int32_t threads, const F& work) {
  std::vector<std::exception_ptr> errors(static_cast<size_t>(threads));
  const auto run = [&](int32_t t) {
    try {
      work(t);
    } catch (...) {
      errors[static_cast<size_t>(t)] = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  for (int32_t t = 1; t < threads; ++t) others.emplace_back(run, t);
  run(0);
  for (std::thread& other : others) other.join();
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
}

}  // namespace etrlrec
