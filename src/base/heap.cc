#include "base/heap.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <mutex>

namespace etrlrec {
namespace {

// True if the system counts reserved addresses as used memory: reserving them would then take
// memory from other processes.
bool counts_addresses() {
  std::ifstream setting("/proc/sys/vm/overcommit_memory");
  int mode = 0;
  return setting >> mode && mode == 2;
}

bool keeps_freed_memory = false;

// Grows the heap once, by addresses only, so that it asks for huge pages.
void ask_for_huge_pages() {
  if (counts_addresses()) return;
  const auto pages = static_cast<size_t>(::sysconf(_SC_PHYS_PAGES)) / 2;
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  void* const heap = std::malloc(pages * page);
  if (heap == nullptr) return;  // a limit on address space: small pages
  const auto first = (reinterpret_cast<uintptr_t>(heap) + page - 1) / page * page;
  ::madvise(reinterpret_cast<void*>(first), (pages - 1) * page, MADV_HUGEPAGE);
  std::free(heap);
}

}  // namespace

void keep_freed_memory() {
  static std::once_flag once;
  std::call_once(once, [] {
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, -1);
    mallopt(M_TOP_PAD, 64 << 20);
    ask_for_huge_pages();
    keeps_freed_memory = true;
  });
}

void return_freed_memory() {
  malloc_trim(0);
  if (keeps_freed_memory) ask_for_huge_pages();  // trimming takes the end of the heap away
}

}  // namespace etrlrec
