// Speed of language-model work on random weights of real shapes, one JSON line per job:
//   etrlrec_speed JOB SHAPE STORAGE [BATCH]
// Jobs: decode (BATCH rows, 256-token prompts, 128 new tokens), rollouts (4 prompts x 8), rank (20
// titles below a 256-token prompt), sft (64 natural rows in batches, LoRA), grpo (one step, 4
// prompts x 8 x 64 tokens, LoRA), reading (64 texts in batches, all weights), prompt (20 rows a
// step behind 100 virtual tokens). Shapes: XS, S (bench/RESULTS.md), 3B, timeline (the model that
// reads MovieLens-100K). "ranking sasrec float32": ranks in the whole catalogue. Jobs on files:
//   etrlrec_speed save SHAPE STORAGE FOLDER           a random checkpoint
//   etrlrec_speed load FOLDER STORAGE                 checkpoint to first token, decoding
//   etrlrec_speed adapters FOLDER STORAGE ROWS TOKENS memory of LoRA training
//   etrlrec_speed bpe FOLDER TEXT OUT                 byte-level BPE, ids as int32 to OUT
#include "speed.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <numeric>

#include "base/check.h"
#include "base/heap.h"
#include "base/log.h"
#include "engine/engine.h"
#include "engine/scoring.h"
#include "models/decoder.h"
#include "nn/layers.h"
#include "nn/weight.h"
#include "train/grpo.h"
#include "train/reading.h"
#include "train/sft.h"
#include "tuning/optim.h"

namespace etrlrec {

double seconds_of(const std::function<void()>& work) {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double median(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  return samples[samples.size() / 2];
}

namespace {

struct Shape {
  const char* name;
  int64_t hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, vocab_size;
  int64_t head_dim = 64, num_key_value_heads = 2;
  const char* model_type = "qwen2";
};
constexpr Shape kShapes[] = {{"XS", 512, 8, 8, 1536, 32000},
                             {"S", 896, 24, 14, 4864, 151936},
                             {"3B", 3072, 28, 24, 8192, 128256, 128, 8, "llama"},
                             {"timeline", 128, 2, 2, 384, 3321}};

}  // namespace

LlmConfig speed_shape(const std::string& name) {
  const Shape* shape = std::find_if(std::begin(kShapes), std::end(kShapes),
                                    [&](const Shape& s) { return s.name == name; });
  CHECK(shape != std::end(kShapes), kUsage, "shape: expected XS, S, 3B or timeline, found {}",
        name);
  LlmConfig c;
  c.max_position_embeddings = 4096;
  c.rope.theta = 1e6;
  c.eos_token_ids = {0};
  c.model_type = shape->model_type;
  c.hidden_size = shape->hidden_size;
  c.num_hidden_layers = shape->num_hidden_layers;
  c.num_attention_heads = shape->num_attention_heads;
  c.intermediate_size = shape->intermediate_size;
  c.vocab_size = shape->vocab_size;
  c.head_dim = shape->head_dim;
  c.num_key_value_heads = shape->num_key_value_heads;
  return c;
}

void fill_random(const std::string& name, at::Tensor weight) {
  name.ends_with("norm.weight") ? weight.fill_(1) : weight.normal_(0, 0.02);
}

std::vector<int64_t> random_ids(Rng& rng, int64_t count, int64_t vocab) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < count; ++i)
    ids.push_back(1 + static_cast<int64_t>(rng.below(static_cast<uint64_t>(vocab - 1))));
  return ids;
}

LoraConfig attention_lora() {
  LoraConfig lora;
  lora.r = 16;
  lora.lora_alpha = 32;
  lora.target_modules = {"q_proj", "k_proj", "v_proj", "o_proj"};
  return lora;
}

void print_job(const std::string& job, const std::string& figures) {
  fmt::print("{{\"job\": \"{}\", {}, \"peak_rss_mb\": {}, \"threads\": {}}}\n", job, figures,
             peak_rss_bytes() / 1048576, at::get_num_threads());
  std::fflush(stdout);
}

double train_step(Objective& objective, Optimizer& optimizer, std::span<const int64_t> rows,
                  int64_t step) {
  Rng rng(3, "step", static_cast<uint64_t>(step));
  return seconds_of([&] {
    optimizer.zero_grad();
    const auto backward = [](const at::Tensor& part) { part.backward(); };
    backward(objective.loss_in_parts(rows, step, rng, backward).loss);
    clip_grad_norm(optimizer.parameters(), 1.0);
    optimizer.step(1e-4);
  });
}

