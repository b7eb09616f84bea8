// Shared pieces: all of them once, whichever thread is slow.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "kernels/parallel.h"

namespace etrlrec {
namespace {

class ThreadsScope {
 public:
  explicit ThreadsScope(int64_t threads) : before_(num_threads()) { set_num_threads(threads); }
  ThreadsScope(const ThreadsScope&) = delete;
  ~ThreadsScope() { set_num_threads(before_); }

 private:
  int64_t before_;
};

TEST(Parallel, a_range_is_split_in_equal_parts_of_at_least_the_grain) {
  const ThreadsScope scope(4);
  for (int64_t count : {0, 1, 2, 3, 4, 7, 64, 1001}) {
    for (int64_t grain : {0, 1, 3, 24, 2000}) {
      std::mutex mutex;
      std::map<int64_t, int64_t> parts;
      parallel_for(5, 5 + count, grain, [&](int64_t begin, int64_t end) {
        const std::scoped_lock lock(mutex);
        EXPECT_TRUE(parts.emplace(begin, end).second);
      });
      int64_t next = 5;
      for (const auto& [begin, end] : parts) {
        EXPECT_EQ(begin, next);
        next = end;
      }
      EXPECT_EQ(next, 5 + count);
      const int64_t threads = grain == 0 ? 4 : std::min<int64_t>(4, (count + grain - 1) / grain);
      if (count == 0) {
        EXPECT_TRUE(parts.empty());
      } else if (count <= grain || count == 1) {
        EXPECT_EQ(parts.size(), 1u) << count << " by " << grain;
      } else {
        EXPECT_EQ(parts.begin()->second - 5, (count + threads - 1) / threads);
      }
    }
  }
}

TEST(Parallel, an_exception_of_a_task_reaches_the_caller_after_all_are_done) {
  const ThreadsScope scope(3);
  std::atomic<int> done{0};
  const auto work = [&] {
    parallel_for(0, 3, 1, [&](int64_t begin, int64_t) {
      if (begin == 1) throw std::runtime_error("task 1");
      ++done;
    });
  };
  EXPECT_THROW(work(), std::runtime_error);
  EXPECT_EQ(done, 2);
  EXPECT_FALSE(in_parallel_region());
  EXPECT_THROW(parallel_tasks(10,
                              [](int64_t i) {
                                if (i == 7) throw std::runtime_error("7");
                              }),
               std::runtime_error);
  EXPECT_THROW(parallel_pieces(10, 1, 3, [](int64_t, int64_t) { throw std::runtime_error("all"); }),
               std::runtime_error);
}

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
  parallel_for(0, 2, 1, [&](int64_t begin, int64_t end) {
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
