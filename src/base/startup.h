// What the process does once, before it works: the policy of the memory allocator.
#pragma once

namespace etrlrec {

// Tells the allocator of this process to keep freed memory for later use and to ask the system for
// huge pages. Fresh pages cost more than the arithmetic of small models, and with small pages the
// walks of the page table take a third of the time of decoding. Weights mapped from a file cannot
// have huge pages. A second call does nothing.
void keep_freed_memory();

}  // namespace etrlrec
