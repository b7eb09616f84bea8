// Prompts that start from rows of a table in any storage type, and prompt folders.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "base/io.h"
#include "base/rng.h"
#include "nn/weight.h"
#include "tuning/prompt_tuning.h"

namespace etrlrec {
namespace {

TEST(PromptTuning, starts_from_widened_rows_of_every_storage_type) {
  Rng rng(3, "table");
  at::Tensor table = at::empty({9, 33});
  for (int64_t i = 0; i < table.numel(); ++i)
    table.data_ptr<float>()[i] =
        static_cast<float>(0.1 * static_cast<double>(1 + i / 33) * rng.normal());
  const at::Tensor ids = at::tensor({7, 0, 4}, at::kLong), exact = table.index_select(0, ids);
  for (const at::Tensor& stored : {table, table.to(at::kBFloat16), quantized(table)}) {
    ParameterMap parameters{{"e", stored}};
    attach_prompt(parameters, stored, {3, 1, "TEXT", {7, 0, 4}}, 1);
    const at::Tensor prompt = parameters.at("prompt_embeddings").detach();
    EXPECT_TRUE(at::equal(prompt, widened(stored).index_select(0, ids)));
    EXPECT_LT((prompt - exact).abs().max().item<double>(), 0.02);
  }
}

TEST(PromptTuning, tells_the_length_of_a_folder_without_its_tensors) {
  const fs::path folder = fs::path(testing::TempDir()) / "prompt-length";
  fs::create_directories(folder);
  const auto length = [&](const char* config) {
    write_file_atomic(folder / "adapter_config.json", config);
    return saved_virtual_tokens(folder);
  };
  EXPECT_EQ(length(R"({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 7})"), 7);
  EXPECT_EQ(length(R"({"peft_type": "LORA", "r": 4})"), 0);
  EXPECT_THROW(length(R"({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 0})"), Error);
  EXPECT_THROW(length(R"({"peft_type": "PROMPT_TUNING"})"), Error);
  EXPECT_THROW(length("{}"), Error);
}

}  // namespace
}  // namespace etrlrec
