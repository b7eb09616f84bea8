// The three stages on a very small world: what they leave behind, what they refuse, and that
// stopping changes nothing.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <set>

#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "data/candidate_file.h"
#include "data/split.h"
#include "method/audit.h"
#include "method/construct.h"
#include "method/distill.h"
#include "method/fit.h"
#include "method/reinforce.h"
#include "method/reinforce_presets.h"
#include "method/reward.h"
#include "method/row.h"
#include "method/sft_row.h"
#include "method/study.h"
#include "numbers.h"
#include "refusal.h"
#include "stages_fixture.h"
#include "temporal/encoding.h"
#include "temporal/names.h"
#include "temporal/prompts.h"
#include "temporal/teacher.h"
#include "text/tokenizer_folder.h"

namespace etrlrec {
namespace {

TEST_F(Stages, a_share_of_the_training_log_is_its_earliest_part) {
  const Dataset dataset = load_dataset(root_ / "data");
  const Split split = load_split(root_ / "data");
  const InteractionLog all = training_log(dataset, split), half = training_log(dataset, split, 0.5);
  const int64_t last = *std::max_element(half.times.begin(), half.times.end());
  EXPECT_EQ(std::count_if(all.times.begin(), all.times.end(), [&](int64_t t) { return t <= last; }),
            static_cast<int64_t>(half.times.size()));
  EXPECT_NEAR(static_cast<double>(half.times.size()), 0.5 * static_cast<double>(all.times.size()),
              3);
  EXPECT_EQ(half.user_offsets.size(), all.user_offsets.size());
  EXPECT_EQ(half.user_offsets.back(), static_cast<int64_t>(half.items.size()));
  EXPECT_THROW(training_log(dataset, split, 0), Error);
}

TEST_F(Stages, fit_does_not_continue_in_another_arithmetic) {
  FitOptions options;
  options.data = root_ / "data";
  options.out = root_ / "fit";
  options.models = {"sasrec"};
  options.trainer.max_steps = 2;
  options.recommender = {{"hidden_size", int64_t{8}}};
  options.numerics.arithmetic = Arithmetic::kFloat;
  fit(options);
  const fs::path record = root_ / "fit/sasrec/inputs.json";
  OrderedJson inputs = OrderedJson::parse(read_file(record));
  EXPECT_EQ(inputs["arithmetic"], "float32");
  fit(options);
  options.numerics.arithmetic = Arithmetic::kReference;
  EXPECT_THROW(fit(options), Error);
  inputs.erase("arithmetic");  // as older versions wrote it
  write_json_atomic(record, inputs);
  fit(options);
}

TEST_F(Stages, construct_keeps_only_true_reasonings_that_name_the_target) {
  EXPECT_EQ(summary_.rows, 150);
  EXPECT_GT(summary_.rows_kept, 50);
  EXPECT_GT(summary_.rejected["wrong_answer"], 0);
  int64_t lines = 0;
  for_each_json_line(root_ / "reasoning/reasoning.jsonl", [&](const Json& line, int64_t) {
    EXPECT_EQ(line["meta"]["answer"], line["meta"]["target"]);
    EXPECT_GE(line["meta"]["precision"].get<double>(), 0.9);
    const std::string completion = line["completion"];
    EXPECT_EQ(parse_completion(completion, numbers(6), {}).code, AnswerCode::kValid);
    ++lines;
  });
  EXPECT_EQ(lines, summary_.kept);
}

TEST_F(Stages, construct_continues_an_interrupted_run_to_the_same_file) {
  ConstructOptions options = construct_into("again");
  fs::create_directories(options.out);
  const std::string part = read_file(root_ / "reasoning/reasoning.part.jsonl");
  fs::copy_file(root_ / "reasoning/construct.part.json",
                fs::path(options.out) / "construct.part.json");
  // Half of the rows, a row that another teacher wrote, and a torn line.
  const size_t half = part.rfind('\n', part.size() / 2) + 1;
  const std::string other = R"({"row":0,"key":"other/0","draws":[],"kept":[]})";
  write_file_atomic(fs::path(options.out) / "reasoning.part.jsonl",
                    part.substr(0, half) + other + "\n" + part.substr(half, 10));
  construct(options);
  EXPECT_EQ(read_file(root_ / "again/reasoning.jsonl"),
            read_file(root_ / "reasoning/reasoning.jsonl"));
}

// Part files of older versions have no keys.
TEST_F(Stages, construct_says_that_it_draws_rows_without_a_key_again) {
  ConstructOptions options = construct_into("keyless");
  fs::create_directories(options.out);
  fs::copy_file(root_ / "reasoning/construct.part.json",
                fs::path(options.out) / "construct.part.json");
  std::string part;
  for_each_json_line(root_ / "reasoning/reasoning.part.jsonl", [&](const Json& line, int64_t n) {
    OrderedJson changed = line;
    if (n > 10) changed.erase("key");
    if (n <= 12) part += changed.dump() + "\n";
  });
  write_file_atomic(fs::path(options.out) / "reasoning.part.jsonl", part + "{\"row\":12,\"ke");
  EXPECT_EQ(plan(setup(options)).rows_done, 10);
  EXPECT_EQ(plan(setup(options)).most_draws, 140 * 6);
  testing::internal::CaptureStderr();
  construct(options);
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("line 11 has no key"), std::string::npos) << said;
  EXPECT_NE(said.find("(2) are drawn again"), std::string::npos) << said;
  EXPECT_EQ(read_file(root_ / "keyless/reasoning.jsonl"),
            read_file(root_ / "reasoning/reasoning.jsonl"));
  testing::internal::CaptureStderr();
  EXPECT_EQ(plan(setup(options)).rows_done, 150);
  construct(options);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_F(Stages, construct_refuses_to_continue_with_other_options) {
  ConstructOptions options = construct_into("reasoning");
  options.temperature = 0.5;
  EXPECT_THROW(construct(options), Error);
  options = construct_into("unknown");
  options.teacher = "oracle";
  EXPECT_THROW(construct(options), Error);
}

TEST_F(Stages, without_hints_and_filters_every_row_keeps_a_draw) {
  ConstructOptions options = construct_into("all");
  options.hint_policy = "never";
  options.filter_answer = false;
  options.limit = 40;
  const ConstructSummary summary = construct(options);
  EXPECT_EQ(summary.rows, 40);
  EXPECT_EQ(summary.rows_kept, 40);
  EXPECT_EQ(summary.hinted, 0);
}

TEST_F(Stages, rows_belong_to_distillation_or_to_reinforcement) {
  int64_t distillation = 0;
  for (int64_t row = 0; row < 5000; ++row)
    distillation += DistillationRows{0.4, 42, ""}.contains(row);
  EXPECT_NEAR(distillation / 5000.0, 0.4, 0.03);
  EXPECT_EQ(spread_rows(10, 5), (std::vector<int64_t>{0, 2, 4, 6, 8}));
  EXPECT_EQ(spread_rows(3, 9).size(), 3u);
}

TEST_F(Stages, fields_of_a_row_follow_its_claims) {
  const auto tokenizer = load_tokenizer(root_ / "base");
  std::vector<std::string> names;
  const SftRow row =
      make_sft_row(*tokenizer, tokenizer->encode("p"), " gap( 8 now week) pick( crime 3)", 3,
                   encode_answers(*tokenizer, numbers(6), {}), {}, names);
  ASSERT_EQ(row.fields.size(), row.completion.size());
  const std::set<std::string> found(names.begin(), names.end());
  for (const char* name :
       {"gap", "gap/1", "gap/2", "gap/3", "pick/1", "pick/2", "format", "answer"})
    EXPECT_TRUE(found.contains(name)) << name;
  std::map<std::string, std::string> texts;
  for (size_t t = 0; t < row.fields.size(); ++t)
    texts[names[row.fields[t]]] += tokenizer->decode(std::span(&row.completion[t], 1));
  EXPECT_EQ(texts["gap/3"], " week");
  EXPECT_EQ(texts["pick/2"], " 3");
  EXPECT_EQ(texts["answer"], number(3));
}

TEST_F(Stages, distill_and_reinforce_leave_complete_model_folders) {
  const TrainingResult distilled = distill(distill_into("student"));
  EXPECT_EQ(distilled.steps, 3);
  ASSERT_EQ(distilled.findings.size(), 1u);  // three steps do not teach how a reasoning ends
  EXPECT_EQ(distilled.findings[0].find("100 % of the reasonings about 4"), 0u);
  const std::string hash = open_study(root_ / "data").catalogue_hash;
  EXPECT_EQ(load_model_folder(root_ / "student", hash).card.stage, "distill");
  ReinforceOptions options = reinforce_into("student", "policy");
  options.grpo.policy.beta = 0.01;
  options.lora.r = 2;
  EXPECT_EQ(reinforce(options).steps, 2);
  const LoadedModel policy = load_model_folder(root_ / "policy", hash);
  EXPECT_EQ(policy.card.stage, "reinforce");
  EXPECT_EQ(policy.card.max_reasoning_tokens, 200);
  EXPECT_TRUE(fs::exists(root_ / "policy/adapter/adapter_config.json"));
  int64_t samples = 0;
  for_each_json_line(root_ / "policy/samples/step-0.jsonl", [&](const Json& sample, int64_t) {
    ++samples;
    const std::string completion = sample.at("completion");
    for (const Json& claim : sample.at("explanation").at("claims"))
      EXPECT_NE(completion.find(claim.at("claim")), completion.npos) << sample;
  });
  EXPECT_GT(samples, 0);
}

TEST_F(Stages, a_card_has_the_temperature_of_its_own_validation_rows) {
  const auto temperature_of = [](const std::string& name) {
    return read_json(root_ / name / "etrlrec.json").value("temperature", 1.0);
  };
  distill(distill_into("tempered"));
  EXPECT_NE(temperature_of("tempered"), 1);
  reinforce(reinforce_into("tempered", "tempered-policy"));
  EXPECT_NE(temperature_of("tempered-policy"), 1);
  EXPECT_NE(temperature_of("tempered-policy"), temperature_of("tempered"));
  ReinforceOptions unjudged = reinforce_into("tempered", "unjudged-policy");
  unjudged.eval_rows = 0;
  reinforce(unjudged);
  EXPECT_EQ(temperature_of("unjudged-policy"), 1);
}

TEST_F(Stages, a_repeated_distill_returns_the_finished_model) {
  distill(distill_into("twice"));
  const std::string before = sha256_file(root_ / "twice/model.safetensors");
  distill(distill_into("twice"));
  EXPECT_EQ(sha256_file(root_ / "twice/model.safetensors"), before);
}

TEST_F(Stages, label_only_trains_and_reinforces_without_reasoning) {
  DistillOptions options = distill_into("label");
  options.label_only = true;
  options.reasoning.clear();
  EXPECT_TRUE(distill(options).findings.empty());
  EXPECT_FALSE(load_model_folder(root_ / "label", "").card.prompt.reasoning);
  EXPECT_EQ(reinforce(reinforce_into("label", "label-policy")).steps, 2);
}

TEST_F(Stages, distill_refuses_reasoning_written_for_other_prompts) {
  DistillOptions options = distill_into("refused");
  options.max_history = 5;
  EXPECT_THROW(distill(options), Error);
  options = distill_into("refused");
  options.sft.field_weights = {{"no such field", 2}};
  EXPECT_THROW(distill(options), Error);
  options = distill_into("refused");
  options.reasoning.clear();
  EXPECT_THROW(distill(options), Error);
}

TEST_F(Stages, reinforce_never_rolls_out_a_distilled_row_whatever_its_seed_is) {
  DistillOptions options = distill_into("seeded");
  options.sft_share = 0.5;
  options.trainer.seed = 5;
  distill(options);
  ReinforceOptions rl = reinforce_into("seeded", "never");
  rl.trainer.seed = 77;
  const ReinforceSetup chosen = setup(rl);
  EXPECT_GT(chosen.rows.size(), 40u);
  const DistillationRows distilled{0.5, 5, ""};
  for (const GrpoRow& row : chosen.rows) EXPECT_FALSE(distilled.contains(row.id)) << row.id;
  rl.sft_share = 0.4;  // contradicts the folder
  EXPECT_THROW(setup(rl), Error);
  OrderedJson card = OrderedJson::parse(read_file(root_ / "seeded/etrlrec.json"));
  card.erase("distillation_rows");  // as older versions wrote it
  write_json_atomic(root_ / "seeded/etrlrec.json", card);
  rl.sft_share.reset();
  EXPECT_THROW(setup(rl), Error);
  rl.sft_share = 0.5, rl.trainer.seed = 5;
  EXPECT_EQ(setup(rl).rows.size(), chosen.rows.size());
}

TEST_F(Stages, a_limit_is_a_draw_of_the_seed_and_not_the_first_rows) {
  EXPECT_EQ(draw_limited(4, 0, 1), (std::vector<int64_t>{0, 1, 2, 3}));
  EXPECT_EQ(draw_limited(1000, 10, 1), draw_limited(1000, 10, 1));
  EXPECT_NE(draw_limited(1000, 10, 1), draw_limited(1000, 10, 2));
  const std::vector<int64_t> drawn = draw_limited(1000, 50, 1);
  EXPECT_GT(*std::max_element(drawn.begin(), drawn.end()), 800);
  EXPECT_EQ(std::set<int64_t>(drawn.begin(), drawn.end()).size(), 50u);
  DistillOptions options = distill_into("limited");
  options.limit = 10;
  EXPECT_EQ(setup(options).rows.size(), 10u);
  ConstructOptions construct_options = construct_into("limited-reasoning");
  construct_options.limit = 20;
  EXPECT_GT(setup(construct_options).rows.back(), 100);
}

TEST_F(Stages, distill_reads_the_prompt_from_the_reasoning_folder) {
  ConstructOptions longer = construct_into("longer");
  longer.max_history = 12, longer.with_times = false;
  construct(longer);
  DistillOptions options = distill_into("never");
  options.reasoning = root_ / "longer";
  const DistillSetup made = setup(options);
  EXPECT_EQ(made.card.prompt.max_history, 12);
  EXPECT_FALSE(made.card.prompt.with_times);
  EXPECT_TRUE(made.card.prompt.with_attributes);
  options.label_only = true;
  options.reasoning.clear();
  options.max_history = 5;
  EXPECT_EQ(setup(options).card.prompt.max_history, 5);
}

TEST_F(Stages, popular_negatives_are_drawn_for_the_same_rows) {
  DistillOptions options = distill_into("never");
  options.label_only = true;
  options.reasoning.clear();
  options.answer_loss = "candidates";
  options.sft_share = 1;
  const DistillSetup file = setup(options);
  options.negatives = "popular";
  const DistillSetup popular = setup(options);
  EXPECT_EQ(popular.card.distillation_rows->candidates, file.card.distillation_rows->candidates);
  const Dataset& dataset = popular.study->dataset;
  const CandidateSet set = popular.study->candidates("train");
  const CandidateSet drawn = draw_candidates(dataset, load_split(root_ / "data"), set.rows,
                                             {.kind = CandidateKind::kPopular, .count = 6});
  ASSERT_EQ(popular.candidate_rows.size(), set.rows.size());
  int64_t others = 0;
  for (size_t r = 0; r < set.rows.size(); ++r) {
    const CandidateRow &row = popular.candidate_rows[r], &before = file.candidate_rows[r];
    EXPECT_EQ(row.prompt, before.prompt);
    EXPECT_EQ(row.target, drawn.slots[r]);
    EXPECT_EQ(row.answers[static_cast<size_t>(row.target)],
              before.answers[static_cast<size_t>(before.target)]);
    for (size_t k = 0; k < row.answers.size(); ++k) {
      const std::string text = popular.model.tokenizer->decode(row.answers[k]);
      const int32_t item = drawn.items[r * 6 + k];
      EXPECT_NE(text.find(escape_title(dataset.catalogue.titles[static_cast<size_t>(item)])),
                text.npos)
          << text;
      others += item != set.items[r * 6 + k];
    }
  }
  EXPECT_GT(others, 300);
  for (const auto& refused : std::vector<std::function<void(DistillOptions&)>>{
           [](DistillOptions& o) { o.label_only = false, o.reasoning = root_ / "reasoning"; },
           [](DistillOptions& o) { o.answer_loss = "tokens"; },
           [](DistillOptions& o) { o.reasoning = root_ / "reasoning", o.answers = "teacher"; },
           [](DistillOptions& o) { o.negatives = "hard"; }}) {
    DistillOptions changed = options;
    refused(changed);
    EXPECT_NE(usage_refusal([&] { setup(changed); }).find("--negatives"), std::string::npos);
  }
}

// The findings of an audit of `folder`, whose reasoning.jsonl has its first line changed.
AuditReport audit_changed(const fs::path& root, const std::function<void(Json&)>& change) {
  const fs::path folder = root / "changed";
  fs::remove_all(folder);
  fs::copy(root / "reasoning", folder);
  std::string lines;
  for_each_json_line(root / "reasoning/reasoning.jsonl", [&](const Json& line, int64_t number) {
    Json changed = line;
    if (number == 1) change(changed);
    lines += changed.dump() + "\n";
  });
  write_file_atomic(folder / "reasoning.jsonl", lines);
  return audit({root / "data", folder});
}

TEST_F(Stages, audit_finds_what_does_not_belong_to_its_row) {
  EXPECT_EQ(audit_changed(root_, [](Json&) {}).total(), 0);
  const auto finds = [&](const std::string& kind, const std::function<void(Json&)>& change) {
    const AuditReport report = audit_changed(root_, change);
    EXPECT_EQ(report.total(), 1) << kind;
    EXPECT_TRUE(report.counts.contains(kind)) << kind;
  };
  finds("prompt", [](Json& line) { line["prompt"] = "History; start drama"; });
  finds("reasoning", [](Json& line) { line["meta"]["target_item_id"] = "nothing"; });
  finds("reasoning", [](Json& line) { line["meta"]["now"] = 1; });
  finds("reasoning", [](Json& line) { line["meta"]["row"] = 1'000'000; });
  finds("answer", [](Json& line) { line["meta"]["answer"] = 99; });
}

TEST_F(Stages, audit_takes_the_history_length_from_the_folder) {
  ConstructOptions longer = construct_into("long");
  longer.max_history = 20;
  construct(longer);
  EXPECT_EQ(audit({root_ / "data", root_ / "long"}).total(), 0);
}

TEST_F(Stages, audit_finds_reasoning_of_other_candidates) {
  fs::copy(root_ / "reasoning", root_ / "foreign");
  OrderedJson record = OrderedJson::parse(read_file(root_ / "foreign/construct.json"));
  record["options"]["candidates"] = "another hash";
  write_json_atomic(root_ / "foreign/construct.json", record);
  EXPECT_EQ(audit({root_ / "data", root_ / "foreign"}).counts.at("reasoning"), 1);
}

TEST_F(Stages, reinforce_refuses_a_model_whose_completions_are_hardly_valid) {
  distill(distill_into("babbler"));
  ReinforceOptions options = reinforce_into("babbler", "never");
  options.min_valid = 0.5;
  try {
    reinforce(options);
    ADD_FAILURE() << "a model of three steps keeps the contract";
  } catch (const Error& error) {
    const std::string text = error.what();
    for (const char* words : {"babbler", "% of its completions are valid", "50 %", "--min-valid"})
      EXPECT_NE(text.find(words), std::string::npos) << text;
  }
  EXPECT_FALSE(fs::exists(root_ / "never"));
  // Without reasoning every answer is valid.
  DistillOptions label = distill_into("label-valid");
  label.label_only = true;
  label.reasoning.clear();
  distill(label);
  ReinforceOptions answers = reinforce_into("label-valid", "label-valid-policy");
  answers.min_valid = 1;
  EXPECT_EQ(reinforce(answers).steps, 2);
}

TEST_F(Stages, algorithms_reinforce_with_the_composed_reward) {
  distill(distill_into("many"));
  for (const std::string& name : algorithm_names()) {
    ReinforceOptions options = reinforce_into("many", "many-" + name);
    options.trainer.max_steps = 1;
    options.trainer.gradient_accumulation_steps = 2;
    options.eval_rows = 0;
    options.grpo.format.max_reasoning_tokens = 20;
    apply_algorithm(
        name, [](const std::string&) { return false; }, options);
    EXPECT_EQ(reinforce(options).steps, 1) << name;
  }
}

TEST_F(Stages, reinforce_refuses_a_model_that_was_not_distilled) {
  EXPECT_THROW(reinforce(reinforce_into("base", "refused")), Error);
}

TEST_F(Stages, reward_of_the_teachers_own_completion_is_higher_with_the_right_answer) {
  const Study study = open_study(root_ / "data");
  const RowSource rows(study, study.candidates("train"), {});
  const auto tokenizer = load_tokenizer(root_ / "base");
  RewardSetup setup;
  setup.reward.max_length = 400, setup.reward.length_buffer = 100;
  const RecommendationReward reward(
      setup, rows, nullptr, read_claim_weights(root_ / "reasoning/claim_weights.json"), *tokenizer);
  Json line;
  for_each_json_line(root_ / "reasoning/reasoning.jsonl", [&](const Json& value, int64_t number) {
    if (number == 1) line = value;
  });
  const auto target = line["meta"]["target"].get<int32_t>();
  const std::string text = line["completion"];
  const ParsedCompletion parsed = parse_completion(text, numbers(6), {});
  const AnswerEncoding encoding = encode_answers(*tokenizer, numbers(6), {});
  Completion output;
  output.ids = encode_completion(*tokenizer, encoding, parsed.reasoning, target);
  output.reasoning_tokens = static_cast<int64_t>(tokenizer->encode(parsed.reasoning).size());
  output.answer = target - 1;
  output.answer_logprobs.assign(6, std::log(1.f / 6));
  const Rollout rollout{line["meta"]["row"].get<int64_t>(), 0, &output};
  const ScoredCompletion scored = reward(std::span(&rollout, 1), 0)[0];
  EXPECT_TRUE(scored.invalid.empty()) << scored.invalid;
  EXPECT_EQ(scored.parts.at("label"), 1);
  EXPECT_GE(scored.parts.at("precision"), 0.9);
  for (int32_t k = 1; k <= 6; ++k)
    if (k != target) {
      EXPECT_GT(scored.reward_by_answer[target - 1], scored.reward_by_answer[k - 1]);
    }
}

}  // namespace
}  // namespace etrlrec
