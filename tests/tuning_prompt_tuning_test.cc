// Prompts that start from rows of a table in any storage type, and prompt folders.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "base/io.h"
#include "base/rng.h"
#include "nn/weight.h"
#include "tuning/adapters.h"
#include "tuning/prompt_set.h"

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
    const at::Tensor prompt = new_prompt(stored, {3, 1, "TEXT", {7, 0, 4}}, 1);
    EXPECT_TRUE(at::equal(prompt, widened(stored).index_select(0, ids)));
    EXPECT_LT((prompt - exact).abs().max().item<double>(), 0.02);
  }
}

TEST(PromptTuning, tells_the_length_of_a_folder_without_its_tensors) {
  const fs::path folder = fs::path(testing::TempDir()) / "prompt-length";
  fs::create_directories(folder);
  const auto length = [&](const char* config) {
    write_file_atomic(folder / "adapter_config.json", config);
    return read_prompt_config(folder).num_virtual_tokens;
  };
  EXPECT_EQ(length(R"({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 7})"), 7);
  EXPECT_EQ(length(R"({"peft_type": "LORA", "r": 4})"), 0);
  EXPECT_THROW(length(R"({"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 0})"), Error);
  EXPECT_THROW(length(R"({"peft_type": "PROMPT_TUNING"})"), Error);
  EXPECT_THROW(length("{}"), Error);
}

// ---- several prompts of one model

class Prompts : public testing::Test {
 protected:
  ParameterMap parameters_{{"e", at::arange(20, at::kFloat).view({5, 4})}};
  PromptSet prompts_{parameters_};
  void attach(const std::string& name, int64_t tokens) {
    prompts_.attach(parameters_.at("e"), {tokens, 1, "SAMPLE_VOCAB"}, 1, name);
  }
};

TEST_F(Prompts, have_rows_of_their_own_after_the_vocabulary) {
  EXPECT_FALSE(prompts_.table().defined());
  attach("default", 2);
  EXPECT_TRUE(at::equal(prompts_.table(), parameters_.at("prompt_embeddings")));
  attach("shop", 3);
  EXPECT_EQ(prompts_.names(), (std::vector<std::string>{"default", "shop"}));
  EXPECT_EQ(prompts_.num_rows(), 5);
  EXPECT_EQ(prompts_.ids(5, "shop"), (std::vector<int64_t>{7, 8, 9}));
  EXPECT_EQ(prompts_.ids(5), (std::vector<int64_t>{5, 6, 7, 8, 9}));
  EXPECT_TRUE(at::equal(prompts_.table().narrow(0, 2, 3), prompts_.rows("shop")));
  EXPECT_TRUE(is_adapter_parameter("prompt_embeddings.shop"));
}

TEST_F(Prompts, are_trained_and_frozen_one_by_one) {
  attach("default", 2);
  attach("shop", 3);
  const auto trained = [&](const std::string& name) { return prompts_.rows(name).requires_grad(); };
  EXPECT_FALSE(trained("default"));
  EXPECT_TRUE(trained("shop"));
  EXPECT_FALSE(parameters_.at("e").requires_grad());
  prompts_.set_trainable("default", true);
  prompts_.set_trainable("shop", false);
  EXPECT_TRUE(trained("default"));
  EXPECT_FALSE(trained("shop"));
  prompts_.table().sum().backward();
  EXPECT_TRUE(prompts_.rows("default").grad().defined());
  EXPECT_FALSE(prompts_.rows("shop").grad().defined());
}

TEST_F(Prompts, refuse_a_taken_name_an_unknown_one_and_bad_ones) {
  attach("default", 2);
  for (const char* name : {"default", "", "a/b", "..", "a b"})
    EXPECT_THROW(attach(name, 2), Error) << name;
  EXPECT_THROW(prompts_.rows("other"), Error);
  EXPECT_THROW(prompts_.set_trainable("other", true), Error);
  EXPECT_THROW(prompts_.ids(5, "other"), Error);
  EXPECT_EQ(prompts_.names().size(), 1u);
}

TEST_F(Prompts, travel_through_peft_folders_under_any_name) {
  const fs::path folder = fs::path(testing::TempDir()) / "prompt-of-set";
  attach("shop", 3);
  prompts_.save("shop", "base", folder, "CAUSAL_LM");
  prompts_.load(parameters_.at("e"), folder);
  EXPECT_TRUE(at::equal(prompts_.rows("default").detach(), prompts_.rows("shop").detach()));
  EXPECT_THROW(prompts_.load(parameters_.at("e"), folder, "shop"), Error);
  EXPECT_THROW(prompts_.load(at::zeros({5, 6}), folder, "wide"), Error);
}

}  // namespace
}  // namespace etrlrec
