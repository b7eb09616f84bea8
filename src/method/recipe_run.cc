#include "method/recipe_run.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "eval/report_text.h"
#include "method/run_record.h"

namespace etrlrec {
namespace {

constexpr const char* kArithmetic = "arithmetic";  // in recipe.json
constexpr const char* kRecords = "stages.json";
// Commands that go on in a folder which is not complete; the others begin anew.
const std::set<std::string> kContinuing = {"fit",         "construct", "pretrain",
                                           "soft-prompt", "distill",   "reinforce"};

// What the run folder remembers of a stage or of something judged.
struct StageRecord {
  std::string key;
  bool done = false;
  double seconds = 0;
};

class RecipeRun {
 public:
  RecipeRun(const Recipe& recipe, const ProgramCommands& commands, const RunOptions& options,
            const fs::path& out, uint64_t seed);
  RecipeOutcome execute();

 private:
  void claim_folder() const;
  void keep_recipe() const;
  static std::map<std::string, StageRecord> records_of(const fs::path& out);
  void record(const std::string& name, const StageRecord& record);
  bool is_done(const std::string& name, const RecipeCall& call, const fs::path& product);
  bool take_from_earlier(const std::string& name, const RecipeCall& call, const fs::path& product,
                         const std::string& printed);
  bool take(const fs::path& other, const std::string& name, const RecipeCall& call,
            const fs::path& product, const std::string& printed);
  void make_way(const std::string& name, const RecipeCall& call, const fs::path& product);
  void carry_out(const RecipeCall& call);
  void call_command(const RecipeCall& call, const fs::path& out, const std::string& printed);
  void judge(const RecipeCall& call);
  void judge_what_is_ready();

