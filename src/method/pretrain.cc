#include "method/pretrain.h"

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "method/fit.h"
#include "method/stage.h"
#include "method/unread_items.h"
#include "temporal/prompts.h"

namespace etrlrec {
namespace {

constexpr double kUsualDropout = 0.3;  // of hidden states, with a decoder

// The interactions of each user that are read: the training part, or its earliest share.
std::vector<ReadingWindow> read_parts(const Dataset& dataset, const InteractionLog& log) {
  std::vector<ReadingWindow> users;
  for (size_t user = 0; user + 1 < log.user_offsets.size(); ++user) {
    const int64_t begin = dataset.user_offsets[user];
    const int64_t count = log.user_offsets[user + 1] - log.user_offsets[user];
    if (count > 0) users.push_back({begin, begin + count});
  }
  CHECK(!users.empty(), kInput, "pretrain: expected interactions to read, found none");
  return users;
}

std::string style_of(const PretrainOptions& options, const LoadedModel& model) {
  if (!options.style.empty()) return std::string(find_style(options.style, "--style").name);
  return model.card.prompt.style;
}

ModelCard card_of(const PretrainOptions& options, const Study& study, const LoadedModel& model) {
  ModelCard card = child_card(model, options.lora, options.dtype);
  card.stage = "pretrain";
  card.catalogue_hash = study.catalogue_hash;
  card.prompt = {.max_history = options.max_history,
                 .with_times = options.with_times && !study.dataset.order_only,
                 .reasoning = false,
                 .style = style_of(options, model),
                 .answer = AnswerKind::kTitle,
                 .with_attributes = options.with_attributes};
  return card;
}

// The interaction that a source asks about; the first one of a user has nothing before it.
int64_t asked_of(const ReadingWindow& window, uint64_t seed, int64_t row, int64_t epoch) {
  const int64_t count = window.end - window.begin;
  if (count == 1) return window.begin;
  Rng rng(seed, "reading questions",
          static_cast<uint64_t>(epoch) << 32 | static_cast<uint64_t>(row));
  return window.begin + 1 + static_cast<int64_t>(rng.below(static_cast<uint64_t>(count - 1)));
}

ReadingFn reader(const PretrainSetup& setup) {
  return [&setup, around = setup.model.frame(setup.card.prompt)](int64_t row, int64_t epoch) {
    const ReadingCodec codec{*setup.model.tokenizer, around};
    const ReadingWindow window = setup.windows->at(row, epoch);
    if (!setup.model.model->has_encoder())
      return reading_text(codec, setup.study->dataset, window, setup.card.prompt,
                          setup.age_weights);
    return reading_text_from(codec, setup.study->dataset, window,
                             asked_of(window, setup.options.trainer.seed, row, epoch),
                             setup.card.prompt, setup.age_weights);
  };
}

}  // namespace

ReadingWindows::ReadingWindows(std::vector<ReadingWindow> users, int32_t window, uint64_t seed)
    : users_(std::move(users)), window_(window), seed_(seed) {
  CHECK(window > 0, kUsage, "--window: expected at least one entry, found {}", window);
  for (size_t user = 0; user < users_.size(); ++user) {
    const int64_t count = (users_[user].end - users_[user].begin + window - 1) / window;
    for (int64_t number = 0; number < count; ++number)
      rows_.push_back({static_cast<int32_t>(user), static_cast<int32_t>(number)});
  }
}

ReadingWindow ReadingWindows::at(int64_t row, int64_t epoch) const {
  const Place& place = rows_[static_cast<size_t>(row)];
  const ReadingWindow& user = users_[static_cast<size_t>(place.user)];
  const int64_t size = user.end - user.begin, count = (size + window_ - 1) / window_;
  const int64_t least = size - (count - 1) * window_;
  Rng rng(seed_, "reading windows",
          static_cast<uint64_t>(epoch) << 32 | static_cast<uint64_t>(place.user));
  const int64_t first =
      count == 1
          ? size
          : least + static_cast<int64_t>(rng.below(static_cast<uint64_t>(window_ - least + 1)));
  const int64_t begin = place.number == 0 ? 0 : first + (place.number - 1) * window_;
  const int64_t end = std::min(size, place.number == 0 ? first : begin + window_);
  return {user.begin + begin, user.begin + end};
}

namespace {

// Tokens of a text that is read, and how much each counts.
class WeightedText {
 public:
  explicit WeightedText(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  void add_ids(std::span<const int64_t> ids, float weight) {
    text_.ids.insert(text_.ids.end(), ids.begin(), ids.end());
    text_.weights.resize(text_.ids.size(), weight);
  }
  void add(std::string_view text, float weight) { add_ids(tokenizer_.encode(text), weight); }
  // The bytes of title j count weights[j], others nothing.
  void add_line(std::string_view text, std::span<const TimeLine::Span> titles,
                std::span<const float> weights) {
    const std::vector<int64_t> ids = tokenizer_.encode(text);
    const size_t begun = text_.ids.size();
    size_t at = 0, title = 0;
    for (const int64_t id : ids) {
      while (title < titles.size() && titles[title].end <= at) ++title;
      at += tokenizer_.token_text(id).size();
      const bool inside = title < titles.size() && at > titles[title].begin;
      text_.ids.push_back(id);
      text_.weights.push_back(inside ? weights[title] : 0.0F);
    }
    if (at == text.size()) return;
    text_.ids.resize(begun);
    text_.weights.resize(begun);
    add_pieces(text, titles, weights);
  }
  // What has been added so far is read by an encoder.
  void end_source() { text_.source = std::ssize(text_.ids); }
  ReadingText take() { return std::move(text_); }

 private:
  // A tokenizer that has no token for some byte does not spell the text: titles are encoded apart.
  void add_pieces(std::string_view text, std::span<const TimeLine::Span> titles,
                  std::span<const float> weights) {
    size_t at = 0;
    for (size_t j = 0; j < titles.size(); ++j) {
      add(text.substr(at, titles[j].begin - at), 0);
      add(text.substr(titles[j].begin, titles[j].end - titles[j].begin), weights[j]);
      at = titles[j].end;
    }
    add(text.substr(at), 0);
  }

  const Tokenizer& tokenizer_;
  ReadingText text_;
};

}  // namespace

ReadingText reading_text(const ReadingCodec& codec, const Dataset& dataset,
                         const ReadingWindow& window, const PromptOptions& prompt,
                         const AgeWeights& age_weights) {
  const auto begin = static_cast<size_t>(window.begin),
             count = static_cast<size_t>(window.end - window.begin);
  const auto items = std::span(dataset.items).subspan(begin, count);
  const auto times = std::span(dataset.times).subspan(begin, count);
  const TimeLine line = find_style(prompt.style).time_line(dataset.catalogue, items, times, prompt);
  std::vector<float> weights;
  for (const int64_t time : times) weights.push_back(age_weights.at(time));
  WeightedText text(codec.tokenizer);
  text.add_ids(codec.around.before, 0);
  if (codec.around.after.empty() || count == 0) {
    text.add_line(line.text, line.titles, weights);
    return text.take();
  }
  // In a chat the last entry is what the assistant answers.
  const TimeLine::Span& last = line.titles.back();
  const std::string_view all = line.text;
  text.add_line(all.substr(0, last.begin), std::span(line.titles).first(count - 1), weights);
  text.add_ids(codec.around.after, 0);
  text.add(all.substr(last.begin, last.end - last.begin), weights.back());
  return text.take();
}

ReadingText reading_text_from(const ReadingCodec& codec, const Dataset& dataset,
                              const ReadingWindow& window, int64_t asked,
                              const PromptOptions& prompt, const AgeWeights& age_weights) {
  CHECK(asked >= window.begin && asked < window.end, kInput,
        "reading: expected an interaction of the window [{}, {}), found {}", window.begin,
        window.end, asked);
  const int64_t shown = std::max(window.begin, asked - prompt.max_history);
  const auto begin = static_cast<size_t>(shown), count = static_cast<size_t>(window.end - shown);
  const auto times = std::span(dataset.times).subspan(begin, count);
  const TimeLine line =
      find_style(prompt.style)
          .time_line(dataset.catalogue, std::span(dataset.items).subspan(begin, count), times,
                     prompt);
  const auto first = static_cast<size_t>(asked - shown);
  const size_t cut = line.titles[first].begin;
  std::vector<TimeLine::Span> titles;
  std::vector<float> weights;
  for (size_t j = first; j < count; ++j) {
    titles.push_back({line.titles[j].begin - cut, line.titles[j].end - cut});
    weights.push_back(age_weights.at(times[j]));
  }
  const std::string_view all = line.text;
  WeightedText text(codec.tokenizer);
  text.add_ids(codec.around.before, 0);
  text.add(all.substr(0, cut), 0);
  text.add_ids(codec.around.after, 0);
  text.end_source();
  text.add_line(all.substr(cut), titles, weights);
  return text.take();
}

PretrainSetup setup(const PretrainOptions& options) {
  CHECK(options.max_history > 0, kUsage, "--max-history: expected at least 1, found {}",
        options.max_history);
  PretrainSetup setup;
  setup.options = options;
  setup.study = std::make_unique<const Study>(open_study(options.data));
  setup.model = open_model_folder(options.model, setup.study->catalogue_hash, options.dtype,
                                  options.numerics);
  setup.options.reading.hidden_dropout =
      options.hidden_dropout.value_or(setup.model.model->has_encoder() ? 0 : kUsualDropout);
  check_hidden_dropout(*setup.model.model, setup.options.reading.hidden_dropout);
  setup.card = card_of(options, *setup.study, setup.model);
  const Split split = load_split(options.data);
  const InteractionLog log = training_log(setup.study->dataset, split, options.train_share);
  setup.windows = std::make_unique<const ReadingWindows>(read_parts(setup.study->dataset, log),
                                                         options.window, options.trainer.seed);
  if (options.half_life_days != 0) setup.age_weights = {log.times, options.half_life_days};
  setup.card.new_items = measure_new_items(setup.study->dataset, split, log);
  if (options.train_share < 1)
    setup.card.read_until = *std::max_element(log.times.begin(), log.times.end());
  return setup;
}

MemoryEstimate plan(const PretrainSetup& setup) {
  std::vector<RowTokens> tokens;
  const ReadingFn read = reader(setup);
  for (int64_t row = 0; row < setup.windows->num_rows(); ++row) {
    const ReadingText text = read(row, 0);
    tokens.push_back({text.source, std::ssize(text.ids) - text.source});
  }
  return estimate_training(*setup.model.model, {setup.options.lora}, setup.options.trainer,
                           std::move(tokens), setup.options.reading.tokens_per_pass);
}

TrainingResult run(PretrainSetup setup) {
  const MemoryEstimate estimate = plan(setup);
  check_memory(estimate, available_memory(), "pretrain", kTrainingMemoryHint);
  log_info("pretrain: {} texts, {} tokens in all", setup.windows->num_rows(),
           format_count(static_cast<double>(estimate.tokens)));
  PretrainOptions& options = setup.options;
  LoadedModel& model = setup.model;
  load_weights_of(model);
  attach_adapter(*model.model, options.lora, setup.windows->num_rows(), options.trainer);
  if (options.trainer.eval_steps == 0)
    options.trainer.eval_steps =
        std::max<int64_t>(1, steps_per_epoch(setup.windows->num_rows(), options.trainer));
  ReadingObjective objective(*model.model, setup.windows->num_rows(), reader(setup),
                             options.reading);
  return train_model(objective, *setup.study, model, setup.card, options.trainer, options.eval_rows,
                     options.model, options.out);
}

TrainingResult pretrain(const PretrainOptions& options) { return run(setup(options)); }

}  // namespace etrlrec
