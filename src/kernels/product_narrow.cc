// Few rows are not worth packing weights: tiles of 4 outputs and 4 rows run along the summed
// dimension, and 16 sums are added across lanes together.
#include "kernels/product_narrow.h"

#include <algorithm>
#include <limits>

#include "kernels/arithmetic.h"
#include "kernels/target.h"

#if ETRLREC_X86
namespace etrlrec {
namespace {

constexpr int64_t kGroup = 32;  // values of a register

ETRLREC_BFLOAT16_BEGIN

__m512 joined(__m512 low, __m512 high) {
  return _mm512_add_ps(_mm512_shuffle_f32x4(low, high, 0x88),
                       _mm512_shuffle_f32x4(low, high, 0xdd));
}

// Lane i: the sum of r[i].
__m512 sums_of(const __m512 (&r)[16]) {
  __m512 a[8], b[4];
  for (int i = 0; i < 8; ++i)
    a[i] = _mm512_add_ps(_mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]),
                         _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]));
  for (int i = 0; i < 4; ++i) {
    const __m512d low = _mm512_castps_pd(a[2 * i]), high = _mm512_castps_pd(a[2 * i + 1]);
    b[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(low, high)),
                         _mm512_castpd_ps(_mm512_unpackhi_pd(low, high)));
  }
  return joined(joined(b[0], b[1]), joined(b[2], b[3]));
}

// How 32 stored weights meet 32 values of x: sums of products in every lane.
struct BFloat16Dot {
  using Weight = uint16_t;
  using Sums = __m512;
  static __m512i load(const Weight* weight) { return _mm512_loadu_si512(weight); }
  static Sums add(Sums sums, __m512i x, __m512i weight) {
    return _mm512_dpbf16_ps(sums, reinterpret_cast<__m512bh>(x),
                            reinterpret_cast<__m512bh>(weight));
  }
  static Sums join(Sums a, Sums b) { return _mm512_add_ps(a, b); }
  static __m512 floats(Sums sums) { return sums; }
};
struct Int8Dot {
  using Weight = int8_t;
  using Sums = __m512i;
  static __m512i load(const Weight* weight) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(weight)));
  }
  static Sums add(Sums sums, __m512i x, __m512i weight) {
    return _mm512_dpwssd_epi32(sums, x, weight);
  }
  static Sums join(Sums a, Sums b) { return _mm512_add_epi32(a, b); }
  static __m512 floats(Sums sums) { return _mm512_cvtepi32_ps(sums); }
};

// Writes the sums of `outs` outputs of a row.
void put_sums(const NarrowRows& p, int64_t row, int64_t output, const float* sums, int64_t outs) {
  float* y = p.y + row * p.y_stride + output;
  if (p.x_scale == nullptr) {
    std::copy(sums, sums + outs, y);
    return;
  }
  for (int64_t o = 0; o < outs; ++o) y[o] = sums[o] * p.x_scale[row] * p.weight->scale[output + o];
}

// Rows below 4 outputs, of which `outs` are there.
template <typename Dot, int Rows>
void dot_tile(const NarrowRows& p, int64_t row, int64_t output, int64_t outs) {
  typename Dot::Sums sums[16] = {};
  const typename Dot::Weight* w[4];
  for (int64_t o = 0; o < 4; ++o)
    w[o] = static_cast<const typename Dot::Weight*>(p.weight->data) +
           (output + std::min(o, outs - 1)) * p.weight->in;
  const uint16_t* x = p.x + row * p.x_stride;
  for (int64_t k = 0; k < p.x_stride; k += kGroup) {
    __m512i right[4];
    for (int o = 0; o < 4; ++o) right[o] = Dot::load(w[o] + k);
    for (int r = 0; r < Rows; ++r) {
      const __m512i left = _mm512_loadu_si512(x + r * p.x_stride + k);
      for (int o = 0; o < 4; ++o) sums[4 * r + o] = Dot::add(sums[4 * r + o], left, right[o]);
    }
  }
  __m512 all[16];
  for (int i = 0; i < 16; ++i) all[i] = Dot::floats(sums[i]);
  float found[16];
  _mm512_storeu_ps(found, sums_of(all));
  for (int r = 0; r < Rows; ++r) put_sums(p, row + r, output, found + 4 * r, outs);
}

