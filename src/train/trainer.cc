#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <numeric>
#include <optional>

#include "base/check.h"
#include "base/heap.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/metrics_writer.h"
#include "nn/safetensors.h"
#include "train/checkpoint.h"
#include "train/weight_average.h"
#include "tuning/optim.h"

namespace etrlrec {
namespace {

volatile std::sig_atomic_t stop_requested = 0;

extern "C" void request_stop(int) { stop_requested = 1; }

// While it lives, the first SIGINT or SIGTERM only sets a flag; the second one has its usual
// effect.
class StopSignals {
 public:
  StopSignals() {
    stop_requested = 0;
    struct sigaction action {};
    action.sa_handler = request_stop;
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    ::sigaction(SIGINT, &action, &old_int_);
    ::sigaction(SIGTERM, &action, &old_term_);
  }
  StopSignals(const StopSignals&) = delete;
  ~StopSignals() {
    ::sigaction(SIGINT, &old_int_, nullptr);
    ::sigaction(SIGTERM, &old_term_, nullptr);
  }
  bool requested() const { return stop_requested != 0; }

 private:
  struct sigaction old_int_ {
  }, old_term_{};
};

// Every option that decides the resulting bits, as text, to be compared when a folder is continued.
std::map<std::string, std::string> describe(const TrainerOptions& options,
                                            const Objective& objective) {
  const auto text = [](auto value) { return fmt::format("{}", value); };
  std::map<std::string, std::string> described = {
      {"learning_rate", text(options.learning_rate)},
      {"lr_scheduler_type", options.lr_scheduler_type},
      {"warmup_ratio", text(options.warmup_ratio)},
      {"optim", options.optim},
      {"weight_decay", text(options.weight_decay)},
      {"adam_beta1", text(options.adam_beta1)},
      {"adam_beta2", text(options.adam_beta2)},
      {"adam_epsilon", text(options.adam_epsilon)},
      {"max_grad_norm", text(options.max_grad_norm)},
      {"train_batch_size", text(options.train_batch_size)},
      {"gradient_accumulation_steps", text(options.gradient_accumulation_steps)},
      {"max_steps", text(options.max_steps)},
      {"num_train_epochs", text(options.num_train_epochs)},
      {"logging_steps", text(options.logging_steps)},
      {"eval_steps", text(options.eval_steps)},
      {"early_stopping_patience", text(options.early_stopping_patience)},
      {"metric_for_best_model", options.metric_for_best_model},
      {"seed", text(options.seed)},
      {"num_rows", text(objective.num_rows())},
      {"arithmetic", name_of(objective.numerics().arithmetic)}};
  if (options.ema_decay > 0) described["ema_decay"] = text(options.ema_decay);
  return described;
}

void check_options(const TrainerOptions& options) {
  CHECK(options.train_batch_size > 0 && options.gradient_accumulation_steps > 0, kUsage,
        "train_batch_size, gradient_accumulation_steps: expected positive values, found {}, {}",
        options.train_batch_size, options.gradient_accumulation_steps);
  CHECK(options.max_steps > 0 || options.num_train_epochs > 0, kUsage,
        "num_train_epochs: expected a positive value, found {}", options.num_train_epochs);
  CHECK(options.warmup_ratio >= 0 && options.warmup_ratio <= 1, kUsage,
        "warmup_ratio: expected a value in [0, 1], found {}", options.warmup_ratio);
  CHECK(options.logging_steps > 0 && options.eval_steps >= 0 && options.save_steps >= 0, kUsage,
        "logging_steps, eval_steps, save_steps: expected > 0, >= 0, >= 0, found {}, {}, {}",
        options.logging_steps, options.eval_steps, options.save_steps);
  CHECK(options.save_seconds >= 0, kUsage, "save_seconds: expected a value >= 0, found {}",
        options.save_seconds);
  CHECK(options.ema_decay >= 0 && options.ema_decay < 1, kUsage,
        "ema_decay: expected a value in [0, 1), found {}", options.ema_decay);
}

class TrainingRun {
 public:
  TrainingRun(Objective& objective, const TrainerOptions& options, const fs::path& folder,
              const EvaluateFn& evaluate, RankAllocator* ranks)
      : objective_(objective),
        options_(options),
        folder_(folder),
        checkpoints_(folder),
        evaluate_(evaluate),
        ranks_(ranks),
        optimizer_(trainable_parameters(objective.parameters()),
                   {.optim = options.optim,
                    .beta1 = options.adam_beta1,
                    .beta2 = options.adam_beta2,
                    .epsilon = options.adam_epsilon,
                    .weight_decay = options.weight_decay},
                   objective.numerics()) {
    CHECK(options.ema_decay == 0 || ranks == nullptr, kUsage,
          "ema_decay: not with AdaLoRA, whose ranks change while it trains");
    if (options.ema_decay > 0) average_.emplace(optimizer_.parameters(), options.ema_decay);
  }

