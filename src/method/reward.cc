#include "method/reward.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "base/check.h"
#include "eval/metrics.h"
#include "eval/mix.h"
#include "eval/protocol.h"
#include "temporal/claim_weights.h"
#include "temporal/encoding.h"
#include "temporal/judge_text.h"
#include "temporal/prompts.h"
#include "temporal/verifier.h"

namespace etrlrec {
namespace {

constexpr size_t kKeptViews = 16384;  // some 3 KB each

// Cosine of the attribute sets of two items, 0 where one has none.
float attribute_similarity(const Catalogue& catalogue, int32_t a, int32_t b) {
  const auto of_a = catalogue.attributes_of(a), of_b = catalogue.attributes_of(b);
  if (of_a.empty() || of_b.empty()) return 0;
  const auto shared = std::count_if(of_a.begin(), of_a.end(), [&](int32_t attribute) {
    return std::find(of_b.begin(), of_b.end(), attribute) != of_b.end();
  });
  return static_cast<float>(shared) /
         std::sqrt(static_cast<float>(of_a.size()) * static_cast<float>(of_b.size()));
}

// Cosine of two items' vectors; what points away is as unlike as what has nothing in common.
float embedding_similarity(const at::Tensor& embeddings, int32_t a, int32_t b) {
  const int64_t width = embeddings.size(1);
  const float* const values = embeddings.const_data_ptr<float>();
  return std::max(0.f, std::inner_product(values + a * width, values + (a + 1) * width,
                                          values + b * width, 0.f));
}

}  // namespace

// What one row contributes to every rollout of it.
struct RecommendationReward::RowContext {
  const RowView* view = nullptr;
  std::vector<float> crm_scores, similarities;  // [n]; the first empty without a recommender
};

// A rollout as text. `parsed` views `text`, which therefore stays where it is.
struct RecommendationReward::Reading {
  Reading() = default;
  Reading(const Reading&) = delete;

  const Rollout* rollout = nullptr;
  const RowContext* row = nullptr;
  std::string text;
  ParsedCompletion parsed;
  std::optional<double> judge;       // its score; nothing where there is no reasoning, too
  std::optional<double> usefulness;  // r_use; nothing where there is no reasoning or no reader

  bool has_reasoning() const { return parsed.code != AnswerCode::kNoReasoning; }
};

double calibrate_recommender(const Recommender& recommender, const Study& study, int64_t num_rows) {
  const CandidateSet set = study.candidates("valid");
  const auto rows = spread_rows(static_cast<int64_t>(set.rows.size()), num_rows);
  const auto requests = make_requests(study.dataset, set, rows, kRecommenderHistory);
  std::vector<float> flat;
  std::vector<int32_t> targets;
  for (const auto& scores : candidate_scores(recommender, requests))
    flat.insert(flat.end(), scores.begin(), scores.end());
  for (const Request& request : requests) targets.push_back(request.target_slot);
  return calibrate_temperature(flat, set.options.count, targets);
}

RecommendationReward::RecommendationReward(RewardSetup setup, const RowSource& rows,
                                           const Recommender* recommender,
                                           ClaimWeights claim_weights, const Tokenizer& tokenizer,
                                           Judge* judge, const FrozenReader* reader)
    : setup_(std::move(setup)),
      rows_(rows),
      recommender_(recommender),
      claim_weights_(std::move(claim_weights)),
      tokenizer_(tokenizer),
      judge_(judge),
      reader_(reader) {
  CHECK(setup_.reward.usefulness_share == 0 || reader_ != nullptr, kUsage,
        "usefulness share {}: expected a frozen reader", setup_.reward.usefulness_share);
  if (judge_ != nullptr)
    judge_texts_ =
        guidance_texts(setup_.judge.domain == "auto" ? guess_domain(rows.study().dataset.catalogue)
                                                     : setup_.judge.domain);
  CHECK(setup_.fixed_weights.empty() || setup_.fixed_weights.size() == 3, kUsage,
        "reward weights: expected three (reasoning, recommender, label), found {}",
        setup_.fixed_weights.size());
}

RecommendationReward::~RecommendationReward() = default;

RewardWeights RecommendationReward::weights(int64_t step, double hit_rate) const {
  RewardWeights weights = setup_.fixed_weights.empty()
                              ? curriculum_weights(setup_.curriculum, step, hit_rate)
                              : RewardWeights{setup_.fixed_weights[0], setup_.fixed_weights[1],
                                              setup_.fixed_weights[2]};
  if (recommender_ == nullptr) weights.beta = 0;
  if (!rows_.prompt().reasoning) weights.alpha = 0;
  return weights;
}

std::vector<RecommendationReward::RowContext> RecommendationReward::prepare(
    std::span<const Rollout> rollouts, std::vector<size_t>& row_of_rollout) const {
  std::map<int64_t, size_t> known;
  std::vector<int64_t> rows;
  for (const Rollout& rollout : rollouts) {
    const auto [entry, is_new] = known.try_emplace(rollout.id, rows.size());
    if (is_new) rows.push_back(rollout.id);
    row_of_rollout.push_back(entry->second);
  }
  if (views_.size() + rows.size() > kKeptViews) views_.clear();
  std::vector<RowContext> contexts(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    auto found = views_.find(rows[i]);
    if (found == views_.end()) found = views_.emplace(rows[i], rows_.view(rows[i])).first;
    contexts[i].view = &found->second;
  }
  const Catalogue& catalogue = rows_.study().dataset.catalogue;
  at::parallel_for(0, std::ssize(rows), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      RowContext& context = contexts[static_cast<size_t>(i)];
      if (rows_.prompt().reasoning) context.view->facts();
      const Request& request = context.view->request();
      const int32_t target = request.candidates[request.target_slot];
      for (const int32_t item : request.candidates)
        context.similarities.push_back(
            setup_.item_embeddings.defined()
                ? embedding_similarity(setup_.item_embeddings, item, target)
                : attribute_similarity(catalogue, item, target));
    }
  });
  if (recommender_ != nullptr) {
    auto scores = candidate_scores(*recommender_, rows_.recommender_requests(rows));
    for (size_t i = 0; i < rows.size(); ++i) contexts[i].crm_scores = std::move(scores[i]);
  }
  return contexts;
}

