// predictions.jsonl, its summary in one table row, and the paired comparison of two of them.
#include "eval/predictions.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"

namespace etrlrec {
namespace {

constexpr const char* kFormat = "etrlrec-predictions";
constexpr int64_t kVersion = 1;
constexpr int64_t kIntervalDraws = 2000;

constexpr std::string_view kDecisionChanges[] = {"", "none", "kept", "changed"};

void check_header(const Predictions& p, const std::string& name) {
  CHECK(p.num_candidates >= 1 && p.num_candidates <= 10'000'000, kInput,
        "{}: num_candidates: expected 1 to 10000000, found {}", name, p.num_candidates);
}

void check_row(const Prediction& row, int32_t num_candidates, const std::string& name) {
  CHECK(row.row >= 0, kInput, "{}: row: expected a number from 0, found {}", name, row.row);
  CHECK(row.target_slot >= 0 && row.target_slot < num_candidates, kInput,
        "{}: target_slot: expected 0 to {}, found {}", name, num_candidates - 1, row.target_slot);
  CHECK(row.rank >= 1 && row.rank <= num_candidates + 1, kInput,
        "{}: rank: expected 1 to {}, found {}", name, num_candidates + 1, row.rank);
  CHECK(row.answer >= 0 && (!row.valid || row.answer <= num_candidates), kInput,
        "{}: answer: expected 0 to {} in a valid row, found {}", name, num_candidates, row.answer);
  CHECK(row.scores.empty() || static_cast<int32_t>(row.scores.size()) == num_candidates, kInput,
        "{}: scores: expected none or {}, found {}", name, num_candidates, row.scores.size());
  CHECK(!row.change || (row.change->flipped >= 0 && row.change->flipped <= row.change->claims &&
                        row.change->total_variation >= 0 && row.change->total_variation < 1.001),
        kInput, "{}: expected 0 to `claims` flipped claims and a total variation in [0, 1]", name);
  for (const float score : row.scores) {
    CHECK(std::isfinite(score), kInput, "{}: scores: expected finite numbers, found {}", name,
          score);
  }
}

Predictions read_header(const Json& line, const std::string& name) {
  CHECK(get<std::string>(line, "format", name) == kFormat &&
            get<int64_t>(line, "version", name) == kVersion,
        kInput, "{}: expected a header of format {} version {}", name, kFormat, kVersion);
  Predictions p;
  p.model = get<std::string>(line, "model", name);
  p.stage = get<std::string>(line, "stage", name);
  p.protocol = get<std::string>(line, "protocol", name);
  p.candidates_hash = get<std::string>(line, "candidates_hash", name);
  p.num_candidates = get<int32_t>(line, "num_candidates", name);
  p.seed = get<uint64_t>(line, "seed", name);
  check_header(p, name);
  return p;
}

Prediction read_row(const Json& line, int32_t num_candidates, const std::string& name) {
  Prediction row;
  row.row = get<int64_t>(line, "row", name);
  row.user = get<int32_t>(line, "user", name);
  row.target_slot = get<int32_t>(line, "target_slot", name);
  row.rank = get<double>(line, "rank", name);
  row.valid = get<bool>(line, "valid", name);
  row.scores = get_or<std::vector<float>>(line, "scores", {}, name);
  row.answer = get<int32_t>(line, "answer", name);
  row.reasoning = get_or<std::string>(line, "reasoning", "", name);
  if (line.contains("total_variation"))
    row.change = {.claims = get<int32_t>(line, "claims", name),
                  .flipped = get<int32_t>(line, "flipped", name),
                  .total_variation = get<float>(line, "total_variation", name)};
  if (row.change && line.contains("decision")) {
    const auto word = get<std::string>(line, "decision", name);
    const auto found =
        std::find(std::begin(kDecisionChanges) + 1, std::end(kDecisionChanges), word);
    CHECK(found != std::end(kDecisionChanges), kInput,
          "{}: decision: expected none, kept or changed, found \"{}\"", name, word);
    row.change->decision = static_cast<DecisionChange>(found - std::begin(kDecisionChanges));
    row.change->answer_changed = get<bool>(line, "answer_changed", name);
    row.change->own_hit = get<bool>(line, "own_hit", name);
  }
  check_row(row, num_candidates, name);
  return row;
}

std::string label_of(const Predictions& p) {
  return p.stage.empty() ? p.model : fmt::format("{} / {}", p.model, p.stage);
}

}  // namespace

void set_ranking(Prediction& prediction, std::span<const double> scores) {
  prediction.rank = mean_rank(scores, prediction.target_slot);
  prediction.answer =
      static_cast<int32_t>(std::max_element(scores.begin(), scores.end()) - scores.begin()) + 1;
  prediction.scores.assign(scores.begin(), scores.end());
}

std::optional<std::vector<AnswerProbabilities>> answer_probabilities(
    const Predictions& predictions) {
  constexpr std::string_view kOfProbabilities[] = {
      "likelihood",     "swapped-reasoning", "no-reasoning",     "truncated-reasoning",
      "flipped-claims", "flipped-facts",     "likelihood+trend", "score+trend"};
  const std::string_view protocol =
      std::string_view(predictions.protocol).substr(0, predictions.protocol.find_first_of("[("));
  if (std::find(std::begin(kOfProbabilities), std::end(kOfProbabilities), protocol) ==
      std::end(kOfProbabilities))
    return std::nullopt;
  std::vector<AnswerProbabilities> rows;
  for (const Prediction& row : predictions.rows) {
    if (row.scores.empty()) return std::nullopt;  // of a whole catalogue only the rank is kept
    rows.push_back({row.scores, row.target_slot});
  }
  return rows;
}

MetricRow summarize(const Predictions& predictions, uint64_t seed) {
  CHECK(!predictions.rows.empty(), kInput, "{}: expected at least one predicted row, found none",
        label_of(predictions));
  MetricRow result;
  result.model = predictions.model;
  result.stage = predictions.stage;
  result.protocol = predictions.protocol;
  result.n = static_cast<int64_t>(predictions.rows.size());
  std::vector<double> hits, slot_rows(predictions.num_candidates, 0);
  std::vector<int64_t> users;
  result.hit1_by_slot.assign(predictions.num_candidates, 0);
  for (const Prediction& row : predictions.rows) {
    check_row(row, predictions.num_candidates, label_of(predictions));
    const double rank =
        row.rank <= predictions.num_candidates ? row.rank : std::numeric_limits<double>::infinity();
    hits.push_back(hit_at(rank, 1));
    users.push_back(row.user);
    result.hit5 += hit_at(rank, 5);
    result.hit10 += hit_at(rank, 10);
    result.ndcg5 += ndcg_at(rank, 5);
    result.ndcg10 += ndcg_at(rank, 10);
    result.mrr += reciprocal_rank(rank);
    result.valid_ratio += row.valid;
    result.hit1_by_slot[row.target_slot] += hits.back();
    slot_rows[row.target_slot] += 1;
  }
  for (double* mean : {&result.hit5, &result.hit10, &result.ndcg5, &result.ndcg10, &result.mrr,
                       &result.valid_ratio})
    *mean /= static_cast<double>(result.n);
  result.hit1 = bootstrap_mean(hits, users, kIntervalDraws, seed);
  for (size_t s = 0; s < slot_rows.size(); ++s)
    result.hit1_by_slot[s] /= slot_rows[s];  // 0 / 0 is NaN
  if (const auto probabilities = answer_probabilities(predictions))
    result.calibration = measure_calibration(*probabilities);
  return result;
}

Comparison compare_predictions(const Predictions& first, const Predictions& second, int64_t draws,
                               uint64_t seed) {
  Comparison result;
  result.first = label_of(first);
  result.second = label_of(second);
  result.protocol =
      first.protocol == second.protocol ? first.protocol : first.protocol + " | " + second.protocol;
  CHECK(first.candidates_hash == second.candidates_hash, kInput,
        "{} and {}: expected the same candidates, found hashes {} and {}\nhint: evaluate both on "
        "one candidate file",
        result.first, result.second, first.candidates_hash, second.candidates_hash);
  CHECK(first.rows.size() == second.rows.size() && !first.rows.empty(), kInput,
        "{} and {}: expected the same rows, found {} and {}", result.first, result.second,
        first.rows.size(), second.rows.size());
  std::unordered_map<int64_t, const Prediction*> by_row;
  for (const Prediction& row : second.rows) by_row[row.row] = &row;
  std::vector<double> first_hits, second_hits, first_ndcg, second_ndcg;
  std::vector<int64_t> users;
  for (const Prediction& row : first.rows) {
    const auto found = by_row.find(row.row);
    CHECK(found != by_row.end(), kInput, "{}: row {} of {} is missing", result.second, row.row,
          result.first);
    const Prediction& other = *found->second;
    CHECK(row.user == other.user && row.target_slot == other.target_slot, kInput,
          "row {}: {} and {} disagree on its user or target", row.row, result.first, result.second);
    users.push_back(row.user);
    first_hits.push_back(hit_at(row.rank, 1));
    second_hits.push_back(hit_at(other.rank, 1));
    first_ndcg.push_back(row.rank <= first.num_candidates ? ndcg_at(row.rank, 10) : 0);
    second_ndcg.push_back(other.rank <= second.num_candidates ? ndcg_at(other.rank, 10) : 0);
    result.only_first += first_hits.back() > second_hits.back();
    result.only_second += first_hits.back() < second_hits.back();
  }
  result.n = static_cast<int64_t>(users.size());
  result.hit1 = paired_bootstrap(first_hits, second_hits, users, draws, seed);
  result.hit1.p_value = mcnemar_exact(result.only_first, result.only_second);
  result.hit1_adjusted = result.hit1.p_value;
  result.discordance =
      static_cast<double>(result.only_first + result.only_second) / static_cast<double>(result.n);
  result.rows_needed = rows_for_power(result.hit1.difference, result.discordance);
  result.ndcg10 = paired_bootstrap(first_ndcg, second_ndcg, users, draws, seed);
  return result;
}

void adjust_comparisons(std::vector<Comparison>& family) {
  std::vector<double> p_values;
  for (const Comparison& c : family) p_values.push_back(c.hit1.p_value);
  const std::vector<double> adjusted = holm(p_values);
  for (size_t i = 0; i < family.size(); ++i) family[i].hit1_adjusted = adjusted[i];
}

void save_predictions(const Predictions& predictions, const std::filesystem::path& path) {
  check_header(predictions, path.string());
  OrderedJson header;
  header["format"] = kFormat;
  header["version"] = kVersion;
  header["model"] = predictions.model;
  header["stage"] = predictions.stage;
  header["protocol"] = predictions.protocol;
  header["candidates_hash"] = predictions.candidates_hash;
  header["num_candidates"] = predictions.num_candidates;
  header["seed"] = predictions.seed;
  header["rows"] = predictions.rows.size();
  std::string text = header.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
  std::unordered_set<int64_t> seen;
  for (const Prediction& row : predictions.rows) {
    check_row(row, predictions.num_candidates, fmt::format("{}: row {}", path.string(), row.row));
    CHECK(seen.insert(row.row).second, kInput, "{}: row {} occurs twice", path.string(), row.row);
    fmt::format_to(std::back_inserter(text),
                   R"({{"row":{},"user":{},"target_slot":{},"rank":{},"valid":{},"answer":{})",
                   row.row, row.user, row.target_slot, row.rank, row.valid, row.answer);
    if (!row.scores.empty())
      fmt::format_to(std::back_inserter(text), R"(,"scores":[{}])", fmt::join(row.scores, ","));
    if (row.change)
      fmt::format_to(std::back_inserter(text), R"(,"claims":{},"flipped":{},"total_variation":{})",
                     row.change->claims, row.change->flipped, row.change->total_variation);
    if (row.change && row.change->decision != DecisionChange::kNotAsked)
      fmt::format_to(std::back_inserter(text),
                     R"(,"decision":"{}","answer_changed":{},"own_hit":{})",
                     kDecisionChanges[static_cast<size_t>(row.change->decision)],
                     row.change->answer_changed, row.change->own_hit);
    if (!row.reasoning.empty()) text += ",\"reasoning\":" + json_text(row.reasoning);
    text += "}\n";
  }
  write_file_atomic(path, text);
}

Predictions load_predictions(const std::filesystem::path& path) {
  Predictions result;
  int64_t expected = -1;
  std::unordered_set<int64_t> seen;
  for_each_json_line(path, [&](const Json& line, int64_t number) {
    const std::string name = fmt::format("{}:{}", path.string(), number);
    if (number == 1) {
      result = read_header(line, name);
      expected = get<int64_t>(line, "rows", name);
      return;
    }
    Prediction row = read_row(line, result.num_candidates, name);
    CHECK(seen.insert(row.row).second, kInput, "{}: row {} occurs twice", name, row.row);
    result.rows.push_back(std::move(row));
  });
  CHECK(expected == static_cast<int64_t>(result.rows.size()), kInput,
        "{}: expected {} rows, found {}", path.string(), expected, result.rows.size());
  return result;
}

}  // namespace etrlrec
