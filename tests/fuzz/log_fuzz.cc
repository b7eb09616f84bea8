// The reader of logs: separators and encodings guessed, quotes, times.
#include "data/readers.h"
#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace etrlrec;
  const auto path = fuzz::folder().put("log.csv", fuzz::bytes_of(data, size));
  return fuzz::may_refuse([&] { read_log(path, {}); });
}
