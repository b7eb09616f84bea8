// GGUF files: the container, every accepted tensor widened to its end, and the
// tokenizer's files, which are then read again.
#include "base/gguf_file.h"
#include "fuzz.h"
#include "kernels/gguf_rows.h"
#include "text/gguf_tokenizer.h"
#include "text/tokenizer_folder.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace etrlrec;
  const auto path = fuzz::folder().put("model.gguf", fuzz::bytes_of(data, size));
  return fuzz::may_refuse([&] {
    const GgufFile file(path);
    for (const auto& [name, tensor] : file.tensors()) {
      std::vector<float> row(static_cast<size_t>(tensor.columns()));
      const auto stride = static_cast<int64_t>(tensor.bytes) / tensor.rows();
      for (int64_t r = 0; r < tensor.rows(); ++r)
        widen_gguf_row(tensor.type, tensor.data + r * stride, tensor.columns(), row.data());
    }
    write_gguf_tokenizer(file, fuzz::folder().path());
    const auto tokenizer = load_tokenizer(fuzz::folder().path());
    tokenizer->decode(tokenizer->encode("Don't 12 caf\u00e9\n\xff <|endoftext|>"));
  });
}
