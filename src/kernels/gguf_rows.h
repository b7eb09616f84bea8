// Rows of GGUF tensors as fp32 values and back. The layouts of the blocks are ggml's: a block holds
// one or two scales in fp16 and its values in 4 to 8 bits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/gguf_file.h"

namespace etrlrec {

// fp16 (IEEE 754 binary16) to fp32, exact.
float widened_half(uint16_t x);
// Nearest fp16, ties to even; above 65504 infinite, NaN stays NaN.
uint16_t half_of(float x);

// out[0 .. count) from the blocks of a row, all types of gguf_blocks(); count is a multiple of the
// type's block.
void widen_gguf_row(GgufTensorType type, const std::byte* blocks, int64_t count, float* out);

// The other way, for F32, F16, BF16 and Q8_0 (per block: scale = largest magnitude / 127, nearest
// whole numbers). Errors (kInput): another type, a value that is not finite or, with F16 and Q8_0,
// beyond what its fp16 can say.
void narrow_gguf_row(GgufTensorType type, const float* x, int64_t count, std::byte* blocks);

}  // namespace etrlrec
