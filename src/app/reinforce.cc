// etrlrec reinforce: options of stage 3 and what it prints.
#include "method/reinforce.h"

#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "app/endpoint_options.h"
#include "app/training_options.h"
#include "base/check.h"
#include "base/log.h"
#include "method/reinforce_presets.h"
#include "temporal/guidance.h"

namespace etrlrec {
namespace {

// Values that are not in ReinforceOptions as they are given.
struct GivenWords {
  std::string method = "ours", algorithm, reward_mode = "verified", crm_reward;
  int64_t check_prompts = 0;
  bool dry_run = false;
  std::vector<double> sft_share;
  std::string judge_facts = "on";
  EndpointCommand endpoint;  // of a judge
};

void add_method_options(Command& command, GivenWords& given) {
  const auto nothing = [](const std::string&) { return false; };
  ReinforceOptions unused;
  command
      .add_option("--method", given.method,
                  "faithful: ETRLRec as it is described, i.e. " +
                      format_settings(apply_method("faithful", nothing, unused)) +
                      "; options that are given win")
      .one_of({"ours", "faithful"});
  command
      .add_option("--algorithm", given.algorithm,
                  "sets loss, ratio, clipping, advantage and divergence; options that are given "
                  "win (docs/method.md, D)")
      .one_of(algorithm_names());
}

// What --method and then --algorithm set beside the options that are given.
Settings apply_presets(const IsGiven& is_given, const GivenWords& given,
                       ReinforceOptions& options) {
  set_reward_mode(options.reward, given.reward_mode, given.crm_reward);
  options.judge.fact_sheet = given.judge_facts == "on";
  Settings settings = apply_method(given.method, is_given, options);
  if (given.algorithm.empty()) return settings;
  for (const auto& setting : apply_algorithm(given.algorithm, is_given, options)) {
    std::erase_if(settings, [&](const auto& other) { return other.first == setting.first; });
    settings.push_back(setting);
  }
  return settings;
}

void add_reward_options(Command& command, ReinforceOptions& options, GivenWords& given) {
  const std::string group = "Reward";
  command
      .add_option("--reward-mode", given.reward_mode,
                  "verified: format gate and dominance of the label")
      .one_of({"faithful", "verified"})
      .group(group);
  command
      .add_option("--crm-reward", given.crm_reward, "the recommender's term; default by the mode")
      .one_of({"faithful", "calibrated", "percentile"})
      .group(group)
      .only_with("--recommender", [&options] { return !options.recommender.empty(); });
  command
      .add_option("--reward-weights", options.reward_weights,
                  "reasoning,recommender,label instead of a curriculum")
      .separated_by(',')
      .count(3, 3)
      .group(group);
  command.add_option("--curriculum", options.curriculum.name, "weights by optimiser step")
      .one_of({"C0", "C1", "C2", "C3", "C4"})
      .group(group)
      .only_with("a curriculum, not with --reward-weights",
                 [&options] { return options.reward_weights.empty(); });
  command.add_option("--curriculum-step", options.curriculum.switch_step, "C0, C2: first switch")
      .group(group)
      .only_with("--curriculum C0 or C2", [&options] {
        const std::string& name = options.curriculum.name;
        return options.reward_weights.empty() && (name == "C0" || name == "C2");
      });
  command.add_option("--gate", options.reward.gate, "dominance of right answers")
      .one_of({"on", "off", "reasoning-only"})
      .group(group);
  command.add_option("--eta", options.reward.eta, "partial credit of a near miss")
      .range(0.0, 0.99)
      .group(group);
  command
      .add_option("--usefulness-share", options.reward.usefulness_share,
                  "of the label's term: how much likelier the reasoning makes the target to the "
                  "model before its first step; 0: not asked")
      .range(0.0, 0.99)
      .group(group)
      .only_with("--reward-mode verified",
                 [&options] { return options.reward.mode == RewardMode::kVerified; });
  command
      .add_flag("--rank-credit,!--no-rank-credit", options.rank_credit,
                "misses are credited by the target's rank, too")
      .group(group);
  command
      .add_option("--length-limit", options.length_limit,
                  "tokens of a completion with the full length penalty, 0: its budget")
      .group(group);
  command
      .add_option("--length-buffer", options.length_buffer,
                  "tokens before that limit in which the penalty grows, 0: a quarter of it")
      .group(group);
  command
      .add_option("--check-rewards", given.check_prompts,
                  "only roll out and score that many prompts")
      .group(group);
}

void add_judge_options(Command& command, ReinforceOptions& options, GivenWords& given) {
  JudgeOptions& judge = options.judge;
  const std::string group = "Judge";
  const auto asked = [&judge] { return judge.is_asked(); };
  const auto add = [&](const char* name, auto& value, const char* text) {
    return command.add_option(name, value, text).group(group).only_with("--judge", asked);
  };
  command
      .add_option(
          "--judge", judge.kind,
          "a language model scores each reasoning, too: behind an endpoint, or of a folder; "
          "it does not see the target; where it says nothing in time, the other terms count")
      .one_of({"endpoint", "local"})
      .group(group);
  add("--judge-model", judge.model, "endpoint: its name there; local: its folder");
  add("--judge-dtype", judge.dtype, "local: of the weights")
      .one_of({"float32", "bfloat16", "int8"});
  add("--judge-share", options.reward.judge_share,
      "of its score beside the verified claims, which it exceeds by 0.3 at most; in faithful mode "
      "its score alone counts")
      .range(0.0, 1.0)
      .only_with("--judge and --reward-mode verified", [&options] {
        return options.judge.is_asked() && options.reward.mode == RewardMode::kVerified;
      });
  auto domains = guidance_domains();
  domains.insert(domains.begin(), "auto");
  add("--judge-domain", judge.domain,
      "whose words the question has; auto: by titles and attributes")
      .one_of(domains);
  add("--judge-facts", given.judge_facts,
      "on: the question lists facts that were counted in the data")
      .one_of({"on", "off"});
  command
      .add_flag("--judge-reveal", judge.reveal,
                "show it the target, the answer and the recommender's scores, as ETRLRec does")
      .group(group)
      .only_with("--judge", asked);
  const auto by_endpoint = [&judge] { return judge.kind == "endpoint"; };
  command
      .add_option("--judge-calls", judge.calls,
                  "file that keeps what it said, default OUT/judge_calls.jsonl")
      .group(group)
      .only_with("--judge endpoint", by_endpoint);
  add_endpoint_options(command,
                       {"Judge endpoint", "--judge endpoint", "--judge-parameter", by_endpoint},
                       judge.endpoint, given.endpoint, judge.parameters);
}

void add_policy_options(Command& command, GrpoOptions& options) {
  const std::string group = "Policy";
  const auto add = [&](const char* names, auto& value, const char* text) {
    return command.add_option(names, value, text).group(group);
  };
  add("--num-generations,--group-size", options.num_generations, "completions per prompt");
  add("--temperature", options.temperature, "of the rollouts");
  add("--top-p", options.top_p, "of the rollouts");
  add("--beta,--kl-coef", options.policy.beta, "weight of the divergence from the distilled model");
  add("--kl-estimator", options.policy.kl_estimator, "differentiated as a loss")
      .one_of({"k2", "k3"})
      .only_with("--beta above 0", [&options] { return options.policy.beta > 0; });
  add("--epsilon,--clip-eps", options.policy.epsilon, "clipping of the ratio, below");
  add("--epsilon-high", options.policy.epsilon_high, "clipping of the ratio, above");
  add("--loss-type", options.policy.loss_type, "how tokens are averaged")
      .one_of({"grpo", "dapo", "bnpo", "dr_grpo", "sum", "cispo"});
  add("--importance-sampling-level", options.policy.importance_sampling_level, "of the ratio")
      .one_of({"token", "sequence"});
  add("--advantage", options.advantage, "normalisation of rewards in a group")
      .one_of({"group", "batch", "mean", "rloo", "gdpo"});
  add("--std-floor", options.std_floor, "least standard deviation of group, batch and gdpo")
      .only_with("--advantage group, batch or gdpo",
                 [&options] { return options.advantage != "mean" && options.advantage != "rloo"; });
  command
      .add_flag("--dynamic-sampling,!--no-dynamic-sampling", options.dynamic_sampling,
                "drop prompts whose completions earn the same, refill up to 1.5 times")
      .group(group);
  command
      .add_flag("--exact-answer-expectation,--rb,!--no-rb", options.exact_answer_expectation,
                "exact expectation over the answers")
      .group(group);
  add("--lambda-ce", options.lambda_ce, "with --rb: weight of the target's log-likelihood")
      .only_with("--rb", [&options] { return options.exact_answer_expectation; });
  add("--lambda-format", options.lambda_format,
      "weight of the likelihood of a valid answer and the closing tags");
  add("--pass-at-k", options.pass_at_k, "without --rb: pass@k bonus, 0: off")
      .only_with("--no-rb", [&options] { return !options.exact_answer_expectation; });
  command
      .add_flag("--mask-truncated-completions", options.mask_truncated_completions,
                "completions closed by force carry no loss")
      .group(group);
}

}  // namespace

void add_reinforce(CommandLine& app, CommonOptions& common) {
  Command command = app.add_command("reinforce", "GRPO with the composed reward");
  command.example(
      "reinforce --data shop --reasoning shop-reasoning --model shop-student --recommender "
      "shop-early/sasrec --out shop-policy");
  command.alias("grpo").alias("rl");
  auto options = std::make_shared<ReinforceOptions>();
  auto adapter = std::make_shared<AdapterOptions>();
  auto given = std::make_shared<GivenWords>();
  auto settings = std::make_shared<Settings>();
  command.add_option("-d,--data", options->data, "data set folder").required().existing_folder();
  command.add_option("-m,--model", options->model, "model folder of distill")
      .required()
      .existing_folder();
  command.add_option(
      "--recommender", options->recommender,
      "folder of fit --train-share; only prompts after its training are used; without "
      "it the recommender's weight is 0; a model with --knowledge pattern shows its patterns");
  command.add_option(
      "--embeddings", options->embeddings,
      "folder of embed: near misses are items with titles like the target's; without "
      "it, items with its attributes");
  command.add_option("--reasoning", options->reasoning,
                     "folder of construct (claim weights); without it every claim weighs one bit");
  command.add_option("-o,--out", options->out,
                     "model folder to fill; an unfinished one is continued");
  command
      .add_option("--sft-share", given->sft_share,
                  "only for a model folder that does not say which rows it was distilled on: their "
                  "share; --seed is then the seed of distill")
      .range(0.0, 1.0)
      .count(1, 1);
  command.add_option("--limit", options->limit, "prompts, drawn by the seed; 0: all");
  command.add_option("--eval-rows", options->eval_rows, "validation rows, 0: no validation");
  command
      .add_option("--min-valid", options->min_valid,
                  "least share of valid completions of the model before it is trained, 0: any")
      .range(0.0, 1.0);
  command.add_flag("--stop-on-collapse,!--no-stop-on-collapse", options->trainer.stop_on_collapse,
                   "go back to a good checkpoint and end where the policy collapses");
  command.add_option("--samples", options->samples, "completions kept of every logged step");
  add_method_options(command, *given);
  add_reward_options(command, *options, *given);
  add_judge_options(command, *options, *given);
  add_policy_options(command, options->grpo);
  add_training_options(command, options->trainer, options->eval_rows);
  add_init_prompt(command, options->init_prompt);
  add_adapter_options(command, *adapter);
  add_dtype(command, options->dtype);
  add_dry_run(command, given->dry_run);
  command.before_conditions(
      [=](const IsGiven& is_given) { *settings = apply_presets(is_given, *given, *options); });
  command.on_run([=, &common] {
    const Stopwatch watch;
    options->trainer.seed = common.seed;
    options->numerics = common.numerics();
    options->lora = adapter->config();
    options->prompt_tuning = adapter->prompt();
    if (!given->sft_share.empty()) options->sft_share = given->sft_share.front();
    check_trainable(options->dtype, *adapter);
    CHECK(given->dry_run || given->check_prompts > 0 || !options->out.empty(), kUsage,
          "--out is required");
    if (!settings->empty()) log_info("reinforce: preset {}", format_settings(*settings));
    if (options->judge.kind == "endpoint")
      options->judge.endpoint.api_key =
          read_api_key(given->endpoint.api_key_file, given->endpoint.api_key_env);
    ReinforceSetup stage = setup(*options);
    if (given->dry_run) {
      report_estimate(plan(stage), "reinforce", common);
      return;
    }
    if (given->check_prompts > 0) {
      fmt::print("{}", format_check(check_rewards(std::move(stage), given->check_prompts)));
      return;
    }
    carry_out(std::move(stage), command, common, watch, {*settings, {}});
  });
}

}  // namespace etrlrec
