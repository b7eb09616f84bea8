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
#include "nn/frozen_arithmetic.h"
#include "models/decoder.h"
#include "models/t5_layers.h"
#include "nn/logprob.h"
#include "temporal/prompts.h"

namespace etrlrec {
namespace {

constexpr int64_t kFloat = sizeof(float);
constexpr int64_t kProgramBytes = int64_t{256} << 20;  // libraries and their threads

// Values of one token that live between the layers of a block: residual sums and norms, queries,
// keys and values, the attention's output, gate, up and their product.
int64_t layer_values(const LlmConfig& c) {
  return 6 * c.hidden_size + (2 * c.num_attention_heads + 2 * c.num_key_value_heads) * c.head_dim +
         3 * c.intermediate_size;
}

// What the backward pass keeps of one token and layer; gate and up in two bytes with bfloat16
// arithmetic.
int64_t kept_values(const LlmConfig& c, Storage storage) {
  const bool compact = storage != Storage::kFloat && frozen_arithmetic() == Arithmetic::kBFloat16;
  return 4 * c.hidden_size + (2 * c.num_attention_heads + 2 * c.num_key_value_heads) * c.head_dim +
         (compact ? 1 : 2) * c.intermediate_size;
}

int64_t logits_bytes(int64_t vocab_size, int64_t rows) {
  return logits_rows(rows, vocab_size) * vocab_size * kFloat;
}

// Two floating-point operations for each weight that a token meets.
double token_flops(const LlmConfig& c) {
  const int64_t embedding = c.tie_word_embeddings ? 0 : c.vocab_size * c.hidden_size;
  return 2.0 * static_cast<double>(num_parameters(c) - embedding);
}

// Of all candidates, as if they shared none.
int64_t title_tokens(const LoadedModel& model, const Catalogue& catalogue, const Request& request) {
  int64_t tokens = 0;
  for (const int32_t item : request.candidates) {
    const std::string title = escape_title(catalogue.titles[static_cast<size_t>(item)]);
    tokens += static_cast<int64_t>(
        model.tokenizer->encode(" " + title + std::string(kAnswerClose)).size());
  }
  return tokens;
}

// Values of the parameters whose names begin so.
int64_t count_values(const ParameterGroups& groups, const std::string& prefix) {
  int64_t count = 0;
  for (const auto& group : groups)
    for (const auto& [name, shape] : group) {
      if (!name.starts_with(prefix)) continue;
      int64_t size = 1;
      for (int64_t n : shape) size *= n;
      count += size;
    }
  return count;
}

struct RowsTogether {
  int64_t rows = 0, prompts = 0;  // that grow at the same time
};
RowsTogether rows_together(const RolloutLoad& load, int64_t key_value_bytes) {
  const int64_t most =
      load.max_batch > 0 ? load.max_batch : default_max_batch(key_value_bytes, load.new_tokens);
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

int64_t num_parameters(const LlmConfig& config) {
  return count_values(parameter_groups(config), "");
}

int64_t num_parameters(const T5Config& config) {
  return count_values(t5_parameter_groups(config), "");
}

int64_t num_adapter_parameters(const LlmConfig& config, const LoraConfig& lora) {
  ParameterMap shapes;  // without memory behind them
  for (const auto& group : parameter_groups(config))
    for (const auto& [name, shape] : group)
      shapes[name] = at::empty(shape, at::TensorOptions().device(at::kMeta));
  int64_t count = 0;
  for (const std::string& module : target_modules_of(shapes, lora)) {
    const at::Tensor& weight = shapes.at(module + ".weight");
    const int64_t diagonal = lora.adalora ? 1 : 0;
    count += lora.rank(module) * (weight.size(0) + weight.size(1) + diagonal);
  }
  return count;
}

int64_t weights_bytes(const LlmConfig& config, Storage storage) {
  const int64_t bytes = storage == Storage::kFloat ? kFloat : storage == Storage::kBFloat16 ? 2 : 1;
  return num_parameters(config) * bytes;
}

void add_weights(const LlmConfig& config, MemoryEstimate& estimate, Storage storage) {
  estimate.parts.emplace_back("program", kProgramBytes);
  estimate.parts.emplace_back("weights", weights_bytes(config, storage));
}

void add_rollouts(const LlmConfig& config, const RolloutLoad& load, MemoryEstimate& estimate,
                  Storage storage) {
  const int64_t token_bytes = config.key_value_bytes(storage);
  const auto [rows, prompts] = rows_together(load, token_bytes);
  estimate.parts.emplace_back(
      "keys and values", (rows * load.new_tokens + prompts * load.prompt_tokens) * token_bytes);
  estimate.parts.emplace_back("logits of rollouts", logits_bytes(config.vocab_size, rows));
  const int64_t prefilled = std::min(
      prompts * load.prompt_tokens, std::max(GenerationOptions{}.batch_tokens, load.prompt_tokens));
  estimate.parts.emplace_back("activations of prompts",
                              2 * prefilled * layer_values(config) * kFloat);
  const int64_t tokens = load.total_rows * load.new_tokens +
                         load.total_rows / load.rows_per_prompt * load.prompt_tokens;
  estimate.tokens += tokens;
  estimate.flops += static_cast<double>(tokens) * token_flops(config);
}

void add_weights(const T5Config& config, MemoryEstimate& estimate) {
  estimate.parts.emplace_back("program", kProgramBytes);
  estimate.parts.emplace_back("weights", num_parameters(config) * kFloat);
}

void add_rollouts(const T5Config& config, const RolloutLoad& load, MemoryEstimate& estimate) {
  const auto [rows, prompts] = rows_together(load, config.key_value_bytes());
  const int64_t together = std::min(
      prompts, std::max<int64_t>(GenerationOptions{}.batch_tokens / load.prompt_tokens, 1));
  estimate.parts.emplace_back(
      "keys and values",
      (rows * (load.new_tokens + 1) + prompts * load.prompt_tokens) * config.key_value_bytes());
  estimate.parts.emplace_back("logits of rollouts", logits_bytes(config.vocab_size, rows));
  // Of a layer of the encoder, and its scores for all pairs of tokens with their bias.
  const int64_t token_values =
      4 * config.d_model + 5 * config.num_heads * config.d_kv + 3 * config.d_ff;
  estimate.parts.emplace_back("activations of prompts",
                              2 * together * load.prompt_tokens *
                                  (token_values + config.num_heads * load.prompt_tokens) * kFloat);
  const int64_t read = load.total_rows / load.rows_per_prompt * load.prompt_tokens,
                written = load.total_rows * load.new_tokens;
  const ParameterGroups groups = t5_parameter_groups(config);
  estimate.tokens += read + written;
  estimate.flops +=
      2.0 *
      (static_cast<double>(read) * static_cast<double>(count_values(groups, "encoder.")) +
       static_cast<double>(written) * static_cast<double>(count_values(groups, "decoder.") +
                                                          config.vocab_size * config.d_model));
}

void add_forward(const LlmConfig& config, int64_t tokens, int64_t passes,
                 MemoryEstimate& estimate) {
  estimate.parts.emplace_back("activations", 2 * tokens * layer_values(config) * kFloat);
  estimate.parts.emplace_back("logits", logits_bytes(config.vocab_size, tokens));
  estimate.tokens += tokens * passes;
  estimate.flops += static_cast<double>(tokens * passes) * token_flops(config);
}

void add_training(const LlmConfig& config, const TrainedPart& trained, int64_t tokens,
                  int64_t total_tokens, Storage storage, MemoryEstimate& estimate) {
  const int64_t bytes = trained.parameters * kFloat;
  if (trained.is_adapter) estimate.parts.emplace_back("adapter", bytes);
  estimate.parts.emplace_back("gradients", bytes);
  estimate.parts.emplace_back("optimiser", 2 * bytes);
  if (trained.averaged) estimate.parts.emplace_back("average", bytes);
  estimate.parts.emplace_back(
      "activations",
      tokens *
          (config.num_hidden_layers * kept_values(config, storage) + 2 * layer_values(config)) *
          kFloat);
  estimate.parts.emplace_back("logits", logits_bytes(config.vocab_size, tokens));
  estimate.tokens += total_tokens;
  // Backward: as much again for the activations, and for the weights where they are trained.
  const double backward = trained.is_adapter ? 1 : 2;
  estimate.flops += static_cast<double>(total_tokens) * token_flops(config) * (1 + backward);
}

MemoryEstimate estimate_asking(const LoadedModel& model, const Catalogue& catalogue,
                               std::span<const Request> requests, const ProtocolOptions& protocol) {
  constexpr size_t kSampled = 64;
  const bool by_title = protocol.name.starts_with("title-");
  PromptOptions prompt = protocol.prompt;
  prompt.reasoning = prompt.reasoning && !by_title;
  int64_t longest = 0, titles = 0;
  const size_t step = std::max<size_t>(requests.size() / kSampled, 1);
  for (size_t r = 0; r < requests.size(); r += step) {
    const Request recent = with_recent_history(requests[r], prompt.max_history);
    const auto ids = model.encode(student_prompt(catalogue, recent, prompt));
    longest = std::max(longest, static_cast<int64_t>(ids.size()));
    if (by_title) titles = std::max(titles, title_tokens(model, catalogue, recent));
  }
  MemoryEstimate estimate;
  add_weights(model.config, estimate, model.storage);
  const auto count = static_cast<int64_t>(requests.size());
  if (by_title) {
    const int64_t rows =
        std::clamp<int64_t>(GenerationOptions{}.batch_tokens / std::max<int64_t>(longest, 1), 1,
                            std::max<int64_t>(count, 1));
    add_forward(model.config, rows * (longest + titles), (count + rows - 1) / rows, estimate);
    return estimate;
  }
  constexpr int64_t kAnswerTokens = 16;  // closing tags, answer and end
  RolloutLoad load;
  load.rows_per_prompt = protocol.name == "likelihood" ? protocol.reasonings : 1;
  load.total_rows = count * load.rows_per_prompt;
  load.prompt_tokens = longest;
  load.new_tokens = (prompt.reasoning ? protocol.max_reasoning_tokens : 0) + kAnswerTokens;
  add_rollouts(model.config, load, estimate, model.storage);
  if (protocol.name == "elimination") {
    estimate.parts.emplace_back(
        "prefix cache",
        std::min(kEliminationCacheBytes,
                 protocol.rounds * count * longest * model.config.key_value_bytes(model.storage)));
    estimate.tokens *= protocol.rounds;
    estimate.flops *= protocol.rounds;
  }
  return estimate;
}

MemoryEstimate estimate_training(const LlmConfig& config, const LoraConfig& lora,
                                 const TrainerOptions& trainer, std::vector<int64_t> row_tokens,
                                 int64_t tokens_per_pass, Storage storage,
                                 int64_t num_virtual_tokens) {
  std::sort(row_tokens.begin(), row_tokens.end(), std::greater<>());
  int64_t all = 0, largest = 0;
  for (size_t r = 0; r < row_tokens.size(); ++r) {
    all += row_tokens[r];
    if (static_cast<int64_t>(r) < trainer.train_batch_size) largest += row_tokens[r];
  }
  if (tokens_per_pass > 0 && !row_tokens.empty())
    largest = std::min(largest, std::max(tokens_per_pass, row_tokens[0]));
  const auto rows = static_cast<int64_t>(row_tokens.size());
  const double passes = trainer.max_steps > 0
                            ? static_cast<double>(trainer.max_steps * trainer.train_batch_size *
                                                  trainer.gradient_accumulation_steps) /
                                  static_cast<double>(std::max<int64_t>(rows, 1))
                            : trainer.num_train_epochs;
  MemoryEstimate estimate;
  add_weights(config, estimate, storage);
  TrainedPart trained{num_parameters(config), num_virtual_tokens > 0 || lora.r > 0,
                      trainer.ema_decay > 0};
  if (lora.r > 0) trained.parameters = num_adapter_parameters(config, lora);
  if (num_virtual_tokens > 0) trained.parameters = num_virtual_tokens * config.hidden_size;
  add_training(config, trained, largest, static_cast<int64_t>(passes * static_cast<double>(all)),
               storage, estimate);
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
