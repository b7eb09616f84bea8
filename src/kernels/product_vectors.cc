// A tile of Outs x Rows sums runs along the shared dimension, one register of partial sums each. A
// step takes a register of every weight row of the tile and of every x row. Words of 32 bits hold
// two bfloat16 values (a mask or a shift makes each a float) or four int8 values (shifts
// sign-extend each), so step s of a group takes the values at place s of every word, and x is split
// in the same way beforehand.
#include "kernels/product_vectors.h"

#include <algorithm>
#include <cstring>

#include "kernels/simd.h"

namespace etrlrec {
namespace {

using simd::kLanes;
using simd::Vec;

template <WeightType Type>
constexpr int kSteps = Type == WeightType::kFloat      ? 1
                       : Type == WeightType::kBFloat16 ? 2
                                                       : 4;
template <WeightType Type>
constexpr int64_t kGroup = kSteps<Type>* kLanes;  // elements of a group of steps

template <int B>
struct Words;
template <>
struct Words<16> {
  using U = uint32_t __attribute__((vector_size(16)));
};
template <>
struct Words<32> {
  using U = uint32_t __attribute__((vector_size(32)));
};
template <>
struct Words<64> {
  using U = uint32_t __attribute__((vector_size(64)));
};

// Part `part` of step `step` of the group at `group`: a register of weights as floats.
template <int B, WeightType Type>
[[gnu::always_inline]] inline void load_part(typename Vec<B>::F& r, const char* group, int step,
                                             int part) {
  using F = typename Vec<B>::F;
  using I = typename Vec<B>::I;
  if constexpr (Type == WeightType::kFloat) {
    std::memcpy(&r, group + part * B, B);
  } else {
    typename Words<B>::U words;
    std::memcpy(&words, group + part * B, B);
    if constexpr (Type == WeightType::kBFloat16) {
      words = step == 0 ? words << 16 : words & 0xffff0000u;
      r = reinterpret_cast<F>(words);
    } else {
      r = __builtin_convertvector(reinterpret_cast<I>(words << (24 - 8 * step)) >> 24, F);
    }
  }
}

// Place of element e of a group in x, so that a step is 16 floats one after the other.
template <int B>
int64_t split_place(int64_t e, int64_t steps) {
  const int64_t width = steps * Vec<B>::kWidth;  // elements of a register of words
  const int64_t part = e / width, within = e % width;
  return (within % steps) * kLanes + part * Vec<B>::kWidth + within / steps;
}

// r = the lower half of a, then that of b, plus their upper halves.
template <typename F>
[[gnu::always_inline]] inline void add_halves(F& r, const F& a, const F& b) {
  r = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
      __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
}

// The sums of four registers.
template <int B>
[[gnu::always_inline]] inline void sum_four(const typename Vec<B>::F& a,
                                            const typename Vec<B>::F& b,
                                            const typename Vec<B>::F& c,
                                            const typename Vec<B>::F& d, float* out) {
  using F = typename Vec<B>::F;
  if constexpr (B == 64) {
    F ab, cd;
    add_halves(ab, a, b);
    add_halves(cd, c, d);
    F x =
        __builtin_shufflevector(ab, cd, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
        __builtin_shufflevector(ab, cd, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    x += __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    x += __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
    for (int i = 0; i < 4; ++i) out[i] = x[4 * i];
  } else if constexpr (B == 32) {  // within halves of a register, as AVX2 shuffles
    const F ab = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11) +
                 __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
    const F cd = __builtin_shufflevector(c, d, 0, 1, 2, 3, 8, 9, 10, 11) +
                 __builtin_shufflevector(c, d, 4, 5, 6, 7, 12, 13, 14, 15);
    F x = __builtin_shufflevector(ab, cd, 0, 1, 8, 9, 4, 5, 12, 13) +
          __builtin_shufflevector(ab, cd, 2, 3, 10, 11, 6, 7, 14, 15);
    x += __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6);
    out[0] = x[0], out[1] = x[4], out[2] = x[2], out[3] = x[6];
  } else {
    const F ab =
        __builtin_shufflevector(a, b, 0, 1, 4, 5) + __builtin_shufflevector(a, b, 2, 3, 6, 7);
    const F cd =
        __builtin_shufflevector(c, d, 0, 1, 4, 5) + __builtin_shufflevector(c, d, 2, 3, 6, 7);
    const F x =
        __builtin_shufflevector(ab, cd, 0, 2, 4, 6) + __builtin_shufflevector(ab, cd, 1, 3, 5, 7);
    for (int i = 0; i < 4; ++i) out[i] = x[i];
  }
}

struct Tile {
  const float* x;  // split, whole groups
  int64_t x_stride, groups;
  const char* weight;
  int64_t row_bytes;
  const float* scale;
  float* y;
  int64_t y_stride;
};

template <WeightType Type>
[[gnu::always_inline]] inline float scale_of(const Tile& t, int64_t output) {
  return Type == WeightType::kInt8 ? t.scale[output] : 1.0f;
}

// g++ would load it again for each of the products that it is a factor of. (clang does not take a
// register of 32 bytes outside of functions for AVX2.)
template <typename F>
[[gnu::always_inline]] inline void keep_in_register([[maybe_unused]] F& r) {
#if !defined(__clang__) && ETRLREC_X86
  asm("" : "+v"(r));
#elif !defined(__clang__)
  asm("" : "+w"(r));
#endif
}

template <int B, WeightType Type, int Outs, int Rows>
[[gnu::always_inline]] inline void tile(const Tile& t) {
  using F = typename Vec<B>::F;
  constexpr int kParts = Vec<B>::kParts, kPartsOfGroup = kSteps<Type> * kParts;
  constexpr int64_t kGroupBytes = 64;
  F sums[Outs][Rows] = {};
  for (int64_t group = 0; group < t.groups; ++group) {
    ETRLREC_UNROLL(16)
    for (int i = 0; i < kPartsOfGroup; ++i) {
      const int step = i / kParts, part = i % kParts;
      F w[Outs];
      ETRLREC_UNROLL(8)
      for (int o = 0; o < Outs; ++o)
        load_part<B, Type>(w[o], t.weight + o * t.row_bytes + group * kGroupBytes, step, part);
      ETRLREC_UNROLL(8)
      for (int o = 0; o < Outs && Rows > 1; ++o) keep_in_register(w[o]);
      if constexpr (Rows <= 2) {  // weights pass by once: those of the next tile come from memory
        if (i == 0) {
          ETRLREC_UNROLL(8)
          for (int o = 0; o < Outs; ++o)
            __builtin_prefetch(t.weight + (Outs + o) * t.row_bytes + group * kGroupBytes, 0, 2);
        }
      }
      ETRLREC_UNROLL(4)
      for (int r = 0; r < Rows; ++r) {
        F x;
        std::memcpy(&x, t.x + r * t.x_stride + group * kGroup<Type> + i * Vec<B>::kWidth, B);
        ETRLREC_UNROLL(8)
        for (int o = 0; o < Outs; ++o) sums[o][r] += w[o] * x;
      }
    }
  }
  const F none = {};
  if constexpr (Rows == 1) {
    ETRLREC_UNROLL(2)
    for (int o = 0; o < Outs; o += 4) {
      float four[4];
      sum_four<B>(sums[o][0], o + 1 < Outs ? sums[o + 1][0] : none,
                  o + 2 < Outs ? sums[o + 2][0] : none, o + 3 < Outs ? sums[o + 3][0] : none, four);
      for (int i = o; i < std::min(o + 4, Outs); ++i) t.y[i] = four[i - o] * scale_of<Type>(t, i);
    }
  } else {
    ETRLREC_UNROLL(8)
    for (int o = 0; o < Outs; ++o) {
      float four[4];
      sum_four<B>(sums[o][0], sums[o][1], Rows > 2 ? sums[o][2] : none,
                  Rows > 3 ? sums[o][3] : none, four);
      for (int r = 0; r < Rows; ++r) t.y[r * t.y_stride + o] = four[r] * scale_of<Type>(t, o);
    }
  }
}

// One output of one or two rows, in registers that hold a step each: the weights pass by in the
// order of memory.
template <int B, WeightType Type, int Rows>
[[gnu::always_inline]] inline void stream(const Tile& t) {
  static_assert(Vec<B>::kParts == 1);
  using F = typename Vec<B>::F;
  constexpr int kUnroll = 4 / kSteps<Type>;  // groups of an iteration: 64 elements, four sums
  constexpr int64_t kGroupBytes = 64;
  F sums[Rows][4] = {};
  const auto add_group = [&](int64_t group, int first) __attribute__((always_inline)) {
    for (int step = 0; step < kSteps<Type>; ++step) {
      F w, x;
      load_part<B, Type>(w, t.weight + group * kGroupBytes, step, 0);
      for (int r = 0; r < Rows; ++r) {
        std::memcpy(&x, t.x + r * t.x_stride + group * kGroup<Type> + step * kLanes, B);
        sums[r][first + step] += w * x;
      }
    }
  };
  int64_t group = 0;
  for (; group + kUnroll <= t.groups; group += kUnroll) {
    for (int u = 0; u < kUnroll; ++u) add_group(group + u, u * kSteps<Type>);
  }
  for (; group < t.groups; ++group) add_group(group, 0);
  for (int r = 0; r < Rows; ++r) {
    float four[4];
    sum_four<B>(sums[r][0], sums[r][1], sums[r][2], sums[r][3], four);
    t.y[r * t.y_stride] = (four[0] + four[1] + four[2] + four[3]) * scale_of<Type>(t, 0);
  }
}

// Outputs of a tile: its sums, weights and one x fill the registers, of which there are sixteen of
// 32 bytes and thirty-two of 64.
template <int B>
constexpr int tile_outputs(int rows) {
  if (B == 64) return 6;
  return rows == 1 ? 8 : rows == 2 ? 4 : 3;
}

template <int B, WeightType Type, int Rows>
[[gnu::always_inline]] inline void outputs(Tile t, int64_t count) {
  constexpr int kOuts = tile_outputs<B>(Rows);
  const auto skip = [&](int64_t n) {
    t.weight += n * t.row_bytes;
    t.y += n;
    if (Type == WeightType::kInt8) t.scale += n;
  };
  if constexpr (B == 64 && Rows <= 2) {
    for (; count > 0; --count, skip(1)) stream<B, Type, Rows>(t);
  } else {
    for (; count >= kOuts; count -= kOuts, skip(kOuts)) tile<B, Type, kOuts, Rows>(t);
    for (; count > 0; --count, skip(1)) tile<B, Type, 1, Rows>(t);
  }
}

inline void fetch(const char* begin, const char* end) {
  for (; begin < end; begin += 64) __builtin_prefetch(begin, 0, 2);
}

// Outputs [begin, end) of all rows. Weights of a block stay in cache while the rows pass by.
template <int B, WeightType Type>
[[gnu::always_inline]] inline void product(const VectorRows& p, int64_t begin, int64_t end) {
  const WeightRows& w = *p.weight;
  const int64_t row_bytes = w.row_bytes();
  constexpr int64_t kTiles = 24;  // outputs, a multiple of those of every tile
  const int64_t block = std::max<int64_t>((int64_t{1} << 15) / row_bytes / kTiles, 1) * kTiles;
  for (int64_t o = begin; o < end; o += block) {
    const int64_t count = std::min(block, end - o);
    // The next block comes from memory while this one is multiplied.
    const char* next = static_cast<const char*>(w.data) + (o + count) * row_bytes;
    const int64_t next_bytes = p.rows > 2 ? std::min(block, end - o - count) * row_bytes : 0;
    for (int64_t r = 0; r < p.rows;) {
      const Tile t{p.x + r * p.x_stride,
                   p.x_stride,
                   w.in / kGroup<Type>,
                   static_cast<const char*>(w.data) + o * row_bytes,
                   row_bytes,
                   w.scale + (Type == WeightType::kInt8 ? o : 0),
                   p.y + r * p.y_stride + o,
                   p.y_stride};
      const int64_t left = std::min<int64_t>(p.rows - r, 4);
      fetch(next + next_bytes * r / p.rows, next + next_bytes * (r + left) / p.rows);
      if (left == 4) {
        outputs<B, Type, 4>(t, count);
      } else if (left == 3) {
        outputs<B, Type, 3>(t, count);
      } else if (left == 2) {
        outputs<B, Type, 2>(t, count);
      } else {
        outputs<B, Type, 1>(t, count);
      }
      r += left;
    }
  }
}

template <int B>
[[gnu::always_inline]] inline void product_with(const VectorRows& p, int64_t begin, int64_t end) {
  if (p.weight->type == WeightType::kFloat) {
    product<B, WeightType::kFloat>(p, begin, end);
  } else if (p.weight->type == WeightType::kBFloat16) {
    product<B, WeightType::kBFloat16>(p, begin, end);
  } else {
    product<B, WeightType::kInt8>(p, begin, end);
  }
}

ETRLREC_SIMD_INSTANCES(product, (const VectorRows& p, int64_t begin, int64_t end), (p, begin, end))

int64_t steps_of(WeightType type) {
  return type == WeightType::kFloat ? 1 : type == WeightType::kBFloat16 ? 2 : 4;
}

}  // namespace

int64_t whole_groups(const WeightRows& weight) {
  const int64_t group = steps_of(weight.type) * kLanes;
  return weight.in / group * group;
}

const float* split_groups(const ProductOperands& p, std::vector<float>& memory) {
  const int64_t steps = steps_of(p.weights[0].type), group = steps * kLanes;
  int64_t place[4 * kLanes];
  for (int64_t e = 0; e < group; ++e) {
    place[e] = simd::cpu_isa() >= simd::Isa::kAvx512 ? split_place<64>(e, steps)
               : simd::cpu_isa() == simd::Isa::kAvx2 ? split_place<32>(e, steps)
                                                     : split_place<16>(e, steps);
  }
  const int64_t whole = whole_groups(p.weights[0]);
  memory.resize(static_cast<size_t>(p.rows * whole));
  for (int64_t r = 0; r < p.rows; ++r) {
    const float* from = p.x + r * p.x_stride;
    float* to = memory.data() + r * whole;
    for (int64_t k = 0; k < whole; k += group) {
      for (int64_t e = 0; e < group; ++e) to[k + place[e]] = from[k + e];
    }
  }
  return memory.data();
}

void dot_vectors(const VectorRows& p, int64_t begin, int64_t end) { product_best(p, begin, end); }

}  // namespace etrlrec
