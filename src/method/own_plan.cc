#include "method/own_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <thread>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "data/calendar.h"
#include "data/dataset.h"
#include "method/inspect.h"
#include "models/model_files.h"

namespace etrlrec {
namespace {

// Rates of a model of width 128 with two layers on two cores, and shares of the time for each part;
// a quarter of the time is kept back.
constexpr double kReadingTokens = 30000;                  // a second
constexpr double kFitEvents = 50000;                      // a second and epoch, both SASRecs
constexpr double kImitationStep = 0.0725 + 1.25 * 0.052;  // seconds, of student and label-only
constexpr double kReinforceStep = 2.1;
constexpr double kJudgedRow = 0.03;
constexpr double kFitShare = 0.12, kReadingShare = 0.3, kImitationShare = 0.13,
                 kReinforceShare = 0.15, kJudgeShare = 0.05;
constexpr double kTrainPart = 0.8;     // of the events
constexpr double kTokensOfTitle = 14;  // that is not one token
constexpr double kTokensOfEvent = 4.4;
constexpr int64_t kWholeTitles = 4096, kMostWholeTitles = 32768;
constexpr int64_t kSmallLog = 5000;
constexpr int64_t kShortHistory = 20;  // median
constexpr double kLongLogDays = 730;
constexpr int64_t kHalfLifeDays = 120;
constexpr double kMostJudgedRows = 2000;

// With a given language model, trained by LoRA: work by its parameters, tokens of English.
constexpr double kStudentWork =
    5.5e10;  // parameters x tokens of training a second; forward twice that
constexpr double kStudentEvent = 17, kStudentTitle = 9, kStudentReasoning = 80;  // tokens
constexpr double kStudentHistory = 15, kStudentWindow = 50, kStudentBatch = 8, kStudentEpochs = 3;
constexpr double kStudentAnswers =  // tokens of a row with 20 candidates
    kStudentHistory * kStudentEvent + 20 * kStudentTitle + kStudentReasoning;
constexpr double kStudentRollouts = 2.2;  // of an update's time, rollouts included
constexpr double kStudentPrompts = 4, kStudentGenerations = 4;
constexpr double kStudentReadingShare = 0.35, kStudentImitationShare = 0.12,
                 kStudentReinforceShare = 0.1, kStudentJudgeShare = 0.2;
constexpr double kStudentArms = 5, kLeastStudentRows = 20;  // that are judged
constexpr double kBesideShare = 0.05;                       // of the time, each

class OwnPlanner {
 public:
  OwnPlanner(Recipe& recipe, const LogFacts& facts, const OwnBudget& budget)
      : recipe_(recipe),
        facts_(facts),
        budget_(budget),
        is_small_(facts.interactions < kSmallLog),
        is_short_(facts.median_history < kShortHistory),
        speed_(std::clamp(budget.cores / 2.0, 0.5, 4.0)),
        seconds_(budget.hours * 3600 * speed_),
        small_(budget.student_parameters > 0 ? "scratch" : "timeline") {}
  std::vector<std::string> plan();

 private:
  template <typename... Args>
  void say(fmt::format_string<Args...> format, Args&&... args) {
    reasons_.push_back(fmt::format(format, std::forward<Args>(args)...));
  }
  template <typename T>
  void set(const std::string& key, const T& value) {
    set_in_recipe(recipe_, fmt::format("{}={}", key, value));
  }
  // False where the user has decided this option.
  template <typename T>
  bool set_data(const std::string& option, const T& value) {
    if (user_said(option)) return false;
    set("data." + option, value);
    return true;
  }
  bool user_said(const std::string& option) const;
  void describe();
  void choose_split();
  void choose_candidates();
  void choose_sizes();
  void choose_budgets();
  void choose_student_budgets();
  bool has_student() const { return budget_.student_parameters > 0; }
  // Tokens of training a second.
  double student_rate() const {
    return kStudentWork / static_cast<double>(budget_.student_parameters);
  }
  int64_t judged_rows() const;
  double tokens_of_log() const;  // as the small model reads it

