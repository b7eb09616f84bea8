// Round trips, files of the reference library, and every refusal on handmade bytes.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>

#include "base/check.h"
#include "base/io.h"
#include "base/log.h"
#include "golden_path.h"
#include "nn/safetensors.h"

namespace etrlrec {
namespace {

fs::path temporary(const std::string& name) { return fs::path(testing::TempDir()) / name; }

std::string file_of(const std::string& header, const std::string& data) {
  const uint64_t size = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &size, 8);
  return bytes + header + data;
}

// The message of the refusal, or "accepted".
std::string refusal(const std::string& bytes) {
  const fs::path path = temporary("refused.safetensors");
  write_file_atomic(path, bytes);
  try {
    load_safetensors(path);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kInput);
    return error.what();
  }
  return "accepted";
}

#define EXPECT_REFUSED(bytes, words) \
  EXPECT_NE(refusal(bytes).find(words), std::string::npos) << refusal(bytes)

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}

TEST(Safetensors, round_trip_keeps_types_shapes_and_bits) {
  ParameterMap tensors;
  for (at::ScalarType type : {at::kFloat, at::kHalf, at::kBFloat16, at::kDouble, at::kLong,
                              at::kInt, at::kByte, at::kBool}) {
    tensors[std::string("t.") + at::toString(type)] =
        at::arange(6, at::kLong).view({2, 3}).to(type);
  }
  tensors["scalar"] = at::full({}, 2.5f);
  tensors["empty"] = at::empty({0, 4});
  tensors["strided"] = at::arange(6, at::kFloat).view({2, 3}).t();
  const fs::path path = temporary("round.safetensors");
  save_safetensors(tensors, path, {{"note", "x"}});
  for (bool mapped : {false, true}) {
    const ParameterMap loaded = load_safetensors(path, mapped);
    ASSERT_EQ(loaded.size(), tensors.size());
    for (const auto& [name, t] : tensors) {
      EXPECT_EQ(loaded.at(name).scalar_type(), t.scalar_type()) << name;
      EXPECT_TRUE(at::equal(loaded.at(name), t)) << name;
    }
  }
}