  TrainingResult run();

 private:
  void resume();
  void check_same_options(const std::map<std::string, std::string>& options) const;
  void load(int64_t step);
  void optimizer_step();
  double backward(const MicroBatch& part, double share);
  std::vector<int64_t> rows_of_step(int64_t step);
  std::vector<MicroBatch> micro_batches(std::span<const int64_t> rows) const;
  void collect_log(std::map<std::string, double>& values);
  bool evaluate(std::map<std::string, double>& values);
  [[noreturn]] void stop_nonfinite(std::span<const int64_t> rows, const std::string& what,
                                   double value);
  void review(std::map<std::string, double>& values);
  void roll_back(const Finding& collapse);
  std::optional<int64_t> good_until() const;
  void save();
  void finish();
  std::string progress_note() const;
  double seconds() const;
  bool saving_is_late() const;

  Objective& objective_;
  const TrainerOptions& options_;
  fs::path folder_;
  CheckpointFolder checkpoints_;
  const EvaluateFn& evaluate_;
  RankAllocator* ranks_;
  Optimizer optimizer_;
  std::optional<WeightAverage> average_;
  TrainerState state_;
  std::optional<MetricsWriter> metrics_;
  int64_t steps_per_epoch_ = 0, warmup_steps_ = 0;
  int64_t order_epoch_ = -1;
  std::vector<int64_t> order_;
  double last_loss_ = 0, last_grad_norm_ = 0, last_learning_rate_ = 0, seconds_before_ = 0;
  int64_t tokens_before_ = 0;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_save_ = begin_;
};

double TrainingRun::seconds() const {
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin_;
  return seconds_before_ + elapsed.count();
}

// True once save_seconds have gone by since the last checkpoint or, before the first one, the
// start.
bool TrainingRun::saving_is_late() const {
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - last_save_;
  return options_.save_seconds > 0 && elapsed.count() >= options_.save_seconds;
}

// The options of the checkpoint, in state_, and those of this call.
void TrainingRun::check_same_options(const std::map<std::string, std::string>& options) const {
  std::map<std::string, std::pair<std::string, std::string>> values;
  for (const auto& [name, value] : state_.options) values[name] = {value, "nothing"};
  for (const auto& [name, value] : options) {
    // Checkpoints of older versions do not say how the model computed.
    if (name == "arithmetic" && !values.contains(name)) continue;
    values.try_emplace(name, "nothing", "").first->second.second = value;
  }
  for (const auto& [name, value] : values)
    CHECK(value.first == value.second, kUsage,
          "{}: cannot continue: {} was {}, is {}\nhint: repeat the command with the old value, or "
          "choose another folder",
          folder_.string(), name, value.first, value.second);
}

void TrainingRun::resume() {
  checkpoints_.remove_leftovers();
  auto options = describe(options_, objective_);
  if (ranks_ != nullptr) options["adalora"] = ranks_->description();
  const std::vector<int64_t> steps = checkpoints_.steps();
  if (!steps.empty()) {
    state_ = checkpoints_.load_state(steps.back());
    check_same_options(options);
    load(steps.back());
    log_info("{}: continuing from step {} of {} ({})", options_.label, state_.global_step,
             state_.max_steps, checkpoints_.path(steps.back()).string());
  }
  state_.options = options;
  steps_per_epoch_ = steps_per_epoch(objective_.num_rows(), options_);
  state_.max_steps = planned_steps(objective_.num_rows(), options_);
  warmup_steps_ = static_cast<int64_t>(
      std::ceil(static_cast<double>(state_.max_steps) * options_.warmup_ratio));
  seconds_before_ = state_.seconds;
  tokens_before_ = state_.tokens;
  if (!state_.finished) metrics_.emplace(folder_, state_.global_step + (steps.empty() ? 0 : 1));
}

// Everything of a checkpoint but the trainer's own state.
void TrainingRun::load(int64_t step) {
  checkpoints_.load_parameters(step, optimizer_.parameters());
  const fs::path optimizer = checkpoints_.part(step, "optimizer");
  optimizer_.load_state(load_safetensors(optimizer), optimizer.string());
  if (average_) {
    const fs::path average = checkpoints_.part(step, "average");
    average_->load(load_safetensors(average), average.string());
  }
  if (ranks_ == nullptr) return;
  const fs::path ranks = checkpoints_.part(step, "adalora");
  ranks_->load_state(load_safetensors(ranks), ranks.string());
}

std::vector<int64_t> TrainingRun::rows_of_step(int64_t step) {
  const int64_t epoch = step / steps_per_epoch_;
  if (epoch != order_epoch_) {
    order_epoch_ = epoch;
    order_.resize(static_cast<size_t>(objective_.num_rows()));
    std::iota(order_.begin(), order_.end(), 0);
    Rng rng(options_.seed, "order", static_cast<uint64_t>(epoch));
    rng.shuffle(order_);
    objective_.begin_epoch(epoch);
  }
  const int64_t rows = options_.train_batch_size * options_.gradient_accumulation_steps;
  const int64_t begin = step % steps_per_epoch_ * rows;
  const int64_t end = std::min<int64_t>(begin + rows, objective_.num_rows());
  return {order_.begin() + begin, order_.begin() + end};
}

void TrainingRun::stop_nonfinite(std::span<const int64_t> rows, const std::string& what,
                                 double value) {
  const int64_t step = state_.global_step + 1;
  metrics_->write(step, {{"train/" + what, value}});
  OrderedJson json{{"step", step}, {"what", what}, {"value", fmt::format("{}", value)}};
  json["rows"] = std::vector<int64_t>(rows.begin(), rows.end());
  write_json_atomic(folder_ / "nonfinite.json", json);
  fail(ExitCode::kNumbers,
       "{}: {} is {} at step {}; rows of the batch: {}\nhint: lower --learning-rate; the last "
       "checkpoint is kept",
       options_.label, what, value, step, (folder_ / "nonfinite.json").string());
}

// Adds the gradients of one micro-batch, weighted by its share of the step's rows; returns its
// loss.
double TrainingRun::backward(const MicroBatch& part, double share) {
  Rng rng = part.rng;
  const auto run_backward = [share](const at::Tensor& term) {
    if (term.requires_grad()) (share == 1 ? term : term * share).backward();
  };
  LossOutput output = objective_.loss_in_parts(part.rows, state_.global_step, rng, run_backward);
  if (ranks_ != nullptr && ranks_->orth_reg_weight() > 0) {
    const at::Tensor term = ranks_->orth_reg_weight() * orthogonality(optimizer_.parameters());
    output.metrics["orthogonality"] = term.item<double>();
    output.loss = output.loss + term;
  }
  const double loss = output.loss.item<double>();
  if (!std::isfinite(loss)) stop_nonfinite(part.rows, "loss", loss);
  run_backward(output.loss);
  state_.tokens += output.tokens;
  for (const auto& [name, value] : output.metrics) {
    auto& [sum, count] = state_.window["train/" + name];
    sum += value;
    ++count;
  }
  return loss;
}

std::vector<MicroBatch> TrainingRun::micro_batches(std::span<const int64_t> rows) const {
  std::vector<MicroBatch> parts;
  const auto size = static_cast<size_t>(options_.train_batch_size);
  const int64_t first = state_.global_step * options_.gradient_accumulation_steps;
  for (size_t begin = 0; begin < rows.size(); begin += size)
    parts.push_back(
        {rows.subspan(begin, std::min(size, rows.size() - begin)),
         Rng(options_.seed, "batch", static_cast<uint64_t>(first + std::ssize(parts)))});
  return parts;
}

void TrainingRun::optimizer_step() {
  const std::vector<int64_t> rows = rows_of_step(state_.global_step);
  const std::vector<MicroBatch> parts = micro_batches(rows);
  objective_.begin_step(parts, state_.global_step);
  last_loss_ = 0;
  for (const MicroBatch& part : parts) {
    const double share = static_cast<double>(part.rows.size()) / static_cast<double>(rows.size());
    last_loss_ += share * backward(part, share);
  }
  last_grad_norm_ =
      clip_grad_norm(optimizer_.parameters(), options_.max_grad_norm, objective_.numerics());
  if (!std::isfinite(last_grad_norm_)) stop_nonfinite(rows, "grad_norm", last_grad_norm_);
  last_learning_rate_ =
      options_.learning_rate * schedule_factor(options_.lr_scheduler_type, state_.global_step,
                                               warmup_steps_, state_.max_steps);
  optimizer_.step(last_learning_rate_);
  if (ranks_ != nullptr) ranks_->update_and_allocate(state_.global_step);
  optimizer_.zero_grad();
  ++state_.global_step;
  if (average_) average_->update(optimizer_.parameters(), state_.global_step);
  state_.epoch = static_cast<double>(state_.global_step) / static_cast<double>(steps_per_epoch_);
  for (const auto& [name, value] :
       {std::pair{"train/loss", last_loss_}, std::pair{"train/grad_norm", last_grad_norm_}}) {
    auto& [sum, number] = state_.window[name];
    sum += value;
    ++number;
  }
}

// Means since the last log, and where training stands.
void TrainingRun::collect_log(std::map<std::string, double>& values) {
  for (const auto& [name, sum] : state_.window)
    values[name] = sum.first / static_cast<double>(sum.second);
  state_.window.clear();
  values["train/learning_rate"] = last_learning_rate_;
  values["train/epoch"] = state_.epoch;
  values["train/num_input_tokens_seen"] = static_cast<double>(state_.tokens);
}

// Runs the callback, adds its values under "eval/", and says whether this is the best step so far.
bool TrainingRun::evaluate(std::map<std::string, double>& values) {
  std::map<std::string, double> found;
  {
    const at::NoGradGuard no_grad;
    if (average_) average_->exchange(optimizer_.parameters());
    found = evaluate_(state_.global_step);
    if (average_) average_->exchange(optimizer_.parameters());
  }
  for (const auto& [name, value] : found) values["eval/" + name] = value;
  const auto metric = found.find(options_.metric_for_best_model);
  CHECK(metric != found.end(), kUsage, "metric_for_best_model: the evaluation has no \"{}\"",
        options_.metric_for_best_model);
  if (!std::isfinite(metric->second)) stop_nonfinite({}, metric->first, metric->second);
  const bool better = !state_.has_best || metric->second > state_.best_metric;
  state_.stale_evaluations = better ? 0 : state_.stale_evaluations + 1;
  if (better) {
    state_.has_best = true;
    state_.best_metric = metric->second;
    state_.best_step = state_.global_step;
  }
  if (options_.early_stopping_patience > 0 &&
      state_.stale_evaluations >= options_.early_stopping_patience)
    state_.finished = true;
  return better;
}

// Tells what the logs, this one included, show for the first time, and marks it in the log.
void TrainingRun::review(std::map<std::string, double>& values) {
  state_.log_history.push_back({state_.global_step, values});
  const std::vector<Finding> findings = objective_.review(state_.log_history);
  state_.log_history.pop_back();
  for (const Finding& finding : findings) {
    values["train/finding/" + finding.name] = 1;
    if (!state_.findings.try_emplace(finding.name, finding).second) continue;
    log_warning("{}: step {}: {}", options_.label, finding.step, finding.text);
    if (finding.is_collapse && options_.stop_on_collapse && state_.rolled_back_to < 0)
      roll_back(finding);
  }
}

void TrainingRun::roll_back(const Finding& collapse) {
  const bool best_is_good = state_.has_best && state_.best_step <= collapse.good_until;
  const int64_t good =
      best_is_good ? state_.best_step : checkpoints_.newest_until(collapse.good_until);
  CHECK(good >= 0, kNumbers,
        "{}: {}, and no checkpoint is from before step {}\nhint: the model it began with is "
        "unharmed; --save-steps keeps checkpoints to go back to; --no-stop-on-collapse goes on",
        options_.label, collapse.text, collapse.step);
  log_warning("{}: goes back to step {} and ends", options_.label, good);
  state_.has_best = best_is_good;
  state_.rolled_back_to = good;
  state_.finished = true;
}

// A collapse takes some logs to be seen; what is older than these can be gone back to.
std::optional<int64_t> TrainingRun::good_until() const {
  if (!options_.stop_on_collapse) return std::nullopt;
  return state_.global_step - 4 * options_.logging_steps;
}

void TrainingRun::save() {
  state_.seconds = seconds();
  std::map<std::string, ParameterMap> parts = {{"model", optimizer_.parameters()},
                                               {"optimizer", optimizer_.state()}};
  if (ranks_ != nullptr) parts["adalora"] = ranks_->state();
  if (average_) parts["average"] = average_->tensors();
  checkpoints_.save(state_, parts, options_.save_total_limit, good_until());
  return_freed_memory();
  last_save_ = std::chrono::steady_clock::now();
}

std::string TrainingRun::progress_note() const {
  const double elapsed = std::max(seconds() - seconds_before_, 1e-9);
  std::string note = fmt::format("loss={:.4g}, tok/s={}", last_loss_,
                                 format_count((state_.tokens - tokens_before_) / elapsed));
  if (state_.has_best)
    note += fmt::format(", best {}={:.4f}", options_.metric_for_best_model, state_.best_metric);
  return note;
}

TrainingResult TrainingRun::run() {
  resume();
  const StopSignals signals;
  std::optional<ProgressBar> bar;
  if (!state_.finished) bar.emplace(options_.label, state_.max_steps, state_.global_step);
  while (!state_.finished) {
    optimizer_step();
    const int64_t step = state_.global_step;
    if (step >= state_.max_steps) state_.finished = true;
    std::map<std::string, double> values;
    bool save_due =
        (options_.save_steps > 0 && step % options_.save_steps == 0) || saving_is_late();
    const bool eval_due = options_.eval_steps > 0 && step % options_.eval_steps == 0;
    if (evaluate_ && (eval_due || state_.finished)) save_due |= evaluate(values);
    if (step % options_.logging_steps == 0 || state_.finished) {
      collect_log(values);
      review(values);
    }
    if (!values.empty()) {
      metrics_->write(step, values);
      state_.log_history.push_back({step, std::move(values)});
    }
    if (save_due || state_.finished || signals.requested()) save();
    bar->update(step, progress_note());
    if (signals.requested() && !state_.finished) {
      bar.reset();
      fail(ExitCode::kResumable,
           "{}: stopped by a signal after step {} of {}; checkpoint: {}\nhint: repeat the same "
           "command to continue",
           options_.label, step, state_.max_steps, checkpoints_.path(step).string());
    }
  }
  finish();
  TrainingResult result;
  result.steps = state_.global_step;
  result.best_step = state_.best_step;
  if (state_.has_best) result.best_metric = state_.best_metric;
  result.tokens = state_.tokens;
  result.seconds = std::max(state_.seconds, 0.0);
  std::multimap<int64_t, std::string> by_step;
  for (const auto& [name, finding] : state_.findings) by_step.emplace(finding.step, finding.text);
  for (const auto& [step, text] : by_step)
    result.findings.push_back(fmt::format("step {}: {}", step, text));
  if (state_.rolled_back_to >= 0)
    result.findings.push_back(fmt::format("went back to step {}", state_.rolled_back_to));
  return result;
}

// The parameters of the best checkpoint, or of the one gone back to.
void TrainingRun::finish() {
  const bool went_back = state_.rolled_back_to >= 0;
  if (went_back || !state_.has_best)
    state_.best_step = went_back ? state_.rolled_back_to : state_.global_step;
  if (state_.best_step != state_.global_step) load(state_.best_step);
  if (average_) average_->exchange(optimizer_.parameters());
  if (ranks_ != nullptr) ranks_->prune();
}

}  // namespace

void add_part(at::Tensor part, bool is_last, const Backward& backward, LossOutput& output) {
  if (!is_last) {
    backward(part);
    part = part.detach();
  }
  output.loss = output.loss.defined() ? output.loss + part : part;
}

int64_t steps_per_epoch(int64_t num_rows, const TrainerOptions& options) {
  const int64_t rows = options.train_batch_size * options.gradient_accumulation_steps;
  return (num_rows + rows - 1) / rows;
}

int64_t planned_steps(int64_t num_rows, const TrainerOptions& options) {
  if (options.max_steps > 0) return options.max_steps;
  return static_cast<int64_t>(std::ceil(options.num_train_epochs *
                                        static_cast<double>(steps_per_epoch(num_rows, options))));
}

TrainingResult train(Objective& objective, const TrainerOptions& options, const fs::path& folder,
                     const EvaluateFn& evaluate, RankAllocator* ranks) {
  check_options(options);
  CHECK(objective.num_rows() > 0, kInput, "{}: expected a row to train on, found none",
        options.label);
  fs::create_directories(folder);
  const ExclusiveUse use(folder);
  return TrainingRun(objective, options, folder, evaluate, ranks).run();
}

}  // namespace etrlrec
