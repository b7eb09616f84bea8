// Training of a language model on texts as such: cross-entropy of the weighted tokens of texts that
// are drawn anew in every epoch, each one root of the token forest. A model with an encoder reads
// the beginning of a text as its source and writes the rest. Knows token ids only.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "models/language_model.h"
#include "train/trainer.h"

namespace etrlrec {

struct ReadingText {
  std::vector<int64_t> ids;    // at least two tokens
  std::vector<float> weights;  // [ids] of predicting each token from those before it, >= 0; that of
                               // the first one is not used
  int64_t source = 0;  // the first ids, of weight 0, that an encoder reads; 0 exactly for decoders
};
// The text of a row in an epoch; depends on its arguments only.
using ReadingFn = std::function<ReadingText(int64_t row, int64_t epoch)>;

struct ReadingOptions {
  double hidden_dropout = 0;  // nn/noise.h
  // Tokens of one forward and backward pass, a single text excepted; 0: a micro-batch at once. The
  // gradient is the same.
  int64_t tokens_per_pass = 8192;
};

// Loss: the sum of weight * -log p over a micro-batch, divided by the number of tokens that have a
// weight. Weights need not be 0 or 1: with a mean of 1 over all texts, a micro-batch of heavy ones
// moves the model more than one of light ones. Metric "nll": the same. Errors: kInput for a text
// without two tokens, with other weights or with a sum of weights of 0, and for one whose source is
// not what the model needs; kUsage for hidden dropout with an encoder.
class ReadingObjective : public Objective {
 public:
  ReadingObjective(LanguageModel& model, int64_t num_rows, ReadingFn read, ReadingOptions options);
  int64_t num_rows() const override { return num_rows_; }
  ParameterMap& parameters() override { return model_.parameters(); }
  Numerics numerics() const override { return model_.numerics(); }
  void begin_epoch(int64_t epoch) override { epoch_ = epoch; }
  LossOutput loss(std::span<const int64_t> rows, int64_t step, Rng& rng) override;
  LossOutput loss_in_parts(std::span<const int64_t> rows, int64_t step, Rng& rng,
                           const Backward& backward) override;

 private:
  LossOutput loss_of(std::span<const int64_t> rows, int64_t tokens_per_pass, Rng& rng,
                     const Backward& backward) const;

  LanguageModel& model_;
  int64_t num_rows_, epoch_ = 0;
  ReadingFn read_;
  ReadingOptions options_;
};

}  // namespace etrlrec
