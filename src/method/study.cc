#include "method/study.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "eval/metrics.h"
#include "eval/protocol.h"
#include "models/llm_adapters.h"
#include "temporal/encoding.h"

namespace etrlrec {
namespace {

constexpr const char* kTextField = "text";

int16_t field_id(std::vector<std::string>& names, const std::string& name) {
  auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) found = names.insert(names.end(), name);
  return static_cast<int16_t>(found - names.begin());
}

// Which argument of `predicate( a b)` the text at `offset` belongs to, from 1; 0 for the predicate
// and the brackets.
int32_t argument_at(std::string_view claim, size_t offset) {
  const size_t open = claim.find('(');
  while (offset < claim.size() && claim[offset] == ' ') ++offset;
  if (open == std::string_view::npos || offset <= open || offset >= claim.size() ||
      claim[offset] == ')')
    return 0;
  int32_t argument = 0;
  bool inside = false;
  for (size_t i = open + 1; i <= offset; ++i) {
    const bool separator = claim[i] == ' ' || claim[i] == ',';
    argument += !separator && !inside;
    inside = !separator;
  }
  return argument;
}

// Field of each token of a reasoning: predicate and argument of the claim its first byte lies in.
std::vector<int16_t> reasoning_fields(const Tokenizer& tokenizer, std::string_view reasoning,
                                      std::span<const int64_t> ids,
                                      std::vector<std::string>& names) {
  const int16_t text = field_id(names, kTextField);
  std::vector<int16_t> fields(ids.size(), text);
  std::vector<size_t> starts;
  size_t length = 0;
  for (const int64_t id : ids) {
    starts.push_back(length);
    length += tokenizer.token_text(id).size();
  }
  if (length != reasoning.size()) return fields;
  for (const Claim& claim : parse_claims(reasoning)) {
    if (claim.predicate.empty()) continue;
    const std::string_view span = reasoning.substr(claim.begin, claim.end - claim.begin);
    for (size_t t = 0; t < ids.size(); ++t) {
      if (starts[t] < claim.begin || starts[t] >= claim.end) continue;
      const int32_t argument = argument_at(span, starts[t] - claim.begin);
      fields[t] = field_id(
          names, argument == 0 ? claim.predicate : fmt::format("{}/{}", claim.predicate, argument));
    }
  }
  return fields;
}

}  // namespace

Workspace open_workspace(const fs::path& folder) {
  Workspace workspace;
  workspace.folder = folder;
  workspace.dataset = load_dataset(folder);
  workspace.statistics = count_statistics(workspace.dataset, load_split(folder));
  workspace.hash = catalogue_hash(workspace.dataset.catalogue);
  return workspace;
}

CandidateSet workspace_candidates(const Workspace& workspace, const std::string& part) {
  return load_candidates(workspace.folder / ("candidates-" + part + ".jsonl"), workspace.dataset);
}

std::vector<Request> make_requests(const Workspace& workspace, const CandidateSet& set,
                                   std::span<const int64_t> rows, int32_t max_history) {
  std::vector<Request> requests;
  requests.reserve(rows.size());
  for (const int64_t row : rows)
    requests.push_back(make_request(workspace.dataset, set, row, max_history));
  return requests;
}

std::vector<int64_t> spread_rows(int64_t total, int64_t count) {
  if (count <= 0 || count > total) count = total;
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < count; ++i) rows.push_back(i * total / count);
  return rows;
}

bool is_distillation_row(uint64_t seed, int64_t row, double share) {
  return Rng(seed, "distillation rows", static_cast<uint64_t>(row)).uniform() < share;
}

void write_claim_weights(const ClaimWeights& weights, const fs::path& path) {
  write_json_atomic(path, to_json(weights));
}

ClaimWeights read_claim_weights(const fs::path& path) {
  return claim_weights_from_json(read_json(path), path.string());
}

