// AdaLoRA and prompt tuning on T5 against golden files of PEFT.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "base/json.h"
#include "models/decoder.h"
#include "models/model_adapters.h"
#include "models_t5_fixture.h"
#include "nn/safetensors.h"
#include "tuning/adalora.h"
#include "tuning/adapter_files.h"
#include "tuning/optim.h"

namespace etrlrec {
namespace {

const fs::path kPeft = kT5Golden / "../peft";
const std::string kPrefix = "base_model.model.";

struct Batch {
  explicit Batch(const ParameterMap& golden, const std::vector<int64_t>& front = {})
      : padded(golden.at("labels")) {
    const TokenForest rows = pack_rows(golden.at("input_ids"), golden.at("attention_mask"));
    for (const Segment& row : rows.segments) {
      std::vector<int64_t> ids = front;
      ids.insert(ids.end(), rows.ids.begin() + row.begin, rows.ids.begin() + row.end);
      source.add(-1, ids);
    }
    for (int64_t r = 0; r < padded.size(0); ++r) {
      const int64_t* row = padded[r].const_data_ptr<int64_t>();
      labels.emplace_back(row, row + padded.size(1));
    }
  }
  // [B, S, V] as in the golden file: zeros where the label is ignored.
  at::Tensor logits(const T5& model) const {
    const at::NoGradGuard no_grad;
    const at::Tensor states =
        model.hidden_states(shift_right(labels, model.config(), texts_of(source)));
    return at::mm(states, model.head_weight().t()).view({padded.size(0), padded.size(1), -1}) *
           (padded != -100).unsqueeze(-1);
  }
  at::Tensor loss(const T5& model) const { return seq2seq_loss(model, texts_of(source), labels); }
  at::Tensor padded;
  TokenForest source;
  std::vector<std::vector<int64_t>> labels;
};

// Largest difference over all tensors of `golden` that begin with `prefix`.
double difference_to(const ParameterMap& golden, const std::string& prefix,
                     const std::function<at::Tensor(const std::string&)>& found,
                     bool relative = false) {
  double largest = 0;
  int compared = 0;
  for (const auto& [key, expected] : golden) {
    if (!key.starts_with(prefix) || expected.numel() == 0) continue;
    const double scale = relative ? expected.abs().max().item<double>() : 1;
    largest = std::max(
        largest, largest_difference(found(key.substr(prefix.size())).detach(), expected) / scale);
    ++compared;
  }
  EXPECT_GE(compared, 19) << prefix;
  return largest;
}

RankPattern golden_pattern(const Json& json) {
  RankPattern pattern;
  for (const auto& [key, kept] : json.items())
    pattern[key.substr(0, key.size() - 7)] = kept.get<std::vector<bool>>();
  return pattern;
}

class AdaLoraGolden : public testing::Test {
 protected:
  void SetUp() override {
    model_ = load_t5(kT5Golden / "t5-flan");
    golden_ = load_safetensors(kPeft / "adalora-t5-flan/golden.safetensors");
    json_ = read_json(kPeft / "adalora-t5-flan/golden.json");
  }
  void record(const std::string& what, double difference, double tolerance) {
    EXPECT_LT(difference, tolerance) << what;
    largest_[what] = std::max(largest_[what], difference);
    RecordProperty(what, fmt::format("{:.2g}", largest_[what]));
  }
  // What is known after a step.
  void expect_step(const RankAllocator& ranks, int64_t step) {
    SCOPED_TRACE(step);
    const Json& expected = json_["steps"][static_cast<size_t>(step)];
    EXPECT_EQ(ranks.budget(step), expected["scheduled_budget"].get<int64_t>());
    const auto entries = [&](const std::string& name) { return model_->parameters().at(name); };
    const std::string prefix = fmt::format("step{}.", step);
    record("lora_E", difference_to(golden_, prefix + kPrefix, entries), 5e-5);
    if (!expected.contains("kept")) return;
    EXPECT_EQ(ranks.rank_pattern(), golden_pattern(expected["kept"]));
    const auto scores = ranks.scores();
    for (const auto& [module, score] : scores) {
      const at::Tensor& theirs = golden_.at(prefix + "importance." + module + ".lora_E");
      record("importance_relative",
             ((score - theirs).abs() / theirs.abs().clamp_min(1e-12)).max().item<double>(), 1e-3);
    }
  }

