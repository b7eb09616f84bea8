// Shared pieces: all of them once, whichever thread is slow.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "kernels/parallel.h"
#include "threads_scope.h"

namespace etrlrec {
namespace {

TEST(Parallel, pieces_cover_a_range_once) {
  const ThreadsScope scope(4);
  for (int64_t count : {0, 1, 2, 7, 64, 1000}) {
    for (int64_t piece : {1, 3, 24}) {
      for (int64_t threads : {1, 2, 3, 4, 9}) {
        std::vector<int> found(static_cast<size_t>(count), 0);
        parallel_pieces(count, piece, threads, [&](int64_t begin, int64_t end) {
          EXPECT_LE(end - begin, threads == 1 ? count : piece);
          for (int64_t i = begin; i < end; ++i) ++found[static_cast<size_t>(i)];
        });
        EXPECT_EQ(found, std::vector<int>(static_cast<size_t>(count), 1))
            << count << " by " << piece << ", " << threads << " threads";
      }
    }
  }
}

TEST(Parallel, the_others_take_what_a_slow_thread_has_left) {
  const ThreadsScope scope(2);
  constexpr int64_t kPieces = 40;
  for (int64_t slow : {int64_t{0}, kPieces / 2}) {  // the first piece of each share
    std::atomic<int64_t> done{0};
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    parallel_pieces(kPieces, 1, 2, [&](int64_t begin, int64_t) {
      if (begin == slow) {
        while (done < kPieces - 1 && std::chrono::steady_clock::now() < deadline)
          std::this_thread::yield();
        EXPECT_EQ(done, kPieces - 1);
      }
      ++done;
    });
    EXPECT_EQ(done, kPieces);
  }
}

TEST(Parallel, a_region_within_a_region_runs_on_its_thread) {
  const ThreadsScope scope(2);
  std::atomic<int64_t> calls{0};
  at::parallel_for(0, 2, 1, [&](int64_t begin, int64_t end) {
    for (int64_t w = begin; w < end; ++w)
      parallel_pieces(10, 1, 2, [&](int64_t first, int64_t last) {
        EXPECT_EQ(last - first, 10);
        ++calls;
      });
  });
  EXPECT_EQ(calls, 2);
}

}  // namespace
}  // namespace etrlrec
