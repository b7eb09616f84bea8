// Blocks of GGUF: values of the reference library for every type, fp16 in both directions, and what
// is written comes back within its rounding.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "base/check.h"
#include "base/json.h"
#include "golden_path.h"
#include "kernels/gguf_rows.h"

namespace etrlrec {
namespace {

std::vector<std::byte> from_hex(const std::string& hex) {
  std::vector<std::byte> out;
  for (size_t i = 0; i < hex.size(); i += 2)
    out.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return out;
}

TEST(GgufRowsGolden, every_type_has_the_values_of_the_reference) {
  const Json golden = read_json(golden_path() / "gguf" / "blocks.json");
  ASSERT_EQ(golden.size(), gguf_blocks().size());
  for (const GgufBlock& block : gguf_blocks()) {
    const Json& entry = golden.at(block.name);
    const auto bytes = from_hex(entry.at("bytes").get<std::string>());
    const auto expected = entry.at("values").get<std::vector<float>>();
    ASSERT_EQ(static_cast<int64_t>(expected.size()) / block.values * block.bytes,
              static_cast<int64_t>(bytes.size()));
    std::vector<float> found(expected.size());
    widen_gguf_row(block.type, bytes.data(), std::ssize(found), found.data());
    float largest = 0;
    for (const float value : expected) largest = std::max(largest, std::abs(value));
    ASSERT_GT(largest, 0);
    // Exact but where a compiler fuses the product with the least value.
    for (size_t i = 0; i < found.size(); ++i)
      ASSERT_NEAR(found[i], expected[i], 2e-7 * largest) << block.name << " " << i;
  }
}

TEST(GgufRows, half_precision_goes_both_ways) {
  EXPECT_EQ(widened_half(0x3c00), 1);
  EXPECT_EQ(widened_half(0xc000), -2);
  EXPECT_EQ(widened_half(0x7bff), 65504);
  EXPECT_EQ(widened_half(1), 0x1p-24f);
  EXPECT_TRUE(std::isinf(widened_half(0x7c00)));
  EXPECT_TRUE(std::isnan(widened_half(0x7c01)));
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = widened_half(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(widened_half(half_of(value))));
    } else {
      ASSERT_EQ(half_of(value), bits);
    }
  }
}

// Twin: the nearer of the two neighbours, the even one of equals.
TEST(GgufRows, half_precision_rounds_to_the_nearest) {
  for (uint32_t bits = 0; bits + 1 < 0x7c00; ++bits) {
    const float low = widened_half(static_cast<uint16_t>(bits)),
                high = widened_half(static_cast<uint16_t>(bits + 1));
    const float middle = low + (high - low) / 2;
    ASSERT_EQ(half_of(middle), bits % 2 == 0 ? bits : bits + 1);
    ASSERT_EQ(half_of(std::nextafter(middle, 0.0f)), bits);
    ASSERT_EQ(half_of(-std::nextafter(middle, high)), 0x8000 | (bits + 1));
  }
  EXPECT_EQ(half_of(65519.0f), 0x7bff);
  EXPECT_EQ(half_of(65520.0f), 0x7c00);
}

TEST(GgufRows, what_is_written_comes_back_within_its_rounding) {
  std::vector<float> x(64), back(64);
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = std::sin(static_cast<float>(i)) * (i < 32 ? 3 : 1e-3f);
  const std::pair<GgufTensorType, float> types[] = {{GgufTensorType::kF32, 0},
                                                    {GgufTensorType::kF16, 0x1p-11f},
                                                    {GgufTensorType::kBF16, 0x1p-8f},
                                                    {GgufTensorType::kQ8_0, 0}};
  for (const auto& [type, share] : types) {
    std::vector<std::byte> bytes(256);
    narrow_gguf_row(type, x.data(), 64, bytes.data());
    widen_gguf_row(type, bytes.data(), 64, back.data());
    for (size_t i = 0; i < x.size(); ++i) {
      const float largest = i < 32 ? 3 : 1e-3f;
      const float step = type == GgufTensorType::kQ8_0 ? largest * (0.502f / 127 + 0x1p-11f)
                                                       : share * std::abs(x[i]);
      ASSERT_NEAR(back[i], x[i], step) << gguf_block(type).name << " " << i;
    }
  }
}

TEST(GgufRows, refuses_what_a_type_cannot_hold) {
  std::vector<std::byte> bytes(256);
  std::vector<float> x(32, 1);
  EXPECT_THROW(narrow_gguf_row(GgufTensorType::kQ4_0, x.data(), 32, bytes.data()), Error);
  x[7] = 70000;
  EXPECT_THROW(narrow_gguf_row(GgufTensorType::kF16, x.data(), 32, bytes.data()), Error);
  narrow_gguf_row(GgufTensorType::kQ8_0, x.data(), 32, bytes.data());
  x[7] = std::nanf("");
  for (const auto type : {GgufTensorType::kF32, GgufTensorType::kBF16, GgufTensorType::kQ8_0})
    EXPECT_THROW(narrow_gguf_row(type, x.data(), 32, bytes.data()), Error);
  EXPECT_THROW(widen_gguf_row(static_cast<GgufTensorType>(10), bytes.data(), 32, x.data()), Error);
}

}  // namespace
}  // namespace etrlrec
