#include "kernels/parallel.h"

#include <omp.h>

#include <exception>

#ifndef _OPENMP
#error "kernels/parallel.cc: expected a compiler with OpenMP (-fopenmp)"
#endif

namespace etrlrec {

int64_t num_threads() { return omp_get_max_threads(); }

void set_num_threads(int64_t threads) { omp_set_num_threads(static_cast<int>(threads)); }

bool in_parallel_region() { return omp_in_parallel() != 0; }

namespace internal {

void run_parts(int64_t begin, int64_t end, int64_t grain, const void* body, RangeCall call) {
  const int64_t count = end - begin;
  if (count <= grain || count == 1 || in_parallel_region() || num_threads() <= 1)
    return call(body, begin, end);
  std::atomic_flag failed = ATOMIC_FLAG_INIT;
  std::exception_ptr error;
// No num_threads clause: libgomp would make its pool of threads anew where the number changes.
#pragma omp parallel
  {
    int64_t threads = omp_get_num_threads();
    if (grain > 0) threads = std::min(threads, (count + grain - 1) / grain);
    const int64_t part = (count + threads - 1) / threads;
    const int64_t first = begin + omp_get_thread_num() * part;
    if (first < end) {
      try {
        call(body, first, std::min(end, first + part));
      } catch (...) {
        if (!failed.test_and_set()) error = std::current_exception();
      }
    }
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace internal
}  // namespace etrlrec
