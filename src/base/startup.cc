#include "base/startup.h"

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

}  // namespace

void keep_freed_memory() {
  static std::once_flag once;
  std::call_once(once, [] {
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, -1);
    mallopt(M_TOP_PAD, 64 << 20);
    // The heap is grown once, by addresses only, and asks for huge pages.
    if (counts_addresses()) return;
    const auto pages = static_cast<size_t>(::sysconf(_SC_PHYS_PAGES)) / 2;
    const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    void* const heap = std::malloc(pages * page);
    if (heap == nullptr) return;  // a limit on address space: small pages
    const auto first = (reinterpret_cast<uintptr_t>(heap) + page - 1) / page * page;
    ::madvise(reinterpret_cast<void*>(first), (pages - 1) * page, MADV_HUGEPAGE);
    std::free(heap);
  });
}

}  // namespace etrlrec
