#include "eval/title_beam.h"

#include <algorithm>
#include <numeric>
#include <unordered_set>

#include "base/check.h"
#include "engine/beam.h"
#include "engine/engine.h"
#include "temporal/encoding.h"

namespace etrlrec {
namespace {

constexpr int64_t kRowsTogether = 64;
constexpr int64_t kMostBeams = 1024;  // that grow together
constexpr int64_t kRecallDepth = 10;

std::string decoded(const Tokenizer& tokenizer, const Completion& completion) {
  return tokenizer.decode(
      std::span(completion.ids).first(static_cast<size_t>(completion.reasoning_tokens)));
}

// The requests of rows [begin, end) about all items that are no masked ones.
std::vector<Request> about_everything(const FullRows& rows, int64_t num_items,
                                      const std::vector<Request>& requests, int64_t begin,
                                      int64_t end) {
  std::vector<Request> batch(requests.begin() + begin, requests.begin() + end);
  for (int64_t row = begin; row < end; ++row) {
    const RankingTask& task = rows.tasks[static_cast<size_t>(row)];
    std::unordered_set<int32_t> masked;
    if (rows.mask_seen) masked.insert(task.history.items.begin(), task.history.items.end());
    masked.erase(task.target);
    std::vector<int32_t>& candidates = batch[static_cast<size_t>(row - begin)].candidates;
    candidates.clear();
    for (int32_t item = 0; item < static_cast<int32_t>(num_items); ++item)
      if (!masked.contains(item)) candidates.push_back(item);
  }
  return batch;
}

// As full_rank, among the items that were found.
double rank_of(int32_t target, const TitleBeam::Best& best, int64_t num_items) {
  const auto found = std::find(best.items.begin(), best.items.end(), target);
  if (found == best.items.end()) return static_cast<double>(num_items + 1);
  const float score = best.logprobs[static_cast<size_t>(found - best.items.begin())];
  int64_t doubled = -1;  // the target equals itself
  for (const float other : best.logprobs) doubled += (other > score) + (other >= score);
  return 1 + static_cast<double>(doubled) / 2;
}

}  // namespace

TitleBeam::TitleBeam(const LanguageModel& model, const PromptEncoder& encoder,
                     const ProtocolOptions& options, int64_t num_beams)
    : model_(&model), encoder_(encoder), options_(options), num_beams_(num_beams) {
  CHECK(options.prompt.answer == AnswerKind::kTitle, kUsage,
        "--beam: expected a model that answers by title, found one that answers by number");
  CHECK(!options.prompt.reasoning || !model.has_encoder(), kUsage,
        "--beam: expected a decoder or a model that answers without reasoning, found an "
        "encoder-decoder that reasons\nhint: leave --beam out: all titles are scored then");
  const DistinctTitles titles = distinct_titles(encoder.catalogue);
  Request all;
  all.candidates = titles.items;
  PromptOptions direct = options.prompt;
  direct.reasoning = false;  // without a lead, which is a prefix of all
  const auto distinct =
      encode_answers(encoder.tokenizer, answer_texts(encoder.catalogue, all, direct), direct)
          .answers;
  for (const int32_t place : titles.places) titles_.push_back(distinct[static_cast<size_t>(place)]);
}

// The tokens that the titles continue: the prompt, and the model's own reasoning with its close and
// the lead of the title. One allowed title makes the engine write just that.
std::vector<std::vector<int64_t>> TitleBeam::prefixes(std::span<const Request> requests,
                                                      std::vector<Best>& out) const {
  std::vector<GenerationRequest> prompts;
  for (const Request& request : requests) {
    Request one = request;
    one.candidates.resize(1);
    prompts.push_back(generation_request(encoder_, one, options_.prompt));
  }
  std::vector<std::vector<int64_t>> prefixes;
  for (const GenerationRequest& prompt : prompts) prefixes.push_back(prompt.prompt);
  if (!options_.prompt.reasoning) return prefixes;
  const GenerationOptions generation = generation_options(encoder_.tokenizer, options_, 1);
  const auto completions = generate(*model_, prompts, generation);
  for (size_t r = 0; r < completions.size(); ++r) {
    const auto& ids = completions[r].ids;
    const int64_t length = completions[r].reasoning_tokens + std::ssize(generation.format.close);
    prefixes[r].insert(prefixes[r].end(), ids.begin(), ids.begin() + length);
    const auto lead =
        encoder_.tokenizer.encode(answer_lead(encoder_.catalogue, requests[r], options_.prompt));
    prefixes[r].insert(prefixes[r].end(), lead.begin(), lead.end());
    out[r].reasoning = decoded(encoder_.tokenizer, completions[r]);
    out[r].valid = !completions[r].forced_close;
  }
  return prefixes;
}

std::vector<TitleBeam::Best> TitleBeam::rank(std::span<const Request> requests) const {
  std::vector<Best> out(requests.size());
  const std::vector<std::vector<int64_t>> begun = prefixes(requests, out);
  std::vector<std::unique_ptr<const ItemTrie>> tries;
  std::vector<BeamRequest> asked;
  for (size_t r = 0; r < requests.size(); ++r) {
    const std::vector<int32_t>& candidates = requests[r].candidates;
    if (r == 0 || candidates != requests[r - 1].candidates) {
      std::vector<std::vector<int64_t>> titles;
      for (const int32_t item : candidates) titles.push_back(titles_[static_cast<size_t>(item)]);
      tries.push_back(std::make_unique<const ItemTrie>(titles, model_->vocab_size()));
    }
    asked.push_back({begun[r], tries.back().get()});
  }
  BeamOptions options;
  options.num_beams = num_beams_;
  options.length_penalty = 0;  // log p of the whole title
  options.max_batch = std::max(kMostBeams, num_beams_);
  const auto found = beam_search(*model_, asked, options);
  for (size_t r = 0; r < requests.size(); ++r) {
    for (const Hypothesis& title : found[r])
      for (const int64_t place : title.items) {
        out[r].items.push_back(requests[r].candidates[static_cast<size_t>(place)]);
        out[r].logprobs.push_back(static_cast<float>(title.score));
      }
  }
  return out;
}

Predictions rank_by_beam(const FullRows& rows, const TitleBeam& beam, int64_t num_items,
                         const std::vector<Request>& requests, const ProgressFn& on_progress) {
  Predictions out;
  const int64_t total = std::ssize(rows.tasks);
  for (int64_t begin = 0; begin < total; begin += kRowsTogether) {
    const int64_t end = std::min(total, begin + kRowsTogether);
    std::vector<TitleBeam::Best> found =
        beam.rank(about_everything(rows, num_items, requests, begin, end));
    for (int64_t row = begin; row < end; ++row) {
      TitleBeam::Best& best = found[static_cast<size_t>(row - begin)];
      Prediction& prediction = out.rows.emplace_back();
      prediction.row = row;
      prediction.user = rows.rows[static_cast<size_t>(row)].user;
      prediction.target_slot = rows.tasks[static_cast<size_t>(row)].target;
      prediction.rank = rank_of(prediction.target_slot, best, num_items);
      prediction.answer = best.items.at(0) + 1;
      prediction.reasoning = std::move(best.reasoning);
      prediction.valid = best.valid;
    }
    if (on_progress) on_progress(end, total);
  }
  out.num_candidates = static_cast<int32_t>(num_items);
  return out;
}

double recall_of_beam(const FullRows& rows, const TitleBeam& beam, const AskCatalogue& exact,
                      const std::vector<Request>& requests, int64_t count) {
  const Predictions scored = exact(0, count);
  const int64_t num_items = std::ssize(scored.rows.at(0).scores);
  const auto found = beam.rank(about_everything(rows, num_items, requests, 0, count));
  int64_t hits = 0, wanted = 0;
  for (size_t r = 0; r < found.size(); ++r) {
    const std::vector<int32_t> best =
        best_items(scored.rows[r].scores, rows.tasks[r], rows.mask_seen, kRecallDepth);
    const auto first = found[r].items.begin();
    const auto last = first + std::min<int64_t>(kRecallDepth, std::ssize(found[r].items));
    wanted += std::ssize(best);
    for (const int32_t item : best) hits += std::find(first, last, item) != last;
  }
  return static_cast<double>(hits) / static_cast<double>(wanted);
}

}  // namespace etrlrec