  std::unique_ptr<T5> model_;
  ParameterMap golden_;
  Json json_;
  std::map<std::string, double> largest_;
};

TEST_F(AdaLoraGolden, ten_steps_of_training) {
  model_->adapters().load(kPeft / "adalora-t5-flan/initial");
  const Batch batch(golden_);
  RankAllocator ranks(model_->parameters(), model_->lora());
  Optimizer optimizer(trainable_parameters(model_->parameters()), {.weight_decay = 0.01});
  for (int64_t step = 0; step < 10; ++step) {
    const Json& expected = json_["steps"][static_cast<size_t>(step)];
    const at::Tensor task = batch.loss(*model_),
                     term = ranks.orth_reg_weight() * orthogonality(model_->parameters());
    record("task_loss", std::abs(task.item<double>() - expected["task_loss"].get<double>()), 1e-4);
    record("orth_term", std::abs(term.item<double>() - expected["orth_term"].get<double>()), 1e-4);
    (task + term).backward();
    if (step == 0) {
      const auto gradient = [&](const std::string& name) {
        return model_->parameters().at(name).grad();
      };
      record("gradients_relative", difference_to(golden_, "step0.grad." + kPrefix, gradient, true),
             2e-4);
    }
    optimizer.step(json_["optimizer"]["lr"].get<double>());
    ranks.update_and_allocate(step);
    optimizer.zero_grad();
    expect_step(ranks, step);
  }
  const auto tensor = [&](const std::string& name) { return model_->parameters().at(name); };
  record("final_tensors", difference_to(golden_, "final." + kPrefix, tensor), 5e-5);
  // of a model whose tensors may differ by the tolerance of training
  record("final_logits", largest_difference(batch.logits(*model_), golden_.at("final.logits")),
         1e-3);

  model_->adapters().set_rank_pattern(ranks.rank_pattern());
  const TemporaryFolder folder("adalora-final");
  save_lora(model_->parameters(), model_->lora(), "../../../t5/t5-flan", folder.path(),
            "SEQ_2_SEQ_LM");
  const fs::path theirs = kPeft / "adalora-t5-flan/final";
  const ParameterMap saved = load_safetensors(folder.path() / "adapter_model.safetensors"),
                     expected = load_safetensors(theirs / "adapter_model.safetensors");
  ASSERT_EQ(saved.size(), expected.size());
  for (const auto& [key, value] : expected) EXPECT_EQ(saved.at(key).sizes(), value.sizes()) << key;
  record("saved_tensors",
         difference_to(expected, "", [&](const std::string& key) { return saved.at(key); }), 5e-5);
  const Json ours = read_json(folder.path() / "adapter_config.json"),
             config = read_json(theirs / "adapter_config.json");
  for (const auto& [key, value] : ours.items()) EXPECT_EQ(value, config[key]) << key;
}

TEST_F(AdaLoraGolden, the_initial_folder_is_written_as_peft_wrote_it) {
  const fs::path theirs = kPeft / "adalora-t5-flan/initial";
  model_->adapters().load(theirs);
  const TemporaryFolder folder("adalora-initial");
  save_lora(model_->parameters(), model_->lora(), "../../../t5/t5-flan", folder.path(),
            "SEQ_2_SEQ_LM");
  for (const auto& [key, value] : load_safetensors(theirs / "adapter_model.safetensors"))
    EXPECT_TRUE(
        at::equal(value, load_safetensors(folder.path() / "adapter_model.safetensors").at(key)))
        << key;
  const Json ours = read_json(folder.path() / "adapter_config.json"),
             config = read_json(theirs / "adapter_config.json");
  for (const auto& [key, value] : ours.items()) EXPECT_EQ(value, config[key]) << key;
}

TEST_F(AdaLoraGolden, the_final_folder_loads_and_merges) {
  model_->adapters().load(kPeft / "adalora-t5-flan/final");
  const Batch batch(golden_);
  record("logits", largest_difference(batch.logits(*model_), golden_.at("final.logits")), 2e-4);
  EXPECT_THROW(RankAllocator(model_->parameters(), model_->lora()), Error);  // pruned
  record("merge", model_->adapters().merge_verified([&] { return batch.logits(*model_); }), 2e-4);
  record("logits_merged",
         largest_difference(batch.logits(*model_), golden_.at("final.logits_merged")), 2e-4);
}

TEST_F(AdaLoraGolden, folders_load_by_their_type_and_merge_on_random_rows) {
  const LoadedAdapter adapter = load_adapter(*model_, kPeft / "adalora-t5-flan/final");
  EXPECT_EQ(adapter.peft_type, "ADALORA");
  EXPECT_TRUE(adapter.virtual_tokens.empty());
  EXPECT_LT(merge_adapter(*model_), 1e-3);
  EXPECT_THROW(merge_adapter(*model_), Error);
  const LoadedAdapter prompt = load_adapter(*model_, kPeft / "prompt-t5-flan-two");
  const int64_t first = model_->vocab_size();  // virtual tokens follow the vocabulary
  EXPECT_EQ(prompt.virtual_tokens,
            (std::vector<int64_t>{first, first + 1, first + 2, first + 3, first + 4}));
  const std::unique_ptr<Decoder> decoder = load_decoder(kT5Golden / "../decoders/qwen2");
  EXPECT_THROW(load_adapter(*decoder, kPeft / "adalora-t5-flan/final"), Error);
  EXPECT_EQ(load_adapter(*decoder, kPeft / "lora-qv").peft_type, "LORA");
  EXPECT_LT(merge_adapter(*decoder), 1e-3);
}

// Virtual tokens as ids in front of the encoder input.
void expect_golden_prompt(const std::string& name) {
  const std::unique_ptr<T5> model = load_t5(kT5Golden / "t5-flan");
  ParameterMap& parameters = model->parameters();
  model->prompts().load(model->embed_tokens(), kPeft / name);
  const ParameterMap golden = load_safetensors(kPeft / name / "golden.safetensors");
  const Batch batch(golden, model->prompts().ids(model->vocab_size()));
  EXPECT_LT(largest_difference(batch.logits(*model), golden.at("logits")), 2e-4);
  const at::Tensor loss = batch.loss(*model);
  EXPECT_NEAR(loss.item<double>(), golden.at("loss").item<double>(), 2e-4);
  loss.backward();
  const double gradient = largest_difference(parameters.at("prompt_embeddings").grad(),
                                             golden.at("grad.prompt_embeddings"));
  EXPECT_LT(gradient, 2e-4);
  testing::Test::RecordProperty("gradient", fmt::format("{:.2g}", gradient));
  const TemporaryFolder folder("prompt-t5");
  save_prompt(*model, "default", "../../t5/t5-flan", folder.path());
  const Json ours = read_json(folder.path() / "adapter_config.json"),
             theirs = read_json(kPeft / name / "adapter_config.json");
  for (const auto& [key, value] : ours.items()) EXPECT_EQ(value, theirs[key]) << key;
}

TEST(PromptGolden, t5_with_one_set_of_rows) { expect_golden_prompt("prompt-t5-flan"); }
TEST(PromptGolden, t5_with_two_sets_of_rows) { expect_golden_prompt("prompt-t5-flan-two"); }

}  // namespace
}  // namespace etrlrec
