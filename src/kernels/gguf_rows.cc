#include "kernels/gguf_rows.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "kernels/bfloat16.h"

namespace etrlrec {
namespace {

constexpr int64_t kSmall = 32;  // values of a block of the older types

template <typename T>
T load_at(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}
float half_at(const std::byte* bytes) { return widened_half(load_at<uint16_t>(bytes)); }
const uint8_t* bytes_at(const std::byte* bytes) { return reinterpret_cast<const uint8_t*>(bytes); }

// Block types of 32 values, each as function (block, out).

// fp16 scale, 32 signed bytes
void widen_q8_0(const std::byte* block, float* out) {
  const float scale = half_at(block);
  const auto* values = reinterpret_cast<const int8_t*>(block + 2);
  for (int64_t i = 0; i < kSmall; ++i) out[i] = scale * static_cast<float>(values[i]);
}

// 4 bits: values 0 to 15 in the lower halves of the bytes, 16 to 31 in the upper ones. 5 bits: bit
// i of `high` is the fifth bit of value i.
template <typename Value>
void widen_nibbles(const uint8_t* nibbles, uint32_t high, const Value& value, float* out) {
  for (int64_t i = 0; i < kSmall / 2; ++i) {
    out[i] = value((nibbles[i] & 15) | static_cast<int>(high >> i & 1) << 4);
    out[i + kSmall / 2] =
        value((nibbles[i] >> 4) | static_cast<int>(high >> (i + kSmall / 2) & 1) << 4);
  }
}

// fp16 scale, nibbles
void widen_q4_0(const std::byte* block, float* out) {
  const float scale = half_at(block);
  widen_nibbles(
      bytes_at(block + 2), 0, [=](int q) { return static_cast<float>(q - 8) * scale; }, out);
}
// fp16 scale, fp16 least value, nibbles
void widen_q4_1(const std::byte* block, float* out) {
  const float scale = half_at(block), least = half_at(block + 2);
  widen_nibbles(
      bytes_at(block + 4), 0, [=](int q) { return static_cast<float>(q) * scale + least; }, out);
}
// fp16 scale, 32 fifth bits, nibbles
void widen_q5_0(const std::byte* block, float* out) {
  const float scale = half_at(block);
  widen_nibbles(
      bytes_at(block + 6), load_at<uint32_t>(block + 2),
      [=](int q) { return static_cast<float>(q - 16) * scale; }, out);
}
// fp16 scale, fp16 least value, 32 fifth bits, nibbles
void widen_q5_1(const std::byte* block, float* out) {
  const float scale = half_at(block), least = half_at(block + 2);
  widen_nibbles(
      bytes_at(block + 8), load_at<uint32_t>(block + 4),
      [=](int q) { return static_cast<float>(q) * scale + least; }, out);
}

// Block types of 256 values in eight groups of 32, or sixteen of 16.

// Scales and least values of eight groups, 6 bits each, in 12 bytes: the lower 6 bits of bytes 0 to
// 3 and 4 to 7 are those of groups 0 to 3; groups 4 to 7 have 4 bits in bytes 8 to 11 and their
// upper 2 bits on top of bytes 0 to 7.
struct GroupScales {
  std::array<float, 8> scale, least;
  GroupScales(const uint8_t* packed, float scale_unit, float least_unit) {
    for (size_t g = 0; g < 8; ++g) {
      const int s = g < 4 ? packed[g] & 63 : (packed[g + 4] & 15) | (packed[g - 4] >> 6) << 4;
      const int m = g < 4 ? packed[g + 4] & 63 : (packed[g + 4] >> 4) | (packed[g] >> 6) << 4;
      scale[g] = scale_unit * static_cast<float>(s);
      least[g] = least_unit * static_cast<float>(m);
    }
  }
};

// fp16 units of scales and of least values, packed scales; Q5_K: 32 bytes of fifth bits, bit g of
// byte i for value i of group g; nibbles: 32 bytes hold groups g (lower) and g + 1 (upper halves).
void widen_q45_k(const std::byte* block, bool five, float* out) {
  const GroupScales groups(bytes_at(block + 4), half_at(block), half_at(block + 2));
  const uint8_t* high = bytes_at(block + 16);
  const uint8_t* nibbles = bytes_at(block + (five ? 48 : 16));
  for (size_t g = 0; g < 8; ++g, out += 32) {
    const uint8_t* pair = nibbles + g / 2 * 32;
    const int shift = g % 2 == 0 ? 0 : 4;
    for (size_t i = 0; i < 32; ++i) {
      const int fifth = five ? (high[i] >> g & 1) << 4 : 0;
      const int q = (pair[i] >> shift & 15) | fifth;
      out[i] = groups.scale[g] * static_cast<float>(q) - groups.least[g];
    }
  }
}
void widen_q4_k(const std::byte* block, float* out) { widen_q45_k(block, false, out); }
void widen_q5_k(const std::byte* block, float* out) { widen_q45_k(block, true, out); }

// Two halves of 128 values. Of each: 64 bytes of lower 4 bits (groups 0, 1 in the lower halves of
// bytes 0 to 63, groups 2, 3 in the upper ones), 32 bytes of upper 2 bits (group g at bit 2 g).
// Then signed scales of sixteen groups of 16, fp16 unit.
void widen_q6_k(const std::byte* block, float* out) {
  const uint8_t* low = bytes_at(block);
  const uint8_t* high = bytes_at(block + 128);
  const auto* scales = reinterpret_cast<const int8_t*>(block + 192);
  const float unit = half_at(block + 208);
  for (size_t half = 0; half < 2; ++half) {
    for (size_t g = 0; g < 4; ++g) {
      const uint8_t* nibbles = low + 64 * half + g % 2 * 32;
      const int shift = g < 2 ? 0 : 4;
      for (size_t i = 0; i < 32; ++i, ++out) {
        const int upper = high[32 * half + i] >> (2 * g) & 3;
        const int q = ((nibbles[i] >> shift & 15) | upper << 4) - 32;
        *out = unit * static_cast<float>(scales[8 * half + 2 * g + i / 16]) * static_cast<float>(q);
      }
    }
  }
}

template <void Widen(const std::byte*, float*)>
void widen_blocks(GgufTensorType type, const std::byte* blocks, int64_t count, float* out) {
  const GgufBlock& block = gguf_block(type);
  for (int64_t i = 0; i < count; i += block.values, blocks += block.bytes) Widen(blocks, out + i);
}

void narrow_q8_0(const float* x, std::byte* block) {
  float largest = 0;
  for (int64_t i = 0; i < kSmall; ++i) largest = std::max(largest, std::abs(x[i]));
  const float scale = largest / 127, inverse = scale > 0 ? 1 / scale : 0;
  const uint16_t stored = half_of(scale);
  std::memcpy(block, &stored, sizeof stored);
  auto* values = reinterpret_cast<int8_t*>(block + 2);
  for (int64_t i = 0; i < kSmall; ++i)
    values[i] = static_cast<int8_t>(std::clamp(std::round(x[i] * inverse), -127.0f, 127.0f));
}

}  // namespace

float widened_half(uint16_t x) {
  const uint32_t sign = static_cast<uint32_t>(x & 0x8000) << 16;
  const uint32_t exponent = x >> 10 & 31, fraction = x & 1023;
  if (exponent == 0) {  // subnormal: fraction x 2^-24
    const float value = static_cast<float>(fraction) * 0x1p-24f;
    return sign != 0 ? -value : value;
  }
  const uint32_t wide = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | fraction << 13);
}

