#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <thread>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "train/checkpoint.h"
#include "train/trainer.h"

extern char** environ;

namespace etrlrec {
namespace {

// Least squares with noisy inputs: a loss that depends on rows, step and random stream, so that any
// mistake of a resumed run shows in the bits.
class NoisyRegression : public Objective {
 public:
  NoisyRegression() {
    parameters_["weight"] = at::zeros({4, 3}).requires_grad_();
    parameters_["bias"] = at::zeros({3}).requires_grad_();
    parameters_["frozen"] = at::ones({2});
  }
  int64_t num_rows() const override { return 37; }
  ParameterMap& parameters() override { return parameters_; }
  void begin_epoch(int64_t epoch) override { epoch_ = epoch; }
  LossOutput loss(std::span<const int64_t> rows, int64_t step, Rng& rng) override {
    if (pause_us > 0) ::usleep(static_cast<useconds_t>(pause_us));
    if (step == fail_at) throw std::runtime_error("power cut");
    if (step == signal_at) {
      signal_at = -1;  // a second signal would kill
      ::raise(SIGTERM);
    }
    const auto count = static_cast<int64_t>(rows.size());
    at::Tensor inputs = at::empty({count, 4}), targets = at::empty({count, 3});
    for (int64_t r = 0; r < count; ++r) {
      for (int64_t c = 0; c < 4; ++c)
        inputs[r][c] =
            std::sin(rows[r] + c + 0.1 * static_cast<double>(epoch_)) + 0.1 * rng.normal();
      for (int64_t c = 0; c < 3; ++c) targets[r][c] = std::cos(rows[r] * (c + 1));
    }
    at::Tensor error = at::addmm(parameters_["bias"], inputs, parameters_["weight"]) - targets;
    LossOutput output{error.square().mean(), count, {{"rows", static_cast<double>(count)}}};
    if (step == nan_at) output.loss = output.loss * std::numeric_limits<double>::quiet_NaN();
    return output;
  }

  Numerics numerics() const override { return {arithmetic}; }

  int64_t fail_at = -1, signal_at = -1, nan_at = -1, pause_us = 0;
  Arithmetic arithmetic = Arithmetic::kFloat;

