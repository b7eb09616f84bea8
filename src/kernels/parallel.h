// Loops on OpenMP threads. The library of the program is the only OpenMP runtime that is loaded:
// LibTorch's own where LibTorch is linked, so both share one pool of threads, and the compiler's in
// a build without it. A range is split as at::parallel_for splits it. A loop inside a parallel
// region runs on the thread that meets it. A task must write its own memory only, so that the
// result does not depend on which thread ran it. An exception of a task leaves the region: the
// first one is thrown again by the caller, after all threads are done.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

namespace etrlrec {

// Threads of a region that this thread opens. LibTorch decides on them at its first use, so a
// program with LibTorch calls at::init_num_threads() first and changes them by
// at::set_num_threads().
int64_t num_threads();
// For programs without LibTorch.
void set_num_threads(int64_t threads);
bool in_parallel_region();

namespace internal {
using RangeCall = void (*)(const void* body, int64_t begin, int64_t end);
void run_parts(int64_t begin, int64_t end, int64_t grain, const void* body, RangeCall call);
}  // namespace internal

// Calls body(first, last) on parts of [begin, end): one of ceil(n / threads) indices for each
// thread. Threads are fewer where the parts would be shorter than `grain`; a range of at most
// `grain` indices is one part.
template <typename F>
void parallel_for(int64_t begin, int64_t end, int64_t grain, const F& body) {
  if (begin >= end) return;
  internal::run_parts(begin, end, grain, &body, [](const void* f, int64_t first, int64_t last) {
    (*static_cast<const F*>(f))(first, last);
  });
}

// Calls task(i) for every i below `count`: each thread takes the next one when it is done.
template <typename F>
void parallel_tasks(int64_t count, const F& task) {
  const int64_t threads = std::min(num_threads(), count);
  if (threads <= 1 || in_parallel_region()) {
    for (int64_t i = 0; i < count; ++i) task(i);
    return;
  }
  std::atomic<int64_t> next{0};
  parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t worker = begin; worker < end; ++worker) {
      for (int64_t i = next++; i < count; i = next++) task(i);
    }
  });
}

// Pieces [begin, end) of a range, fewer than 2^32. The owner takes them from the front, others from
// the back.
class alignas(64) SharedPieces {
 public:
  void set(int64_t begin, int64_t end) { left_ = packed(begin, end); }
  // The piece taken; -1: none is left.
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
  template <typename Rest, typename Taken>
  int64_t take(const Rest& rest, const Taken& taken) {
    uint64_t left = left_;
    while (left >> 32 < (left & 0xffffffffu)) {
      if (left_.compare_exchange_weak(left, rest(left))) return static_cast<int64_t>(taken(left));
    }
    return -1;
  }
  std::atomic<uint64_t> left_{0};  // begin in the upper half, end in the lower one
};

// Calls range(begin, end) for parts of [0, count) of at most `piece` indices on at most `threads`
// threads, or once for all of it where one thread is enough. Work stealing: each thread takes its
// own range from the front, then steals from the back of others, because parts differ in size and
// threads, on a machine that others use, in speed.
template <typename F>
void parallel_pieces(int64_t count, int64_t piece, int64_t threads, const F& range) {
  const int64_t pieces = (count + piece - 1) / piece;
  threads = std::min({threads, num_threads(), pieces});
  if (threads <= 1 || in_parallel_region()) return range(0, count);
  std::vector<SharedPieces> shares(static_cast<size_t>(threads));
  for (int64_t w = 0; w < threads; ++w)
    shares[static_cast<size_t>(w)].set(pieces * w / threads, pieces * (w + 1) / threads);
  const auto run = [&](int64_t i) { range(i * piece, std::min((i + 1) * piece, count)); };
  parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
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
