#include "kernels/product_panels.h"

#include <algorithm>

#include "kernels/target.h"
#include "kernels/word_transpose.h"

#if ETRLREC_X86
namespace etrlrec {
namespace {

constexpr int64_t kGroup = 32;  // values of a register

ETRLREC_BFLOAT16_BEGIN

__m512 widened(__m128i bytes) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)); }

// 32 neighbours of a row as bfloat16, those beyond `count` as 0.
__m512i load_neighbours(const WeightRows& w, int64_t row, int64_t column, int64_t count) {
  const auto mask = static_cast<uint32_t>(count >= 32 ? ~uint64_t{0} : (uint64_t{1} << count) - 1);
  const int64_t i = row * w.in + column;
  if (w.type == WeightType::kBFloat16)
    return _mm512_maskz_loadu_epi16(mask, static_cast<const uint16_t*>(w.data) + i);
  const __m256i bytes = _mm256_maskz_loadu_epi8(mask, static_cast<const int8_t*>(w.data) + i);
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(widened(_mm256_extracti128_si256(bytes, 1)),
                                                       widened(_mm256_castsi256_si128(bytes))));
}

// 16 neighbours as floats.
__m512i load_floats(const WeightRows& w, int64_t row, int64_t column, uint16_t mask) {
  const int64_t i = row * w.in + column;
  if (w.type == WeightType::kBFloat16)
    return _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(
                                 mask, static_cast<const uint16_t*>(w.data) + i)),
                             16);
  const __m128i bytes = _mm_maskz_loadu_epi8(mask, static_cast<const int8_t*>(w.data) + i);
  return _mm512_castps_si512(widened(bytes));
}

// A whole panel of columns of two bfloat16 rows, one word for each column.
void interleave_rows(const uint16_t* a, const uint16_t* b, uint32_t* words) {
  const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
  const __m512i second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
  for (int64_t i = 0; i < kPanel; i += kGroup) {
    const __m512i above = _mm512_loadu_si512(a + i), below = _mm512_loadu_si512(b + i);
    const __m512i low = _mm512_unpacklo_epi16(above, below);
    const __m512i high = _mm512_unpackhi_epi16(above, below);
    _mm512_storeu_si512(words + i, _mm512_permutex2var_epi64(low, first, high));
    _mm512_storeu_si512(words + i + 16, _mm512_permutex2var_epi64(low, second, high));
  }
}

}  // namespace

void pack_rows(const WeightRows& w, int64_t begin, int64_t count, int64_t first, int64_t depth,
               uint32_t* words) {
  const int64_t vecs = (count + 15) / 16, pairs = (depth + 1) / 2;
  for (int64_t v = 0; v < vecs; ++v) {
    for (int64_t k = 0; k < pairs; k += 16) {
      __m512i r[16];
      for (int64_t lane = 0; lane < 16; ++lane)
        r[lane] = v * 16 + lane < count
                      ? load_neighbours(w, begin + v * 16 + lane, first + 2 * k, depth - 2 * k)
                      : _mm512_setzero_si512();
      transpose_words(r);
      const int64_t last = std::min<int64_t>(pairs - k, 16);
      for (int64_t i = 0; i < last; ++i)
        _mm512_storeu_si512(words + ((k + i) * vecs + v) * 16, r[i]);
    }
  }
}

void pack_columns(const StackedRows& stack, int64_t begin, int64_t count, int64_t first,
                  int64_t depth, uint32_t* words) {
  const int64_t vecs = (count + 15) / 16, pairs = (depth + 1) / 2;
  const __m512i high = _mm512_set1_epi32(static_cast<int32_t>(0xffff0000u));
  for (int64_t k = 0; k < pairs; ++k) {
    const StackedRows::Row above = stack.at(first + 2 * k);
    const bool alone = 2 * k + 1 == depth;
    const StackedRows::Row below = alone ? above : stack.at(first + 2 * k + 1);
    if (count == kPanel && !alone && above.weight->type == WeightType::kBFloat16 &&
        below.weight->type == WeightType::kBFloat16) {
      interleave_rows(reinterpret_cast<const uint16_t*>(above.data()) + begin,
                      reinterpret_cast<const uint16_t*>(below.data()) + begin, words + k * kPanel);
      continue;
    }
    for (int64_t v = 0; v < vecs; ++v) {
      const int64_t lanes = std::min<int64_t>(count - v * 16, 16);
      const auto mask = static_cast<uint16_t>((1u << lanes) - 1);
      const __m512i a = load_floats(*above.weight, above.index, begin + v * 16, mask);
      const __m512i b = alone ? _mm512_setzero_si512()
                              : load_floats(*below.weight, below.index, begin + v * 16, mask);
      _mm512_storeu_si512(words + (k * vecs + v) * 16,
                          _mm512_or_si512(_mm512_srli_epi32(a, 16), _mm512_and_si512(b, high)));
    }
  }
}

ETRLREC_BFLOAT16_END

}  // namespace etrlrec
#endif