namespace {

// Frozen matrices are made one by one, so that the model never stands in memory as fp32.
std::unique_ptr<LanguageModel> model_of(const std::string& name, Storage storage) {
  if (storage == Storage::kFloat) return new_decoder(speed_shape(name), 1);
  std::unique_ptr<LanguageModel> model =
      std::make_unique<Decoder>(speed_shape(name), storage, Decoder::Memory::kAllocated);
  const at::NoGradGuard no_grad;
  at::manual_seed(1);
  for (auto& [key, tensor] : model->parameters()) {
    const bool matrix = tensor.dim() == 2;
    const at::Tensor values = at::empty(tensor.sizes(), matrix ? at::kBFloat16 : at::kFloat);
    fill_random(key, values);
    tensor = matrix && storage == Storage::kInt8 ? quantized(values) : values;
  }
  return model;
}

// Prefill and sampling as users call them: the first token of a run is prefill, the others decode.
void decode(const LanguageModel& model, int64_t prompts, int64_t group, const std::string& job) {
  constexpr int64_t kPrompt = 256, kNew = 128;
  Rng rng(1, "speed");
  std::vector<GenerationRequest> requests;
  for (int64_t i = 0; i < prompts; ++i)
    requests.push_back({random_ids(rng, kPrompt, model.vocab_size()), {}});
  GenerationOptions options;
  options.completions_per_prompt = group;
  const auto run = [&](int64_t tokens) {
    options.max_new_tokens = tokens;
    return seconds_of([&] { generate(model, requests, options); });
  };
  run(2);
  std::vector<double> first, whole;
  for (int i = 0; i < 3; ++i) first.push_back(run(1)), whole.push_back(run(kNew));
  const auto rows = static_cast<double>(prompts * group);
  print_job(
      job,
      fmt::format("\"decode_tok_s\": {:.1f}, \"total_tok_s\": {:.1f}, \"prefill_tok_s\": {:.1f}",
                  rows * (kNew - 1) / (median(whole) - median(first)), rows * kNew / median(whole),
                  static_cast<double>(prompts * kPrompt) / median(first)));
}

void rank(const LanguageModel& model) {
  constexpr int64_t kPrompts = 16;
  Rng rng(2, "speed");
  std::vector<std::vector<int64_t>> prompts;
  std::vector<Answers> titles;
  for (int64_t p = 0; p < kPrompts; ++p) {
    prompts.push_back(random_ids(rng, 256, model.vocab_size()));
    Answers list;
    for (int64_t c = 0; c < 20; ++c)
      list.push_back(random_ids(rng, 5 + static_cast<int64_t>(rng.below(7)), model.vocab_size()));
    titles.push_back(list);
  }
  const at::NoGradGuard no_grad;
  std::vector<double> samples;
  for (int i = 0; i < 4; ++i)
    samples.push_back(seconds_of([&] { answer_logprobs(model, prompts, titles, 1024); }));
  print_job("rank", fmt::format("\"prompts_per_s\": {:.2f}", kPrompts / median(samples)));
}

// 64 rows; row i has 250 + 137 i mod 351 tokens (bench/peer_sft.py has the same formula), the first
// 100 an instruction they share, the last quarter the completion. Rows of like length go together;
// one step on the longest rows warms up, then come `passes` over all rows.
void sft(LanguageModel& model, int64_t batch, int passes) {
  constexpr int64_t kRows = 64;
  CHECK(batch > 0 && kRows % batch == 0, kUsage, "sft: expected a divisor of 64, found {}", batch);
  Rng rng(4, "speed");
  const int64_t vocab = model.vocab_size();
  const std::vector<int64_t> instruction = random_ids(rng, 100, vocab);
  std::vector<int64_t> lengths;
  for (int64_t i = 0; i < kRows; ++i) lengths.push_back(250 + 137 * i % 351);
  std::sort(lengths.begin(), lengths.end());
  std::vector<SftRow> rows;
  for (int64_t length : lengths) {
    SftRow row;
    row.prompt = instruction;
    const auto rest = random_ids(rng, length - length / 4 - 100, vocab);
    row.prompt.insert(row.prompt.end(), rest.begin(), rest.end());
    row.completion = random_ids(rng, length / 4, vocab);
    rows.push_back(std::move(row));
  }
  model.adapters().attach(attention_lora(), 1);
  SftOptions options;
  options.loss_type = "token";
  options.accuracy_steps = 0;
  SftObjective objective(model, rows, options);
  Optimizer optimizer(trainable_parameters(objective.parameters()), {});
  std::vector<int64_t> all(kRows);
  std::iota(all.begin(), all.end(), 0);
  const auto rows_of = [&](int64_t first) {
    return std::span<const int64_t>(all).subspan(static_cast<size_t>(first),
                                                 static_cast<size_t>(batch));
  };
  train_step(objective, optimizer, rows_of(kRows - batch), 0);
  std::vector<double> samples;
  for (int pass = 0; pass < passes; ++pass) {
    samples.push_back(0);
    for (int64_t first = 0; first < kRows; first += batch)
      samples.back() += train_step(objective, optimizer, rows_of(first), 1);
  }
  const double seconds = median(samples);
  const auto tokens = static_cast<double>(std::accumulate(lengths.begin(), lengths.end(), 0));
  print_job("sft",
            fmt::format("\"rows_per_s\": {:.3f}, \"tokens_per_s\": {:.0f}, \"samples\": [{:.3f}]",
                        kRows / seconds, tokens / seconds, fmt::join(samples, ", ")));
}

// 64 texts as pretrain reads them; text i has 60 + 137 i mod 471 tokens, every third one a target
// (bench/peer_reading.py has the same formulas). One batch warms up, then come five passes.
void reading(LanguageModel& model) {
  constexpr int64_t kTexts = 64, kBatch = 8, kEvery = 3;
  Rng rng(6, "speed");
  std::vector<ReadingText> texts;
  for (int64_t i = 0; i < kTexts; ++i) {
    ReadingText& text = texts.emplace_back();
    text.ids = random_ids(rng, 60 + 137 * i % 471, model.vocab_size());
    for (size_t j = 0; j < text.ids.size(); ++j) text.weights.push_back(j % kEvery == 0 ? 1 : 0);
  }
  ReadingObjective objective(
      model, kTexts, [&texts](int64_t row, int64_t) { return texts[static_cast<size_t>(row)]; },
      {.hidden_dropout = 0.3});
  Optimizer optimizer(trainable_parameters(objective.parameters()), {});
  std::vector<int64_t> all(kTexts);
  std::iota(all.begin(), all.end(), 0);
  const auto step = [&](int64_t first) {
    return train_step(objective, optimizer,
                      std::span<const int64_t>(all).subspan(static_cast<size_t>(first), kBatch), 1);
  };
  step(kTexts - kBatch);
  std::vector<double> samples;
  for (int pass = 0; pass < 5; ++pass) {
    samples.push_back(0);
    for (int64_t first = 0; first < kTexts; first += kBatch) samples.back() += step(first);
  }
  double tokens = 0;
  for (const ReadingText& text : texts) tokens += static_cast<double>(text.ids.size());
  print_job("reading", fmt::format("\"tokens_per_s\": {:.0f}, \"samples\": [{:.3f}]",
                                   tokens / median(samples), fmt::join(samples, ", ")));
}

void grpo(LanguageModel& model) {
  Rng rng(5, "speed");
  std::vector<GrpoRow> rows(4);
  for (GrpoRow& row : rows) row.prompt = random_ids(rng, 256, model.vocab_size());
  model.adapters().attach(attention_lora(), 1);
  GrpoOptions options;
  options.num_generations = 8;
  options.max_new_tokens = 64;
  options.advantage = "group";
  options.exact_answer_expectation = false;
  const auto reward = [](std::span<const Rollout> rollouts, int64_t) {
    std::vector<ScoredCompletion> scored(rollouts.size());
    for (size_t i = 0; i < scored.size(); ++i) {
      const auto& ids = rollouts[i].output->ids;
      const auto even =
          std::count_if(ids.begin(), ids.end(), [](int64_t id) { return id % 2 == 0; });
      scored[i].reward = static_cast<double>(even) / static_cast<double>(ids.size());
    }
    return scored;
  };
  GrpoObjective objective(model, nullptr, rows, options, reward);
  const std::vector<int64_t> all{0, 1, 2, 3};
  Optimizer optimizer(trainable_parameters(objective.parameters()), {});
  std::vector<double> samples;
  for (int step = 0; step <= 3; ++step)
    samples.push_back(train_step(objective, optimizer, all, step));
  samples.erase(samples.begin());  // the first one warms up
  print_job("grpo", fmt::format("\"step_s\": {:.3f}", median(samples)));
}

void run(int argc, char** argv) {
  CHECK(argc >= 4, kUsage, "usage: etrlrec_speed JOB SHAPE STORAGE [BATCH], see bench/speed.cc");
  const std::string job = argv[1], name = argv[2];
  const std::string last = argc > 4 ? argv[4] : "";
  if (job == "bpe") return encode_text(name, argv[3], last);
  const Storage storage = parse_storage(argv[3]);
  if (job == "save") return save_random(name, storage, last);
  if (job == "load") return first_token(name, storage);
  if (job == "ranking") return catalogue_ranking();
  if (job == "adapters")
    return adapter_memory(name, storage, argc > 4 ? std::stoll(argv[4]) : 2,
                          argc > 5 ? std::stoll(argv[5]) : 400);
  const int64_t batch = argc > 4 ? std::stoll(argv[4]) : 1;
  const std::unique_ptr<LanguageModel> model = model_of(name, storage);
  if (job == "decode") return decode(*model, batch, 1, job);
  if (job == "rollouts") return decode(*model, 4, 8, job);
  if (job == "rank") return rank(*model);
  if (job == "sft") return sft(*model, argc > 4 ? batch : 8, name == "XS" ? 3 : 1);
  if (job == "reading") return reading(*model);
  if (job == "prompt") return prompt_tuning(*model, name == "XS" ? 3 : 1);
  CHECK(job == "grpo", kUsage,
        "job: expected decode, rollouts, rank, sft, grpo, reading, prompt, ranking, save, load, "
        "adapters or bpe, found {}",
        job);
  grpo(*model);
}

}  // namespace
}  // namespace etrlrec

int main(int argc, char** argv) {
  etrlrec::keep_freed_memory();
  try {
    at::init_num_threads();
    etrlrec::run(argc, argv);
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 1;
  }
}
