#include "eval/protocol.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "base/rng.h"
#include "data/world_probability.h"
#include "engine/scoring.h"
#include "eval/candidate_orders.h"
#include "eval/reasoning_controls.h"
#include "eval/verbalizer.h"
#include "temporal/encoding.h"
#include "temporal/names.h"
#include "temporal/row_view.h"
#include "temporal/statistics.h"

namespace etrlrec {
namespace {

constexpr int64_t kScoreBatch = 256;  // histories scored together

// All requests with their candidates in one of the orders.
struct OrderedRequests {
  std::vector<std::vector<int32_t>> slots;  // candidate_order of each
  std::vector<Request> requests;
};

OrderedRequests in_one_order(std::span<const Request> requests, uint64_t seed, int64_t first_row,
                             int64_t order) {
  OrderedRequests ordered;
  for (size_t r = 0; r < requests.size(); ++r) {
    ordered.slots.push_back(candidate_order(static_cast<int32_t>(requests[r].candidates.size()),
                                            seed, first_row + static_cast<int64_t>(r), order));
    ordered.requests.push_back(in_order(requests[r], ordered.slots.back()));
  }
  return ordered;
}

void likelihood(const Asked& asked, std::span<const Request> requests,
                const ProtocolOptions& options, int64_t first_row, Predictions& out) {
  check_orders(options.prompt, options.permutations);
  const int32_t most = largest_choice(requests);
  GenerationOptions generation = generation_options(asked.tokenizer(), options, most);
  const auto samples = static_cast<size_t>(options.reasonings);
  generation.completions_per_prompt = options.reasonings;
  if (samples > 1) generation.sampling.temperature = 1.0;
  const auto askings = static_cast<double>(options.permutations * options.reasonings);
  std::vector<Prediction> rows;
  std::vector<std::vector<double>> scores;
  for (size_t r = 0; r < requests.size(); ++r) {
    rows.push_back(new_prediction(requests[r], first_row + static_cast<int64_t>(r)));
    scores.emplace_back(requests[r].candidates.size(), 0.0);
  }
  for (int64_t order = 0; order < options.permutations; ++order) {
    const OrderedRequests ordered = in_one_order(requests, options.seed, first_row, order);
    const uint64_t seed = options.seed + static_cast<uint64_t>(first_row);
    generation.sampling.seed =
        order == 0 ? seed : Rng(seed, "candidate order", static_cast<uint64_t>(order)).next();
    const auto completions = generate_for(asked, ordered.requests, options, generation, most);
    for (size_t r = 0; r < requests.size(); ++r)
      for (size_t s = 0; s < samples; ++s) {
        const Completion& completion = completions[r * samples + s];
        const auto one = answer_probabilities(completion, ordered.requests[r], options);
        for (size_t k = 0; k < one.size(); ++k)
          scores[r][static_cast<size_t>(ordered.slots[r][k])] += one[k] / askings;
        rows[r].valid = rows[r].valid && !completion.forced_close;
        if (order == 0 && s == 0) rows[r].reasoning = decode_reasoning(asked, completion);
      }
  }
  for (size_t r = 0; r < requests.size(); ++r) {
    if (options.log_scores)
      for (double& score : scores[r])
        score = std::log(std::max(score, std::numeric_limits<double>::min()));
    set_ranking(rows[r], scores[r]);
    out.rows.push_back(std::move(rows[r]));
  }
}

// Free generation: nothing is forced or restricted, so that the valid ratio says something.
void first_answer(const Asked& asked, std::span<const Request> requests,
                  const ProtocolOptions& options, int64_t first_row, Predictions& out) {
  GenerationOptions generation =
      generation_options(asked.tokenizer(), options, largest_choice(requests));
  generation.format = {};
  generation.max_new_tokens = options.max_reasoning_tokens + 16;
  std::vector<GenerationRequest> prompts;
  for (const Request& request : requests) {
    prompts.push_back(generation_request(asked.encoder, request, options.prompt));
    prompts.back().answers.clear();
  }
  const auto completions = generate(asked.model, prompts, generation);
  for (size_t r = 0; r < requests.size(); ++r) {
    Prediction prediction = new_prediction(requests[r], first_row + static_cast<int64_t>(r));
    std::vector<int64_t> ids = completions[r].ids;
    while (!ids.empty() && ids.back() == asked.tokenizer().eos_id()) ids.pop_back();
    const std::string text = asked.tokenizer().decode(ids);
    const auto n = static_cast<int32_t>(requests[r].candidates.size());
    const ParsedCompletion parsed = parse_completion(
        text, answer_texts(asked.encoder.catalogue, requests[r], options.prompt), options.prompt);
    prediction.valid = parsed.code == AnswerCode::kValid;
    prediction.answer = prediction.valid ? parsed.answer : 0;
    prediction.reasoning = std::string(parsed.reasoning);
    // One answer orders nothing after it: a miss names the target nowhere.
    const bool hit = prediction.valid && parsed.answer == requests[r].target_slot + 1;
    prediction.rank = hit ? 1.0 : n + 1.0;
    out.rows.push_back(std::move(prediction));
  }
}

void elimination(const Asked& asked, std::span<const Request> requests,
                 const ProtocolOptions& options, int64_t first_row, Predictions& out) {
  const int32_t most = largest_choice(requests);
  PrefixCache prefixes(kEliminationCacheBytes);
  GenerationOptions generation = generation_options(asked.tokenizer(), options, most);
  generation.prefix_cache = &prefixes;
  std::vector<Request> open(requests.begin(), requests.end());
  std::vector<std::vector<int32_t>> slots(
      requests.size());  // original slot of each remaining candidate
  std::vector<Prediction> rows;
  for (size_t r = 0; r < requests.size(); ++r) {
    slots[r].resize(requests[r].candidates.size());
    std::iota(slots[r].begin(), slots[r].end(), 0);
    rows.push_back(new_prediction(requests[r], first_row + static_cast<int64_t>(r)));
  }
  std::vector<std::vector<int32_t>> chosen(requests.size());
  // Lists lose what was chosen from them, and a prompt that shows a pattern must have one.
  const int32_t rounds = knows_pattern(options.prompt.knowledge)
                             ? std::min(options.rounds, options.prompt.knowledge_items)
                             : options.rounds;
  for (int32_t round = 0; round < rounds; ++round) {
    const auto completions = generate_for(asked, open, options, generation, most);
    for (size_t r = 0; r < open.size(); ++r) {
      const auto answer = static_cast<size_t>(completions[r].answer);
      if (round == 0) {
        rows[r].valid = !completions[r].forced_close;
        rows[r].reasoning = decode_reasoning(asked, completions[r]);
        rows[r].answer = slots[r][answer] + 1;
      }
      chosen[r].push_back(slots[r][answer]);
      slots[r].erase(slots[r].begin() + static_cast<int64_t>(answer));
      KnownItems& known = open[r].known;
      for (auto* items : {&known.pattern, &known.lately, &known.after, &known.fresh})
        std::erase(*items, open[r].candidates[answer]);
      open[r].candidates.erase(open[r].candidates.begin() + static_cast<int64_t>(answer));
    }
    if (open.empty() || open[0].candidates.size() <= 1) break;
  }
  for (size_t r = 0; r < requests.size(); ++r) {
    const auto hit = std::find(chosen[r].begin(), chosen[r].end(), requests[r].target_slot);
    const auto n = static_cast<double>(requests[r].candidates.size());
    rows[r].rank =
        hit != chosen[r].end() ? static_cast<double>(hit - chosen[r].begin()) + 1 : n + 1;
    out.rows.push_back(std::move(rows[r]));
  }
}

// The direct form of the prompt, and every candidate's title after it instead of its number.
void title_likelihood(const Asked& asked, std::span<const Request> requests,
                      const ProtocolOptions& options, int64_t first_row, Predictions& out) {
  const at::NoGradGuard no_grad;
  PromptOptions prompt = options.prompt;
  prompt.reasoning = false;
  const std::vector<int64_t> close =
      asked.tokenizer().encode(find_style(prompt.style).answer_form(prompt).finish);
  std::vector<std::vector<int64_t>> prompts;
  std::vector<Answers> titles;
  for (const Request& request : requests) {
    prompts.push_back(prompt_ids(asked.encoder, request, prompt));
    Answers& row = titles.emplace_back();
    for (const int32_t item : request.candidates) {
      const std::string title =
          escape_title(asked.encoder.catalogue.titles[static_cast<size_t>(item)]);
      row.push_back(asked.tokenizer().encode(" " + title));
      row.back().insert(row.back().end(), close.begin(), close.end());
    }
  }
  const auto sums = sequence_logprobs(asked.model, prompts, titles);
  for (size_t r = 0; r < requests.size(); ++r) {
    const at::Tensor row = sums[r].to(at::kCPU, at::kFloat).contiguous();
    std::vector<double> scores;
    for (size_t k = 0; k < titles[r].size(); ++k)
      scores.push_back(
          row.const_data_ptr<float>()[k] /
          (options.name == "title-mean" ? static_cast<double>(titles[r][k].size()) : 1));
    Prediction prediction = new_prediction(requests[r], first_row + static_cast<int64_t>(r));
    set_ranking(prediction, scores);
    out.rows.push_back(std::move(prediction));
  }
}

// The direct form of the prompt, and of every candidate's label words the first tokens alone.
void verbalizer(const Asked& asked, std::span<const Request> requests,
                const ProtocolOptions& options, int64_t first_row, Predictions& out) {
  CHECK(options.prompt.answer == AnswerKind::kTitle, kUsage,
        "verbalizer: expected a model that answers by title, found one that answers by number\n"
        "hint: --protocol likelihood");
  PromptOptions prompt = options.prompt;
  prompt.reasoning = false;
  std::vector<std::vector<int64_t>> prompts;
  for (const Request& request : requests)
    prompts.push_back(prompt_ids(asked.encoder, request, prompt));
  const auto scores = verbalizer_scores(asked.model, asked.tokenizer(), asked.encoder.catalogue,
                                        find_style(prompt.style), prompts, requests);
  for (size_t r = 0; r < requests.size(); ++r) {
    Prediction prediction = new_prediction(requests[r], first_row + static_cast<int64_t>(r));
    set_ranking(prediction, scores[r]);
    out.rows.push_back(std::move(prediction));
  }
}

struct Protocol {
  std::string_view name;
  void (*ask)(const Asked&, std::span<const Request>, const ProtocolOptions&, int64_t first_row,
              Predictions& out);
  ProtocolWork work = {};
};
constexpr Protocol kProtocols[] = {
    {"likelihood", likelihood, {.samples = true}},
    {"swapped-reasoning", foreign_reasoning, {.asks_twice = true}},
    {"no-reasoning", foreign_reasoning},
    {"truncated-reasoning", truncated_reasoning, {.asks_twice = true}},
    {"flipped-claims", flipped_claims, {.asks_twice = true}},
    {"flipped-facts", flipped_facts, {.asks_twice = true}},
    {"first-answer", first_answer},
    {"elimination", elimination, {.has_rounds = true}},
    {"title-sum", title_likelihood, {.reads_titles = true}},
    {"title-mean", title_likelihood, {.reads_titles = true}},
    {"verbalizer", verbalizer, {.reads_titles = true}}};

const Protocol& find_protocol(std::string_view name) {
  for (const Protocol& protocol : kProtocols)
    if (protocol.name == name) return protocol;
  fail(ExitCode::kUsage, "unknown protocol \"{}\"; known: {}", name,
       fmt::join(protocol_names(), ", "));
}

}  // namespace

std::vector<std::string> protocol_names() {
  std::vector<std::string> names;
  for (const Protocol& protocol : kProtocols) names.emplace_back(protocol.name);
  return names;
}

ProtocolWork protocol_work(std::string_view name) { return find_protocol(name).work; }

int64_t rows_per_pass(int64_t num_parameters) {
  constexpr int64_t kMost = 1024, kFewest = 32, kParameters = 4'000'000;
  return std::clamp(kMost * kParameters / std::max<int64_t>(num_parameters, 1), kFewest, kMost);
}

Predictions ask_language_model(const LanguageModel& model, const PromptEncoder& encoder,
                               std::span<const Request> requests, const ProtocolOptions& options,
                               const ProgressFn& on_progress) {
  const Asked asked{model, encoder, requests};
  const Protocol& protocol = find_protocol(options.name);
  Predictions out;
  out.protocol = options.name == "truncated-reasoning"
                     ? fmt::format("{}({})", options.name, options.reasoning_share)
                     : options.name;
  const auto total = static_cast<int64_t>(requests.size());
  const int64_t together = rows_per_pass(model.num_parameters());
  for (int64_t begin = 0; begin < total; begin += together) {
    const int64_t count = std::min(together, total - begin);
    protocol.ask(asked, requests.subspan(static_cast<size_t>(begin), static_cast<size_t>(count)),
                 options, begin, out);
    if (on_progress) on_progress(begin + count, total);
  }
  if (!requests.empty()) out.num_candidates = static_cast<int32_t>(requests[0].candidates.size());
  return out;
}

Predictions rank_by_scores(std::span<const Request> requests, const ScoreFn& score) {
  Predictions out;
  out.protocol = "score";
  for (size_t r = 0; r < requests.size(); ++r) {
    Prediction prediction = new_prediction(requests[r], static_cast<int64_t>(r));
    set_ranking(prediction, score(requests[r]));
    out.rows.push_back(std::move(prediction));
  }
  if (!requests.empty()) out.num_candidates = static_cast<int32_t>(requests[0].candidates.size());
  return out;
}

Predictions rank_at_random(std::span<const Request> requests, uint64_t seed) {
  uint64_t row = 0;
  return rank_by_scores(requests, [&](const Request& request) {
    Rng rng(seed, "random ranking", row++);
    std::vector<double> scores(request.candidates.size());
    for (double& score : scores) score = rng.uniform();
    return scores;
  });
}

std::vector<std::vector<float>> candidate_scores(const Recommender& recommender,
                                                 std::span<const Request> requests) {
  std::vector<std::vector<float>> result;
  result.reserve(requests.size());
  for (size_t begin = 0; begin < requests.size(); begin += kScoreBatch) {
    const size_t end = std::min(requests.size(), begin + kScoreBatch);
    std::vector<HistoryView> histories;
    for (size_t r = begin; r < end; ++r) {
      histories.push_back(
          {requests[r].history, requests[r].times, requests[r].now, requests[r].user});
    }
    const at::Tensor scores = recommender.score(histories).contiguous();  // [B, N]
    for (size_t r = begin; r < end; ++r) {
      const float* row =
          scores.const_data_ptr<float>() + static_cast<int64_t>(r - begin) * scores.size(1);
      std::vector<float>& out = result.emplace_back();
      for (const int32_t item : requests[r].candidates) out.push_back(row[item]);
    }
  }
  return result;
}

Predictions rank_by_recommender(const Recommender& recommender, std::span<const Request> requests) {
  const auto scores = candidate_scores(recommender, requests);
  const Request* first = requests.data();
  return rank_by_scores(requests, [&](const Request& request) {
    const auto& row = scores[static_cast<size_t>(&request - first)];
    return std::vector<double>(row.begin(), row.end());
  });
}

Predictions rank_by_world(const World& world, const Dataset& dataset, std::span<const Row> rows,
                          std::span<const Request> requests) {
  const Request* first = requests.data();
  return rank_by_scores(requests, [&](const Request& request) {
    const Row& row = rows[static_cast<size_t>(&request - first)];
    const auto begin = static_cast<size_t>(dataset.user_offsets[static_cast<size_t>(row.user)]);
    const auto count = static_cast<size_t>(row.position) - begin;
    const auto probabilities =
        next_item_probabilities(world, std::span(dataset.items).subspan(begin, count),
                                std::span(dataset.times).subspan(begin, count), request.now);
    std::vector<double> scores;
    for (const int32_t item : request.candidates)
      scores.push_back(probabilities[static_cast<size_t>(item)]);
    return scores;
  });
}

Predictions answers_of_teacher(const Teacher& teacher, const Catalogue& catalogue,
                               const TemporalStatistics& statistics,
                               std::span<const Request> requests, int32_t max_history,
                               uint64_t seed) {
  Predictions out;
  out.protocol = "first-answer";
  for (size_t r = 0; r < requests.size(); ++r) {
    const RowView view(catalogue, &statistics, requests[r], {.max_history = max_history});
    const Request& request = view.request();
    Rng rng(seed, "teacher answers", r);
    const TeacherRequest draw{view.context(), rng};
    const TeacherReply reply = teacher.reply({&draw, 1}).front();
    Prediction prediction = new_prediction(request, static_cast<int64_t>(r));
    prediction.answer = reply.answer;
    prediction.reasoning = reply.reasoning;
    const auto n = static_cast<double>(request.candidates.size());
    prediction.rank = reply.answer == request.target_slot + 1 ? 1.0 : n + 1;
    out.rows.push_back(std::move(prediction));
  }
  if (!requests.empty()) out.num_candidates = static_cast<int32_t>(requests[0].candidates.size());
  return out;
}

std::string protocol_name(const std::string& name, const CandidateOptions& options) {
  return fmt::format("{}[{}{},seed={}]", name, candidate_kind_name(options.kind), options.count,
                     options.seed);
}

}  // namespace etrlrec
