#include <gtest/gtest.h>

#include <functional>

#include "base/check.h"
#include "method/adapter_options.h"
#include "refusal.h"

namespace etrlrec {
namespace {

AdapterOptions kind(const std::string& adapter) {
  AdapterOptions options;
  options.adapter = adapter;
  return options;
}

TEST(AdapterOptions, without_a_word_everything_is_trained) {
  const AdapterOptions options;
  EXPECT_EQ(options.config().r, 0);
  EXPECT_FALSE(options.config().adalora);
  EXPECT_FALSE(options.prompt());
}

TEST(AdapterOptions, adalora_begins_with_the_rank_of_peft) {
  AdapterOptions options = kind("adalora");
  options.adalora.target_r = 3;
  EXPECT_EQ(options.config().r, 12);
  ASSERT_TRUE(options.config().adalora);
  EXPECT_EQ(options.config().adalora->target_r, 3);
  options.lora.r = 6;
  EXPECT_EQ(options.config().r, 6);
}

TEST(AdapterOptions, a_soft_prompt_has_options_of_its_own) {
  AdapterOptions options = kind("prompt");
  options.prompt_tuning.num_virtual_tokens = 9;
  ASSERT_TRUE(options.prompt());
  EXPECT_EQ(options.prompt()->num_virtual_tokens, 9);
  EXPECT_EQ(options.config().r, 0);
}

TEST(AdapterOptions, refuses_options_of_another_kind) {
  AdapterOptions options;
  options.adalora.target_r = 3;
  EXPECT_NE(usage_refusal([&] { options.config(); }).find("are options of --adapter adalora"),
            std::string::npos);
  options = kind("adalora");
  options.lora.use_rslora = true;
  EXPECT_EQ(usage_refusal([&] { options.config(); }),
            "--use-rslora: is an option of --adapter lora");
  options = kind("prompt");
  options.lora.r = 4;
  EXPECT_NE(usage_refusal([&] { options.config(); }).find("are options of --adapter lora"),
            std::string::npos);
  options = {};
  options.prompt_tuning.num_virtual_tokens = 9;
  EXPECT_NE(usage_refusal([&] { options.prompt(); }).find("are options of --adapter prompt"),
            std::string::npos);
}

TEST(AdapterOptions, frozen_weights_need_an_adapter) {
  AdapterOptions options;
  EXPECT_EQ(usage_refusal([&] { check_trainable("int8", options); }),
            "--dtype int8: such weights are frozen\nhint: train an adapter, --lora-r 8");
  EXPECT_EQ(usage_refusal([&] { check_trainable("float32", options); }), "");
  options.lora.r = 8;
  EXPECT_EQ(usage_refusal([&] { check_trainable("int8", options); }), "");
  options = kind("prompt");
  EXPECT_EQ(usage_refusal([&] { check_trainable("bfloat16", options); }), "");
}

}  // namespace
}  // namespace etrlrec
