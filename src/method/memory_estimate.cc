#include "method/memory_estimate.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <limits>

#include "base/check.h"
#include "base/json.h"
#include "base/log.h"
#include "engine/engine.h"
#include "nn/logprob.h"
#include "temporal/encoding.h"
#include "temporal/names.h"
#include "temporal/prompts.h"
#include "temporal/row_view.h"

namespace etrlrec {
namespace {

constexpr int64_t kFloat = sizeof(float);
constexpr int64_t kProgramBytes = int64_t{256} << 20;  // libraries and their threads

int64_t logits_bytes(int64_t vocab_size, int64_t rows) {
  return logits_rows(rows, vocab_size) * vocab_size * kFloat;
}

// Of all candidates, as if they shared none.
int64_t title_tokens(const LoadedModel& model, const Catalogue& catalogue, const Request& request) {
  const PromptStyle& style = find_style(model.card.prompt.style);
  const std::string finish(style.answer_form({.reasoning = false}).finish);
  int64_t tokens = 0;
  for (const int32_t item : request.candidates) {
    const std::string title = escape_title(catalogue.titles[static_cast<size_t>(item)]);
    tokens += static_cast<int64_t>(model.tokenizer->encode(" " + title + finish).size());
  }
  return tokens;
}

// Of the titles that are answers, as if they shared none.
int64_t answer_tokens(const LoadedModel& model, const Catalogue& catalogue, const Request& request,
                      const PromptOptions& prompt) {
  int64_t tokens = 0;
  for (const auto& answer :
       encode_answers(*model.tokenizer, answer_texts(catalogue, request, prompt), prompt).answers)
    tokens += std::ssize(answer);
  return tokens;
}

struct RowsTogether {
  int64_t rows = 0, prompts = 0;  // that grow at the same time
};
RowsTogether rows_together(const RolloutLoad& load, int64_t key_value_bytes) {
  const int64_t most =
      load.max_batch > 0 ? load.max_batch
                         : default_max_batch(key_value_bytes, {load.new_tokens, load.prompt_tokens,
                                                               load.rows_per_prompt});
  const int64_t rows =
      std::min(std::max(most, load.rows_per_prompt), std::max<int64_t>(load.total_rows, 1));
  return {rows, (rows + load.rows_per_prompt - 1) / load.rows_per_prompt};
}

int64_t read_number(const char* path) {
  std::ifstream file(path);
  int64_t value = 0;
  return file >> value ? value : std::numeric_limits<int64_t>::max();  // "max" is no number
}

}  // namespace

int64_t MemoryEstimate::total() const {
  int64_t sum = 0;
  for (const auto& [name, bytes] : parts) sum += bytes;
  return sum;
}

int64_t weights_bytes(const LanguageModel& model) {
  const Storage storage = model.storage();
  return model.num_parameters() * (storage == Storage::kFloat      ? kFloat
                                   : storage == Storage::kBFloat16 ? 2
                                                                   : 1);
}

int64_t num_adapter_parameters(const LanguageModel& model, const LoraConfig& lora) {
  int64_t count = 0;
  for (const std::string& module : target_modules_of(model.parameters(), lora)) {
    const at::Tensor& weight = model.parameters().at(module + ".weight");
    const int64_t diagonal = lora.adalora ? 1 : 0;
    count += lora.rank(module) * (weight.size(0) + weight.size(1) + diagonal);
  }
  return count;
}

void add_weights(const LanguageModel& model, MemoryEstimate& estimate) {
  estimate.parts.emplace_back("program", kProgramBytes);
  estimate.parts.emplace_back("weights", weights_bytes(model));
}

void add_rollouts(const LanguageModel& model, const RolloutLoad& load, MemoryEstimate& estimate) {
  const int64_t token_bytes = model.key_value_bytes();
  const auto [rows, prompts] = rows_together(load, token_bytes);
  const int64_t start = model.has_encoder() ? 1 : 0;  // a row's start token has keys, too
  estimate.parts.emplace_back(
      "keys and values",
      (rows * (load.new_tokens + start) + prompts * load.prompt_tokens) * token_bytes);
  estimate.parts.emplace_back("logits of rollouts", logits_bytes(model.vocab_size(), rows));
  PassShape shape;
  shape.longest_prompt = load.prompt_tokens;
  shape.prompt_tokens = std::min(prompts * load.prompt_tokens,
                                 std::max(GenerationOptions{}.batch_tokens, load.prompt_tokens));
  estimate.parts.emplace_back("activations of prompts", model.cost(shape).activation_bytes);
  shape.prompt_tokens = load.total_rows / load.rows_per_prompt * load.prompt_tokens;
  shape.text_tokens = load.total_rows * load.new_tokens;
  estimate.tokens += shape.prompt_tokens + shape.text_tokens;
  estimate.flops += model.cost(shape).flops;
}

void add_forward(const LanguageModel& model, const PassShape& shape, int64_t passes,
                 MemoryEstimate& estimate) {
  const PassCost cost = model.cost(shape);
  estimate.parts.emplace_back("activations", cost.activation_bytes);
  const int64_t tokens = shape.prompt_tokens + shape.text_tokens;
  estimate.parts.emplace_back(
      "logits", logits_bytes(model.vocab_size(), model.has_encoder() ? shape.text_tokens : tokens));
  estimate.tokens += tokens * passes;
  estimate.flops += static_cast<double>(passes) * cost.flops;
}

MemoryEstimate estimate_asking(const LoadedModel& model, const Catalogue& catalogue,
                               std::span<const Request> requests, const ProtocolOptions& protocol) {
  constexpr size_t kSampled = 64;
  const ProtocolWork work = protocol_work(protocol.name);
  const bool by_title = work.reads_titles;
  PromptOptions prompt = protocol.prompt;
  prompt.reasoning = prompt.reasoning && !by_title;
  int64_t longest = 0, titles = 0, most_candidates = 0, answers = 0;
  const size_t step = std::max<size_t>(requests.size() / kSampled, 1);
  const ChatFrame around = model.frame(prompt);
  for (size_t r = 0; r < requests.size(); r += step) {
    const auto ids = RowView(catalogue, nullptr, requests[r], prompt)
                         .encoding(*model.tokenizer, around.before, around.after);
    longest = std::max(longest, static_cast<int64_t>(ids.size()));
    if (by_title) titles = std::max(titles, title_tokens(model, catalogue, requests[r]));
    const bool has_tries = !by_title && prompt.answer == AnswerKind::kTitle;
    if (has_tries && std::ssize(requests[r].candidates) > most_candidates) {
      most_candidates = std::ssize(requests[r].candidates);
      answers = answer_tokens(model, catalogue, requests[r], prompt);
    }
  }
  MemoryEstimate estimate;
  add_weights(*model.model, estimate);
  const auto count = static_cast<int64_t>(requests.size());
  if (by_title) {
    const int64_t rows =
        std::clamp<int64_t>(GenerationOptions{}.batch_tokens / std::max<int64_t>(longest, 1), 1,
                            std::max<int64_t>(count, 1));
    add_forward(*model.model, {rows * longest, rows * titles, longest, false},
                (count + rows - 1) / rows, estimate);
    return estimate;
  }
  constexpr int64_t kAnswerTokens = 16;  // closing tags, answer and end
  RolloutLoad load;
  load.rows_per_prompt = work.samples ? protocol.reasonings : 1;
  load.total_rows = count * load.rows_per_prompt;
  load.prompt_tokens = longest;
  load.new_tokens = (prompt.reasoning ? protocol.max_reasoning_tokens : 0) + kAnswerTokens;
  add_rollouts(*model.model, load, estimate);
  if (answers > 0) {
    // As the engine groups them (engine/engine.cc).
    const int64_t together =
        std::clamp<int64_t>(GenerationOptions{}.batch_tokens / std::max(longest, answers), 1,
                            std::max<int64_t>(count, 1));
    add_forward(*model.model, {together * longest, together * answers, longest, false},
                (count + together - 1) / together, estimate);
  }
  if (work.samples) {  // orders are asked about one after the other
    estimate.tokens *= protocol.permutations;
    estimate.flops *= static_cast<double>(protocol.permutations);
  }
  if (work.asks_twice) {
    estimate.tokens *= 2;
    estimate.flops *= 2;
  }
  if (work.has_rounds) {
    estimate.parts.emplace_back(
        "prefix cache", std::min(kEliminationCacheBytes, protocol.rounds * count * longest *
                                                             model.model->key_value_bytes()));
    estimate.tokens *= protocol.rounds;
    estimate.flops *= protocol.rounds;
  }
  return estimate;
}

namespace {

// The longest rows of a micro-batch, cut to what one pass takes.
PassShape largest_pass(const std::vector<RowTokens>& sorted, int64_t batch_size,
                       int64_t tokens_per_pass) {
  PassShape shape;
  shape.with_gradient = true;
  for (size_t r = 0; r < std::min(sorted.size(), static_cast<size_t>(batch_size)); ++r) {
    shape.prompt_tokens += sorted[r].prompt;
    shape.text_tokens += sorted[r].text;
    shape.longest_prompt = std::max(shape.longest_prompt, sorted[r].prompt);
  }
  const int64_t tokens = shape.prompt_tokens + shape.text_tokens;
  if (tokens_per_pass <= 0 || sorted.empty()) return shape;
  const int64_t most =
      std::min(tokens, std::max(tokens_per_pass, sorted[0].prompt + sorted[0].text));
  shape.prompt_tokens = tokens == 0 ? 0 : shape.prompt_tokens * most / tokens;
  shape.text_tokens = most - shape.prompt_tokens;
  return shape;
}

double passes_over_rows(const TrainerOptions& trainer, int64_t rows) {
  if (trainer.max_steps <= 0) return trainer.num_train_epochs;
  return static_cast<double>(trainer.max_steps * trainer.train_batch_size *
                             trainer.gradient_accumulation_steps) /
         static_cast<double>(std::max<int64_t>(rows, 1));
}

}  // namespace

MemoryEstimate estimate_training(const LanguageModel& model, const TrainedPart& trained,
                                 const TrainerOptions& trainer, std::vector<RowTokens> rows,
                                 int64_t tokens_per_pass) {
  std::sort(rows.begin(), rows.end(), [](const RowTokens& a, const RowTokens& b) {
    return a.prompt + a.text > b.prompt + b.text;
  });
  PassShape all;
  for (const RowTokens& row : rows) {
    all.prompt_tokens += row.prompt;
    all.text_tokens += row.text;
  }
  const bool has_prompt = trained.num_virtual_tokens > 0;
  const bool is_adapter = has_prompt || trained.lora.r > 0;
  int64_t parameters = model.num_parameters();
  if (trained.lora.r > 0) parameters = num_adapter_parameters(model, trained.lora);
  if (has_prompt) parameters = trained.num_virtual_tokens * model.hidden_size();

  MemoryEstimate estimate;
  add_weights(model, estimate);
  const int64_t bytes = parameters * kFloat;
  if (is_adapter) estimate.parts.emplace_back("adapter", bytes);
  estimate.parts.emplace_back("gradients", bytes);
  estimate.parts.emplace_back("optimiser", 2 * bytes);
  if (trainer.ema_decay > 0) estimate.parts.emplace_back("average", bytes);
  const PassShape shape = largest_pass(rows, trainer.train_batch_size, tokens_per_pass);
  estimate.parts.emplace_back("activations", model.cost(shape).activation_bytes);
  estimate.parts.emplace_back(
      "logits", logits_bytes(model.vocab_size(),
                             shape.text_tokens + (model.has_encoder() ? 0 : shape.prompt_tokens)));
  const double passes = passes_over_rows(trainer, std::ssize(rows));
  estimate.tokens +=
      static_cast<int64_t>(passes * static_cast<double>(all.prompt_tokens + all.text_tokens));
  // Backward: as much again for the activations, and for the weights where they are trained.
  const double backward = is_adapter ? 1 : 2;
  estimate.flops += passes * model.cost(all).flops * (1 + backward);
  return estimate;
}

int64_t available_memory() {
  int64_t available = std::numeric_limits<int64_t>::max();
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  int64_t kib = 0;
  while (file >> key >> kib && std::getline(file, unit))
    if (key == "MemAvailable:") available = kib * 1024;
  const int64_t limit = read_number("/sys/fs/cgroup/memory.max");
  if (limit != std::numeric_limits<int64_t>::max()) {
    const int64_t used = read_number("/sys/fs/cgroup/memory.current");
    if (used < limit) available = std::min(available, limit - used);
  }
  return available;
}

void check_memory(const MemoryEstimate& estimate, int64_t available, const std::string& command,
                  const std::string& hint) {
  std::string largest;
  int64_t most = -1;
  for (const auto& [name, bytes] : estimate.parts)
    if (bytes > most) largest = name, most = bytes;
  CHECK(
      estimate.total() <= available, kMemory,
      "{}: needs about {} of memory, {} are available; the largest part are its {} ({})\nhint: {}",
      command, format_bytes(estimate.total()), format_bytes(available), largest, format_bytes(most),
      hint);
}

void print_estimate(const MemoryEstimate& estimate, int64_t available, bool json) {
  if (json) {
    OrderedJson parts = OrderedJson::object();
    for (const auto& [name, bytes] : estimate.parts) parts[name] = bytes;
    const OrderedJson out{{"schema_version", 1},
                          {"memory", parts},
                          {"memory_total", estimate.total()},
                          {"memory_available", available},
                          {"tokens", estimate.tokens},
                          {"flops", estimate.flops}};
    fmt::print("{}\n", out.dump(2));
    return;
  }
  for (const auto& [name, bytes] : estimate.parts)
    fmt::print("  {:<24} {:>10}\n", name, format_bytes(bytes));
  fmt::print("  {:<24} {:>10} of {} available\n", "memory together", format_bytes(estimate.total()),
             format_bytes(available));
  fmt::print("  {:<24} {:>10} tokens, {:.3g} GFLOP\n", "work",
             format_count(static_cast<double>(estimate.tokens)), estimate.flops / 1e9);
}

std::string format_bytes(int64_t bytes) {
  auto value = static_cast<double>(bytes);
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(units)) value /= 1024, ++unit;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

}  // namespace etrlrec