  Recipe& recipe_;
  const LogFacts& facts_;
  const OwnBudget& budget_;
  bool is_small_, is_short_;
  double speed_, seconds_;           // of two cores
  std::string small_;                // the stage in which the small model reads the log
  std::vector<RecipeOption> given_;  // by the user
  double width_cost_ = 1;
  std::vector<std::string> reasons_;
};

bool OwnPlanner::user_said(const std::string& option) const {
  return std::any_of(given_.begin(), given_.end(), [&](const RecipeOption& given) {
    return given.name == option && given.place.file.empty();
  });
}

void OwnPlanner::describe() {
  say("The log has {} users, {} items and {} interactions; the median history is {} long, the "
      "longest {}.",
      facts_.users, facts_.items, facts_.interactions, facts_.median_history,
      facts_.longest_history);
  if (is_small_)
    say("Warning: fewer than {} interactions teach little: the model is small, it trains for fewer "
        "steps, and the intervals in the table will be wide.",
        kSmallLog);
  if (facts_.untitled > facts_.items / 2)
    say("Warning: {} of {} items have no title but their id: the model can learn which ids follow "
        "each other, but nothing from words, and its reasons name ids. Give --items and --title.",
        facts_.untitled, facts_.items);
  if (facts_.attributes == 0)
    say("Items have no attributes: no reasoning about taste and its change. Give --attributes, "
        "e.g. a category.");
  if (facts_.tie_share > 0.1)
    say("{:.0f} % of neighbouring events of a user have the same time: nothing is said about the "
        "order inside such a tie.",
        100 * facts_.tie_share);
  if (facts_.whole_days && !facts_.one_time)
    say("Times are whole days: gaps within a day cannot be seen.");
}

void OwnPlanner::choose_split() {
  if (user_said("split")) {
    say("The split is the one you asked for.");
    return;
  }
  if (facts_.one_time || facts_.tie_share > 0.9) {
    set("data.split", "leave-one-out");
    say("Split leave-one-out (the last event of a user is the test): times do not order the "
        "events.");
  } else if (facts_.test_rows < 200 || facts_.valid_rows < 100) {
    set("data.split", "leave-one-out");
    say("Split leave-one-out (the last event of a user is the test): only {} events of known users "
        "lie in the last tenth of the time. The figures are optimistic, because training may hold "
        "later events of other users.",
        facts_.test_rows);
  } else {
    set("data.split", "global-time");
    say("Split by time: the model learns from the first 80 % of the events, is chosen on the next "
        "10 % and tested on the last 10 %, as it would be used.");
  }
}

void OwnPlanner::choose_candidates() {
  const int64_t count = std::clamp<int64_t>(facts_.items / 4, 2, 20);
  if (set_data("num-candidates", count))
    say("Every test row has {} candidates: the right item and {} drawn ones{}.", count, count - 1,
        count < 20 ? ", because there are few items" : "");
  const int least = facts_.median_history < 6 ? 1 : 3;
  if (set_data("min-history", least) && least < 3)
    say("Histories are short: rows with one earlier event count, too.");
  set_data("min-test-history", least);
  const int64_t test = judged_rows();
  set_data("test-candidates", test);
  set_data("valid-candidates", test / 2);
  say("At most {} test rows are judged, so hit@1 is known to about ± {:.3f}.", test,
      1.96 * std::sqrt(0.21 / static_cast<double>(test)));
}

// Short histories and logs of years: what held on Steam and Beauty (docs/experiments.md).
void OwnPlanner::choose_sizes() {
  if (is_small_ || is_short_) {
    set("base.hidden-size", 64);
    width_cost_ = 0.4;
    say("The language model has width 64 and two layers{}.",
        is_short_ ? ": short histories are soon learned by heart" : "");
  } else {
    say("The language model has width 128 and two layers, about a million parameters.");
  }
  if (is_short_) {
    set(small_ + ".batch-size", 16);
    set(small_ + ".learning-rate", "2e-3");
    set(small_ + ".hidden-dropout", 0.4);
    set("base.whole-titles", std::max(kWholeTitles, std::min(facts_.items, kMostWholeTitles)));
    set("base.whole-title-interactions", 1);
    say("Every title that somebody chose is one token: spelled out, a rare one could not be told "
        "from an unlikely one.");
  }
  if (facts_.span_days > kLongLogDays) {
    for (const char* stage : {"timeline", "label-only", "student"})
      set(fmt::format("{}.half-life-days", stage), kHalfLifeDays);
    set_data("train-negatives", "alive");
    if (has_student()) set(small_ + ".half-life-days", kHalfLifeDays);
    say("The log spans {:.1f} years: an event counts half of one {} days later, so that the model "
        "follows what is usual now.",
        facts_.span_days / 365.25, kHalfLifeDays);
  }
}

double OwnPlanner::tokens_of_log() const {
  const double events = kTrainPart * static_cast<double>(facts_.interactions);
  // Frequent titles are one token; popular items cover more events than their number says.
  const double whole =
      std::min(1.0, std::sqrt(static_cast<double>(kWholeTitles) /
                              static_cast<double>(std::max<int64_t>(facts_.items, 1))));
  return events * (kTokensOfEvent + (1 - whole) * kTokensOfTitle);
}

void OwnPlanner::choose_budgets() {
  if (has_student()) return choose_student_budgets();
  const double events = kTrainPart * static_cast<double>(facts_.interactions);
  const double tokens = tokens_of_log();
  const auto amount = [](double wanted, double least, double most) {
    return static_cast<int64_t>(std::clamp(std::floor(wanted), least, most));
  };
  const int64_t fit =
      amount(kFitShare * seconds_ * kFitEvents / (1.5 * events), 5, is_small_ ? 30 : 60);
  const int64_t epochs =
      amount(kReadingShare * seconds_ * kReadingTokens / (tokens * width_cost_), 1,
             is_small_   ? 6
             : is_short_ ? 8
                         : 12);
  const int64_t steps =
      amount(kImitationShare * seconds_ / kImitationStep, 50, is_small_ ? 300 : 1200);
  const int64_t rewarded =
      amount(kReinforceShare * seconds_ / kReinforceStep, 20, is_small_ ? 50 : 150);
  for (const char* stage : {"recommenders", "reward"})
    set(fmt::format("{}.num-train-epochs", stage), fit);
  set("timeline.num-train-epochs", epochs);
  set("student.max-steps", steps);
  set("label-only.max-steps", steps * 5 / 4);
  set("policy.max-steps", rewarded);
  if (facts_.attributes == 0) {
    set("student.learning-rate", "3e-3");
    say("Without attributes reasonings are short, and learned at a higher rate.");
  }
  const double reading = static_cast<double>(epochs) * tokens * width_cost_ / kReadingTokens;
  const double total = (static_cast<double>(fit) * 1.5 * events / kFitEvents + reading +
                        static_cast<double>(steps) * kImitationStep +
                        static_cast<double>(rewarded) * kReinforceStep + kJudgeShare * seconds_) /
                       speed_ / 60;
  say("With {:g} hours on {} cores: SASRec trains at most {} epochs, the model reads the log {} "
      "times (about {} tokens each), imitates the teacher for {} steps and is reinforced for {}. "
      "Reckoned time: about {:.0f} minutes.",
      budget_.hours, budget_.cores, fit, epochs, format_count(tokens), steps, rewarded,
      std::max(1.0, total));
  if (total > budget_.hours * 60)
    say("Warning: that is more than you gave, and less would teach nothing{}.",
        is_small_ ? "" : "; a smaller part of the log, e.g. --k-core 10, would fit");
}

int64_t OwnPlanner::judged_rows() const {
  if (!has_student())
    return static_cast<int64_t>(
        std::clamp(kJudgeShare * seconds_ / kJudgedRow, 200.0, kMostJudgedRows));
  const double rows =
      kStudentJudgeShare * seconds_ * 2 * student_rate() / (kStudentAnswers * kStudentArms);
  CHECK(rows >= kLeastStudentRows, kUsage,
        "own: {:g} hours are too few for a model of {} parameters: {:.0f} rows could be judged\n"
        "hint: --hours {:.2g}, or a smaller --student",
        budget_.hours, format_count(static_cast<double>(budget_.student_parameters)), rows,
        1.1 * budget_.hours * kLeastStudentRows / rows);
  return static_cast<int64_t>(std::min(rows, kMostJudgedRows));
}

// The given model takes nearly all the time; the recommenders and the small model beside it little.
void OwnPlanner::choose_student_budgets() {
  const auto amount = [](double wanted, double most) {
    return static_cast<int64_t>(std::clamp(std::floor(wanted), 1.0, most));
  };
  const double events = kTrainPart * static_cast<double>(facts_.interactions);
  const int64_t fit = amount(kBesideShare * seconds_ * kFitEvents / (1.5 * events), 60);
  for (const char* stage : {"recommenders", "reward"})
    set(fmt::format("{}.num-train-epochs", stage), fit);
  const double small = tokens_of_log() * width_cost_;
  set("scratch.num-train-epochs", amount(kBesideShare * seconds_ * kReadingTokens / small, 12));
  const double work = seconds_ * student_rate();  // tokens in all
  const double window = kStudentBatch * kStudentWindow * kStudentEvent;
  const double epoch = events * kStudentEvent;
  const int64_t steps =
      amount(kStudentReadingShare * work / window, kStudentEpochs * epoch / window);
  set("timeline.num-train-epochs", static_cast<int64_t>(kStudentEpochs));
  set("timeline.max-steps", steps);
  set("timeline.eval-steps", std::max<int64_t>(1, steps / 2));
  const int64_t imitated =
      amount(kStudentImitationShare * work / (kStudentBatch * kStudentAnswers), 1200);
  for (const char* stage : {"label-only", "student"})
    set(fmt::format("{}.max-steps", stage), imitated);
  const double update = kStudentPrompts * kStudentRollouts *
                        (kStudentAnswers + kStudentGenerations * kStudentReasoning);
  const int64_t rewarded = amount(kStudentReinforceShare * work / update, 150);
  set("policy.max-steps", rewarded);
  say("The language model you gave has {} parameters: with {:g} hours on {} cores it reads {:.2g} "
      "times the log ({} tokens each), imitates the teacher for {} steps and is reinforced for {}.",
      format_count(static_cast<double>(budget_.student_parameters)), budget_.hours, budget_.cores,
      static_cast<double>(steps) * window / epoch, format_count(epoch), imitated, rewarded);
}

std::vector<std::string> OwnPlanner::plan() {
  CHECK(facts_.items >= 8 && facts_.interactions >= 100, kInput,
        "the log has {} items and {} interactions: expected at least 8 and 100", facts_.items,
        facts_.interactions);
  for (const RecipeStep& stage : recipe_.stages)
    if (stage.id == "data") given_ = stage.options;
  describe();
  choose_split();
  choose_candidates();
  choose_sizes();
  choose_budgets();
  return std::move(reasons_);
}

double span_days_of(const Dataset& dataset) {
  if (dataset.times.empty()) return 0;
  const auto [first, last] = std::minmax_element(dataset.times.begin(), dataset.times.end());
  return static_cast<double>(*last - *first) / static_cast<double>(kSecondsPerDay);
}

// So that the recipe runs from anywhere.
std::string absolute_if_file(const std::string& word) {
  return fs::is_regular_file(word) ? fs::absolute(word).lexically_normal().string() : word;
}

}  // namespace

LogFacts look_at_log(const std::vector<RecipeOption>& options, const ProgramCommands& commands,
                     const std::vector<std::string>& common, const fs::path& folder) {
  std::vector<std::string> words = {"prepare",
                                    "--out=" + folder.string(),
                                    "--replace",
                                    "--json",
                                    "--train-candidates=0",
                                    "--valid-candidates=0",
                                    "--test-candidates=0"};
  for (const RecipeOption& option : options) {
    if (option.name.ends_with("-candidates") || option.name == "replace") continue;
    for (const std::string& word : option.value.words)
      words.push_back(fmt::format("--{}={}", option.name, word));
  }
  words.insert(words.end(), common.begin(), common.end());
  fs::create_directories(folder.parent_path());
  const fs::path printed = folder.string() + ".json";
  commands.run(words, printed);
  const Json found = inspect(folder);
  const Dataset prepared = load_dataset(folder);
  LogFacts facts;
  const auto number = [&](const char* key) { return get<int64_t>(found, key, "inspect"); };
  facts.users = number("users");
  facts.items = number("items");
  facts.interactions = number("interactions");
  facts.median_history = get<int64_t>(found["history_length"], "median", "inspect");
  facts.longest_history = get<int64_t>(found["history_length"], "max", "inspect");
  facts.tie_share = static_cast<double>(number("ties")) /
                    static_cast<double>(std::max<int64_t>(facts.interactions - facts.users, 1));
  facts.whole_days = get<bool>(found, "whole_days", "inspect");
  facts.one_time = found["first_time"] == found["last_time"];
  facts.span_days = span_days_of(prepared);
  for (const auto& [field, count] : found["attributes"].items())
    facts.attributes += count.get<int64_t>();
  facts.untitled = number("items_without_title");
  facts.valid_rows = number("valid_rows");
  facts.test_rows = number("test_rows");
  facts.user = prepared.user_ids.front();
  fs::remove_all(folder);
  fs::remove(printed);
  return facts;
}

std::vector<std::string> plan_for_log(Recipe& recipe, const LogFacts& facts,
                                      const OwnBudget& budget) {
  return OwnPlanner(recipe, facts, budget).plan();
}

OwnPlan plan_own(const OwnOptions& options, const ProgramCommands& commands,
                 const std::vector<std::string>& common) {
  const bool given = !options.student.empty();
  OwnPlan plan{open_recipe(given ? "own-student" : "own"), {}};
  Recipe& recipe = plan.recipe;
  if (!options.out.empty()) recipe.out = options.out;
  give_arguments(recipe,
                 given ? std::vector{options.log, options.student} : std::vector{options.log});
  if (!options.seeds.empty()) recipe.seeds = options.seeds;
  std::vector<RecipeOption>& data = recipe.stages.front().options;
  for (RecipeOption given : options.prepare) {
    for (std::string& word : given.value.words) word = absolute_if_file(word);
    std::erase_if(data, [&](const RecipeOption& other) { return other.name == given.name; });
    data.push_back(given);
  }
  const LogFacts facts = look_at_log(data, commands, common, fs::path(recipe.out) / "look");
  const int32_t cores =
      options.cores > 0 ? options.cores : static_cast<int32_t>(std::thread::hardware_concurrency());
  const int64_t parameters = given ? open_language_model(options.student)->num_parameters() : 0;
  plan.reasons = plan_for_log(recipe, facts, {options.hours, cores, parameters});
  recipe.next = fmt::format(
      "build/etrlrec recommend --data {{out}}/data --model {{out}}/timeline --user {} -k 5",
      facts.user);
  const fs::path file = fs::path(recipe.out) / "recipe.toml";
  CHECK(!fs::exists(file) || read_file(file) == to_toml(recipe, plan.reasons), kUsage,
        "{0}: is another recipe than own chooses now\nhint: etrlrec run {0} goes on with it; --out "
        "another folder begins anew",
        file.string());
  for (const std::string& reason : plan.reasons) log_info("{}", reason);
  log_info("The recipe is {0}; change it and run it again with: etrlrec run {0}", file.string());
  return plan;
}

}  // namespace etrlrec
