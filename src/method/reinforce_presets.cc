#include "method/reinforce_presets.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/check.h"

namespace etrlrec {
namespace {

struct AlgorithmPreset {
  const char* name;
  const char* loss_type;
  const char* advantage;
  const char* level = "token";
  double epsilon = 0.2, epsilon_high = 0.2;
  double beta = 0;
  const char* kl_estimator = "k3";
  bool dynamic_sampling = false;
};

// Shao et al. 2024, Liu et al. 2025, Yu et al. 2025, Zheng et al. 2025, Ahmadian et al. 2024,
// MiniMax-M1 2025, Liu et al. 2026.
constexpr AlgorithmPreset kAlgorithms[] = {
    {.name = "grpo", .loss_type = "grpo", .advantage = "group", .beta = 0.04},
    {.name = "dr-grpo", .loss_type = "dr_grpo", .advantage = "mean"},
    {.name = "dapo",
     .loss_type = "dapo",
     .advantage = "group",
     .epsilon_high = 0.28,
     .dynamic_sampling = true},
    {.name = "gspo",
     .loss_type = "grpo",
     .advantage = "group",
     .level = "sequence",
     .epsilon = 3e-4,
     .epsilon_high = 4e-4},
    {.name = "rloo", .loss_type = "sum", .advantage = "rloo", .beta = 0.05, .kl_estimator = "k2"},
    {.name = "cispo", .loss_type = "cispo", .advantage = "group", .epsilon = 1, .epsilon_high = 4},
    {.name = "gdpo", .loss_type = "dapo", .advantage = "gdpo"},
};

// Sets options that are not given, and keeps which.
class Setter {
 public:
  explicit Setter(const IsGiven& is_given) : is_given_(is_given) {}
  template <typename Field, typename Value>
  void set(const char* flag, Field& field, const Value& value) {
    if (is_given_(flag)) return;
    field = value;
    note(flag, value);
  }
  template <typename Value>
  void note(const char* flag, const Value& value) {
    settings_.emplace_back(flag, fmt::format("{}", value));
  }
  bool is_given(const char* flag) const { return is_given_(flag); }
  Settings result() { return std::move(settings_); }

 private:
  const IsGiven& is_given_;
  Settings settings_;
};

void set_algorithm(const AlgorithmPreset& preset, GrpoOptions& options, Setter& setter) {
  PolicyLossOptions& policy = options.policy;
  setter.set("--loss-type", policy.loss_type, preset.loss_type);
  setter.set("--advantage", options.advantage, preset.advantage);
  setter.set("--importance-sampling-level", policy.importance_sampling_level, preset.level);
  setter.set("--epsilon", policy.epsilon, preset.epsilon);
  setter.set("--epsilon-high", policy.epsilon_high, preset.epsilon_high);
  setter.set("--beta", policy.beta, preset.beta);
  if (policy.beta > 0) setter.set("--kl-estimator", policy.kl_estimator, preset.kl_estimator);
  if (preset.dynamic_sampling || options.dynamic_sampling)
    setter.set("--dynamic-sampling", options.dynamic_sampling, preset.dynamic_sampling);
}

const AlgorithmPreset& algorithm_preset(const std::string& name) {
  for (const AlgorithmPreset& preset : kAlgorithms)
    if (name == preset.name) return preset;
  fail(ExitCode::kUsage, "unknown algorithm \"{}\"; known: {}", name,
       fmt::join(algorithm_names(), ", "));
}

// The reward and its schedule (A.6): no gate, no partial credit, no term of our own.
void set_faithful_reward(ReinforceOptions& options, Setter& setter) {
  if (!setter.is_given("--reward-mode")) {
    const CrmReward given = options.reward.crm;
    set_reward_mode(options.reward, "faithful", "");
    if (setter.is_given("--crm-reward")) options.reward.crm = given;
    setter.note("--reward-mode", "faithful");
  }
  setter.set("--gate", options.reward.gate, "off");
  setter.set("--rank-credit", options.rank_credit, false);
  setter.set("--curriculum", options.curriculum.name, "C0");
  setter.set("--curriculum-step", options.curriculum.switch_step, int64_t{50});
  setter.set("--rb", options.grpo.exact_answer_expectation, false);
  setter.set("--lambda-format", options.grpo.lambda_format, 0.0);
  if (!options.judge.is_asked()) return;
  setter.set("--judge-reveal", options.judge.reveal, true);
  setter.set("--judge-facts", options.judge.fact_sheet, false);
}

// 30 x 30 completions are 28 groups of 32.
void set_faithful_training(ReinforceOptions& options, Setter& setter) {
  GrpoOptions& grpo = options.grpo;
  setter.set("--num-generations", grpo.num_generations, int64_t{32});
  setter.set("--temperature", grpo.temperature, 0.7);
  setter.set("--top-p", grpo.top_p, 0.85);
  TrainerOptions& trainer = options.trainer;
  setter.set("--learning-rate", trainer.learning_rate, 5e-6);
  setter.set("--lr-scheduler-type", trainer.lr_scheduler_type, "linear");
  setter.set("--warmup-ratio", trainer.warmup_ratio, 0.0);
  setter.set("--weight-decay", trainer.weight_decay, 1e-4);
  setter.set("--per-device-train-batch-size", trainer.train_batch_size, int64_t{1});
  setter.set("--gradient-accumulation-steps", trainer.gradient_accumulation_steps, int64_t{28});
  if (!setter.is_given("--max-steps"))
    setter.set("--num-train-epochs", trainer.num_train_epochs, 1.0);
}

}  // namespace

std::vector<std::string> algorithm_names() {
  std::vector<std::string> names;
  for (const AlgorithmPreset& preset : kAlgorithms) names.emplace_back(preset.name);
  return names;
}

Settings apply_algorithm(const std::string& name, const IsGiven& is_given,
                         ReinforceOptions& options) {
  Setter setter(is_given);
  set_algorithm(algorithm_preset(name), options.grpo, setter);
  return setter.result();
}

Settings apply_method(const std::string& name, const IsGiven& is_given, ReinforceOptions& options) {
  if (name == "ours") return {};
  CHECK(name == "faithful", kUsage, "unknown method \"{}\"; known: ours, faithful", name);
  Setter setter(is_given);
  set_faithful_reward(options, setter);
  AlgorithmPreset grpo = algorithm_preset("grpo");
  grpo.loss_type = "bnpo";  // what the trainer it used takes where nothing is said
  set_algorithm(grpo, options.grpo, setter);
  setter.set("--std-floor", options.grpo.std_floor, 0.0);
  set_faithful_training(options, setter);
  return setter.result();
}

std::string format_settings(const Settings& settings) {
  std::string text;
  for (const auto& [flag, value] : settings) {
    if (!text.empty()) text += ' ';
    if (value == "false")
      text += "--no-" + flag.substr(2);
    else
      text += value == "true" ? flag : flag + " " + value;
  }
  return text;
}

}  // namespace etrlrec