  const Recipe& recipe_;
  const ProgramCommands& commands_;
  const RunOptions& options_;
  fs::path out_;
  uint64_t seed_;
  std::map<std::string, StageRecord> records_;
  std::set<std::string> finished_;  // stages of this run
  std::vector<RecipeCall> judges_;  // that are left
  RecipeResults results_;
};

// The name of what is judged as a file name.
std::string file_of(const RecipeCall& call) {
  const std::string name = call.step->word("name");
  std::string file = name.empty() ? call.step->id : name;
  std::replace_if(
      file.begin(), file.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '-');
  return file;
}

RecipeRun::RecipeRun(const Recipe& recipe, const ProgramCommands& commands,
                     const RunOptions& options, const fs::path& out, uint64_t seed)
    : recipe_(recipe), commands_(commands), options_(options), out_(out), seed_(seed) {
  results_.recipe = &recipe_;
  results_.out = out_;
  results_.seed = seed;
}

// What was made here may be replaced by the same recipe on the same log with the same seed only.
void RecipeRun::claim_folder() const {
  const fs::path file = out_ / "recipe.json";
  std::map<std::string, std::string> identity(recipe_.given.begin(), recipe_.given.end());
  identity["command"] = recipe_.name;
  identity["seed"] = std::to_string(seed_);
  identity[kArithmetic] = name_of(options_.numerics.arithmetic);
  fs::create_directories(out_);
  if (!fs::exists(file)) {
    write_json_atomic(file, OrderedJson(identity));
    return;
  }
  const OrderedJson found = OrderedJson(read_json(file));
  std::string differences;
  for (const auto& [name, value] : identity) {
    const std::string there = found.contains(name) ? found[name].dump() : "unknown";
    const std::string here = OrderedJson(value).dump();
    // A recipe that a run wrote has its words in its options.
    if (there != here && (found.contains(name) || name == "command"))
      differences += fmt::format("\n  {}: expected {}, found {}", name, here, there);
  }
  CHECK(differences.empty(), kUsage,
        "{}: holds a run with other options:{}\nhint: --out another folder, or remove this one",
        out_.string(), differences);
}

// Not over the file that is being run, which may be edited by hand.
void RecipeRun::keep_recipe() const {
  const fs::path source = recipe_.place.file, copy = fs::path(recipe_.out) / "recipe.toml";
  if (!fs::exists(source) || !fs::exists(copy) || !fs::equivalent(source, copy))
    write_file_atomic(copy, to_toml(recipe_, options_.comments));
}

std::map<std::string, StageRecord> RecipeRun::records_of(const fs::path& out) {
  std::map<std::string, StageRecord> records;
  const fs::path file = out / kRecords;
  if (!fs::exists(file)) return records;
  const Json found = read_json(file);
  for (const auto& [name, json] : found.items())
    records[name] = {get<std::string>(json, "key", file.string()),
                     get<bool>(json, "done", file.string()),
                     get<double>(json, "seconds", file.string())};
  return records;
}

void RecipeRun::record(const std::string& name, const StageRecord& record) {
  records_[name] = record;
  OrderedJson json = OrderedJson::object();
  for (const auto& [each, stage] : records_)
    json[each] = {{"key", stage.key}, {"done", stage.done}, {"seconds", stage.seconds}};
  write_json_atomic(out_ / kRecords, json);
}

bool RecipeRun::is_done(const std::string& name, const RecipeCall& call, const fs::path& product) {
  const auto found = records_.find(name);
  if (found == records_.end() || found->second.key != call.key || !fs::exists(product))
    return false;
  // A command writes its run.json last; the run may have ended before it took note of that.
  return found->second.done || fs::exists(product / "run.json");
}

// Removes what another call has left at the place of a product, and remembers whose place it is.
void RecipeRun::make_way(const std::string& name, const RecipeCall& call, const fs::path& product) {
  const auto found = records_.find(name);
  if (fs::exists(product)) {
    CHECK(found != records_.end(), kUsage,
          "{}: is not from a run of this recipe\nhint: --out another folder", product.string());
    const bool is_same = found->second.key == call.key;
    if (!is_same)
      log_info("   {}: options or inputs have changed; the old {} is removed", name,
               product.string());
    if (!is_same || !kContinuing.contains(call.step->command)) {
      const fs::path old = product.string() + ".old";
      fs::remove_all(old);
      fs::rename(product, old);  // at once: a half removed folder must not look like a result
      fs::remove_all(old);
    }
  }
  record(name, {call.key, false, 0});
}

// Takes a finished product of another run as its own.
bool RecipeRun::take(const fs::path& other, const std::string& name, const RecipeCall& call,
                     const fs::path& product, const std::string& printed) {
  const auto records = records_of(other);
  const auto found = records.find(name);
  const fs::path source = other / product.lexically_relative(out_);
  if (found == records.end() || !found->second.done || found->second.key != call.key ||
      !fs::exists(source))
    return false;
  make_way(name, call, product);
  const fs::path copy = product.string() + ".new";
  fs::remove_all(product);
  fs::remove_all(copy);
  fs::create_directories(product.parent_path());
  fs::copy(source, copy, fs::copy_options::recursive | fs::copy_options::create_hard_links);
  const fs::path said = other / "stages" / printed;
  if (fs::exists(said)) {
    fs::create_directories(out_ / "stages");
    fs::copy(said, out_ / "stages" / printed, fs::copy_options::overwrite_existing);
  }
  fs::rename(copy, product);
  record(name, {call.key, true, found->second.seconds});
  return true;
}

bool RecipeRun::take_from_earlier(const std::string& name, const RecipeCall& call,
                                  const fs::path& product, const std::string& printed) {
  return std::any_of(options_.earlier.begin(), options_.earlier.end(), [&](const fs::path& folder) {
    const fs::path other =
        recipe_.seeds.size() == 1 ? folder : folder / fmt::format("seed-{}", seed_);
    return take(other, name, call, product, printed + ".json");
  });
}

void RecipeRun::call_command(const RecipeCall& call, const fs::path& out,
                             const std::string& printed) {
  std::vector<std::string> words = call.words;
  words.insert(words.end(), options_.common.begin(), options_.common.end());
  words.push_back("--out=" + out.string());
  words.emplace_back("--json");
  const fs::path file = out_ / "stages" / (printed + ".json");
  fs::create_directories(file.parent_path());
  commands_.run(words, file);
  if (fs::is_empty(file)) fs::remove(file);  // not every command has something to say
}

void RecipeRun::carry_out(const RecipeCall& call) {
  const RecipeStep& step = *call.step;
  const fs::path folder = out_ / step.id;
  log_info("── {}", step.heading);
  if (is_done(step.id, call, folder)) {
    log_info("   {} is there", folder.string());
  } else if (take_from_earlier(step.id, call, folder, step.id)) {
    log_info("   as in an earlier run");
  } else {
    make_way(step.id, call, folder);
    const Stopwatch watch;
    call_command(call, folder, step.id);
    record(step.id, {call.key, true, watch.seconds()});
    log_info("   {} took {}", step.heading, format_duration(watch.seconds()));
  }
  finished_.insert(step.id);
  auto& seconds = results_.seconds;
  const auto same = std::find_if(seconds.begin(), seconds.end(),
                                 [&](const auto& each) { return each.first == step.heading; });
  if (same == seconds.end())
    seconds.emplace_back(step.heading, records_[step.id].seconds);
  else
    same->second += records_[step.id].seconds;
}

void RecipeRun::judge(const RecipeCall& call) {
  const std::string name = "judge/" + call.step->id, file = file_of(call);
  const fs::path product = out_ / "predictions" / (file + ".jsonl");
  if (!is_done(name, call, product) && !take_from_earlier(name, call, product, "judge-" + file)) {
    make_way(name, call, product);
    const Stopwatch watch;
    const fs::path folder = out_ / "predictions" / ("." + file);
    fs::remove_all(folder);
    call_command(call, folder, "judge-" + file);
    fs::rename(folder / "predictions.jsonl", product);
    fs::remove_all(folder);
    record(name, {call.key, true, watch.seconds()});
  }
  JudgedArm arm{call.step->id, call.step->word("model"), load_predictions(product), {}, {},
                call.key};
  const fs::path printed = out_ / "stages" / ("judge-" + file + ".json");
  const Json summary = fs::exists(printed) ? read_json(printed) : Json::object();
  if (summary.contains("reasoning"))
    arm.reasoning = reasoning_quality(summary["reasoning"], printed.string());
  arm.row = summarize(arm.predictions, seed_);
  log_info("   {:<24} hit@1 {:.4f} [{:.4f}, {:.4f}]  ndcg@10 {:.4f}  mrr {:.4f}  ({} rows)",
           arm.row.model, arm.row.hit1.mean, arm.row.hit1.low, arm.row.hit1.high, arm.row.ndcg10,
           arm.row.mrr, arm.row.n);
  results_.arms.push_back(std::move(arm));
}

// In the order of the recipe, up to the first one that still waits for a stage.
void RecipeRun::judge_what_is_ready() {
  while (!judges_.empty() &&
         std::all_of(judges_[0].inputs.begin(), judges_[0].inputs.end(),
                     [&](const std::string& id) { return finished_.contains(id); })) {
    judge(judges_[0]);
    judges_.erase(judges_.begin());
  }
}

RecipeOutcome RecipeRun::execute() {
  const RecipeSettings settings{out_, seed_, name_of(options_.numerics.arithmetic)};
  std::vector<RecipeCall> stages;
  std::set<std::string> files;
  for (RecipeCall& call : plan_recipe(recipe_, commands_, settings)) {
    CHECK(!call.judged || files.insert(file_of(call)).second, kInput,
          "{}: \"{}\" is judged twice under one name", to_string(call.step->place),
          call.step->word("name"));
    (call.judged ? judges_ : stages).push_back(std::move(call));
  }
  CHECK(!judges_.empty(), kInput, "{}: nothing is judged\nhint: add a [[judge]]",
        to_string(recipe_.place));
  claim_folder();
  const ExclusiveUse use(out_);
  keep_recipe();
  records_ = records_of(out_);
  for (size_t s = 0; s < stages.size(); ++s) {
    carry_out(stages[s]);
    if (s + 1 < stages.size()) judge_what_is_ready();
  }
  // What waited for the last stage is timed apart.
  log_info("── judge");
  const Stopwatch watch;
  judge_what_is_ready();
  results_.seconds.emplace_back("judge", watch.seconds());
  ReportData report = write_recipe_report(results_);
  return {std::move(results_), std::move(report)};
}

void print_end(const Recipe& recipe, const ReportData& report, const fs::path& path, bool json) {
  if (json) {
    fmt::print("{}\n", summary_json(report).dump(2));
    return;
  }
  std::string next = recipe.next;
  if (const size_t at = next.find("{out}"); at != std::string::npos) {
    for (size_t place = at; place != std::string::npos; place = next.find("{out}", place))
      next.replace(place, 5, path.parent_path().string());
  }
  fmt::print("{}\n{}\nreport: {}\n", format_metrics(report), report.summary, path.string());
  if (!next.empty()) fmt::print("next: {}\n", next);
}

}  // namespace

std::vector<RecipeOutcome> carry_out_recipe(const Recipe& recipe, const ProgramCommands& commands,
                                            const RunOptions& options) {
  CHECK(!recipe.out.empty(), kUsage, "recipe {}: no folder\nhint: --out DIR, or out in the recipe",
        recipe.name);
  const fs::path out = recipe.out;
  std::vector<RecipeOutcome> runs;
  for (const uint64_t seed : recipe.seeds) {
    const fs::path folder = recipe.seeds.size() == 1 ? out : out / fmt::format("seed-{}", seed);
    runs.push_back(RecipeRun(recipe, commands, options, folder, seed).execute());
    if (recipe.seeds.size() > 1) log_info("seed {}: {}", seed, runs.back().report.summary);
  }
  return runs;
}

fs::path run_recipe(const Recipe& recipe, const ProgramCommands& commands,
                    const RunOptions& options) {
  std::vector<ReportData> reports;
  fs::path first;  // folder
  for (RecipeOutcome& run : carry_out_recipe(recipe, commands, options)) {
    if (reports.empty()) first = run.results.out;
    reports.push_back(std::move(run.report));
  }
  if (reports.size() > 1) {
    write_json_atomic(fs::path(recipe.out) / "summary.json", seeds_json(reports));
    if (!options.json) fmt::print("{}\n", format_seeds(reports));
  }
  print_end(recipe, reports.front(), first / "report.html", options.json);
  return first / "report.html";
}

}  // namespace etrlrec