 private:
  ParameterMap parameters_;
  int64_t epoch_ = -1;
};

TrainerOptions small_options() {
  TrainerOptions options;
  options.learning_rate = 0.05;
  options.train_batch_size = 4;
  options.gradient_accumulation_steps = 2;
  options.num_train_epochs = 6;  // 5 steps each, the last one of an epoch is partial
  options.logging_steps = 4;
  options.eval_steps = 7;
  options.save_steps = 3;
  options.metric_for_best_model = "score";
  options.seed = 7;
  return options;
}

std::map<std::string, double> validation(int64_t step) {
  return {{"score", step == 14 ? 2.0 : 1.0 / static_cast<double>(step)}};
}

class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::string& name)
      : path_(fs::temp_directory_path() / fmt::format("etrlrec-{}-{}", name, ::getpid())) {
    fs::remove_all(path_);
  }
  ~TemporaryFolder() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::string model_bytes(const fs::path& folder, int64_t step) {
  return read_file(CheckpointFolder(folder).path(step) / "model.safetensors") +
         read_file(CheckpointFolder(folder).path(step) / "optimizer.safetensors");
}

void expect_same_run(const fs::path& first, const fs::path& second) {
  ASSERT_EQ(CheckpointFolder(first).steps(), CheckpointFolder(second).steps());
  for (int64_t step : CheckpointFolder(first).steps())
    EXPECT_EQ(model_bytes(first, step), model_bytes(second, step)) << "checkpoint " << step;
  EXPECT_EQ(read_file(first / "metrics.jsonl"), read_file(second / "metrics.jsonl"));
}

TEST(Trainer, continues_after_a_failure_with_the_same_bits) {
  const TemporaryFolder whole("whole"), parts("parts");
  NoisyRegression uninterrupted, interrupted, resumed;
  train(uninterrupted, small_options(), whole.path(), validation);
  interrupted.fail_at = 17;
  EXPECT_THROW(train(interrupted, small_options(), parts.path(), validation), std::runtime_error);
  const TrainingResult result = train(resumed, small_options(), parts.path(), validation);
  EXPECT_EQ(result.steps, 30);
  expect_same_run(whole.path(), parts.path());
  EXPECT_TRUE(at::equal(uninterrupted.parameters()["weight"], resumed.parameters()["weight"]));
}

TEST(Trainer, saves_by_the_clock_without_changing_a_bit) {
  const TemporaryFolder rare("rare"), often("often");
  NoisyRegression first, second;
  TrainerOptions options = small_options();
  options.save_steps = options.eval_steps = 0;
  options.save_total_limit = 100;
  options.save_seconds = 0;
  train(first, options, rare.path(), validation);
  EXPECT_EQ(CheckpointFolder(rare.path()).steps(), (std::vector<int64_t>{30}));
  options.save_seconds = 1e-9;
  train(second, options, often.path(), validation);
  EXPECT_EQ(CheckpointFolder(often.path()).steps().size(), 30u);
  EXPECT_EQ(model_bytes(rare.path(), 30), model_bytes(often.path(), 30));
  EXPECT_EQ(read_file(rare.path() / "metrics.jsonl"), read_file(often.path() / "metrics.jsonl"));
  options.save_seconds = -1;
  EXPECT_THROW(train(second, options, often.path(), validation), Error);
}

TEST(Trainer, ends_with_the_best_checkpoint_and_keeps_it) {
  const TemporaryFolder folder("best");
  NoisyRegression objective;
  const TrainingResult result = train(objective, small_options(), folder.path(), validation);
  EXPECT_EQ(result.best_step, 14);
  EXPECT_EQ(result.best_metric, 2.0);
  EXPECT_EQ(CheckpointFolder(folder.path()).steps(), (std::vector<int64_t>{14, 30}));
  ParameterMap saved{{"bias", at::zeros({3})}, {"weight", at::zeros({4, 3})}};
  CheckpointFolder(folder.path()).load_parameters(14, saved);
  EXPECT_TRUE(at::equal(objective.parameters()["weight"], saved["weight"]));
}

TEST(Trainer, does_nothing_when_the_folder_is_finished) {
  const TemporaryFolder folder("finished");
  NoisyRegression first, second;
  train(first, small_options(), folder.path(), validation);
  second.fail_at = 0;
  EXPECT_EQ(train(second, small_options(), folder.path(), validation).best_step, 14);
  EXPECT_TRUE(at::equal(first.parameters()["weight"], second.parameters()["weight"]));
}

TEST(Trainer, stops_early_without_a_better_metric) {
  const TemporaryFolder folder("early");
  NoisyRegression objective;
  TrainerOptions options = small_options();
  options.eval_steps = 2;
  options.early_stopping_patience = 3;
  const TrainingResult result = train(objective, options, folder.path(), validation);
  EXPECT_EQ(result.best_step, 2);
  EXPECT_EQ(result.steps, 8);
}

TEST(Trainer, saves_and_says_how_to_continue_when_signalled) {
  const TemporaryFolder whole("unsignalled"), parts("signalled");
  NoisyRegression uninterrupted, signalled, resumed;
  train(uninterrupted, small_options(), whole.path(), validation);
  signalled.signal_at = 10;
  try {
    train(signalled, small_options(), parts.path(), validation);
    FAIL() << "expected an Error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kResumable);
    EXPECT_NE(std::string(error.what()).find("checkpoint-11"), std::string::npos);
  }
  train(resumed, small_options(), parts.path(), validation);
  EXPECT_EQ(read_file(whole.path() / "metrics.jsonl"), read_file(parts.path() / "metrics.jsonl"));
  EXPECT_EQ(model_bytes(whole.path(), 30), model_bytes(parts.path(), 30));
}

TEST(Trainer, stops_at_a_loss_that_is_no_number_and_names_the_rows) {
  const TemporaryFolder folder("nan");
  NoisyRegression objective;
  objective.nan_at = 5;
  try {
    train(objective, small_options(), folder.path());
    FAIL() << "expected an Error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kNumbers);
  }
  EXPECT_EQ(read_json(folder.path() / "nonfinite.json")["rows"].size(), 4U);
  EXPECT_NE(read_file(folder.path() / "metrics.jsonl").find("\"step\":6"), std::string::npos);
}

TEST(Trainer, refuses_to_continue_with_other_options) {
  const TemporaryFolder folder("options");
  NoisyRegression first, second;
  TrainerOptions options = small_options();
  train(first, options, folder.path(), validation);
  options.learning_rate = 0.06;
  try {
    train(second, options, folder.path(), validation);
    FAIL() << "expected an Error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    EXPECT_NE(std::string(error.what()).find("learning_rate was 0.05, is 0.06"), std::string::npos);
  }
}

TEST(Trainer, refuses_to_continue_in_another_arithmetic) {
  const TemporaryFolder folder("arithmetic");
  NoisyRegression first, second, third;
  train(first, small_options(), folder.path(), validation);
  second.arithmetic = third.arithmetic = Arithmetic::kReference;
  try {
    train(second, small_options(), folder.path(), validation);
    FAIL() << "expected an Error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    EXPECT_NE(std::string(error.what()).find("arithmetic was float32, is reference"),
              std::string::npos);
  }
  // A checkpoint of an older version does not say it and still continues.
  const fs::path state = CheckpointFolder(folder.path()).path(30) / "trainer_state.json";
  OrderedJson older = OrderedJson::parse(read_file(state));
  ASSERT_EQ(older["options"].erase("arithmetic"), 1u);
  write_json_atomic(state, older);
  EXPECT_EQ(train(third, small_options(), folder.path(), validation).steps, 30);
}