SftRow make_sft_row(const Tokenizer& tokenizer, const std::string& prompt,
                    std::string_view reasoning, int32_t answer, int32_t num_candidates,
                    bool with_reasoning, std::vector<std::string>& field_names) {
  const AnswerEncoding encoding = encode_answers(tokenizer, num_candidates, with_reasoning);
  SftRow row;
  row.prompt = tokenizer.encode(prompt);
  row.completion = encode_completion(tokenizer, encoding, reasoning, answer);
  row.answer_tokens =
      static_cast<int64_t>(encoding.answers[static_cast<size_t>(answer - 1)].size());
  const auto finish = static_cast<int64_t>(encoding.finish.size());
  row.answer_begin = static_cast<int64_t>(row.completion.size()) - finish - row.answer_tokens;
  const auto close = static_cast<int64_t>(encoding.close.size());
  const auto reasoning_tokens = static_cast<size_t>(row.answer_begin - close);
  row.fields = reasoning_fields(tokenizer, with_reasoning ? reasoning : std::string_view{},
                                std::span(row.completion).first(reasoning_tokens), field_names);
  row.fields.resize(row.completion.size(), field_id(field_names, "format"));
  std::fill_n(row.fields.begin() + row.answer_begin, row.answer_tokens,
              field_id(field_names, "answer"));
  return row;
}

EvaluateFn validation(const Workspace& workspace, const LoadedModel& model, const ModelCard& card,
                      int64_t num_rows, uint64_t seed) {
  if (num_rows <= 0) return {};
  const CandidateSet set = workspace_candidates(workspace, "valid");
  const auto rows = spread_rows(static_cast<int64_t>(set.rows.size()), num_rows);
  auto requests = make_requests(workspace, set, rows, card.prompt.max_history);
  ProtocolOptions protocol;
  protocol.prompt = card.prompt;
  protocol.max_reasoning_tokens = card.max_reasoning_tokens;
  protocol.seed = seed;
  return [&workspace, &model, protocol, requests = std::move(requests)](int64_t step) {
    const Predictions predictions =
        ask_language_model(model.language_model(workspace.dataset.catalogue), requests, protocol);
    std::map<std::string, double> sums;
    for (const Prediction& row : predictions.rows) {
      sums["hit@1"] += hit_at(row.rank, 1);
      sums["hit@10"] += hit_at(row.rank, 10);
      sums["ndcg@10"] += ndcg_at(row.rank, 10);
      sums["mrr"] += reciprocal_rank(row.rank);
      sums["valid_ratio"] += row.valid;
    }
    for (auto& [name, value] : sums) value /= static_cast<double>(predictions.rows.size());
    log_info("validation at step {}: hit@1 {:.4f}, ndcg@10 {:.4f}, valid {:.3f} ({} rows)", step,
             sums["hit@1"], sums["ndcg@10"], sums["valid_ratio"], predictions.rows.size());
    return sums;
  };
}

void attach_adapter(Llm& model, LoraConfig config, int64_t num_rows,
                    const TrainerOptions& trainer) {
  if (config.r == 0) return;
  if (config.adalora && config.adalora->total_step == 0)
    config.adalora->total_step = planned_steps(num_rows, trainer);
  model.attach_lora(config, trainer.seed);
}

void finish_model_folder(Llm& model, const fs::path& parent, const ModelCard& card,
                         const fs::path& out) {
  if (model.lora().r > 0) {
    fs::create_directories(out / "adapter");
    save_lora(model.parameters(), model.lora(), parent.string(), out / "adapter");
    log_info("adapter: merged, logits differ by at most {:.2g}", merge_adapter(model));
    if (!card.merged_dtype.empty())
      log_info(
          "adapter: the merged weights keep the rounding of --dtype {}; \"export merge\" puts "
          "adapter/ into exact ones",
          card.merged_dtype);
  }
  if (card.num_virtual_tokens > 0) {
    const int64_t rows = model.parameters().at("prompt_embeddings").size(0);
    save_prompt(model.parameters(), {card.num_virtual_tokens, rows / card.num_virtual_tokens},
                parent.string(), out / "adapter");
  }
  const fs::path exported = out / "export";
  save_model_folder(model, parent, card, exported, true);
  for (const auto& entry : fs::directory_iterator(exported)) {
    if (entry.path().filename() != "etrlrec.json")
      fs::rename(entry.path(), out / entry.path().filename());
  }
  fs::rename(exported / "etrlrec.json", out / "etrlrec.json");
  fs::remove(exported);
}

}  // namespace etrlrec
