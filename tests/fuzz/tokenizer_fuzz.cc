// tokenizer.json of both kinds of BPE, and encoding with what was accepted.
#include "fuzz.h"
#include "text/tokenizer_folder.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace etrlrec;
  fuzz::folder().put("tokenizer.json", fuzz::bytes_of(data, size));
  return fuzz::may_refuse([&] {
    const auto tokenizer = load_tokenizer(fuzz::folder().path());
    const auto ids = tokenizer->encode("Don't 12 caf\u00e9\n\xff <|endoftext|>");
    tokenizer->decode(ids);
  });
}