TEST(Trainer, refuses_a_damaged_checkpoint) {
  const TemporaryFolder folder("damaged");
  NoisyRegression first, second;
  train(first, small_options(), folder.path(), validation);
  write_file_atomic(CheckpointFolder(folder.path()).path(30) / "trainer_state.json", "{}");
  EXPECT_THROW(train(second, small_options(), folder.path(), validation), Error);
}

TrainerOptions averaging_options() {
  TrainerOptions options = small_options();
  options.ema_decay = 0.8;
  return options;
}

// The slow twin: all weights kept, their weighted mean taken anew at every step.
TEST(WeightAverage, is_the_weighted_mean_of_the_weights_after_all_steps) {
  const TemporaryFolder plain_folder("plain"), averaged_folder("averaged");
  NoisyRegression plain, averaged;
  TrainerOptions options = small_options();
  options.eval_steps = 1;
  std::vector<at::Tensor> weights, averages;
  const auto record = [](NoisyRegression& objective, std::vector<at::Tensor>& into) {
    return [&](int64_t step) {
      into.push_back(objective.parameters()["weight"].detach().clone());
      return validation(step);
    };
  };
  train(plain, options, plain_folder.path(), record(plain, weights));
  options.ema_decay = 0.8;
  train(averaged, options, averaged_folder.path(), record(averaged, averages));
  ASSERT_EQ(weights.size(), 30u);
  ASSERT_EQ(averages.size(), 30u);
  for (size_t t = 0; t < weights.size(); ++t) {
    at::Tensor sum = at::zeros({4, 3}, at::kDouble);
    double total = 0;
    for (size_t i = 0; i <= t; ++i) {
      const double share = std::pow(0.8, static_cast<double>(t - i));
      sum += share * weights[i];
      total += share;
    }
    EXPECT_LT((sum / total - averages[t]).abs().max().item<double>(), 1e-5) << t;
  }
  // The optimiser has not seen the averages: both runs keep the same weights.
  EXPECT_EQ(model_bytes(plain_folder.path(), 30), model_bytes(averaged_folder.path(), 30));
  EXPECT_TRUE(at::equal(averaged.parameters()["weight"], averages[13]));  // of the best step, 14
}

TEST(WeightAverage, is_part_of_checkpoints_and_continues_with_the_same_bits) {
  const TemporaryFolder whole("whole"), parts("parts");
  NoisyRegression uninterrupted, interrupted, resumed, again;
  train(uninterrupted, averaging_options(), whole.path(), validation);
  for (const int64_t step : {8, 17, 25}) {
    interrupted.fail_at = step;
    EXPECT_THROW(train(interrupted, averaging_options(), parts.path(), validation),
                 std::runtime_error);
  }
  train(resumed, averaging_options(), parts.path(), validation);
  expect_same_run(whole.path(), parts.path());
  for (const int64_t step : CheckpointFolder(whole.path()).steps())
    EXPECT_EQ(read_file(CheckpointFolder(whole.path()).part(step, "average")),
              read_file(CheckpointFolder(parts.path()).part(step, "average")));
  EXPECT_TRUE(at::equal(uninterrupted.parameters()["weight"], resumed.parameters()["weight"]));
  train(again, averaging_options(), whole.path(), validation);  // finished before
  EXPECT_TRUE(at::equal(again.parameters()["weight"], resumed.parameters()["weight"]));
}

