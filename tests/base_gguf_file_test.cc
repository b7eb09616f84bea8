// GGUF containers: what is written is read, values of every type, and every refusal on handmade
// bytes.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "base/check.h"
#include "base/gguf_file.h"
#include "base/gguf_writer.h"
#include "gguf_bytes.h"

namespace etrlrec {
namespace {

using enum GgufValueType;

// The message of the refusal, or "accepted".
std::string gguf_refusal(const std::string& bytes) {
  const fs::path path = fs::path(testing::TempDir()) / "refused.gguf";
  std::ofstream(path, std::ios::binary) << bytes;
  try {
    const GgufFile file(path);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kInput);
    return error.what();
  }
  return "accepted";
}

#define EXPECT_GGUF_REFUSED(bytes, words) \
  EXPECT_NE(gguf_refusal(bytes).find(words), std::string::npos) << gguf_refusal(bytes)

template <typename Call>
std::string value_refusal(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kInput);
    return error.what();
  }
  return "accepted";
}

GgufBytes one_tensor(const std::string& entry, size_t bytes = 64) {
  GgufBytes file;
  file.tensor(entry);
  file.data.assign(bytes, '\1');
  return file;
}

constexpr uint32_t kF32 = 0, kQ8 = 8;
const std::string kGoodTensor = gguf_tensor("t", {4, 4}, kF32, 0);

TEST(GgufFile, reads_what_the_writer_writes) {
  const fs::path path = fs::path(testing::TempDir()) / "written.gguf";
  GgufWriter writer(path);
  writer.put_text("text", "two\nlines");
  writer.put_uint32("number", 4294967295);
  writer.put_float32("real", 0.5);
  writer.put_bool("flag", true);
  writer.put_texts("texts", std::vector<std::string>{"a", "", "c"});
  writer.put_int32s("numbers", std::vector<int32_t>{-1, 2});
  writer.put_float32s("reals", std::vector<float>{1.5f, -2});
  writer.describe("vector", GgufTensorType::kF32, std::vector<int64_t>{3});
  writer.describe("matrix", GgufTensorType::kQ8_0, std::vector<int64_t>{2, 32});
  const std::string vector(12, 'v'), matrix(68, 'm');
  writer.write(vector);
  writer.write(matrix.substr(0, 34));
  writer.write(matrix.substr(34));
  writer.commit();
  const GgufFile file(path);
  EXPECT_EQ(file.text("text"), "two\nlines");
  EXPECT_EQ(file.integer("number"), 4294967295);
  EXPECT_EQ(file.number("real"), 0.5);
  EXPECT_TRUE(file.flag("flag"));
  EXPECT_EQ(file.texts("texts"), (std::vector<std::string_view>{"a", "", "c"}));
  EXPECT_EQ(file.integers("numbers"), (std::vector<int64_t>{-1, 2}));
  EXPECT_EQ(file.numbers("reals"), (std::vector<double>{1.5, -2}));
  const GgufTensor& read = file.tensors().find("matrix")->second;
  EXPECT_EQ(read.type, GgufTensorType::kQ8_0);
  EXPECT_EQ(read.shape, (std::vector<int64_t>{2, 32}));
  EXPECT_EQ(read.bytes, 68u);
  EXPECT_EQ(std::memcmp(read.data, matrix.data(), matrix.size()), 0);
  EXPECT_EQ(std::memcmp(file.tensors().find("vector")->second.data, vector.data(), 12), 0);
}

TEST(GgufFile, takes_numbers_of_every_type) {
  GgufBytes bytes;
  bytes.value(gguf_pair("u8", kUint8, "\xff"))
      .value(gguf_pair("i8", kInt8, "\xff"))
      .value(gguf_pair("u16", kUint16, "\xff\xff"))
      .value(gguf_pair("i16", kInt16, "\xff\xff"))
      .value(gguf_pair("i32", kInt32, gguf_bytes_of<int32_t>(-7)))
      .value(gguf_pair("u64", kUint64, gguf_bytes_of<uint64_t>(1)))
      .value(gguf_pair("i64", kInt64, gguf_bytes_of<int64_t>(-9)))
      .value(gguf_pair("f64", kFloat64, gguf_bytes_of(0.25)))
      .value(gguf_pair("huge", kUint64, gguf_bytes_of(~uint64_t{0})))
      .value(gguf_pair("nan", kFloat32, gguf_bytes_of(std::nanf(""))))
      .value(gguf_list("bytes", kUint8, 2, "\x01\xff"))
      .value(gguf_list("hugs", kUint64, 1, gguf_bytes_of(~uint64_t{0})))
      .value(gguf_list("none", kString, 0, ""));
  const GgufFile file(bytes.write("numbers.gguf"));
  EXPECT_EQ(file.integer("u8"), 255);
  EXPECT_EQ(file.integer("i8"), -1);
  EXPECT_EQ(file.integer("u16"), 65535);
  EXPECT_EQ(file.integer("i16"), -1);
  EXPECT_EQ(file.number("i32"), -7);
  EXPECT_EQ(file.integer("u64"), 1);
  EXPECT_EQ(file.integer("i64"), -9);
  EXPECT_EQ(file.number("f64"), 0.25);
  EXPECT_EQ(file.integers("bytes"), (std::vector<int64_t>{1, 255}));
  EXPECT_TRUE(file.texts("none").empty());
  EXPECT_TRUE(file.is_list("none"));
  EXPECT_FALSE(file.is_list("u8"));
  EXPECT_EQ(file.integer_or("absent", 3), 3);
  const auto says = [&](const auto& call, const char* words) {
    EXPECT_NE(value_refusal(call).find(words), std::string::npos) << value_refusal(call);
  };
  says([&] { file.integer("huge"); }, "huge: expected an integer");
  says([&] { file.integer("f64"); }, "f64: expected an integer");
  says([&] { file.number("nan"); }, "nan: expected a finite number");
  says([&] { file.text("u8"); }, "u8: expected a text");
  says([&] { file.flag("u8"); }, "u8: expected true or false");
  says([&] { file.texts("bytes"); }, "bytes: expected a list of texts");
  says([&] { file.numbers("bytes"); }, "bytes: expected a list of real numbers");
  says([&] { file.integers("none"); }, "none: expected a list of integers");
  says([&] { file.integers("hugs"); }, "hugs: expected integers");
  says([&] { file.text("absent"); }, "key absent is missing");
}

