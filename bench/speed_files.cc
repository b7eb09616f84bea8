// Jobs on files: random checkpoints, checkpoint to first token, memory of adapters on a loaded
// base, byte-level BPE.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <numeric>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "engine/engine.h"
#include "models/decoder.h"
#include "nn/safetensors.h"
#include "speed.h"
#include "text/tokenizer.h"
#include "text/tokenizer_folder.h"
#include "train/sft.h"
#include "tuning/optim.h"

namespace etrlrec {
namespace {

constexpr int64_t kShardBytes = int64_t{1} << 30;

// Resident memory now, in MB: {own, of mapped files}.
std::pair<int64_t, int64_t> resident_mb() {
  std::ifstream status("/proc/self/status");
  std::string key, unit;
  int64_t own = 0, file = 0;
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) own = std::stoll(line.substr(8)) / 1024;
    if (line.starts_with("RssFile:")) file = std::stoll(line.substr(8)) / 1024;
  }
  return {own, file};
}

void write_shards(const std::vector<ParameterMap>& plan, Storage storage, const fs::path& folder) {
  OrderedJson map = OrderedJson::object();
  const auto file_of = [&](size_t i) {
    if (plan.size() == 1) return std::string("model.safetensors");
    return fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, plan.size());
  };
  at::manual_seed(1);
  for (size_t i = 0; i < plan.size(); ++i) {
    ParameterMap shard;
    for (const auto& [name, like] : plan[i]) {
      const auto type = storage == Storage::kBFloat16 ? at::kBFloat16 : at::kFloat;
      fill_random(name, shard[name] = at::empty(like.sizes(), type));
      map[name] = file_of(i);
    }
    save_safetensors(shard, folder / file_of(i));
  }
  if (plan.size() > 1) {
    OrderedJson index;
    index["metadata"] = OrderedJson::object();
    index["weight_map"] = map;
    write_json_atomic(folder / "model.safetensors.index.json", index);
  }
}

}  // namespace

void save_random(const std::string& shape, Storage storage, const std::string& folder) {
  CHECK(storage != Storage::kInt8, kUsage, "save: expected float32 or bfloat16, found int8");
  const at::NoGradGuard no_grad;
  // The skeleton's memory is never touched: only names and shapes are read.
  const auto skeleton =
      std::make_unique<Decoder>(speed_shape(shape), Storage::kFloat, Decoder::Memory::kAllocated);
  const int64_t width = storage == Storage::kBFloat16 ? 2 : 4;
  std::vector<ParameterMap> plan(1);
  int64_t bytes = 0;
  for (const auto& [name, tensor] : skeleton->parameters()) {
    const int64_t more = tensor.numel() * width;
    if (bytes > 0 && bytes + more > kShardBytes) plan.emplace_back(), bytes = 0;
    plan.back()[name] = tensor;
    bytes += more;
  }
  fs::create_directories(folder);
  write_llm_config(skeleton->config(), folder);
  write_shards(plan, storage, folder);
}

// A line once the first token is there, another one with the rate of further ones from the file's
// own memory.
void first_token(const std::string& folder, Storage storage) {
  constexpr int64_t kNew = 64;
  std::unique_ptr<LanguageModel> model;
  const std::vector<GenerationRequest> requests{{{1, 2, 3, 4, 5, 6, 7, 8}, {}}};
  GenerationOptions options;
  const auto run = [&](int64_t tokens) {
    options.max_new_tokens = tokens;
    return seconds_of([&] { generate(*model, requests, options); });
  };
  const double load = seconds_of([&] { model = load_decoder(folder, storage); });
  const double first = run(1);
  print_job("load",
            fmt::format("\"load_s\": {:.3f}, \"first_token_s\": {:.3f}", load, load + first));
  const double more = run(kNew), one = run(1);
  print_job("decode", fmt::format("\"decode_tok_s\": {:.1f}", (kNew - 1) / (more - one)));
}

void adapter_memory(const std::string& folder, Storage storage, int64_t rows, int64_t tokens) {
  const std::unique_ptr<LanguageModel> model = load_decoder(folder, storage);
  const auto [own, file] = resident_mb();
  const int64_t loaded = peak_rss_bytes() / 1048576;
  model->adapters().attach(attention_lora(), 1);
  Rng rng(6, "speed");
  std::vector<SftRow> data(static_cast<size_t>(rows));
  for (SftRow& row : data) {
    row.prompt = random_ids(rng, tokens - tokens / 4, model->vocab_size());
    row.completion = random_ids(rng, tokens / 4, model->vocab_size());
  }
  SftOptions options;
  options.loss_type = "token";
  options.accuracy_steps = 0;
  SftObjective objective(*model, data, options);
  Optimizer optimizer(trainable_parameters(objective.parameters()), {});
  std::vector<int64_t> all(data.size());
  std::iota(all.begin(), all.end(), 0);
  double seconds = 0;
  for (int step = 0; step < 2; ++step) seconds = train_step(objective, optimizer, all, step);
  const auto [own_end, file_end] = resident_mb();
  print_job("adapters",
            fmt::format("\"step_s\": {:.2f}, \"loaded_own_mb\": {}, \"loaded_file_mb\": {}, "
                        "\"loaded_peak_mb\": {}, \"end_own_mb\": {}, \"end_file_mb\": {}",
                        seconds, own, file, loaded, own_end, file_end));
}

void encode_text(const std::string& folder, const std::string& text, const std::string& out) {
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(folder);
  const std::string bytes = read_file(text);
  std::vector<std::string_view> documents;
  for (size_t begin = 0; begin < bytes.size();) {
    size_t end = bytes.find('\n', std::min(bytes.size(), begin + 4095));
    end = end == bytes.npos ? bytes.size() : end + 1;
    documents.push_back(std::string_view(bytes).substr(begin, end - begin));
    begin = end;
  }
  std::vector<std::vector<int64_t>> ids(documents.size());
  std::vector<double> samples;
  for (int turn = 0; turn < 5; ++turn)
    samples.push_back(seconds_of([&] {
      for (size_t i = 0; i < documents.size(); ++i) ids[i] = tokenizer->encode(documents[i]);
    }));
  std::string packed;
  for (const auto& list : ids)
    for (int64_t id : list)
      for (int shift = 0; shift < 32; shift += 8) packed += static_cast<char>(id >> shift & 0xff);
  write_file_atomic(out, packed);
  const double mb = static_cast<double>(bytes.size()) / 1e6;
  print_job("bpe",
            fmt::format("\"mb_per_s\": {:.2f}, \"best_mb_per_s\": {:.2f}, \"ids\": {}",
                        mb / median(samples),
                        mb / *std::min_element(samples.begin(), samples.end()), packed.size() / 4));
}

}  // namespace etrlrec