uint16_t half_of(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00);   // NaN
  if (magnitude >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);  // rounds above 65504
  if (magnitude < 0x38800000) {  // below 2^-14: a multiple of 2^-24, to which the sum rounds
    const float shifted = std::bit_cast<float>(magnitude) + 0x1p-1f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000));
  }
  const uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
  return static_cast<uint16_t>(sign | ((rounded >> 13) - (112u << 10)));
}

void widen_gguf_row(GgufTensorType type, const std::byte* blocks, int64_t count, float* out) {
  using enum GgufTensorType;
  switch (type) {
    case kF32:
      std::memcpy(out, blocks, static_cast<size_t>(count) * sizeof(float));
      return;
    case kF16:
      for (int64_t i = 0; i < count; ++i) out[i] = half_at(blocks + 2 * i);
      return;
    case kBF16:
      for (int64_t i = 0; i < count; ++i)
        out[i] = widened_bfloat16(load_at<uint16_t>(blocks + 2 * i));
      return;
    case kQ8_0:
      return widen_blocks<widen_q8_0>(type, blocks, count, out);
    case kQ4_0:
      return widen_blocks<widen_q4_0>(type, blocks, count, out);
    case kQ4_1:
      return widen_blocks<widen_q4_1>(type, blocks, count, out);
    case kQ5_0:
      return widen_blocks<widen_q5_0>(type, blocks, count, out);
    case kQ5_1:
      return widen_blocks<widen_q5_1>(type, blocks, count, out);
    case kQ4_K:
      return widen_blocks<widen_q4_k>(type, blocks, count, out);
    case kQ5_K:
      return widen_blocks<widen_q5_k>(type, blocks, count, out);
    case kQ6_K:
      return widen_blocks<widen_q6_k>(type, blocks, count, out);
  }
  gguf_block(type);  // refuses it by name
}

void narrow_gguf_row(GgufTensorType type, const float* x, int64_t count, std::byte* blocks) {
  using enum GgufTensorType;
  CHECK(type == kF32 || type == kF16 || type == kBF16 || type == kQ8_0, kInput,
        "tensors of type {} are not written; known: F32, F16, BF16, Q8_0", gguf_block(type).name);
  float largest = 0;
  bool finite = true;
  for (int64_t i = 0; i < count; ++i) {
    largest = std::max(largest, std::abs(x[i]));
    finite = finite && std::isfinite(x[i]);
  }
  const float limit = type == kF16 ? 65504 : type == kQ8_0 ? 65504.0f * 127 : INFINITY;
  CHECK(finite && largest <= limit, kInput,
        "expected finite numbers that {} can hold, found one of magnitude {}",
        gguf_block(type).name, finite ? largest : INFINITY);
  if (type == kF32) {
    std::memcpy(blocks, x, static_cast<size_t>(count) * sizeof(float));
  } else if (type == kQ8_0) {
    for (int64_t i = 0; i < count; i += kSmall, blocks += 34) narrow_q8_0(x + i, blocks);
  } else {
    for (int64_t i = 0; i < count; ++i) {
      const uint16_t value = type == kF16 ? half_of(x[i]) : bfloat16_of(x[i]);
      std::memcpy(blocks + 2 * i, &value, sizeof value);
    }
  }
}

}  // namespace etrlrec