TEST(GgufFile, reads_version_2_and_other_alignments) {
  GgufBytes bytes = one_tensor(kGoodTensor);
  bytes.version = 2;
  bytes.alignment = 8;
  bytes.value(gguf_pair("general.alignment", kUint32, gguf_bytes_of<uint32_t>(8)));
  const GgufFile file(bytes.write("aligned.gguf"));
  EXPECT_EQ(file.tensors().find("t")->second.data[0], std::byte{1});
}

TEST(GgufFile, refuses_other_files) {
  EXPECT_GGUF_REFUSED("", "not a GGUF file");
  EXPECT_GGUF_REFUSED("GGML1234", "not a GGUF file");
  GgufBytes bytes;
  bytes.version = 1;
  EXPECT_GGUF_REFUSED(bytes.bytes(), "version 1 is not supported");
  bytes.version = 4;
  EXPECT_GGUF_REFUSED(bytes.bytes(), "version 4 is not supported");
  bytes.version = 0x03000000;
  EXPECT_GGUF_REFUSED(bytes.bytes(), "big-endian");
}

// Every beginning of a file with each kind of part is too short for what it announces.
TEST(GgufFile, refuses_every_truncation) {
  GgufBytes bytes = one_tensor(kGoodTensor);
  bytes.value(gguf_pair("text", kString, gguf_text("abc")))
      .value(gguf_list("texts", kString, 2, gguf_text("a") + gguf_text("bb")))
      .value(gguf_list("numbers", kInt32, 3, std::string(12, '\2')))
      .value(gguf_pair("flag", kBool, "\1"));
  const std::string whole = bytes.bytes();
  EXPECT_EQ(gguf_refusal(whole), "accepted");
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_NE(gguf_refusal(whole.substr(0, size)), "accepted") << size;
}

TEST(GgufFile, refuses_counts_beyond_the_file) {
  for (const uint64_t count : {uint64_t{1000}, uint64_t{1} << 40, ~uint64_t{0}}) {
    GgufBytes bytes;
    bytes.num_tensors = count;
    EXPECT_GGUF_REFUSED(bytes.bytes(), "number of tensors");
    bytes = {};
    bytes.num_values = count;
    EXPECT_GGUF_REFUSED(bytes.bytes(), "number of metadata values");
    bytes = {};
    bytes.value(gguf_list("k", kString, count, gguf_text("a")));
    EXPECT_GGUF_REFUSED(bytes.bytes(), "k: ");
    bytes = {};
    bytes.value(gguf_list("k", kInt64, count, "12345678"));
    EXPECT_GGUF_REFUSED(bytes.bytes(), "k: ");
    bytes = {};
    bytes.value(gguf_pair("k", kString, gguf_bytes_of(count) + "abc"));
    EXPECT_GGUF_REFUSED(bytes.bytes(), "truncated");
    bytes = {};
    bytes.value(gguf_bytes_of(count) + "kkkkkkkkkk");
    EXPECT_GGUF_REFUSED(bytes.bytes(), "truncated");
  }
}

TEST(GgufFile, refuses_bad_values) {
  const auto of = [](const std::string& pair) { return GgufBytes().value(pair).bytes(); };
  EXPECT_GGUF_REFUSED(of(gguf_pair("", kUint32, "1234")), "expected a key");
  EXPECT_GGUF_REFUSED(of(gguf_pair(std::string(65536, 'k'), kUint32, "1234")), "expected a key");
  EXPECT_GGUF_REFUSED(of(gguf_pair("k", static_cast<GgufValueType>(13), "1234")),
                      "unknown type 13");
  EXPECT_GGUF_REFUSED(of(gguf_list("k", static_cast<GgufValueType>(99), 1, "1")),
                      "unknown type 99");
  EXPECT_GGUF_REFUSED(of(gguf_list("k", kArray, 1, std::string(12, '\0'))), "list of lists");
  EXPECT_GGUF_REFUSED(of(gguf_pair("k", kBool, "\2")), "expected 0 or 1");
  GgufBytes twice;
  twice.value(gguf_pair("k", kBool, "\1")).value(gguf_pair("k", kBool, "\1"));
  EXPECT_GGUF_REFUSED(twice.bytes(), "key k occurs twice");
}

