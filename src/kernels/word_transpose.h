// Transposes 16 x 16 words of 32 bits in AVX-512 registers. For units of kernels/ with functions
// between ETRLREC_BFLOAT16_BEGIN and ETRLREC_BFLOAT16_END; empty on other machines than x86-64.
#pragma once

#include "kernels/target.h"

#if ETRLREC_X86
namespace etrlrec {

ETRLREC_BFLOAT16_BEGIN

// r[i] word j becomes r[j] word i.
inline void transpose_words(__m512i (&r)[16]) {
  __m512i a[16], b[16];
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    a[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    for (int j = 0; j < 2; ++j) {
      b[i + 2 * j] = _mm512_unpacklo_epi64(a[i + j], a[i + j + 2]);
      b[i + 2 * j + 1] = _mm512_unpackhi_epi64(a[i + j], a[i + j + 2]);
    }
  }
  // b[4 i + j]: columns j, 4 + j, 8 + j, 12 + j of rows 4 i .. 4 i + 3
  for (int j = 0; j < 4; ++j) {
    const __m512i even = _mm512_shuffle_i32x4(b[j], b[4 + j], 0x88);
    const __m512i odd = _mm512_shuffle_i32x4(b[j], b[4 + j], 0xdd);
    const __m512i even_below = _mm512_shuffle_i32x4(b[8 + j], b[12 + j], 0x88);
    const __m512i odd_below = _mm512_shuffle_i32x4(b[8 + j], b[12 + j], 0xdd);
    r[j] = _mm512_shuffle_i32x4(even, even_below, 0x88);
    r[8 + j] = _mm512_shuffle_i32x4(even, even_below, 0xdd);
    r[4 + j] = _mm512_shuffle_i32x4(odd, odd_below, 0x88);
    r[12 + j] = _mm512_shuffle_i32x4(odd, odd_below, 0xdd);
  }
}

ETRLREC_BFLOAT16_END

}  // namespace etrlrec
#endif