std::vector<RecommendationReward::Reading> RecommendationReward::read(
    std::span<const Rollout> rollouts, std::span<const RowContext> rows,
    std::span<const size_t> row_of_rollout) const {
  std::vector<Reading> readings(rollouts.size());
  at::parallel_for(0, std::ssize(rollouts), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      Reading& reading = readings[static_cast<size_t>(i)];
      reading.rollout = &rollouts[static_cast<size_t>(i)];
      reading.row = &rows[row_of_rollout[static_cast<size_t>(i)]];
      std::vector<int64_t> ids = reading.rollout->output->ids;
      while (!ids.empty() && ids.back() == tokenizer_.eos_id()) ids.pop_back();
      reading.text = tokenizer_.decode(ids);
      reading.parsed = reading.row->view->parse(reading.text);
    }
  });
  return readings;
}

void RecommendationReward::ask_judge(std::span<Reading> readings) const {
  if (judge_ == nullptr) return;
  const PromptOptions& prompt = rows_.prompt();
  const GuidanceOptions shown{.fact_sheet = setup_.judge.fact_sheet,
                              .with_times = prompt.with_times,
                              .with_attributes = prompt.with_attributes};
  std::vector<std::vector<ChatMessage>> questions;
  std::vector<Reading*> asked;
  for (Reading& reading : readings) {
    if (!reading.has_reasoning()) continue;
    std::optional<RevealedOutcome> outcome;
    std::vector<double> shares;
    if (setup_.judge.reveal) {
      for (const float score : reading.row->crm_scores)
        shares.push_back(score / setup_.reward.crm_temperature);
      if (!shares.empty()) shares = softmax(std::move(shares));
      outcome = RevealedOutcome{static_cast<int32_t>(reading.rollout->output->answer) + 1, shares};
    }
    Rng rng(setup_.seed, "judge", static_cast<uint64_t>(reading.rollout->id));
    questions.push_back(judge_messages(judge_texts_, reading.row->view->context(),
                                       reading.parsed.reasoning, shown, outcome, rng));
    asked.push_back(&reading);
  }
  const auto said = judge_->scores(questions);
  for (size_t q = 0; q < asked.size(); ++q) asked[q]->judge = said[q];
}

// The tokens of a rollout are read as they were sampled; what they say plays no role.
void RecommendationReward::ask_reader(std::span<Reading> readings,
                                      std::span<const RowContext> rows) const {
  if (reader_ == nullptr) return;
  std::vector<ReasonedPrompt> prompts(rows.size());
  std::vector<std::vector<Reading*>> asked(rows.size());
  for (Reading& reading : readings) {
    if (!reading.has_reasoning()) continue;
    const auto row = static_cast<size_t>(reading.row - rows.data());
    const Completion& output = *reading.rollout->output;
    prompts[row].reasonings.emplace_back(output.ids.begin(),
                                         output.ids.begin() + output.reasoning_tokens);
    asked[row].push_back(&reading);
  }
  for (size_t r = 0; r < rows.size(); ++r) {
    const RowView& view = *rows[r].view;
    prompts[r].prompt = view.encoding(tokenizer_, setup_.frame.before, setup_.frame.after);
    prompts[r].answers = encode_answers(tokenizer_, view.answers(), rows_.prompt()).answers;
    prompts[r].target = view.request().target_slot;
  }
  const auto gains = reader_->gains(prompts);
  for (size_t r = 0; r < rows.size(); ++r)
    for (size_t i = 0; i < asked[r].size(); ++i)
      asked[r][i]->usefulness = usefulness_reward(gains[r][i], std::ssize(prompts[r].answers));
}

