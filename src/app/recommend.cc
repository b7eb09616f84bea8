// etrlrec recommend: ranked titles for a user or a history given by hand, with the model's
// reasoning, each claim of which the verifier marks true or false. Candidates come from a
// recommender's best unseen items, or by hand.
#include <algorithm>
#include <iostream>
#include <memory>
#include <numeric>
#include <unordered_map>
#include <unordered_set>

#include "app/command.h"
#include "app/command_line.h"
#include "app/training_options.h"
#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "eval/protocol.h"
#include "method/memory_estimate.h"
#include "method/model_folder.h"
#include "models/recommender.h"
#include "temporal/claims.h"
#include "temporal/facts.h"

namespace etrlrec {
namespace {

struct RecommendOptions {
  std::string data, model, recommender, user, dtype = "float32";
  std::vector<std::string> history, candidates;
  int32_t k = 5, num_candidates = 20;
  bool explain = false, dry_run = false;
};

struct Ranked {
  Request request;
  std::vector<int32_t> order;      // candidate slots, best first
  std::vector<float> probability;  // per slot
  std::string reasoning;
  std::vector<JudgedClaim> claims;
  bool valid = true;
};

int32_t index_of(const std::vector<std::string>& ids, const std::string& id, const char* what) {
  const auto found = std::find(ids.begin(), ids.end(), id);
  CHECK(found != ids.end(), kInput, "unknown {} \"{}\"\nhint: etrlrec inspect DATA shows examples",
        what, id);
  return static_cast<int32_t>(found - ids.begin());
}

// The state right after the last known event: the request is made one day later, or at --user's
// last time plus a day.
Request make_history(const RecommendOptions& options, const Dataset& dataset) {
  constexpr int64_t kDay = 86400;
  Request request;
  if (!options.user.empty()) {
    request.user = index_of(dataset.user_ids, options.user, "user");
    const auto begin = dataset.user_offsets[static_cast<size_t>(request.user)];
    const auto end = dataset.user_offsets[static_cast<size_t>(request.user) + 1];
    request.history.assign(dataset.items.begin() + begin, dataset.items.begin() + end);
    request.times.assign(dataset.times.begin() + begin, dataset.times.begin() + end);
    request.now = request.times.empty() ? 0 : request.times.back() + kDay;
    return request;
  }
  const int64_t last =
      dataset.times.empty() ? 0 : *std::max_element(dataset.times.begin(), dataset.times.end());
  const auto count = static_cast<int64_t>(options.history.size());
  for (int64_t j = 0; j < count; ++j) {
    request.history.push_back(
        index_of(dataset.catalogue.item_ids, options.history[static_cast<size_t>(j)], "item"));
    request.times.push_back(last - (count - 1 - j) * kDay);
  }
  request.now = last + kDay;
  return request;
}

void choose_candidates(const RecommendOptions& options, const Dataset& dataset, Request& request) {
  if (!options.candidates.empty()) {
    for (const std::string& id : options.candidates) {
      request.candidates.push_back(index_of(dataset.catalogue.item_ids, id, "item"));
    }
    return;
  }
  CHECK(
      !options.recommender.empty(), kUsage,
      "no candidates: expected --recommender DIR (its best unseen items) or --candidates ID,ID,…\n"
      "hint: etrlrec fit --data {} --out runs/fit",
      options.data);
  const auto recommender = load_recommender(options.recommender);
  const HistoryView view{request.history, request.times, request.now};
  const at::Tensor scores = recommender->score(std::span(&view, 1)).contiguous();
  const float* score = scores.const_data_ptr<float>();
  const std::unordered_set<int32_t> seen(request.history.begin(), request.history.end());
  std::vector<int32_t> items(static_cast<size_t>(scores.size(1)));
  std::iota(items.begin(), items.end(), 0);
  std::erase_if(items, [&](int32_t item) { return seen.contains(item); });
  const auto count = std::min(items.size(), static_cast<size_t>(options.num_candidates));
  std::partial_sort(
      items.begin(), items.begin() + static_cast<int64_t>(count), items.end(),
      [score](int32_t a, int32_t b) { return score[a] != score[b] ? score[a] > score[b] : a < b; });
  items.resize(count);
  request.candidates = std::move(items);
}

Request make_request_of(const RecommendOptions& options, const Dataset& dataset) {
  Request request = make_history(options, dataset);
  CHECK(!request.history.empty(), kUsage, "no history: expected --user ID or --history ID,ID,…");
  choose_candidates(options, dataset, request);
  return request;
}

ProtocolOptions protocol_of(const ModelCard& card) {
  ProtocolOptions protocol;
  protocol.prompt = card.prompt;
  protocol.max_reasoning_tokens = card.max_reasoning_tokens;
  return protocol;
}

Ranked rank(const RecommendOptions& options, const Dataset& dataset, const LoadedModel& loaded,
            const Request& request) {
  Ranked ranked;
  ranked.request = request;
  const ProtocolOptions protocol = protocol_of(loaded.card);
  Request asked = ranked.request;
  asked.target_slot = 0;  // unknown; only its rank would depend on it
  const Predictions predictions =
      ask_language_model(loaded.language_model(dataset.catalogue), std::span(&asked, 1), protocol);
  const Prediction& prediction = predictions.rows[0];
  ranked.probability = prediction.scores;
  ranked.reasoning = prediction.reasoning;
  ranked.valid = prediction.valid;
  ranked.order.resize(ranked.probability.size());
  std::iota(ranked.order.begin(), ranked.order.end(), 0);
  std::stable_sort(ranked.order.begin(), ranked.order.end(), [&](int32_t a, int32_t b) {
    return ranked.probability[static_cast<size_t>(a)] > ranked.probability[static_cast<size_t>(b)];
  });
  ranked.order.resize(std::min(ranked.order.size(), static_cast<size_t>(options.k)));
  const TemporalStatistics statistics = count_statistics(dataset, load_split(options.data));
  const Request shown = with_recent_history(ranked.request, loaded.card.prompt.max_history);
  const FactSheet facts = compute_facts(dataset.catalogue, statistics, shown);
  ranked.claims = judge_claims(ranked.reasoning, {dataset.catalogue, shown, facts}, {});
  return ranked;
}

const char* verdict_word(Verdict verdict) {
  return verdict == Verdict::kTrue ? "true" : verdict == Verdict::kFalse ? "false" : "unverifiable";
}

void print_json(const Ranked& ranked, const Catalogue& catalogue) {
  OrderedJson document = {{"schema_version", 1}, {"items", OrderedJson::array()}};
  for (size_t i = 0; i < ranked.order.size(); ++i) {
    const auto slot = static_cast<size_t>(ranked.order[i]);
    const auto item = static_cast<size_t>(ranked.request.candidates[slot]);
    document["items"].push_back({{"item_id", catalogue.item_ids[item]},
                                 {"title", catalogue.titles[item]},
                                 {"score", ranked.probability[slot]},
                                 {"rank", i + 1}});
  }
  OrderedJson claims = OrderedJson::array();
  for (const JudgedClaim& claim : ranked.claims) {
    claims.push_back(
        {{"claim", ranked.reasoning.substr(claim.claim.begin, claim.claim.end - claim.claim.begin)},
         {"verdict", verdict_word(claim.verdict)}});
  }
  document["explanation"] = {
      {"reasoning", ranked.reasoning}, {"claims", claims}, {"valid", ranked.valid}};
  std::cout << document.dump(2, ' ', false, OrderedJson::error_handler_t::replace) << "\n";
}

void print_text(const Ranked& ranked, const Catalogue& catalogue, bool explain) {
  for (size_t i = 0; i < ranked.order.size(); ++i) {
    const auto slot = static_cast<size_t>(ranked.order[i]);
    const auto item = static_cast<size_t>(ranked.request.candidates[slot]);
    std::string attributes;
    for (const int32_t attribute : catalogue.attributes_of(static_cast<int64_t>(item))) {
      attributes +=
          (attributes.empty() ? "" : " ") + catalogue.attributes[static_cast<size_t>(attribute)];
    }
    fmt::print("{:>2}  {:<12} {:<40} {:<28} {:.3f}\n", i + 1, catalogue.item_ids[item],
               catalogue.titles[item], attributes, ranked.probability[slot]);
  }
  if (!explain) return;
  fmt::print("why: {}\n", ranked.reasoning);
  for (const JudgedClaim& claim : ranked.claims) {
    const char* mark = claim.verdict == Verdict::kTrue    ? "✓"
                       : claim.verdict == Verdict::kFalse ? "✗"
                                                          : "?";
    fmt::print("  {} {:<40} {}\n", mark,
               ranked.reasoning.substr(claim.claim.begin, claim.claim.end - claim.claim.begin),
               verdict_word(claim.verdict));
  }
  if (!ranked.valid)
    fmt::print("note: the reasoning did not end within its budget and was closed by force\n");
}

void recommend(const RecommendOptions& options, const CommonOptions& common) {
  const Dataset dataset = load_dataset(options.data);
  LoadedModel loaded =
      open_model_folder(options.model, catalogue_hash(dataset.catalogue), options.dtype);
  const Request request = make_request_of(options, dataset);
  const MemoryEstimate estimate =
      estimate_asking(loaded, dataset.catalogue, std::span(&request, 1), protocol_of(loaded.card));
  const int64_t available = available_memory();
  if (options.dry_run) print_estimate(estimate, available, common.json);
  check_memory(estimate, available, "recommend", "a smaller model");
  if (options.dry_run) return;
  load_weights_of(options.model, loaded);
  const Ranked ranked = rank(options, dataset, loaded, request);
  if (common.json) {
    print_json(ranked, dataset.catalogue);
  } else {
    print_text(ranked, dataset.catalogue, options.explain);
  }
}

}  // namespace

void add_recommend(CommandLine& app, CommonOptions& common) {
  Command command =
      app.add_command("recommend", "ranked titles for a user or a history, with the reasoning");
  command.alias("explain");
  auto options = std::make_shared<RecommendOptions>();
  command.add_option("-d,--data", options->data, "data set folder").required().existing_folder();
  command.add_option("-m,--model", options->model, "language model folder")
      .required()
      .existing_folder();
  add_dtype(command, options->dtype);
  command.add_option("--recommender", options->recommender,
                     "recommender folder whose best unseen items are the candidates");
  Option user = command.add_option("--user", options->user, "user id of the data set");
  command.add_option("--history", options->history, "item ids, oldest first, one day apart")
      .separated_by(',')
      .excludes(user);
  command.add_option("--candidates", options->candidates, "item ids to rank").separated_by(',');
  command.add_option("-k", options->k, "titles to print").range(1, 100);
  command.add_option("--num-candidates", options->num_candidates, "taken from the recommender")
      .range(2, 200);
  command.add_flag("--explain", options->explain,
                   "print the reasoning and the verdict on each claim");
  add_dry_run(command, options->dry_run);
  command.on_run([options, &common] { recommend(*options, common); });
}

}  // namespace etrlrec
