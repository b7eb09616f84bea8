// Work shared by LibTorch's threads as they get done, since tasks differ in size and threads, on a
// machine that others use, in speed. A task must write its own memory only, so that the result does
// not depend on which thread ran it.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

namespace etrlrec {

// Calls task(i) for every i below `count`.
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

// Pieces [begin, end) of a range. The owner takes them from the front, others from the back.
class alignas(64) SharedPieces {
 public:
  void set(int64_t begin, int64_t end) { left_ = packed(begin, end); }
  int64_t take_front() {
    return take([](uint64_t left) { return left + (uint64_t{1} << 32); },
                [](uint64_t left) { return left >> 32; });
  }
  int64_t take_back() {
    return take([](uint64_t left) { return left - 1; },
                [](uint64_t left) { return (left & 0xffffffffu) - 1; });
  }

 private:
  static uint64_t packed(int64_t begin, int64_t end) {
    return static_cast<uint64_t>(begin) << 32 | static_cast<uint64_t>(end);
  }
  // -1: none is left
  template <typename Rest, typename Taken>
  int64_t take(const Rest& rest, const Taken& taken) {
    uint64_t left = left_;
    while (left >> 32 < (left & 0xffffffffu)) {
      if (left_.compare_exchange_weak(left, rest(left))) return static_cast<int64_t>(taken(left));
    }
    return -1;
  }
  std::atomic<uint64_t> left_{0};  // begin, end
};

// Calls range(begin, end) for parts of [0, count), at most `piece` long and fewer than 2^32, or for
// all of it where one thread is enough. Each of at most `threads` threads walks through a share of
// its own in order, as memory likes it, and then helps those that are not done.
template <typename F>
void parallel_pieces(int64_t count, int64_t piece, int64_t threads, const F& range) {
  const int64_t pieces = (count + piece - 1) / piece;
  threads = std::min<int64_t>({threads, at::get_num_threads(), pieces});
  if (threads <= 1 || at::in_parallel_region()) return range(0, count);
  std::vector<SharedPieces> shares(static_cast<size_t>(threads));
  for (int64_t w = 0; w < threads; ++w)
    shares[static_cast<size_t>(w)].set(pieces * w / threads, pieces * (w + 1) / threads);
  const auto run = [&](int64_t i) { range(i * piece, std::min((i + 1) * piece, count)); };
  at::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t w = begin; w < end; ++w) {
      SharedPieces& own = shares[static_cast<size_t>(w)];
      for (int64_t i = own.take_front(); i >= 0; i = own.take_front()) run(i);
      for (int64_t other = 1; other < threads; ++other) {
        SharedPieces& share = shares[static_cast<size_t>((w + other) % threads)];
        for (int64_t i = share.take_back(); i >= 0; i = share.take_back()) run(i);
      }
    }
  });
}

}  // namespace etrlrec
