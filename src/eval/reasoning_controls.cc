#include "eval/reasoning_controls.h"

#include <cmath>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/rng.h"
#include "eval/metrics.h"
#include "temporal/claim_flip.h"
#include "temporal/row_view.h"

namespace etrlrec {
namespace {

using TokenIds = std::vector<int64_t>;

void check_reasons(const Asked& asked, const ProtocolOptions& options) {
  CHECK(options.prompt.reasoning, kUsage,
        "{}: expected a model that reasons, found one that answers at once\nhint: --protocol "
        "likelihood",
        options.name);
  CHECK(!asked.model.has_encoder() || options.name == "no-reasoning", kUsage,
        "{}: expected a decoder, found an encoder-decoder, which would read the given reasoning as "
        "a part of its prompt\nhint: --protocol no-reasoning",
        options.name);
}

// For each of `count` requests from `first` on the next one of all, in a circle, that another user
// made.
std::vector<Request> of_other_users(std::span<const Request> all, size_t first, size_t count) {
  std::vector<Request> others;
  for (size_t r = first; r < first + count; ++r) {
    size_t other = (r + 1) % all.size();
    while (other != r && all[other].user == all[r].user) other = (other + 1) % all.size();
    CHECK(other != r, kInput,
          "swapped-reasoning: expected rows of several users, found only user {} in {} rows",
          all[r].user, all.size());
    others.push_back(all[other]);
  }
  return others;
}

TokenIds own_reasoning(const Completion& completion) {
  return {completion.ids.begin(), completion.ids.begin() + completion.reasoning_tokens};
}

std::vector<Completion> write_reasonings(const Asked& asked, std::span<const Request> requests,
                                         const ProtocolOptions& options) {
  const int32_t most = largest_choice(requests);
  return generate_for(asked, requests, options,
                      generation_options(asked.tokenizer(), options, most), most);
}

// What the model writes behind a given beginning of a reasoning each, at most so many tokens.
std::vector<Completion> write_on(const Asked& asked, std::span<const Request> requests,
                                 const ProtocolOptions& options,
                                 std::span<const TokenIds> beginnings,
                                 int64_t max_reasoning_tokens) {
  const int32_t most = largest_choice(requests);
  GenerationOptions generation = generation_options(asked.tokenizer(), options, most);
  generation.format.max_reasoning_tokens = max_reasoning_tokens;
  std::vector<GenerationRequest> prompts = generation_requests(asked, requests, options, most);
  for (size_t r = 0; r < requests.size(); ++r)
    prompts[r].prompt.insert(prompts[r].prompt.end(), beginnings[r].begin(), beginnings[r].end());
  return generate(asked.model, prompts, generation);
}

// Of every request's candidates below a given reasoning each: the close follows at once.
std::vector<std::vector<double>> probabilities_below(const Asked& asked,
                                                     std::span<const Request> requests,
                                                     const ProtocolOptions& options,
                                                     std::span<const TokenIds> reasonings) {
  const std::vector<Completion> completions = write_on(asked, requests, options, reasonings, 0);
  std::vector<std::vector<double>> probabilities;
  for (size_t r = 0; r < requests.size(); ++r)
    probabilities.push_back(answer_probabilities(completions[r], requests[r], options));
  return probabilities;
}

void check_statistics(const ProtocolOptions& options) {
  CHECK(options.statistics != nullptr, kUsage,
        "{}: expected statistics of the training part, by which claims are judged", options.name);
}

// A whole reasoning and the candidates' probabilities below it.
struct Written {
  std::string reasoning;
  std::vector<double> probabilities;
};

Written written(const Asked& asked, const Request& request, const ProtocolOptions& options,
                TokenIds beginning, const Completion& completion) {
  const TokenIds rest = own_reasoning(completion);
  beginning.insert(beginning.end(), rest.begin(), rest.end());
  return {asked.tokenizer().decode(beginning), answer_probabilities(completion, request, options)};
}

// The rows of a pass that have a fact to flip before a decision, and their facts in tokens.
struct FlippedRows {
  std::vector<size_t> places;  // in the pass
  std::vector<Request> requests;
  std::vector<TokenIds> own, flipped;
};

}  // namespace

double total_variation(std::span<const double> p, std::span<const double> q) {
  CHECK(p.size() == q.size(), kInput,
        "total variation: expected two distributions over the same values, found {} and {} values",
        p.size(), q.size());
  double sum = 0;
  for (size_t k = 0; k < p.size(); ++k) sum += std::abs(p[k] - q[k]);
  return sum / 2;
}

void foreign_reasoning(const Asked& asked, std::span<const Request> requests,
                       const ProtocolOptions& options, int64_t first_row, Predictions& out) {
  check_reasons(asked, options);
  std::vector<TokenIds> reasonings(requests.size());
  if (options.name == "swapped-reasoning") {
    const std::vector<Request> others =
        of_other_users(asked.all, static_cast<size_t>(first_row), requests.size());
    const std::vector<Completion> foreign = write_reasonings(asked, others, options);
    for (size_t r = 0; r < requests.size(); ++r) reasonings[r] = own_reasoning(foreign[r]);
  }
  const auto probabilities = probabilities_below(asked, requests, options, reasonings);
  for (size_t r = 0; r < requests.size(); ++r) {
    Prediction prediction = new_prediction(requests[r], first_row + static_cast<int64_t>(r));
    set_ranking(prediction, probabilities[r]);
    out.rows.push_back(std::move(prediction));
  }
}

void truncated_reasoning(const Asked& asked, std::span<const Request> requests,
                         const ProtocolOptions& options, int64_t first_row, Predictions& out) {
  check_reasons(asked, options);
  CHECK(options.reasoning_share >= 0 && options.reasoning_share <= 1, kUsage,
        "--reasoning-share: expected 0 to 1, found {}", options.reasoning_share);
  const std::vector<Completion> own = write_reasonings(asked, requests, options);
  std::vector<TokenIds> reasonings;
  for (const Completion& completion : own) {
    reasonings.push_back(own_reasoning(completion));
    const double kept =
        std::floor(options.reasoning_share * static_cast<double>(completion.reasoning_tokens));
    reasonings.back().resize(static_cast<size_t>(kept));
  }
  const auto probabilities = probabilities_below(asked, requests, options, reasonings);
  for (size_t r = 0; r < requests.size(); ++r) {
    Prediction prediction = new_prediction(requests[r], first_row + static_cast<int64_t>(r));
    set_ranking(prediction, probabilities[r]);
    prediction.reasoning = asked.tokenizer().decode(reasonings[r]);
    prediction.change = {
        .total_variation = static_cast<float>(
            total_variation(answer_probabilities(own[r], requests[r], options), probabilities[r]))};
    out.rows.push_back(std::move(prediction));
  }
}

void flipped_claims(const Asked& asked, std::span<const Request> requests,
                    const ProtocolOptions& options, int64_t first_row, Predictions& out) {
  check_reasons(asked, options);
  check_statistics(options);
  const std::vector<Completion> own = write_reasonings(asked, requests, options);
  std::vector<FlippedReasoning> flipped;
  std::vector<TokenIds> before, after;
  for (size_t r = 0; r < requests.size(); ++r) {
    const std::string text = decode_reasoning(asked, own[r]);
    const RowView view(asked.encoder.catalogue, options.statistics.get(), requests[r],
                       options.prompt);
    Rng rng(options.seed, "flipped claims", static_cast<uint64_t>(first_row) + r);
    flipped.push_back(flip_claims(text, view.style(), view.context(), rng));
    before.push_back(asked.tokenizer().encode(text));
    after.push_back(asked.tokenizer().encode(flipped.back().text));
  }
  const auto unflipped = probabilities_below(asked, requests, options, before);
  const auto probabilities = probabilities_below(asked, requests, options, after);
  for (size_t r = 0; r < requests.size(); ++r) {
    Prediction prediction = new_prediction(requests[r], first_row + static_cast<int64_t>(r));
    set_ranking(prediction, probabilities[r]);
    prediction.reasoning = flipped[r].text;
    prediction.change = {.claims = flipped[r].claims, .flipped = flipped[r].flipped};
    if (flipped[r].flipped > 0)
      prediction.change->total_variation =
          static_cast<float>(total_variation(unflipped[r], probabilities[r]));
    out.rows.push_back(std::move(prediction));
  }
}

void flipped_facts(const Asked& asked, std::span<const Request> requests,
                   const ProtocolOptions& options, int64_t first_row, Predictions& out) {
  check_reasons(asked, options);
  check_statistics(options);
  const std::vector<Completion> completions = write_reasonings(asked, requests, options);
  const size_t begin = out.rows.size();
  FlippedRows rows;
  for (size_t r = 0; r < requests.size(); ++r) {
    const auto row = static_cast<uint64_t>(first_row) + r;
    const Written own = written(asked, requests[r], options, {}, completions[r]);
    Prediction& prediction =
        out.rows.emplace_back(new_prediction(requests[r], static_cast<int64_t>(row)));
    prediction.valid = !completions[r].forced_close;
    prediction.reasoning = own.reasoning;
    set_ranking(prediction, own.probabilities);
    prediction.change = {.decision = DecisionChange::kNone,
                         .own_hit = hit_at(prediction.rank, 1) == 1};
    const RowView view(asked.encoder.catalogue, options.statistics.get(), requests[r],
                       options.prompt);
    const auto facts = before_decision(own.reasoning, view.style(), view.context());
    if (!facts) continue;
    Rng rng(options.seed, "flipped facts", row);
    const FlippedReasoning flipped = flip_claims(*facts, view.style(), view.context(), rng);
    prediction.change->decision = DecisionChange::kKept;
    prediction.change->claims = flipped.claims;
    prediction.change->flipped = flipped.flipped;
    if (flipped.flipped == 0) continue;
    rows.places.push_back(r);
    rows.requests.push_back(requests[r]);
    rows.own.push_back(asked.tokenizer().encode(*facts));
    rows.flipped.push_back(asked.tokenizer().encode(flipped.text));
  }
  if (rows.places.empty()) return;
  const int64_t most = options.max_reasoning_tokens;
  const auto from_own = write_on(asked, rows.requests, options, rows.own, most);
  const auto from_flipped = write_on(asked, rows.requests, options, rows.flipped, most);
  for (size_t i = 0; i < rows.places.size(); ++i) {
    const Request& request = rows.requests[i];
    const Written own = written(asked, request, options, rows.own[i], from_own[i]);
    const Written flipped = written(asked, request, options, rows.flipped[i], from_flipped[i]);
    Prediction& prediction = out.rows[begin + rows.places[i]];
    ReasoningChange& change = *prediction.change;
    set_ranking(prediction, own.probabilities);
    change.own_hit = hit_at(prediction.rank, 1) == 1;
    const int32_t own_answer = prediction.answer;
    set_ranking(prediction, flipped.probabilities);
    prediction.valid = !from_flipped[i].forced_close;
    prediction.reasoning = flipped.reasoning;
    change.answer_changed = prediction.answer != own_answer;
    change.total_variation =
        static_cast<float>(total_variation(own.probabilities, flipped.probabilities));
    const RowView view(asked.encoder.catalogue, options.statistics.get(), request, options.prompt);
    if (decisions_in(own.reasoning, view.style(), view.context()) !=
        decisions_in(flipped.reasoning, view.style(), view.context()))
      change.decision = DecisionChange::kChanged;
  }
}

}  // namespace etrlrec
