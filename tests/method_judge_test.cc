// A language model as judge of rollouts: behind an endpoint and as a folder.
#include <gtest/gtest.h>

#include <functional>

#include "base/check.h"
#include "base/sha256.h"
#include "chat_server.h"
#include "method/judge.h"
#include "method/reward.h"
#include "refusal.h"
#include "stages_fixture.h"

namespace etrlrec {
namespace {

class Judges : public Stages {
 protected:
  static void SetUpTestSuite() {
    Stages::SetUpTestSuite();
    distill(distill_into("student"));
  }
  static JudgeOptions endpoint(const ChatServer& server) {
    JudgeOptions options;
    options.kind = "endpoint";
    options.model = "m";
    options.endpoint.base_url = server.url();
    options.endpoint.retry_seconds = 0.005;
    options.endpoint.max_retry_seconds = 0.02;
    return options;
  }
  static std::vector<std::vector<ChatMessage>> questions(int count) {
    std::vector<std::vector<ChatMessage>> all;
    for (int i = 0; i < count; ++i)
      all.push_back({{"system", "s"}, {"user", fmt::format("question {}", i)}});
    return all;
  }
  static int64_t num_calls(const fs::path& path) {
    int64_t count = 0;
    for_each_json_line(path, [&](const Json&, int64_t) { ++count; });
    return count;
  }
  static ReinforceOptions judged_into(const std::string& name, const JudgeOptions& judge) {
    ReinforceOptions options = reinforce_into("student", name);
    options.eval_rows = 0;
    options.judge = judge;
    return options;
  }
  static Json last_metrics(const std::string& name) {
    Json last;
    for_each_json_line(root_ / name / "metrics.jsonl",
                       [&](const Json& line, int64_t) { last = line; });
    return last;
  }
};

TEST_F(Judges, an_endpoint_is_asked_once_and_in_order) {
  const ChatServer server({"--answers", "score", "--fault", "slow=0.3", "--slow-seconds", "0.01"});
  ASSERT_TRUE(server.runs());
  const auto asked = questions(20);
  const JudgeOptions options = endpoint(server);
  const auto first = make_judge(options, {}, root_ / "once/calls.jsonl")->scores(asked);
  const int64_t calls = num_calls(root_ / "once/calls.jsonl");
  EXPECT_EQ(calls, 20);
  auto again = make_judge(options, {}, root_ / "once/calls.jsonl");
  std::vector<std::vector<ChatMessage>> turned(asked.rbegin(), asked.rend());
  const auto second = again->scores(turned);
  EXPECT_EQ(num_calls(root_ / "once/calls.jsonl"), calls);
  for (size_t i = 0; i < asked.size(); ++i) {
    ASSERT_TRUE(first[i].has_value());
    EXPECT_GE(*first[i], 0);
    EXPECT_LE(*first[i], 1);
    EXPECT_EQ(first[i], second[asked.size() - 1 - i]);
  }
  EXPECT_NE(first[0], first[1]);
}

TEST_F(Judges, what_is_late_or_no_score_is_missing_and_stays_so) {
  const ChatServer late({"--answers", "score", "--first", "slow", "--slow-seconds", "2"});
  ASSERT_TRUE(late.runs());
  JudgeOptions options = endpoint(late);
  options.endpoint.timeout_seconds = 0.5;
  options.endpoint.max_attempts = 1;
  options.endpoint.concurrency = 1;
  const auto asked = questions(3);
  const auto scores = make_judge(options, {}, root_ / "late.jsonl")->scores(asked);
  EXPECT_FALSE(scores[0].has_value());
  EXPECT_TRUE(scores[1].has_value());
  // A continued run has the rewards of the first one, unless it is told to ask again.
  EXPECT_EQ(make_judge(options, {}, root_ / "late.jsonl")->scores(asked), scores);
  options.endpoint.retry_failed = true;
  EXPECT_TRUE(make_judge(options, {}, root_ / "late.jsonl")->scores(asked)[0].has_value());

  const ChatServer talker({"--answers", "echo"});
  ASSERT_TRUE(talker.runs());
  for (const auto& score : make_judge(endpoint(talker), {}, root_ / "talk.jsonl")->scores(asked))
    EXPECT_FALSE(score.has_value());
}

TEST_F(Judges, an_endpoint_that_refuses_everything_ends_the_run) {
  const ChatServer server({"--status", "401"});
  ASSERT_TRUE(server.runs());
  const auto judge = make_judge(endpoint(server), {}, root_ / "refused.jsonl");
  EXPECT_THROW(judge->scores(questions(2)), Error);
}

TEST_F(Judges, a_local_model_gives_the_mean_of_its_probable_scores) {
  JudgeOptions options;
  options.kind = "local";
  options.model = root_ / "base";
  const auto judge = make_judge(options, {}, "");
  const auto asked = questions(3);
  const auto scores = judge->scores(asked);
  for (const auto& score : scores) {
    ASSERT_TRUE(score.has_value());
    EXPECT_GT(*score, 0);
    EXPECT_LT(*score, 1);
  }
  const auto alone = judge->scores(std::span(asked).subspan(1, 1));
  EXPECT_NEAR(*alone[0], *scores[1], 1e-5);
  const std::vector<std::vector<ChatMessage>> long_one{{{"user", std::string(200000, 'x')}}};
  EXPECT_FALSE(judge->scores(long_one)[0].has_value());
}

TEST_F(Judges, reinforcement_takes_the_score_into_the_reward) {
  const ChatServer server({"--answers", "score"});
  ASSERT_TRUE(server.runs());
  ReinforceOptions options = judged_into("judged", endpoint(server));
  EXPECT_EQ(reinforce(options).steps, 2);
  const Json metrics = last_metrics("judged");
  EXPECT_TRUE(metrics.contains("train/rewards/judge_missing/mean")) << metrics;
  EXPECT_GT(num_calls(root_ / "judged/judge_calls.jsonl"), 0);
  // A judge whose share is nothing leaves everything as it was.
  options = judged_into("judged-zero", endpoint(server));
  options.reward.judge_share = 0;
  reinforce(options);
  reinforce(judged_into("unjudged", {}));
  EXPECT_EQ(last_metrics("judged-zero")["train/reward"], last_metrics("unjudged")["train/reward"]);
  EXPECT_EQ(sha256_file(root_ / "judged-zero/model.safetensors"),
            sha256_file(root_ / "unjudged/model.safetensors"));
}

// Texts that are longer than what a string holds in itself.
TEST_F(Judges, a_reasoning_of_the_teacher_earns_what_construct_says) {
  const ReinforceSetup made = setup(judged_into("never", {}));
  const RecommendationReward reward({.reward = {}, .curriculum = {}, .fixed_weights = {}},
                                    made.source, nullptr, made.claim_weights,
                                    *made.model.tokenizer);
  std::vector<Json> lines;
  for_each_json_line(root_ / "reasoning/reasoning.jsonl",
                     [&](const Json& line, int64_t) { lines.push_back(line); });
  ASSERT_GT(lines.size(), 20u);
  std::vector<Completion> completions;
  for (const Json& line : lines) {
    Completion& completion = completions.emplace_back();
    completion.ids = made.model.tokenizer->encode(line["completion"].get<std::string>());
    completion.reasoning_tokens = std::ssize(completion.ids);
    completion.answer = line["meta"]["answer"].get<int64_t>() - 1;
    completion.answer_logprobs.assign(line["meta"]["candidates"].size(), -1.f);
  }
  std::vector<Rollout> rollouts;
  for (size_t i = 0; i < lines.size(); ++i)
    rollouts.push_back({lines[i]["meta"]["row"].get<int64_t>(), 0, &completions[i]});
  const auto scored = reward(rollouts, 0);
  double covered = 0;
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(scored[i].invalid, "") << lines[i]["completion"];
    for (const char* part : {"precision", "coverage"})
      EXPECT_NEAR(scored[i].parts.at(part), lines[i]["meta"][part].get<double>(), 1e-9)
          << part << lines[i]["completion"];
    covered += scored[i].parts.at("coverage");
  }
  EXPECT_GT(covered, 0.2 * static_cast<double>(lines.size()));
}

TEST_F(Judges, options_that_make_no_sense_are_refused) {
  const auto refuses = [&](const std::function<void(ReinforceOptions&)>& change,
                           const std::string& part) {
    JudgeOptions judge;
    judge.kind = "endpoint";
    judge.model = "m";
    judge.endpoint.base_url = "http://localhost:1/v1";
    ReinforceOptions options = judged_into("never", judge);
    change(options);
    const std::string said = usage_refusal([&] { setup(options); });
    EXPECT_NE(said.find(part), said.npos) << part << ": " << said;
  };
  refuses([](auto& o) { o.judge.model = ""; }, "--judge-model");
  refuses([](auto& o) { o.judge.kind = "oracle"; }, "oracle");
  refuses([](auto& o) { o.judge.endpoint.base_url = ""; }, "--base-url");
  refuses([](auto& o) { o.judge.parameters = {"effort=low"}; }, "--judge-parameter");
  refuses([](auto& o) { o.judge.domain = "music"; }, "music");
  refuses([](auto& o) { o.judge.reveal = true, o.grpo.exact_answer_expectation = true; },
          "--judge-reveal");
  refuses([](auto& o) { o.out.clear(); }, "--judge-calls");
  DistillOptions label = distill_into("label");
  label.label_only = true;
  label.reasoning.clear();
  distill(label);
  refuses([](auto& o) { o.model = root_ / "label"; }, "without a reasoning");
}

}  // namespace
}  // namespace etrlrec
