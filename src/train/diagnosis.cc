#include "train/diagnosis.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <string>

namespace etrlrec {
namespace {

constexpr size_t kTrendLogs = 9;  // three windows: what came before, between and last

std::optional<double> value_of_log(const LogEntry& log, const std::string& name) {
  const auto found = log.values.find("train/" + name);
  return found == log.values.end() ? std::nullopt : std::optional(found->second);
}

std::optional<double> mean_of_logs(std::span<const LogEntry> logs, const std::string& name) {
  double sum = 0;
  for (const LogEntry& log : logs) {
    const auto value = value_of_log(log, name);
    if (!value) return std::nullopt;
    sum += *value;
  }
  return logs.empty() ? std::nullopt : std::optional(sum / static_cast<double>(logs.size()));
}

std::string percent_of(double share) { return fmt::format("{:.0f} %", 100 * share); }

// One number that is too high or too low.
struct Symptom {
  const char* name;
  const char* metric;
  double least, most;  // a symptom: inside
  const char* needs;   // "": always; "reasoning"; "differs": completions can earn differently
  std::string (*text)(double value, const DiagnosisContext& context);
};

const Symptom kSymptoms[] = {
    {"same_reward", "frac_reward_zero_std", 0.8, 1, "differs",
     [](double x, const DiagnosisContext& c) {
       return fmt::format(
           "the {} samples of {} of the prompts got the same reward: raise --temperature or add a "
           "graded term (--rank-credit)",
           c.num_generations, percent_of(x));
     }},
    {"same_completions", "unique_ratio", 0, 0.25, "reasoning",
     [](double x, const DiagnosisContext& c) {
       return fmt::format(
           "of the {} samples of a prompt {:.1f} are different texts: raise --temperature, or "
           "lower --learning-rate",
           c.num_generations, x * static_cast<double>(c.num_generations));
     }},
    {"low_entropy", "entropy", 0, 0.01, "reasoning",
     [](double x, const DiagnosisContext&) {
       return fmt::format(
           "the policy chooses its words without any doubt (entropy {:.2g} a token), so that it "
           "explores no more: raise --temperature or --beta, or lower --learning-rate",
           x);
     }},
    {"clipping", "clip_ratio/region_mean", 0.3, 1, "",
     [](double x, const DiagnosisContext&) {
       return fmt::format(
           "{} of the tokens are clipped and teach nothing: lower --learning-rate, or raise "
           "--epsilon and --epsilon-high",
           percent_of(x));
     }},
    {"truncated", "completions/clipped_ratio", 0.5, 1, "reasoning",
     [](double x, const DiagnosisContext&) {
       return fmt::format(
           "{} of the reasonings are cut at their budget: distill longer with shorter ones, or "
           "with a higher --max-reasoning-tokens",
           percent_of(x));
     }},
    {"divergence", "kl", 0.5, 1e9, "",
     [](double x, const DiagnosisContext&) {
       return fmt::format(
           "the policy is far from the model it began as (divergence {:.2g} a token): raise "
           "--beta or lower --learning-rate",
           x);
     }},
    {"repetition", "completions/repeated_share", 0.5, 1, "reasoning",
     [](double x, const DiagnosisContext&) {
       return fmt::format(
           "{} of the word groups of a reasoning repeat earlier ones: raise --beta or lower "
           "--learning-rate, and keep --reward-mode verified, which subtracts it",
           percent_of(x));
     }},
    {"no_hits", "answer/hit_rate", 0, 0, "",
     [](double, const DiagnosisContext&) {
       return std::string(
           "no sample names the target: distill longer before, or add graded terms "
           "(--rank-credit, --recommender)");
     }},
    {"engines_differ", "logprob_gap", 0.1, 1e9, "",
     [](double x, const DiagnosisContext&) {
       return fmt::format(
           "rollouts and training disagree on a token's log-probability by {:.2g}: train with "
           "--arithmetic float32",
           x);
     }},
};

// What the first log had and these logs have no more.
struct Collapse {
  const char* name;
  const char* metric;
  double least, most;              // collapsed: inside
  double first_least, first_most;  // the first log: inside
  const char* text;                // with the value
};

constexpr Collapse kCollapses[] = {
    {"entropy_collapse", "entropy", 0, 0.002, 0.04, 1e9, "its entropy is {:.2g} a token"},
    {"length_explosion", "completions/clipped_ratio", 0.95, 1, 0, 0.5,
     "{:.0%} of its reasonings do not end within their budget"},
    {"repetition_collapse", "completions/repeated_share", 0.8, 1, 0, 0.4,
     "{:.0%} of its word groups repeat earlier ones"},
    {"divergence_collapse", "kl", 5, 1e9, 0, 1e9, "its divergence is {:.2g} a token"},
    {"format_collapse", "valid_ratio", 0, 0.02, 0.2, 1,
     "{:.0%} of its completions keep the contract"},
};

bool all_inside(std::span<const LogEntry> logs, const std::string& name, double least,
                double most) {
  return std::all_of(logs.begin(), logs.end(), [&](const LogEntry& log) {
    const auto value = value_of_log(log, name);
    return value && *value >= least && *value <= most;
  });
}

bool applies(const Symptom& symptom, const DiagnosisContext& context) {
  const std::string needs = symptom.needs;
  if (needs == "reasoning") return context.has_reasoning;
  return needs != "differs" || context.has_reasoning || !context.exact;
}

std::string collapse_text(const Collapse& collapse, double value) {
  std::string what = collapse.text;
  if (const auto at = what.find("{:.0%}"); at != std::string::npos)
    what.replace(at, 6, percent_of(value));
  else
    what = fmt::format(fmt::runtime(what), value);
  return "the policy has collapsed: " + what +
         ": lower --learning-rate, raise --beta, or look at samples/ for what it found to do";
}

// Format failures beyond those that were only cut.
void add_invalid(std::span<const LogEntry> window, std::vector<Finding>& findings) {
  double broken = 0;
  for (const LogEntry& log : window) {
    const auto valid = value_of_log(log, "valid_ratio");
    if (!valid) return;
    const double here = 1 - *valid - value_of_log(log, "completions/clipped_ratio").value_or(0);
    if (here < 0.3) return;
    broken += here / static_cast<double>(window.size());
  }
  findings.push_back({"invalid", fmt::format("{} of the completions break the contract: raise "
                                             "--lambda-format, or distill longer before",
                                             percent_of(broken))});
}

// The reward rises while hits fall: the policy serves another term than the label.
void add_hacking(std::span<const LogEntry> logs, std::vector<Finding>& findings) {
  if (logs.size() < kTrendLogs) return;
  const auto before = logs.last(kTrendLogs).first(kDiagnosisWindow);
  const auto last = logs.last(kDiagnosisWindow);
  const auto reward_before = mean_of_logs(before, "reward"), reward = mean_of_logs(last, "reward");
  const auto hits_before = mean_of_logs(before, "answer/hit_rate"),
             hits = mean_of_logs(last, "answer/hit_rate");
  if (!reward_before || !reward || !hits_before || !hits) return;
  if (*reward < *reward_before + 0.05 || *hits > *hits_before - 0.05) return;
  findings.push_back(
      {"reward_without_hits",
       fmt::format("the reward rises ({:.2f} to {:.2f}) while hits fall ({} to {}): the policy "
                   "serves another term than the label: --gate on, or more weight on it "
                   "(--curriculum C1, --reward-weights)",
                   *reward_before, *reward, percent_of(*hits_before), percent_of(*hits))});
}

}  // namespace

std::vector<Finding> diagnose(std::span<const LogEntry> logs, const DiagnosisContext& context) {
  std::vector<Finding> findings;
  if (logs.size() < kDiagnosisWindow) return findings;
  const auto window = logs.last(kDiagnosisWindow);
  for (const Symptom& symptom : kSymptoms) {
    if (!applies(symptom, context) ||
        !all_inside(window, symptom.metric, symptom.least, symptom.most))
      continue;
    findings.push_back(
        {symptom.name, symptom.text(mean_of_logs(window, symptom.metric).value(), context)});
  }
  add_invalid(window, findings);
  add_hacking(logs, findings);
  if (logs.size() > kDiagnosisWindow) {
    for (const Collapse& collapse : kCollapses) {
      if (!all_inside(logs.first(1), collapse.metric, collapse.first_least, collapse.first_most) ||
          !all_inside(window, collapse.metric, collapse.least, collapse.most))
        continue;
      findings.push_back({collapse.name,
                          collapse_text(collapse, mean_of_logs(window, collapse.metric).value()),
                          true});
    }
  }
  // Rollouts of a step come from the policy before its update.
  const int64_t before =
      logs.size() > kDiagnosisWindow ? logs[logs.size() - kDiagnosisWindow - 1].step - 1 : 0;
  for (Finding& finding : findings) {
    finding.step = logs.back().step;
    finding.good_until = before;
  }
  return findings;
}

}  // namespace etrlrec
