#include "kernels/bfloat16.h"

#include <cstring>

#include "kernels/arithmetic.h"
#include "kernels/parallel.h"
#include "kernels/target.h"

namespace etrlrec {
namespace {

constexpr int64_t kRowGrain = 64;  // rows rounded by a thread at least

void round_plain(const float* x, const float* scale, int64_t count, uint16_t* out) {
  for (int64_t i = 0; i < count; ++i)
    out[i] = bfloat16_of(scale == nullptr ? x[i] : x[i] * scale[i]);
}

void widen_plain(const uint16_t* x, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = widened_bfloat16(x[i]);
}

#if ETRLREC_X86
ETRLREC_BFLOAT16_BEGIN

void round_vectors(const float* x, const float* scale, int64_t count, uint16_t* out) {
  for (int64_t i = 0; i < count; i += 16) {
    const auto mask = static_cast<uint16_t>(count - i >= 16 ? 0xffff : (1u << (count - i)) - 1);
    __m512 values = _mm512_maskz_loadu_ps(mask, x + i);
    if (scale != nullptr) values = _mm512_mul_ps(values, _mm512_maskz_loadu_ps(mask, scale + i));
    _mm256_mask_storeu_epi16(out + i, mask, reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(values)));
  }
}

void widen_vectors(const uint16_t* x, int64_t count, float* out) {
  for (int64_t i = 0; i < count; i += 16) {
    const auto mask = static_cast<uint16_t>(count - i >= 16 ? 0xffff : (1u << (count - i)) - 1);
    const __m512i words = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, x + i));
    _mm512_mask_storeu_epi32(out + i, mask, _mm512_slli_epi32(words, 16));
  }
}

ETRLREC_BFLOAT16_END
#else
constexpr auto round_vectors = round_plain;
constexpr auto widen_vectors = widen_plain;
#endif

}  // namespace

uint16_t bfloat16_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

float widened_bfloat16(uint16_t x) {
  const uint32_t bits = uint32_t{x} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

void round_to_bfloat16(const float* x, int64_t count, uint16_t* out, const float* scale) {
  supports_bfloat16() ? round_vectors(x, scale, count, out) : round_plain(x, scale, count, out);
}

void widen_bfloat16(const uint16_t* x, int64_t count, float* out) {
  supports_bfloat16() ? widen_vectors(x, count, out) : widen_plain(x, count, out);
}

void round_rows(const float* x, int64_t rows, int64_t x_stride, int64_t columns, uint16_t* out,
                const float* scale) {
  const int64_t stride = padded_columns(columns);
  parallel_for(0, rows, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      uint16_t* const to = out + row * stride;
      round_to_bfloat16(x + row * x_stride, columns, to, scale);
      if (columns < stride) to[columns] = 0;
    }
  });
}

}  // namespace etrlrec
