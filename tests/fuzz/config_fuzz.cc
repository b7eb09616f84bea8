// config.json of decoders and of T5.
#include "fuzz.h"
#include "models/decoder_config.h"
#include "models/t5_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace etrlrec;
  fuzz::folder().put("config.json", fuzz::bytes_of(data, size));
  fuzz::may_refuse([] { read_llm_config(fuzz::folder().path()); });
  return fuzz::may_refuse([] { read_t5_config(fuzz::folder().path()); });
}
