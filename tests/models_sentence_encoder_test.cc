// BERT as a sentence encoder: states and sentences of Transformers, batches of any lengths, folders
// that are refused.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "base/json.h"
#include "golden_path.h"
#include "models/sentence_encoder.h"
#include "models_recommender_fixture.h"
#include "nn/safetensors.h"
#include "tensor_difference.h"

namespace etrlrec {
namespace {

const fs::path kFolder = golden_path() / "bert";

std::vector<std::vector<int64_t>> golden_rows(const ParameterMap& golden) {
  const at::Tensor ids = golden.at("input_ids"), lengths = golden.at("attention_mask").sum(1);
  std::vector<std::vector<int64_t>> rows;
  for (int64_t row = 0; row < ids.size(0); ++row) {
    std::vector<int64_t>& tokens = rows.emplace_back();
    for (int64_t t = 0; t < lengths[row].item<int64_t>(); ++t)
      tokens.push_back(ids[row][t].item<int64_t>());
  }
  return rows;
}

TEST(SentenceEncoder, states_and_sentences_of_transformers) {
  const ParameterMap golden = load_safetensors(kFolder / "golden.safetensors");
  const SentenceEncoder encoder(kFolder);
  const at::Tensor mask = golden.at("attention_mask");
  const at::Tensor states = encoder.hidden_states(golden.at("input_ids"), mask);
  EXPECT_LT(largest_difference(states * mask.unsqueeze(2), golden.at("states")), 2e-5);
  const auto rows = golden_rows(golden);
  const at::Tensor sentences = encoder.encode(rows);
  EXPECT_LT(largest_difference(sentences, golden.at("sentences")), 2e-6);
  for (size_t row = 0; row < rows.size(); ++row) {  // neighbours in a batch change nothing
    const at::Tensor alone = encoder.encode(std::span(rows).subspan(row, 1));
    EXPECT_LT(largest_difference(alone[0], sentences[static_cast<int64_t>(row)]), 1e-6);
  }
}

TEST(SentenceEncoder, what_is_beyond_its_positions_is_not_read) {
  const SentenceEncoder encoder(kFolder);
  const auto longest = static_cast<size_t>(encoder.config().max_position_embeddings);
  const std::vector<std::vector<int64_t>> rows{std::vector<int64_t>(longest + 9, 5),
                                               std::vector<int64_t>(longest, 5)};
  const at::Tensor sentences = encoder.encode(rows);
  EXPECT_TRUE(at::equal(sentences[0], sentences[1]));
  EXPECT_THROW(encoder.encode(std::vector<std::vector<int64_t>>{{}}), Error);
  EXPECT_THROW(encoder.encode(std::vector<std::vector<int64_t>>{{encoder.config().vocab_size}}),
               Error);
}

TEST(SentenceEncoder, folders_of_another_kind_are_refused) {
  const auto refusal = [](const std::string& key, const Json& value) {
    const ScopedFolder folder("bert");
    for (const char* file : {"config.json", "model.safetensors"})
      fs::copy_file(kFolder / file, folder.path() / file);
    Json config = read_json(kFolder / "config.json");
    config[key] = value;
    write_json_atomic(folder.path() / "config.json", OrderedJson(config));
    try {
      const SentenceEncoder encoder(folder.path());
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(refusal("hidden_act", "gelu"), "");
  EXPECT_NE(refusal("model_type", "roberta").find("expected bert, found roberta"),
            std::string::npos);
  EXPECT_NE(refusal("hidden_act", "relu").find("expected gelu"), std::string::npos);
  EXPECT_NE(refusal("num_attention_heads", 5).find("no multiple"), std::string::npos);
  EXPECT_NE(refusal("num_hidden_layers", 4).find("encoder.layer.3"), std::string::npos);
  const ScopedFolder folder("bert-pooling");
  for (const char* file : {"config.json", "model.safetensors"})
    fs::copy_file(kFolder / file, folder.path() / file);
  fs::create_directories(folder.path() / "1_Pooling");
  write_json_atomic(folder.path() / "1_Pooling/config.json",
                    OrderedJson{{"pooling_mode_cls_token", true}});
  EXPECT_THROW(SentenceEncoder{folder.path()}, Error);
}

}  // namespace
}  // namespace etrlrec
