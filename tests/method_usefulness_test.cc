// What a reasoning is worth to the policy of the first step (method.md G.3 (7)): values beside the
// protocols of evaluation, and what it changes in a run.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/check.h"
#include "base/sha256.h"
#include "engine/engine.h"
#include "eval/protocol.h"
#include "method/reward.h"
#include "refusal.h"
#include "stages_fixture.h"
#include "train/frozen_reader.h"

namespace etrlrec {
namespace {

class Usefulness : public Stages {
 protected:
  static void SetUpTestSuite() {
    Stages::SetUpTestSuite();
    distill(distill_into("number"));
    ConstructOptions construct_options = construct_into("reasoning-title");
    construct_options.answer = AnswerKind::kTitle;
    construct(construct_options);
    DistillOptions options = distill_into("title");
    options.reasoning = root_ / "reasoning-title";
    distill(options);
  }
  static ReinforceOptions useful_into(const std::string& student, const std::string& name,
                                      double share) {
    ReinforceOptions options = reinforce_into(student, name);
    if (student == "title") options.reasoning = root_ / "reasoning-title";
    options.eval_rows = 0;
    options.reward.usefulness_share = share;
    return options;
  }
  // With an adapter that changes every answer, which a reference does without.
  static void disturb(LanguageModel& model) {
    model.adapters().attach({.r = 2}, 1);
    const at::NoGradGuard no_grad;
    for (auto& [name, tensor] : model.parameters())
      if (name.find("lora_B") != name.npos) tensor.fill_(0.3);
  }
};

double log_score(const Predictions& predictions, size_t r) {
  const Prediction& row = predictions.rows[r];
  return std::log(static_cast<double>(row.scores[static_cast<size_t>(row.target_slot)]));
}

TEST_F(Usefulness, is_the_ratio_of_two_protocols_of_evaluation) {
  for (const char* student : {"number", "title"}) {
    ReinforceSetup made = setup(useful_into(student, "never", 0.2));
    load_weights_of(made.model);
    const Catalogue& catalogue = made.study->dataset.catalogue;
    const PromptEncoder encoder = made.model.prompt_encoder(catalogue);
    ProtocolOptions protocol;
    protocol.prompt = made.model.card.prompt;
    protocol.max_reasoning_tokens = 40;
    std::vector<Request> requests;
    std::vector<GenerationRequest> prompts;
    for (size_t r = 0; r < 5; ++r) {
      requests.push_back(made.source.view(made.rows[r].id).request());
      prompts.push_back(generation_request(encoder, requests.back(), protocol.prompt, 6));
    }
    LanguageModel& model = *made.model.model;
    const Predictions reasoned = ask_language_model(model, encoder, requests, protocol);
    const std::vector<Completion> completions =
        generate(model, prompts, generation_options(*made.model.tokenizer, protocol, 6));
    protocol.name = "no-reasoning";
    const Predictions at_once = ask_language_model(model, encoder, requests, protocol);
    std::vector<Rollout> rollouts;
    for (size_t r = 0; r < completions.size(); ++r)
      rollouts.push_back({made.rows[r].id, 0, &completions[r]});

    disturb(model);
    const FrozenReader reader(model, model, made.grpo.format.close);
    const RecommendationReward reward({.reward = made.options.reward,
                                       .curriculum = {},
                                       .fixed_weights = {},
                                       .frame = made.model.frame(made.model.card.prompt)},
                                      made.source, nullptr, made.claim_weights,
                                      *made.model.tokenizer, nullptr, &reader);
    const auto scored = reward(rollouts, 0);
    double largest = 0;
    for (size_t r = 0; r < scored.size(); ++r) {
      const double gain = log_score(reasoned, r) - log_score(at_once, r);
      ASSERT_TRUE(scored[r].parts.contains("usefulness")) << student << r;
      EXPECT_NEAR(scored[r].parts.at("usefulness"), std::clamp(gain / std::log(6.0), -1.0, 1.0),
                  1e-5)
          << student << r;
      largest = std::max(largest, std::abs(gain));
    }
    EXPECT_GT(largest, 1e-3) << student;
    EXPECT_TRUE(model.adapters().is_enabled());
  }
}

TEST_F(Usefulness, of_many_reasonings_in_many_groups_is_that_of_each_alone) {
  ReinforceSetup made = setup(useful_into("title", "never", 0.2));
  load_weights_of(made.model);
  LanguageModel& model = *made.model.model;
  const FrozenReader reader(model, model, made.grpo.format.close);
  std::vector<ReasonedPrompt> rows;
  for (int64_t r = 0; r < 4; ++r) {
    const GrpoRow& row = made.rows[static_cast<size_t>(r)];
    ReasonedPrompt& prompt = rows.emplace_back();
    prompt.prompt = row.prompt, prompt.answers = row.answers, prompt.target = row.target;
    prompt.reasonings = {row.answers[0], {}, row.answers[1]};
    if (r == 2) prompt.reasonings.clear();
  }
  const auto together = reader.gains(rows);
  ASSERT_EQ(together.size(), rows.size());
  for (const int64_t batch_tokens : {1, 700}) {
    const auto apart = reader.gains(rows, batch_tokens);
    for (size_t r = 0; r < rows.size(); ++r) {
      ASSERT_EQ(together[r].size(), rows[r].reasonings.size());
      for (size_t i = 0; i < together[r].size(); ++i)
        EXPECT_NEAR(together[r][i], apart[r][i], 1e-4);
    }
  }
  EXPECT_NEAR(together[0][1], 0, 1e-4);
  EXPECT_GT(std::abs(together[0][0] - together[0][2]), 1e-4);
}

TEST_F(Usefulness, moves_the_term_of_the_label_and_nothing_else) {
  for (const int64_t r : {0, 2}) {
    const auto run_into = [&](const std::string& name, double share, double gamma) {
      ReinforceOptions options = useful_into("number", fmt::format("{}-{}", name, r), share);
      options.lora.r = r;
      options.grpo.policy.beta = 0;
      options.reward_weights = {1, 0, gamma};
      const MemoryEstimate estimate = plan(setup(options));
      const auto has = [&](const std::string& part) {
        return std::any_of(estimate.parts.begin(), estimate.parts.end(),
                           [&](const auto& entry) { return entry.first == part; });
      };
      EXPECT_EQ(has("activations of usefulness"), share > 0);
      EXPECT_EQ(has("reference"), share > 0 && r == 0);
      reinforce(options);
      Json last;
      for_each_json_line(fs::path(options.out) / "metrics.jsonl",
                         [&](const Json& line, int64_t) { last = line; });
      EXPECT_EQ(last.contains("train/rewards/usefulness/mean"), share > 0) << last;
      return sha256_file(fs::path(options.out) / "model.safetensors");
    };
    // Without weight it is asked and changes nothing; with weight it does.
    EXPECT_EQ(run_into("weightless", 0.2, 0), run_into("weightless-unasked", 0, 0)) << r;
    EXPECT_NE(run_into("asked", 0.2, 1), run_into("unasked", 0, 1)) << r;
  }
}

TEST_F(Usefulness, is_refused_where_it_cannot_count) {
  DistillOptions label = distill_into("label");
  label.label_only = true;
  label.reasoning.clear();
  distill(label);
  const auto refusal = [&](const std::function<void(ReinforceOptions&)>& change) {
    ReinforceOptions options = useful_into("number", "never", 0.2);
    change(options);
    return usage_refusal([&] { setup(options); });
  };
  const auto nothing = std::string::npos;
  EXPECT_EQ(refusal([](auto&) {}), "");
  EXPECT_NE(refusal([](auto& o) { o.reward.usefulness_share = 0.42; }).find("0.412"), nothing);
  EXPECT_EQ(refusal([](auto& o) { o.reward.usefulness_share = 0.42, o.reward.gate = "off"; }), "");
  EXPECT_NE(refusal([](auto& o) { o.reward.mode = RewardMode::kFaithful; }).find("verified"),
            nothing);
  EXPECT_NE(refusal([](auto& o) {
              o.model = root_ / "label", o.reasoning.clear();
            }).find("without a reasoning"),
            nothing);
}

}  // namespace
}  // namespace etrlrec