TEST(WeightAverage, is_the_result_without_validation) {
  const TemporaryFolder folder("last");
  NoisyRegression objective;
  train(objective, averaging_options(), folder.path());
  ParameterMap raw{{"bias", at::zeros({3})}, {"weight", at::zeros({4, 3})}};
  CheckpointFolder(folder.path()).load_parameters(30, raw);
  EXPECT_FALSE(at::equal(objective.parameters()["weight"], raw["weight"]));
}

TEST(WeightAverage, refuses_other_decays_on_the_way_and_impossible_ones) {
  const TemporaryFolder folder("decays");
  NoisyRegression objective;
  train(objective, averaging_options(), folder.path(), validation);
  TrainerOptions options = averaging_options();
  for (const double decay : {0.9, 0.0}) {
    options.ema_decay = decay;
    EXPECT_THROW(train(objective, options, folder.path(), validation), Error) << decay;
  }
  const TemporaryFolder other("impossible");
  for (const double decay : {-0.1, 1.0}) {
    options.ema_decay = decay;
    EXPECT_THROW(train(objective, options, other.path(), validation), Error) << decay;
  }
}

TEST(Trainer, leaves_frozen_tensors_alone_and_out_of_checkpoints) {
  const TemporaryFolder folder("frozen");
  NoisyRegression objective;
  train(objective, small_options(), folder.path());
  EXPECT_TRUE(at::equal(objective.parameters()["frozen"], at::ones({2})));
  EXPECT_EQ(model_bytes(folder.path(), 30).find("frozen"), std::string::npos);
}

constexpr const char* kChildFolder = "ETRLREC_TEST_TRAINING_FOLDER";

// Body of the child process of the next test.
TEST(TrainerChild, trains_slowly_where_it_is_told) {
  const char* folder = std::getenv(kChildFolder);
  if (folder == nullptr) GTEST_SKIP() << "only runs as a child of another test";
  NoisyRegression objective;
  objective.pause_us = 1000;
  train(objective, small_options(), folder, validation);
}

pid_t spawn_child(const fs::path& folder) {
  std::string filter = "--gtest_filter=TrainerChild.*", program = "/proc/self/exe";
  char* arguments[] = {program.data(), filter.data(), nullptr};
  ::setenv(kChildFolder, folder.c_str(), 1);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  pid_t child = -1;
  EXPECT_EQ(::posix_spawn(&child, program.c_str(), &actions, nullptr, arguments, environ), 0);
  ::posix_spawn_file_actions_destroy(&actions);
  ::unsetenv(kChildFolder);
  return child;
}

int64_t newest(const fs::path& folder) {
  const std::vector<int64_t> steps = CheckpointFolder(folder).steps();
  return steps.empty() ? 0 : steps.back();
}

TEST(Trainer, survives_kills_at_random_moments_with_the_same_bits) {
  const TemporaryFolder whole("unkilled"), killed("killed");
  NoisyRegression uninterrupted, resumed;
  train(uninterrupted, small_options(), whole.path(), validation);
  Rng rng(3, "kill");
  int kills = 0;
  for (int round = 0; round < 3; ++round) {
    const int64_t before = newest(killed.path());
    const pid_t child = spawn_child(killed.path());
    int status = 0;
    pid_t ended = 0;
    while (ended == 0 && newest(killed.path()) == before) {  // one checkpoint further, then die
      ended = ::waitpid(child, &status, WNOHANG);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(rng.below(15000)));
    if (ended == 0) {
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
      kills += WIFSIGNALED(status) ? 1 : 0;
    }
  }
  EXPECT_GT(kills, 0);
  train(resumed, small_options(), killed.path(), validation);
  EXPECT_EQ(read_file(whole.path() / "metrics.jsonl"), read_file(killed.path() / "metrics.jsonl"));
  EXPECT_EQ(model_bytes(whole.path(), 30), model_bytes(killed.path(), 30));
  EXPECT_EQ(model_bytes(whole.path(), 14), model_bytes(killed.path(), 14));
}

}  // namespace
}  // namespace etrlrec
