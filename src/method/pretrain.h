// Reading the log: a language model learns the users' time lines as plain text, in exactly the form
// in which prompts with answers by title show a history, so that what was read is what is asked.
// Every event of the training part is a target; the answer to a request is the likelihood of each
// candidate's title after the user's time line (docs/experiments.md has what this reaches). A model
// with an encoder reads a prompt, cut at an event that is drawn anew in each epoch, and writes that
// event's title, as it will be asked to, and then the rest of the time line.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "method/age_weights.h"
#include "method/memory_estimate.h"
#include "method/model_folder.h"
#include "method/study.h"
#include "train/reading.h"
#include "train/trainer.h"
#include "tuning/adapters.h"

namespace etrlrec {

struct PretrainOptions {
  std::string data, model, out, dtype = "float32";
  Numerics numerics;
  int32_t max_history = 50;  // entries of a prompt later on
  int32_t window = 100;      // entries of a text that is read at once
  bool with_times = true, with_attributes = true;
  // Of the texts. Empty: that of a model that was trained here, else natural where the model has a
  // chat template and compact where it has none.
  std::string style;
  // A title's weight halves with every so many days between its event and the last one that is
  // read: what was usual long ago counts less. 0: all events weigh alike.
  double half_life_days = 0;
  double train_share = 1;                // earliest share of the training interactions that is read
  int64_t eval_rows = 500;               // of the validation rows, 0: no validation
  std::optional<double> hidden_dropout;  // nothing: .3 with a decoder, which alone can have it
  ReadingOptions reading;                // its hidden_dropout is that
  LoraConfig lora;                       // r = 0: all weights
  // eval_steps = 0: once an epoch; its seed is the seed of the stage.
  TrainerOptions trainer{.train_batch_size = 8, .num_train_epochs = 12};
};

// A stretch of a user's time line: interactions [begin, end) of the data set.
struct ReadingWindow {
  int64_t begin = 0, end = 0;
};
// The windows of one epoch over [begin, end) of a user: ceil(n / window) of at most `window`
// interactions, none twice; the length of the first is drawn from the stream ("reading windows",
// seed, epoch and user).
class ReadingWindows {
 public:
  ReadingWindows(std::vector<ReadingWindow> users, int32_t window, uint64_t seed);
  int64_t num_rows() const { return static_cast<int64_t>(rows_.size()); }
  ReadingWindow at(int64_t row, int64_t epoch) const;

 private:
  struct Place {
    int32_t user = 0, number = 0;
  };
  std::vector<ReadingWindow> users_;
  std::vector<Place> rows_;
  int32_t window_;
  uint64_t seed_;
};

// Everything that pretrain reads, except the weights of the model.
struct PretrainSetup {
  PretrainOptions options;
  std::unique_ptr<const Study> study;
  LoadedModel model;
  ModelCard card;  // of the result
  std::unique_ptr<const ReadingWindows> windows;
  AgeWeights age_weights;
};

// Errors: kUsage for options that make no sense, kModel for a model of another data set, kInput
// where no user has an interaction to read.
PretrainSetup setup(const PretrainOptions& options);
// Memory and work of run().
MemoryEstimate plan(const PretrainSetup& setup);
// `out` becomes a complete model folder that answers by title. An interrupted run continues. Error
// (kMemory) where the plan does not fit.
TrainingResult run(PretrainSetup setup);
TrainingResult pretrain(const PretrainOptions& options);  // run(setup(options))

// How texts become tokens: what stands around a prompt's text (LoadedModel::frame).
struct ReadingCodec {
  const Tokenizer& tokenizer;
  const ChatFrame& around;
};
// The tokens of a window, those of titles with the weight of their event, others with 0: what
// belongs to no title is read and not predicted (docs/experiments.md). In a chat the last title is
// the assistant's answer, so that a model learns to answer where it will be asked.
ReadingText reading_text(const ReadingCodec& codec, const Dataset& dataset,
                         const ReadingWindow& window, const PromptOptions& prompt,
                         const AgeWeights& age_weights = {});
// The same for a model with an encoder: its source is the prompt that asks about interaction
// `asked` of the window, with at most max_history entries before it; the text that it writes begins
// with that title and goes on to the window's end.
ReadingText reading_text_from(const ReadingCodec& codec, const Dataset& dataset,
                              const ReadingWindow& window, int64_t asked,
                              const PromptOptions& prompt, const AgeWeights& age_weights = {});

}  // namespace etrlrec
