// Every family of language models through the one interface: hidden states and cached decoding,
// adapters, soft prompts, training, generation, answers, files.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>

#include "engine/engine.h"
#include "models/decoder.h"
#include "models/model_adapters.h"
#include "models/model_files.h"
#include "models_fixture.h"
#include "models_t5_fixture.h"
#include "train/grpo.h"
#include "train/sft.h"
#include "tuning/optim.h"

namespace etrlrec {
namespace {

using Make = std::function<std::unique_ptr<LanguageModel>()>;

class Families : public testing::TestWithParam<std::pair<const char*, Make>> {
 protected:
  std::unique_ptr<LanguageModel> model_ = GetParam().second();
  const std::vector<std::vector<int64_t>> prompts_{{5, 9, 2, 40}, {8, 7, 33, 21, 4, 17, 2}};

  // States after a prompt and each token of a text, by a full pass.
  at::Tensor full_pass(const std::vector<int64_t>& prompt, const std::vector<int64_t>& text) const {
    const at::NoGradGuard no_grad;
    TokenForest forest;
    const int64_t root = model_->add_prompt(forest, prompt);
    std::vector<int64_t> rows{forest.segments[static_cast<size_t>(root)].end - 1};
    if (!text.empty()) {
      const int64_t child = forest.add(root, text);
      for (int64_t t = forest.segments[static_cast<size_t>(child)].begin; t < forest.num_tokens();
           ++t)
        rows.push_back(t);
    }
    return model_->hidden_states_at(forest, rows);
  }
  at::Tensor logprobs(const std::vector<int64_t>& prompt, const std::vector<int64_t>& text) const {
    return at::mm(full_pass(prompt, text), model_->head_weight().detach().t()).log_softmax(-1);
  }
  void fill_adapter() {
    const at::NoGradGuard no_grad;
    for (auto& [name, tensor] : model_->parameters())
      if (name.ends_with("lora_B.weight")) tensor.fill_(0.05);
  }
  std::vector<SftRow> rows() const {
    std::vector<SftRow> rows;
    for (int64_t r = 0; r < 6; ++r) {
      SftRow& row = rows.emplace_back();
      row.prompt = prompts_[static_cast<size_t>(r / 3)];  // three rows of one prompt
      row.completion = {10 + r, 11, 12 + r, 1};
      row.answer_begin = 2;
      row.answer_tokens = 1;
    }
    return rows;
  }
};

TEST_P(Families, cached_decoding_equals_the_full_pass) {
  const std::vector<std::vector<int64_t>> texts{{3, 4, 5}, {6, 7, 8}, {9, 3, 6}};
  const std::vector<int64_t> prompt_of_row{0, 1, 1};
  TokenForest prompts;
  std::vector<int64_t> roots, rows;
  for (const auto& prompt : prompts_) roots.push_back(model_->add_prompt(prompts, prompt));
  for (int64_t prompt : prompt_of_row) rows.push_back(roots[static_cast<size_t>(prompt)]);
  at::Tensor last;
  const auto cache = model_->prefill(prompts, rows, 3, last);
  for (size_t t = 0; t <= 3; ++t) {
    at::Tensor found;
    if (t > 0)
      found = model_->decode(
          *cache, std::vector<int64_t>{texts[0][t - 1], texts[1][t - 1], texts[2][t - 1]});
    for (size_t r = 0; r < 3; ++r) {
      const auto prompt = static_cast<size_t>(prompt_of_row[r]);
      const at::Tensor state = t == 0 ? last[rows[r]] : found[static_cast<int64_t>(r)];
      EXPECT_LT(
          largest_difference(state, full_pass(prompts_[prompt], texts[r])[static_cast<int64_t>(t)]),
          1e-4)
          << t << " " << r;
    }
  }
}

TEST_P(Families, greedy_generation_equals_full_passes) {
  GenerationOptions options;
  options.sampling.temperature = 0;
  options.max_new_tokens = 6;
  std::vector<GenerationRequest> requests{{prompts_[0], {}}, {prompts_[1], {}}};
  const auto found = generate(*model_, requests, options);
  for (size_t r = 0; r < 2; ++r) {
    std::vector<int64_t> text;
    for (int64_t t = 0; t < 6; ++t) {
      const at::Tensor next = logprobs(prompts_[r], text)[-1];
      text.push_back(next.argmax().item<int64_t>());
      EXPECT_NEAR(found[r].logprobs[static_cast<size_t>(t)], next.max().item<float>(), 1e-4);
    }
    EXPECT_EQ(found[r].ids, text) << r;
  }
}

// Answers of several tokens are scored below the reasoning.
TEST_P(Families, answers_after_a_reasoning_are_those_of_full_passes) {
  GenerationOptions options;
  options.sampling.temperature = 0;
  options.format = {{30, 31}, {32, 1}, 3};
  const Answers answers{{20, 21}, {20, 22}, {23, 24}};
  const GenerationRequest request{prompts_[1], answers};
  const Completion found = generate(*model_, std::span(&request, 1), options)[0];
  std::vector<int64_t> before(found.ids.begin(), found.ids.begin() + found.reasoning_tokens + 2);
  std::vector<float> sums;
  for (const auto& answer : answers) {
    std::vector<int64_t> text = before;
    text.insert(text.end(), answer.begin(), answer.end());
    const at::Tensor all = logprobs(prompts_[1], text);
    float sum = 0;
    for (size_t t = 0; t < answer.size(); ++t)
      sum += all[static_cast<int64_t>(before.size() + t)][answer[t]].item<float>();
    sums.push_back(sum);
  }
  const at::Tensor expected = at::tensor(sums).log_softmax(-1);
  for (size_t k = 0; k < 3; ++k)
    EXPECT_NEAR(found.answer_logprobs[k], expected[static_cast<int64_t>(k)].item<float>(), 1e-4);
  EXPECT_EQ(found.ids.back(), 1);
}

TEST_P(Families, adapters_are_attached_switched_off_and_merged) {
  const std::vector<int64_t> text{3, 4};
  const at::Tensor base = full_pass(prompts_[0], text);
  model_->adapters().attach({2, 4, {}}, 3);
  EXPECT_TRUE(at::equal(full_pass(prompts_[0], text), base));
  fill_adapter();
  const at::Tensor adapted = full_pass(prompts_[0], text);
  EXPECT_GT(largest_difference(adapted, base), 1e-3);
  const ModelStamp stamp = model_->stamp();
  model_->adapters().set_enabled(false);
  EXPECT_TRUE(at::equal(full_pass(prompts_[0], text), base));
  EXPECT_FALSE(model_->stamp() == stamp);
  model_->adapters().set_enabled(true);
  EXPECT_TRUE(model_->stamp() == stamp);
  EXPECT_LT(merge_adapter(*model_), 1e-3);
  EXPECT_LT(largest_difference(full_pass(prompts_[0], text), adapted), 1e-3);
}

TEST_P(Families, soft_prompts_and_an_adapter_act_together) {
  model_->adapters().attach({2, 4, {}}, 3);
  attach_prompt(*model_, {2}, 1);
  attach_prompt(*model_, {3, 1, "SAMPLE_VOCAB"}, 1, "second");
  EXPECT_EQ(model_->num_input_ids(), 61 + 5);
  std::vector<int64_t> ids = model_->prompts().ids(61);
  ids.insert(ids.end(), prompts_[0].begin(), prompts_[0].end());
  const at::Tensor before = full_pass(ids, {3});
  EXPECT_GT(largest_difference(before, full_pass(prompts_[0], {3})), 1e-4);
  fill_adapter();
  const at::Tensor adapted = full_pass(ids, {3});
  EXPECT_GT(largest_difference(adapted, before), 1e-4);
  // Only the last prompt is trained, then the first one and the adapter.
  const auto trained = [&] {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : trainable_parameters(model_->parameters()))
      if (name.starts_with("prompt_embeddings")) names.push_back(name);
    return names;
  };
  EXPECT_EQ(trained(), std::vector<std::string>{"prompt_embeddings.second"});
  model_->prompts().set_trainable("second", false);
  model_->prompts().set_trainable("default", true);
  model_->adapters().set_trainable(true);
  EXPECT_EQ(trained(), std::vector<std::string>{"prompt_embeddings"});
  EXPECT_GT(trainable_parameters(model_->parameters()).size(), 1u);
  TokenForest forest;
  model_->add_prompt(forest, ids);
  model_->hidden_states(forest).square().sum().backward();
  EXPECT_TRUE(model_->prompts().rows("default").grad().defined());
  EXPECT_FALSE(model_->prompts().rows("second").grad().defined());
}

TEST_P(Families, fine_tuning_lowers_the_loss_and_parts_give_its_gradient) {
  const auto gradient = [&](int64_t tokens_per_pass) {
    SftOptions options;
    options.tokens_per_pass = tokens_per_pass;
    SftObjective objective(*model_, rows(), options);
    for (auto& [name, tensor] : model_->parameters()) tensor.mutable_grad() = at::Tensor();
    Rng rng(1, "test");
    const std::vector<int64_t> all{0, 1, 2, 3, 4, 5};
    objective.loss(all, 1, rng).loss.backward();
    return model_->embed_tokens().grad().clone();
  };
  EXPECT_LT(largest_difference(gradient(0), gradient(16)), 1e-4);

  SftObjective objective(*model_, rows(), {});
  Optimizer optimizer(trainable_parameters(model_->parameters()), {});
  const std::vector<int64_t> all{0, 1, 2, 3, 4, 5};
  std::vector<double> losses;
  for (int64_t step = 0; step < 8; ++step) {
    optimizer.zero_grad();
    Rng rng(1, "test");
    const LossOutput output = objective.loss(all, 10 * step, rng);
    losses.push_back(output.loss.item<double>());
    output.loss.backward();
    optimizer.step(3e-3);
  }
  EXPECT_LT(losses.back(), losses.front());
}

// The loss of a row is the mean of -log p over its reasoning plus that over its answer.
TEST_P(Families, the_loss_is_that_of_full_passes) {
  SftObjective objective(*model_, rows(), {});
  Rng rng(1, "test");
  const std::vector<int64_t> some{0, 4};
  const double found = objective.loss(some, 1, rng).loss.item<double>();
  double expected = 0;
  for (int64_t r : some) {
    const SftRow row = rows()[static_cast<size_t>(r)];
    const at::Tensor all = logprobs(row.prompt, row.completion);
    const auto nll = [&](int64_t t) {
      return -all[t][row.completion[static_cast<size_t>(t)]].item<double>();
    };
    expected += ((nll(0) + nll(1) + nll(3)) / 3 + nll(2)) / 2;
  }
  EXPECT_NEAR(found, expected, 1e-4);
}

TEST_P(Families, policies_agree_with_their_rollouts) {
  GrpoOptions options;
  options.num_generations = 3;
  options.format = {{30, 31}, {32, 1}, 4};
  options.eos_id = 1;
  std::vector<GrpoRow> grpo{{prompts_[0], {{20, 21}, {20, 22}, {23, 24}}, 1, 0},
                            {prompts_[1], {{20, 21}, {20, 22}, {23, 24}}, 0, 1}};
  const RewardFn reward = [](std::span<const Rollout> rollouts, int64_t) {
    std::vector<ScoredCompletion> scored(rollouts.size());
    for (ScoredCompletion& completion : scored) completion.reward_by_answer = {1, 0.5, 0};
    return scored;
  };
  GrpoObjective objective(*model_, nullptr, grpo, options, reward);
  const std::vector<int64_t> both{0, 1};
  const GrpoObjective::Batch batch = objective.roll_out(both, 0, 3);
  const LossOutput output = objective.batch_loss(batch, 0);
  EXPECT_LT(output.metrics.at("logprob_gap"), 1e-4);
  output.loss.backward();
  EXPECT_TRUE(model_->embed_tokens().grad().defined());
}

TEST_P(Families, folders_are_opened_and_loaded_by_their_type) {
  const TemporaryFolder folder("family");
  EXPECT_FALSE(is_language_model_folder(folder.path()));
  model_->save(folder.path());
  EXPECT_TRUE(is_language_model_folder(folder.path()));
  const auto opened = open_language_model(folder.path());
  EXPECT_EQ(opened->type(), model_->type());
  EXPECT_EQ(opened->num_parameters(), model_->num_parameters());
  EXPECT_EQ(opened->eos_ids(), model_->eos_ids());
  EXPECT_TRUE(opened->head_weight().is_meta());
  for (const bool gradient : {false, true}) {
    const PassShape shape{100, 20, 50, gradient};
    EXPECT_EQ(opened->cost(shape).activation_bytes, model_->cost(shape).activation_bytes);
    EXPECT_GT(opened->cost(shape).flops, 0);
  }
  EXPECT_GT(model_->cost({100, 20, 50, true}).activation_bytes,
            model_->cost({100, 20, 50, false}).activation_bytes);
  const auto loaded = load_language_model(folder.path());
  for (const auto& [name, tensor] : model_->parameters())
    EXPECT_TRUE(at::equal(tensor, loaded->parameters().at(name))) << name;
  write_file_atomic(folder.path() / "config.json", R"({"model_type": "gpt2"})");
  EXPECT_TRUE(is_language_model_folder(folder.path()));  // of a type that is not computed
  EXPECT_THROW(open_language_model(folder.path()), Error);
  write_file_atomic(folder.path() / "config.json", R"({"model_type": "markov"})");
  EXPECT_FALSE(is_language_model_folder(folder.path()));
  EXPECT_THROW(open_language_model(folder.path()), Error);
}

TEST_P(Families, sources_belong_to_models_with_an_encoder_alone) {
  TokenForest with, without;
  with.add(-1, std::vector<int64_t>{0}, prompts_[0]);
  without.add(-1, std::vector<int64_t>{0});
  EXPECT_THROW(model_->hidden_states(model_->has_encoder() ? without : with), Error);
  EXPECT_EQ(model_->hidden_states(model_->has_encoder() ? with : without).size(0), 1);
}

Make decoder(const LlmConfig& config) {
  return [config] { return new_decoder(config, 1); };
}
Make t5(const T5Config& config) {
  return [config] { return new_t5(config, 1); };
}

INSTANTIATE_TEST_SUITE_P(Models, Families,
                         testing::Values(std::pair("qwen2", decoder(small_families()[0])),
                                         std::pair("qwen3", decoder(small_families()[1])),
                                         std::pair("llama", decoder(small_families()[2])),
                                         std::pair("mistral", decoder(small_families()[3])),
                                         std::pair("t5", t5(small_t5_versions()[0])),
                                         std::pair("flan", t5(small_t5_versions()[1]))),
                         [](const auto& info) { return std::string(info.param.first); });

}  // namespace
}  // namespace etrlrec
