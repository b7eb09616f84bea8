// predictions.jsonl as `compare` reads it.
#include "eval/predictions.h"
#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace etrlrec;
  const auto path = fuzz::folder().put("predictions.jsonl", fuzz::bytes_of(data, size));
  return fuzz::may_refuse([&] { load_predictions(path); });
}