// One row below 16 outputs, of which `outs` are there: the weights pass by in the order of memory.
template <typename Dot>
void dot_stream(const NarrowRows& p, int64_t row, int64_t output, int64_t outs) {
  __m512 sums[16] = {};
  const uint16_t* x = p.x + row * p.x_stride;
  const auto* weight =
      static_cast<const typename Dot::Weight*>(p.weight->data) + output * p.weight->in;
  for (int64_t o = 0; o < outs; ++o, weight += p.weight->in) {
    typename Dot::Sums part[4] = {};
    int64_t k = 0;
    for (; k + 4 * kGroup <= p.x_stride; k += 4 * kGroup) {
      for (int i = 0; i < 4; ++i)
        part[i] = Dot::add(part[i], _mm512_loadu_si512(x + k + i * kGroup),
                           Dot::load(weight + k + i * kGroup));
    }
    for (; k < p.x_stride; k += kGroup)
      part[0] = Dot::add(part[0], _mm512_loadu_si512(x + k), Dot::load(weight + k));
    sums[o] = Dot::floats(Dot::join(Dot::join(part[0], part[1]), Dot::join(part[2], part[3])));
  }
  float found[16];
  _mm512_storeu_ps(found, sums_of(sums));
  put_sums(p, row, output, found, outs);
}

// All rows below outputs [begin, end), whose weights stay in the first-level cache.
template <typename Dot>
void dot_block(const NarrowRows& p, int64_t begin, int64_t end) {
  int64_t row = 0;
  for (; row + 3 <= p.rows; row += std::min<int64_t>(p.rows - row, 4)) {
    for (int64_t o = begin; o < end; o += 4) {
      const int64_t outs = std::min<int64_t>(end - o, 4);
      if (p.rows - row >= 4)
        dot_tile<Dot, 4>(p, row, o, outs);
      else
        dot_tile<Dot, 3>(p, row, o, outs);
    }
  }
  for (; row < p.rows; ++row)
    for (int64_t o = begin; o < end; o += 16)
      dot_stream<Dot>(p, row, o, std::min<int64_t>(end - o, 16));
}

// Returns the factor of the integers; it is no number when one of x is not finite, and so are the
// products then.
float quantize_row(const float* x, int64_t count, int16_t* out) {
  constexpr float kLargest = 8191;  // 1,000 sums of two products with an int8 weight fit 32 bits
  constexpr int kNotFinite = 0x01 | 0x08 | 0x10 | 0x80;  // NaN, infinities
  __m512 most = _mm512_setzero_ps();
  uint32_t not_finite = 0;
  for (int64_t i = 0; i < count; i += 16) {
    const __m512 values = _mm512_loadu_ps(x + i);
    not_finite |= _mm512_fpclass_ps_mask(values, kNotFinite);
    most = _mm512_max_ps(most, _mm512_abs_ps(values));
  }
  if (not_finite != 0) {
    std::fill(out, out + count, int16_t{1});
    return std::numeric_limits<float>::quiet_NaN();
  }
  const float top = _mm512_reduce_max_ps(most);
  const __m512 inverse = _mm512_set1_ps(top > 0 ? kLargest / top : 0);
  for (int64_t i = 0; i < count; i += 16)
    _mm256_storeu_si256(
        reinterpret_cast<__m256i*>(out + i),
        _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + i), inverse))));
  return top / kLargest;
}

ETRLREC_BFLOAT16_END

void fetch(const char* begin, const char* end) {
  for (; begin < end; begin += 64) __builtin_prefetch(begin, 0, 2);
}

}  // namespace

float round_to_integers(const float* x, int64_t count, int16_t* out) {
  return quantize_row(x, count, out);
}

void dot_narrow(const NarrowRows& p, int64_t begin, int64_t end) {
  constexpr int64_t kBlockBytes = int64_t{1} << 14;
  const int64_t stride = p.weight->row_bytes();
  const int64_t block = std::max<int64_t>(kBlockBytes / stride / 16, 1) * 16;
  const auto* weight = static_cast<const char*>(p.weight->data);
  for (int64_t o = begin; o < end; o += block) {
    const int64_t last = std::min(o + block, end);
    // The next block comes from memory while this one is multiplied.
    if (p.rows > 2) fetch(weight + last * stride, weight + std::min(last + block, end) * stride);
    if (p.weight->type == WeightType::kInt8)
      dot_block<Int8Dot>(p, o, last);
    else
      dot_block<BFloat16Dot>(p, o, last);
  }
}

}  // namespace etrlrec
#else
namespace etrlrec {

// Refused: machines other than x86-64 have no such kernel.
void dot_narrow(const NarrowRows&, int64_t, int64_t) { check_bfloat16(); }
float round_to_integers(const float*, int64_t, int16_t*) {
  check_bfloat16();
  return 0;
}

}  // namespace etrlrec
#endif