ScoredCompletion RecommendationReward::score(const Reading& reading,
                                             const RewardWeights& weights) const {
  const RowContext& row = *reading.row;
  const ParsedCompletion& parsed = reading.parsed;
  const Completion& output = *reading.rollout->output;
  const Request& request = row.view->request();
  const auto n = static_cast<int32_t>(request.candidates.size());
  const int32_t target = request.target_slot + 1;

  RewardInput input;
  input.num_candidates = n;
  input.target = target;
  input.has_reasoning = reading.has_reasoning();
  input.format_ok = parsed.code == AnswerCode::kValid;
  input.crm_scores = row.crm_scores;
  input.completion_tokens = static_cast<int64_t>(output.ids.size());
  input.repetition =
      repeated_share(std::span(output.ids).first(static_cast<size_t>(output.reasoning_tokens)));
  if (setup_.rank_credit) {
    const std::vector<double> p(output.answer_logprobs.begin(), output.answer_logprobs.end());
    input.rank = rank_reward(mean_rank(p, target - 1));
    input.has_rank = true;
  }
  input.is_judged = judge_ != nullptr;
  input.judge = reading.judge;
  input.usefulness = reading.usefulness.value_or(0);
  const bool verifies = rows_.prompt().reasoning;
  std::vector<JudgedClaim> claims;
  if (verifies)
    claims = judge_claims(row.view->claims(parsed.reasoning), row.view->context(), claim_weights_);

  ScoredCompletion scored;
  for (const double weight : {weights.gamma, weights.beta, weights.alpha, 1.0})
    scored.components.push_back({weight, {}});
  for (int32_t k = 1; k <= n; ++k) {
    input.answer = k;
    input.semantic = semantic_reward(row.similarities, k, target);
    ReasoningScore reasoning;
    if (verifies) reasoning = score_reasoning(claims, k, row.view->context());
    input.reasoning = reasoning.r_ver;
    const RewardParts parts = compute_reward(input, weights, setup_.reward);
    scored.reward_by_answer.push_back(parts.total);
    const double values[] = {parts.outcome, parts.gated_crm, parts.gated_reasoning,
                             -parts.penalties()};
    for (size_t c = 0; c < scored.components.size(); ++c)
      scored.components[c].by_answer.push_back(values[c]);
    if (k != output.answer + 1) continue;
    scored.parts = {{"label", parts.label},
                    {"crm", parts.crm},
                    {"reasoning", parts.reasoning},
                    {"outcome", parts.outcome},
                    {"length_penalty", parts.length_penalty},
                    {"repetition_penalty", parts.repetition_penalty},
                    {"precision", reasoning.precision},
                    {"coverage", reasoning.coverage},
                    {"link", reasoning.r_link}};
    if (judge_ != nullptr && input.has_reasoning) {
      scored.parts["judge_missing"] = reading.judge ? 0 : 1;
      if (reading.judge) {
        scored.parts["judge"] = *reading.judge;
        scored.parts["judge_lead"] = *reading.judge - reasoning.r_ver;
      }
    }
    if (reading.usefulness) scored.parts["usefulness"] = *reading.usefulness;
  }
  if (!input.format_ok)
    scored.invalid = answer_code_name(parsed.code);
  else if (output.forced_close && rows_.prompt().reasoning)
    scored.invalid = "truncated";
  return scored;
}

std::vector<ScoredCompletion> RecommendationReward::operator()(std::span<const Rollout> rollouts,
                                                               int64_t step) const {
  std::vector<size_t> row_of_rollout;
  const std::vector<RowContext> rows = prepare(rollouts, row_of_rollout);
  double hits = 0;
  for (size_t i = 0; i < rollouts.size(); ++i)
    hits += rollouts[i].output->answer == rows[row_of_rollout[i]].view->request().target_slot;
  const RewardWeights now =
      weights(step, rollouts.empty() ? 0 : hits / static_cast<double>(rollouts.size()));
  std::vector<Reading> readings = read(rollouts, rows, row_of_rollout);
  ask_judge(readings);
  ask_reader(readings, rows);
  std::vector<ScoredCompletion> scored(rollouts.size());
  at::parallel_for(0, static_cast<int64_t>(rollouts.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) scored[i] = score(readings[i], now);
  });
  return scored;
}

}  // namespace etrlrec
