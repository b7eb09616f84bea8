// The policy of the memory allocator of this process.
#pragma once

namespace etrlrec {

// Tells the allocator of this process to keep freed memory for later use and to ask the system for
// huge pages. Fresh pages cost more than the arithmetic of small models, and with small pages the
// walks of the page table take a third of the time of decoding. Weights mapped from a file cannot
// have huge pages. A second call does nothing.
void keep_freed_memory();

// Gives freed pages back to the system. Between long-lived pieces of other sizes the allocator
// finds ever fewer places for large ones, so that a process that keeps everything grows for hours;
// what is asked for again costs fresh pages once, so this is for pauses of minutes.
void return_freed_memory();

}  // namespace etrlrec
