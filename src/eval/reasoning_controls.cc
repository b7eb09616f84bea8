#include "eval/reasoning_controls.h"

#include <cmath>

#include "base/check.h"
#include "base/rng.h"
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

// Of every request's candidates below a given reasoning each.
std::vector<std::vector<double>> probabilities_below(const Asked& asked,
                                                     std::span<const Request> requests,
                                                     const ProtocolOptions& options,
                                                     std::span<const TokenIds> reasonings) {
  const int32_t most = largest_choice(requests);
  GenerationOptions generation = generation_options(asked.tokenizer(), options, most);
  generation.format.max_reasoning_tokens = 0;  // the close follows at once
  std::vector<GenerationRequest> prompts = generation_requests(asked, requests, options, most);
  for (size_t r = 0; r < requests.size(); ++r)
    prompts[r].prompt.insert(prompts[r].prompt.end(), reasonings[r].begin(), reasonings[r].end());
  const std::vector<Completion> completions = generate(asked.model, prompts, generation);
  std::vector<std::vector<double>> probabilities;
  for (size_t r = 0; r < requests.size(); ++r)
    probabilities.push_back(answer_probabilities(completions[r], requests[r], options));
  return probabilities;
}

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
    prediction.change = {.total_variation = total_variation(
                             answer_probabilities(own[r], requests[r], options), probabilities[r])};
    out.rows.push_back(std::move(prediction));
  }
}

void flipped_claims(const Asked& asked, std::span<const Request> requests,
                    const ProtocolOptions& options, int64_t first_row, Predictions& out) {
  check_reasons(asked, options);
  CHECK(options.statistics != nullptr, kUsage,
        "flipped-claims: expected statistics of the training part, by which claims are judged");
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
    prediction.change = {
        flipped[r].claims, flipped[r].flipped,
        flipped[r].flipped == 0 ? 0.0 : total_variation(unflipped[r], probabilities[r])};
    out.rows.push_back(std::move(prediction));
  }
}

}  // namespace etrlrec
