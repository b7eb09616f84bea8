// The reading objective against sums written out with a dense softmax; parts against one pass; and
// the noise that it asks for.
#include <gtest/gtest.h>

#include "base/check.h"
#include "models/t5.h"
#include "train/reading.h"
#include "train_tiny_model.h"

namespace etrlrec {
namespace {

ReadingText text_of(int64_t row, int64_t epoch) {
  const std::vector<ReadingText> texts{
      {{1, 2, 3, 4}, {0, 1, 0, 0.5f}}, {{5, 6}, {1, 1}}, {{7, 8, 9, 1, 2}, {0, 0, 1, 1, 0.25f}}};
  return texts[static_cast<size_t>((row + epoch) % 3)];
}

double slow_loss(const LanguageModel& model, const std::vector<ReadingText>& texts) {
  const at::NoGradGuard no_grad;
  double loss = 0, total = 0;
  for (const ReadingText& text : texts) {
    TokenForest forest;
    forest.add(-1, text.ids);
    const at::Tensor logprobs =
        model.hidden_states(forest).matmul(model.head_weight().t()).log_softmax(-1);
    for (size_t t = 1; t < text.ids.size(); ++t) {
      loss -= text.weights[t] * logprobs[static_cast<int64_t>(t) - 1][text.ids[t]].item<double>();
      total += text.weights[t] > 0;
    }
  }
  return loss / total;
}

TEST(Reading, is_the_weighted_sum_of_dense_losses_by_token) {
  const auto model = tiny_model();
  ReadingObjective objective(*model, 3, text_of, {});
  Rng rng(1, "unused");
  for (const int64_t epoch : {0, 1}) {
    objective.begin_epoch(epoch);
    const LossOutput output = objective.loss(std::vector<int64_t>{0, 2}, 0, rng);
    EXPECT_NEAR(output.loss.item<double>(),
                slow_loss(*model, {text_of(0, epoch), text_of(2, epoch)}), 1e-5);
    EXPECT_NEAR(output.metrics.at("nll"), output.loss.item<double>(), 1e-6);
  }
}

TEST(Reading, has_the_same_gradient_in_parts) {
  const auto make = [](LanguageModel& model, int64_t tokens_per_pass) {
    return ReadingObjective(model, 3, text_of, {.tokens_per_pass = tokens_per_pass});
  };
  expect_same_gradient_in_parts(make, 1e-6);
}

TEST(Reading, drops_hidden_values_by_its_stream_alone) {
  for (const Arithmetic arithmetic : {Arithmetic::kFloat, Arithmetic::kReference}) {
    const auto model = tiny_model({arithmetic});
    const auto loss = [&](double rate, uint64_t seed) {
      ReadingObjective objective(*model, 3, text_of, {.hidden_dropout = rate});
      Rng rng(seed, "test/reading");
      return objective.loss(std::vector<int64_t>{0, 1, 2}, 0, rng).loss.item<double>();
    };
    EXPECT_EQ(loss(0, 1), loss(0, 2));
    EXPECT_EQ(loss(0.5, 1), loss(0.5, 1));
    EXPECT_NE(loss(0.5, 1), loss(0.5, 2));
    EXPECT_NE(loss(0.5, 1), loss(0, 1));
    // Evaluation sees no noise afterwards.
    EXPECT_EQ(loss(0, 1), loss(0, 3));
  }
}

// The fast and the plain way drop the same values.
TEST(Reading, drops_the_same_in_the_reference_arithmetic) {
  std::vector<double> losses;
  for (const Arithmetic arithmetic : {Arithmetic::kFloat, Arithmetic::kReference}) {
    const auto model = tiny_model({arithmetic});
    ReadingObjective objective(*model, 3, text_of, {.hidden_dropout = 0.4});
    Rng rng(4, "test/reading");
    losses.push_back(objective.loss(std::vector<int64_t>{0, 1, 2}, 0, rng).loss.item<double>());
  }
  EXPECT_NEAR(losses[0], losses[1], 1e-5);
}

// An encoder reads the beginning of a text; the rest is written from the start token on.
TEST(Reading, with_an_encoder_is_the_loss_of_what_follows_the_source) {
  T5Config config;
  config.vocab_size = 14;
  config.d_model = 16;
  config.d_kv = 8;
  config.d_ff = 24;
  config.num_layers = config.num_decoder_layers = 2;
  config.num_heads = 2;
  config.relative_attention_num_buckets = 8;
  config.relative_attention_max_distance = 20;
  const auto model = new_t5(config, 3);
  const std::vector<ReadingText> texts{{{1, 2, 3, 4, 5}, {0, 0, 1, 0, 0.5f}, 2},
                                       {{7, 8, 9}, {0, 0, 1}, 2}};
  double expected = 0;
  for (const ReadingText& text : texts) {
    const at::NoGradGuard no_grad;
    const auto cut = text.ids.begin() + text.source;
    std::vector<int64_t> written{config.decoder_start_token_id};
    written.insert(written.end(), cut, text.ids.end());
    TokenForest forest;
    forest.add(-1, written, std::vector<int64_t>(text.ids.begin(), cut));
    const at::Tensor logprobs =
        model->hidden_states(forest).matmul(model->head_weight().t()).log_softmax(-1);
    for (int64_t t = 1; t < std::ssize(written); ++t)
      expected -= text.weights[static_cast<size_t>(text.source + t - 1)] *
                  logprobs[t - 1][written[static_cast<size_t>(t)]].item<double>();
  }
  const auto read = [&texts](int64_t row, int64_t) { return texts[static_cast<size_t>(row)]; };
  for (const int64_t tokens_per_pass : {0, 2}) {
    ReadingObjective objective(*model, 2, read, {.tokens_per_pass = tokens_per_pass});
    Rng rng(1, "unused");
    const LossOutput output = objective.loss_in_parts(
        std::vector<int64_t>{0, 1}, 0, rng, [](const at::Tensor& part) { part.backward(); });
    EXPECT_NEAR(output.loss.item<double>(), expected / 3, 1e-5);
  }
  EXPECT_THROW(ReadingObjective(*model, 2, read, {.hidden_dropout = 0.1}), Error);
  // A decoder has no source, an encoder needs one, and nothing is learned of it.
  const auto decoder = tiny_model();
  const auto refuses = [](LanguageModel& reader, const ReadingText& text) {
    ReadingObjective objective(reader, 1, [&text](int64_t, int64_t) { return text; }, {});
    Rng rng(1, "unused");
    EXPECT_THROW(objective.loss(std::vector<int64_t>{0}, 0, rng), Error);
  };
  refuses(*decoder, texts[0]);
  refuses(*model, text_of(0, 0));
  refuses(*model, {{1, 2, 3}, {0, 1, 1}, 2});
  refuses(*model, {{1, 2}, {0, 0}, 2});
}

TEST(Reading, refuses_texts_without_anything_to_learn) {
  const auto model = tiny_model();
  for (const ReadingText& text : std::vector<ReadingText>{
           {{1}, {1}}, {{1, 2}, {1}}, {{1, 2}, {1, 0}}, {{1, 2, 3}, {0, -1, 2}}}) {
    ReadingObjective objective(*model, 1, [&text](int64_t, int64_t) { return text; }, {});
    Rng rng(1, "unused");
    EXPECT_THROW(objective.loss(std::vector<int64_t>{0}, 0, rng), Error);
  }
}

}  // namespace
}  // namespace etrlrec
