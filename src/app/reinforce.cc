// etrlrec reinforce: options of stage 3 and what it prints.
#include "method/reinforce.h"

#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "app/endpoint_options.h"
#include "app/training_options.h"
#include "base/check.h"
#include "temporal/guidance.h"

namespace etrlrec {
namespace {

void add_reward_options(Command& command, ReinforceOptions& options, std::string& mode,
                        std::string& crm, int64_t& check_prompts) {
  const std::string group = "Reward";
  command.add_option("--reward-mode", mode, "verified: format gate and dominance of the label")
      .one_of({"faithful", "verified"})
      .group(group);
  command.add_option("--crm-reward", crm, "the recommender's term; default by the mode")
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
      .add_flag("--rank-credit,!--no-rank-credit", options.rank_credit,
                "misses are credited by the target's rank, too")
      .group(group);
  command
      .add_option("--length-limit", options.length_limit,
                  "tokens of a completion with the full length penalty, 0: its budget")
      .group(group);
  command.add_option("--check-rewards", check_prompts, "only roll out and score that many prompts")
      .group(group);
}

void add_judge_options(Command& command, ReinforceOptions& options, const std::string& mode,
                       std::string& facts, EndpointCommand& endpoint) {
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
      .only_with("--judge and --reward-mode verified",
                 [&] { return options.judge.is_asked() && mode == "verified"; });
  auto domains = guidance_domains();
  domains.insert(domains.begin(), "auto");
  add("--judge-domain", judge.domain,
      "whose words the question has; auto: by titles and attributes")
      .one_of(domains);
  add("--judge-facts", facts, "on: the question lists facts that were counted in the data")
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
                       judge.endpoint, endpoint, judge.parameters);
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
      .one_of({"grpo", "dapo", "bnpo", "dr_grpo", "sum"});
  add("--importance-sampling-level", options.policy.importance_sampling_level, "of the ratio")
      .one_of({"token", "sequence"});
  add("--advantage", options.advantage, "normalisation of rewards in a group")
      .one_of({"group", "batch", "mean", "rloo"});
  add("--std-floor", options.std_floor, "least standard deviation of group and batch")
      .only_with("--advantage group or batch", [&options] {
        return options.advantage == "group" || options.advantage == "batch";
      });
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
  auto mode = std::make_shared<std::string>("verified"), crm = std::make_shared<std::string>();
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
  auto sft_share = std::make_shared<std::vector<double>>();
  command
      .add_option("--sft-share", *sft_share,
                  "only for a model folder that does not say which rows it was distilled on: their "
                  "share; --seed is then the seed of distill")
      .range(0.0, 1.0)
      .count(1, 1);
  command.add_option("--limit", options->limit, "prompts, drawn by the seed; 0: all");
  command.add_option("--eval-rows", options->eval_rows, "validation rows, 0: no validation");
  command.add_option("--samples", options->samples, "completions kept of every logged step");
  auto check_prompts = std::make_shared<int64_t>(0);
  add_reward_options(command, *options, *mode, *crm, *check_prompts);
  auto facts = std::make_shared<std::string>("on");
  auto endpoint = std::make_shared<EndpointCommand>();
  add_judge_options(command, *options, *mode, *facts, *endpoint);
  add_policy_options(command, options->grpo);
  add_training_options(command, options->trainer, options->eval_rows);
  add_init_prompt(command, options->init_prompt);
  add_adapter_options(command, *adapter);
  add_dtype(command, options->dtype);
  auto dry_run = std::make_shared<bool>(false);
  add_dry_run(command, *dry_run);
  command.on_run([=, &common] {
    const Stopwatch watch;
    options->trainer.seed = common.seed;
    options->numerics = common.numerics();
    options->lora = adapter->config();
    options->prompt_tuning = adapter->prompt();
    if (!sft_share->empty()) options->sft_share = sft_share->front();
    check_trainable(options->dtype, *adapter);
    CHECK(*dry_run || *check_prompts > 0 || !options->out.empty(), kUsage, "--out is required");
    set_reward_mode(options->reward, *mode, *crm);
    JudgeOptions& judge = options->judge;
    judge.fact_sheet = *facts == "on";
    if (judge.kind == "endpoint")
      judge.endpoint.api_key = read_api_key(endpoint->api_key_file, endpoint->api_key_env);
    ReinforceSetup stage = setup(*options);
    if (*dry_run) {
      report_estimate(plan(stage), "reinforce", common);
      return;
    }
    if (*check_prompts > 0) {
      fmt::print("{}", format_check(check_rewards(std::move(stage), *check_prompts)));
      return;
    }
    carry_out(std::move(stage), command, common, watch);
  });
}

}  // namespace etrlrec