// In a process of its own, since the peak of a process never falls.
TEST(Safetensors, saving_takes_far_less_memory_than_the_tensors) {
  constexpr int64_t kTensors = 6, kBytes = int64_t{16} << 20;
  ParameterMap tensors;
  for (int64_t i = 0; i < kTensors; ++i)
    tensors["t" + std::to_string(i)] = at::full({kBytes / 4}, static_cast<float>(i));
  const fs::path path = temporary("large.safetensors");
  const pid_t child = ::fork();
  if (child == 0) {
    const int64_t before = peak_rss_bytes();
    save_safetensors(tensors, path);
    ::_exit(peak_rss_bytes() - before < kBytes ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "saving raised the peak by more than one of the six tensors";
  const ParameterMap loaded = load_safetensors(path, true);
  for (const auto& [name, tensor] : tensors) EXPECT_TRUE(at::equal(loaded.at(name), tensor));
  fs::remove(path);
}

TEST(Safetensors, a_save_that_fails_leaves_the_old_file) {
  const fs::path path = temporary("kept.safetensors");
  save_safetensors({{"a", at::ones({2})}}, path);
  EXPECT_THROW(save_safetensors({{"a", at::ones({2}, at::kComplexFloat)}}, path), Error);
  EXPECT_TRUE(at::equal(load_safetensors(path).at("a"), at::ones({2})));
  {
    AtomicFile file(path);
    file.write("half of another file");
  }
  EXPECT_TRUE(at::equal(load_safetensors(path).at("a"), at::ones({2})));
  for (const auto& entry : fs::directory_iterator(path.parent_path()))
    EXPECT_FALSE(entry.path().filename().string().starts_with(".kept.safetensors")) << entry.path();
}

TEST(Safetensors, released_pages_are_read_again) {
  const fs::path path = temporary("released.safetensors");
  const at::Tensor values = at::arange(20'000, at::kFloat);
  save_safetensors({{"x", values}}, path);
  for (bool mapped : {false, true}) {  // a copy stays as it is
    const at::Tensor loaded = load_safetensors(path, mapped).at("x");
    EXPECT_TRUE(at::equal(loaded, values));
    release_pages(loaded);
    EXPECT_TRUE(at::equal(loaded, values));
  }
  fs::remove(path);
}

TEST(Safetensors, mapped_tensors_outlive_the_map_object) {
  const fs::path path = temporary("mapped.safetensors");
  save_safetensors({{"a", at::arange(4, at::kFloat)}}, path);
  const at::Tensor a = load_safetensors(path, true).at("a");
  EXPECT_EQ(a.sum().item<float>(), 6);
}

TEST(Safetensors, accepts_a_handmade_file) {
  EXPECT_EQ(refusal(file_of("{" + tensor("a", "F32", "[2]", "[0,8]") + "}", std::string(8, '\0'))),
            "accepted");
  EXPECT_EQ(refusal(file_of("{}", "")), "accepted");
}

TEST(Safetensors, refuses_truncated_files) {
  EXPECT_REFUSED("", "truncated");
  EXPECT_REFUSED("1234", "truncated");
  EXPECT_REFUSED(file_of("{}", "").substr(0, 9), "truncated");
  EXPECT_REFUSED(file_of("{" + tensor("a", "F32", "[2]", "[0,8]") + "}", "1234567"), "truncated");
}

TEST(Safetensors, refuses_headers_above_100_MB) {
  EXPECT_REFUSED(std::string("\xff\xff\xff\xff\xff\xff\xff\xff", 8) + "{}", "at most 100000000");
}

TEST(Safetensors, refuses_headers_that_are_no_json_object) {
  EXPECT_REFUSED(file_of("{\"a\":", ""), "JSON");
  EXPECT_REFUSED(file_of("[1]", ""), "JSON object");
  EXPECT_REFUSED(file_of(std::string(3000, '['), ""), "nested");
}

TEST(Safetensors, refuses_unknown_types) {
  EXPECT_REFUSED(file_of("{" + tensor("a", "F31", "[2]", "[0,8]") + "}", std::string(8, '\0')),
                 "F31");
}

TEST(Safetensors, refuses_overlapping_tensors) {
  const std::string header =
      "{" + tensor("a", "F32", "[2]", "[0,8]") + "," + tensor("b", "F32", "[2]", "[4,12]") + "}";
  EXPECT_REFUSED(file_of(header, std::string(12, '\0')), "overlaps");
}

TEST(Safetensors, refuses_bytes_of_no_tensor) {
  const std::string gap =
      "{" + tensor("a", "U8", "[2]", "[0,2]") + "," + tensor("b", "U8", "[2]", "[3,5]") + "}";
  EXPECT_REFUSED(file_of(gap, std::string(5, '\0')), "belong to no tensor");
  EXPECT_REFUSED(file_of("{" + tensor("a", "U8", "[2]", "[0,2]") + "}", "123"),
                 "belong to no tensor");
}

TEST(Safetensors, refuses_sizes_that_do_not_match_the_shape) {
  EXPECT_REFUSED(file_of("{" + tensor("a", "F32", "[3]", "[0,8]") + "}", std::string(8, '\0')),
                 "expected 12 bytes");
}

TEST(Safetensors, refuses_sizes_that_overflow) {
  const std::string big = "[4294967296,4294967296,4294967296]";
  EXPECT_REFUSED(file_of("{" + tensor("a", "F32", big, "[0,0]") + "}", ""), "overflow");
  EXPECT_REFUSED(file_of("{" + tensor("a", "U8", "[18446744073709551615]", "[0,0]") + "}", ""),
                 "overflow");
}

TEST(Safetensors, refuses_negative_and_fractional_numbers) {
  EXPECT_REFUSED(file_of("{" + tensor("a", "U8", "[-1]", "[0,0]") + "}", ""), "non-negative");
  EXPECT_REFUSED(file_of("{" + tensor("a", "U8", "[1.0]", "[0,1]") + "}", "1"), "non-negative");
  EXPECT_REFUSED(file_of("{" + tensor("a", "U8", "[0]", "[2,1]") + "}", ""), "ordered");
  EXPECT_REFUSED(file_of("{" + tensor("a", "U8", "[0]", "[0]") + "}", ""), "two data_offsets");
}

TEST(Safetensors, refuses_duplicate_names) {
  const std::string one = tensor("a", "U8", "[1]", "[0,1]");
  EXPECT_REFUSED(file_of("{" + one + "," + one + "}", "1"), "twice");
}

TEST(Safetensors, refuses_malformed_entries_and_metadata) {
  EXPECT_REFUSED(file_of("{\"a\":3}", ""), "dtype, shape and data_offsets");
  EXPECT_REFUSED(file_of("{\"__metadata__\":{\"a\":1}}", ""), "string");
}

TEST(Safetensors, reads_files_of_the_reference_library) {
  const fs::path folder = golden_path() / "decoders";
  const ParameterMap weights = load_safetensors(folder / "qwen2/model.safetensors");
  EXPECT_EQ(weights.size(), 26u);
  EXPECT_EQ(weights.at("model.embed_tokens.weight").sizes(), (std::vector<int64_t>{160, 48}));
  for (const char* name : {"qwen2-bf16", "llama-tied", "llama3-untied", "qwen3"}) {
    EXPECT_FALSE(load_safetensors(folder / name / "model.safetensors").empty()) << name;
  }
  const fs::path copy = temporary("copy.safetensors");
  save_safetensors(weights, copy);
  for (const auto& [name, t] : load_safetensors(copy))
    EXPECT_TRUE(at::equal(t, weights.at(name))) << name;
}

}  // namespace
}  // namespace etrlrec
