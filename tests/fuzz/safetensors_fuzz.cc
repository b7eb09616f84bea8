// safetensors files, read into memory and mapped; every accepted tensor is read to its end.
#include <ATen/ATen.h>

#include "fuzz.h"
#include "nn/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace etrlrec;
  const auto path = fuzz::folder().put("file.safetensors", fuzz::bytes_of(data, size));
  for (const bool mapped : {false, true}) {
    fuzz::may_refuse([&] {
      for (const auto& [name, tensor] : load_safetensors(path, mapped)) {
        const auto* bytes = static_cast<const volatile uint8_t*>(tensor.const_data_ptr());
        for (size_t i = 0; i < tensor.nbytes(); ++i) static_cast<void>(bytes[i]);
      }
    });
  }
  return 0;
}