TEST(GgufFile, refuses_bad_tensors) {
  const auto of = [](const std::string& entry) { return one_tensor(entry, 256).bytes(); };
  const uint64_t half = uint64_t{1} << 32, most = ~uint64_t{0};
  EXPECT_EQ(gguf_refusal(of(kGoodTensor)), "accepted");
  EXPECT_GGUF_REFUSED(of(gguf_tensor("", {4}, kF32, 0)), "expected a name");
  EXPECT_GGUF_REFUSED(of(gguf_tensor(std::string(1025, 't'), {4}, kF32, 0)), "expected a name");
  EXPECT_GGUF_REFUSED(of(gguf_tensor("t", {}, kF32, 0) + std::string(16, '\0')),
                      "1 to 4 dimensions");
  EXPECT_GGUF_REFUSED(of(gguf_tensor("t", {1, 1, 1, 1, 1}, kF32, 0)), "1 to 4 dimensions");
  EXPECT_GGUF_REFUSED(of(gguf_tensor("t", {4, 0}, kF32, 0)), "dimension 1 of 0");
  EXPECT_GGUF_REFUSED(of(gguf_tensor("t", {most}, kF32, 0)), "is not possible");
  EXPECT_GGUF_REFUSED(of(gguf_tensor("t", {half, half}, kF32, 0)), "is not possible");
  EXPECT_GGUF_REFUSED(of(gguf_tensor("t", {half, half / 4}, kF32, 0)), "overflows");
  EXPECT_GGUF_REFUSED(of(gguf_tensor("t", {256}, 10, 0)), "type Q2_K is not supported");
  EXPECT_GGUF_REFUSED(of(gguf_tensor("t", {256}, 4, 0)), "type number 4 is not supported");
  EXPECT_GGUF_REFUSED(of(gguf_tensor("t", {256}, most & 0xffffffff, 0)), "is not supported");
  EXPECT_GGUF_REFUSED(of(gguf_tensor("t", {33}, kQ8, 0)), "whole blocks of 32");
  EXPECT_GGUF_REFUSED(of(gguf_tensor("t", {4}, kF32, 16)), "multiple of 32");
  EXPECT_GGUF_REFUSED(of(gguf_tensor("t", {4}, kF32, 256)), "truncated");
  EXPECT_GGUF_REFUSED(of(gguf_tensor("t", {4}, kF32, most - 31)), "truncated");
  EXPECT_GGUF_REFUSED(of(gguf_tensor("t", {65}, kF32, 0)), "truncated");
  GgufBytes two = one_tensor(kGoodTensor, 256);
  two.tensor(gguf_tensor("u", {4, 4}, kF32, 32));
  EXPECT_GGUF_REFUSED(two.bytes(), "\"u\" overlaps \"t\"");
  two = one_tensor(kGoodTensor, 256);
  two.tensor(gguf_tensor("t", {4, 4}, kF32, 64));
  EXPECT_GGUF_REFUSED(two.bytes(), "occurs twice");
}

TEST(GgufFile, refuses_bad_alignments) {
  for (const uint32_t alignment : {0u, 24u, 0x80000000u}) {
    GgufBytes bytes = one_tensor(kGoodTensor);
    bytes.value(gguf_pair("general.alignment", kUint32, gguf_bytes_of(alignment)));
    EXPECT_GGUF_REFUSED(bytes.bytes(), "expected a power of two");
  }
  GgufBytes bytes = one_tensor(kGoodTensor);
  bytes.value(gguf_pair("general.alignment", kUint32, gguf_bytes_of(1u << 20)));
  EXPECT_GGUF_REFUSED(bytes.bytes(), "truncated");
}

TEST(GgufWriter, refuses_more_or_less_than_was_described) {
  const fs::path path = fs::path(testing::TempDir()) / "unfinished.gguf";
  fs::remove(path);
  GgufWriter writer(path);
  EXPECT_THROW(writer.put_uint32("k", -1), Error);
  EXPECT_THROW(writer.describe("t", GgufTensorType::kQ8_0, std::vector<int64_t>{2, 31}), Error);
  GgufWriter other(path);
  other.describe("t", GgufTensorType::kF32, std::vector<int64_t>{2});
  EXPECT_THROW(other.write("123456789"), Error);
  other.write("1234");
  EXPECT_THROW(other.commit(), Error);
  EXPECT_FALSE(fs::exists(path));
}

}  // namespace
}  // namespace etrlrec
