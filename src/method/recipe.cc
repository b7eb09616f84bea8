#include "method/recipe.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cctype>
#include <functional>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "eval/report_page.h"
#include "eval/report_text.h"
#include "method/evaluate.h"
#include "method/report_data.h"
#include "method/row.h"
#include "method/run_record.h"
#include "method/study.h"
#include "temporal/claim_weights.h"

namespace etrlrec {
namespace {

constexpr const char* kPolicy = "ETRLRec (RL)";
constexpr const char* kStudent = "LM reasoning SFT";
constexpr const char* kTimeLine = "LM time line";
constexpr const char* kLabelOnly = "LM label-only SFT";
constexpr const char* kBayes = "Bayes-optimal";

std::string mix_name(const std::string& model) { return model + " + SASRec"; }
constexpr const char* kArithmetic = "arithmetic";  // in recipe.json

// A stage: how it is called, the file that is there when its folder is complete (empty: the stage
// itself knows what is done), and its call.
struct Stage {
  std::string name;
  fs::path product;
  std::function<void()> call;
};

class RecipeRun {
 public:
  explicit RecipeRun(Recipe recipe) : recipe_(std::move(recipe)), out_(recipe_.out) {
    recipe_.options[kArithmetic] = name_of(recipe_.numerics.arithmetic);
  }
  fs::path execute();

 private:
  void claim_folder() const;
  Stage prepare_stage();
  Stage fit_stage();
  Stage construct_stage();
  Stage new_lm_stage();
  Stage pretrain_stage();
  Stage distill_stage(const std::string& folder, const std::string& name, bool label_only);
  Stage reinforce_stage();
  void timed(const std::string& name, const std::function<void()>& work);
  void carry_out(const Stage& stage);

  void judge(const std::string& model, const std::string& name, EvaluateOptions how = {});
  void judge_recommenders();
  void judge_mixes();
  void judge_bounds();
  void judge_other_protocols();
  void compare_models();

  const Predictions* find(const std::string& model) const;
  double hit1_of(const std::string& model) const;
  std::string summary_sentence() const;
  void add_examples();
  fs::path write();

  std::string folder(const std::string& name) const { return (out_ / name).string(); }

  Recipe recipe_;
  fs::path out_;
  std::vector<Predictions> predictions_;  // in the order they were judged
  ReportData report_;
};

// Finished stages are taken as they are, so the folder must hold a run of the same recipe.
void RecipeRun::claim_folder() const {
  const fs::path file = out_ / "recipe.json";
  fs::create_directories(out_);
  if (!fs::exists(out_ / "data")) {
    write_json_atomic(file, OrderedJson(recipe_.options));
    return;
  }
  const OrderedJson found = fs::exists(file) ? OrderedJson(read_json(file)) : OrderedJson::object();
  std::string differences;
  for (const auto& [option, value] : recipe_.options) {
    // Runs of older versions do not say how their models computed.
    if (option == kArithmetic && !found.contains(option)) continue;
    const std::string there = found.contains(option) ? found[option].dump() : "unknown";
    const std::string here = OrderedJson(value).dump();
    if (there != here)
      differences += fmt::format("\n  {}: expected {}, found {}", option, here, there);
  }
  CHECK(differences.empty(), kUsage,
        "{}: holds a run with other options:{}\nhint: --out another folder, or remove this one",
        out_.string(), differences);
}

Stage RecipeRun::prepare_stage() {
  PrepareOptions options = recipe_.prepare;
  options.out = folder("data");
  options.split.seed = options.candidates.seed = recipe_.seed;
  if (options.world) options.world->seed = recipe_.seed;
  return {"prepare", options.out, [options] {
            FolderWriter writer(options.out);
            prepare(options, writer.path());
            for (const char* part : {"train", "valid", "test"})
              CHECK(fs::exists(writer.path() / fmt::format("candidates-{}.jsonl", part)), kInput,
                    "{}: no {} row has {} earlier interactions", options.input.string(), part,
                    options.train.min_history);
            writer.commit();
          }};
}

Stage RecipeRun::fit_stage() {
  FitOptions all = recipe_.fit;
  all.data = folder("data");
  all.out = folder("recommenders");
  all.trainer.seed = recipe_.seed;
  all.numerics = recipe_.numerics;
  FitOptions early = all;
  early.out = folder("reward");
  early.models = {"sasrec"};
  early.train_share = recipe_.reward_share;
  early.trainer.label = "sasrec (early)";
  return {"fit", "", [all, early] {
            fit(all);
            fit(early);
          }};
}

Stage RecipeRun::construct_stage() {
  ConstructOptions options = recipe_.construct;
  options.data = folder("data");
  options.out = folder("reasoning");
  options.seed = recipe_.seed;
  if (recipe_.pretrain) options.answer = AnswerKind::kTitle;
  return {"construct", out_ / "reasoning" / "construct.json", [options] { construct(options); }};
}

Stage RecipeRun::new_lm_stage() {
  NewLmOptions options = recipe_.new_lm;
  options.data = folder("data");
  options.out = folder("base");
  options.seed = recipe_.seed;
  return {"new-lm", out_ / "base" / "config.json", [options] { make_new_lm(options); }};
}

Stage RecipeRun::pretrain_stage() {
  PretrainOptions options = *recipe_.pretrain;
  options.data = folder("data");
  options.model = folder("base");
  options.out = folder("timeline");
  options.trainer.seed = recipe_.seed;
  options.numerics = recipe_.numerics;
  return {"pretrain", out_ / "timeline" / "etrlrec.json", [options] { pretrain(options); }};
}

Stage RecipeRun::distill_stage(const std::string& name, const std::string& title, bool label_only) {
  DistillOptions options = recipe_.distill;
  options.data = folder("data");
  options.reasoning = folder("reasoning");
  options.model = folder(recipe_.pretrain ? "timeline" : "base");
  options.out = folder(name);
  options.label_only = label_only;
  options.trainer.seed = recipe_.seed;
  options.numerics = recipe_.numerics;
  options.trainer.label = name;
  if (label_only)
    options.trainer.max_steps = static_cast<int64_t>(
        static_cast<double>(options.trainer.max_steps) * recipe_.label_only_steps);
  return {title, out_ / name / "etrlrec.json", [options] { distill(options); }};
}

Stage RecipeRun::reinforce_stage() {
  ReinforceOptions options = recipe_.reinforce;
  options.data = folder("data");
  options.model = folder("student");
  options.recommender = folder("reward/sasrec");
  options.reasoning = folder("reasoning");
  options.out = folder("policy");
  options.trainer.seed = recipe_.seed;
  options.numerics = recipe_.numerics;
  // Folders of before do not say which rows distill has seen.
  options.sft_share = recipe_.distill.sft_share;
  return {"reinforce", out_ / "policy" / "etrlrec.json", [options] { reinforce(options); }};
}

void RecipeRun::timed(const std::string& name, const std::function<void()>& work) {
  const Stopwatch watch;
  log_info("── {}", name);
  work();
  report_.stage_seconds.emplace_back(name, watch.seconds());
  log_info("   {} took {}", name, format_duration(watch.seconds()));
}

void RecipeRun::carry_out(const Stage& stage) {
  timed(stage.name, [&stage] {
    if (stage.product.empty() || !fs::exists(stage.product)) stage.call();
  });
}

// `model` as `evaluate` takes it; the rest of `how` is filled in.
void RecipeRun::judge(const std::string& model, const std::string& name, EvaluateOptions how) {
  how.data = folder("data");
  how.model = model;
  how.name = name;
  how.protocol.seed = recipe_.seed;
  how.numerics = recipe_.numerics;
  Evaluation evaluation = run(setup(how));
  const MetricRow& row = evaluation.row;
  log_info("   {:<24} hit@1 {:.4f} [{:.4f}, {:.4f}]  ndcg@10 {:.4f}  mrr {:.4f}  ({} rows)", name,
           row.hit1.mean, row.hit1.low, row.hit1.high, row.ndcg10, row.mrr, row.n);
  fs::create_directories(out_ / "predictions");
  std::string file = name;
  std::replace_if(
      file.begin(), file.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '-');
  save_predictions(evaluation.predictions, out_ / "predictions" / (file + ".jsonl"));
  report_.rows.push_back(row);
  predictions_.push_back(std::move(evaluation.predictions));
}

void RecipeRun::judge_recommenders() {
  judge("random", "random");
  for (const auto& [name, title] :
       {std::pair{"popularity", "popularity"}, std::pair{"recency", "popularity, recent"},
        std::pair{"markov", "Markov"}, std::pair{"sasrec", "SASRec"}})
    judge(folder("recommenders/" + std::string(name)), title);
}

void RecipeRun::judge_bounds() {
  judge("teacher", "teacher");
  if (!recipe_.prepare.world) return;
  judge("bayes", kBayes);
  const MetricRow& row = report_.rows.back();
  report_.bayes = {true, row.hit1.mean, row.hit5, row.hit10, row.ndcg5, row.ndcg10, row.mrr};
}

void RecipeRun::judge_mixes() {
  if (!recipe_.pretrain) return;
  EvaluateOptions how;
  how.mix = folder("recommenders/sasrec");
  judge(folder("timeline"), mix_name(kTimeLine), how);
  judge(folder("policy"), mix_name(kPolicy), how);
}

void RecipeRun::judge_other_protocols() {
  for (const char* name : {"first-answer", "elimination"}) {
    EvaluateOptions how;
    how.protocol.name = name;
    how.limit = recipe_.other_protocol_rows;
    judge(folder("policy"), fmt::format("{}, {}", kPolicy, name), how);
  }
}

const Predictions* RecipeRun::find(const std::string& model) const {
  for (const Predictions& predictions : predictions_) {
    if (predictions.model == model) return &predictions;
  }
  return nullptr;
}

void RecipeRun::compare_models() {
  for (const char* other : {kStudent, kLabelOnly, kTimeLine, "SASRec", "teacher", kBayes}) {
    const Predictions* second = find(other);
    if (second != nullptr)
      report_.tests.push_back(compare_predictions(*find(kPolicy), *second, 10000, recipe_.seed));
  }
  report_.tests.push_back(
      compare_predictions(*find(kStudent), *find(kLabelOnly), 10000, recipe_.seed));
  for (const std::string& model :
       {std::string(kTimeLine), mix_name(kTimeLine), mix_name(kPolicy)}) {
    const Predictions* first = find(model);
    if (first != nullptr)
      report_.tests.push_back(compare_predictions(*first, *find("SASRec"), 10000, recipe_.seed));
  }
  adjust_comparisons(report_.tests);
}

double RecipeRun::hit1_of(const std::string& model) const {
  for (const MetricRow& row : report_.rows) {
    if (row.model == model) return row.hit1.mean;
  }
  return 0;
}

std::string RecipeRun::summary_sentence() const {
  std::string text = fmt::format(
      "On {} test rows of {} candidates the reasoning student reaches hit@1 {:.3f}, reinforcement "
      "learning {:.3f}; SASRec "
      "{:.3f}, the same model trained on labels only {:.3f}.",
      find(kPolicy)->rows.size(), recipe_.prepare.candidates.count, hit1_of(kStudent),
      hit1_of(kPolicy), hit1_of("SASRec"), hit1_of(kLabelOnly));
  if (report_.bayes.known) {
    text += fmt::format(" That is {:.0f} % of what the exact rule of this world reaches ({:.3f}).",
                        100 * hit1_of(kPolicy) / report_.bayes.hit1, report_.bayes.hit1);
  }
  return text;
}

void RecipeRun::add_examples() {
  const Study study = open_study(folder("data"));
  const ReasoningRecord record = read_reasoning_record(folder("reasoning"));
  const RowSource test(study, study.candidates("test"), record.prompt);
  const Predictions* policy = find(kPolicy);
  const Predictions* bayes = find(kBayes);
  const ClaimWeights weights = read_claim_weights(out_ / "reasoning" / "claim_weights.json");
  for (const int64_t row : example_rows(*policy, 5)) {
    const auto index = static_cast<size_t>(row);
    report_.examples.push_back(make_example(study, test.view(row), policy->rows[index],
                                            bayes != nullptr ? &bayes->rows[index] : nullptr,
                                            weights));
  }
}

fs::path RecipeRun::write() {
  report_.title = recipe_.title;
  report_.num_candidates = recipe_.prepare.candidates.count;
  report_.summary = summary_sentence();
  report_.peak_rss_mb = static_cast<double>(peak_rss_bytes()) / 1048576;
  report_.facts = {{"seed", std::to_string(recipe_.seed)},
                   {"split", load_split(out_ / "data").protocol},
                   {"version", kVersion},
                   {"cpu", cpu_description()},
                   {"threads", std::to_string(at::get_num_threads())}};
  for (const auto& [stage, label] :
       {std::pair{"label-only", "label-only SFT"}, std::pair{"student", "distill"},
        std::pair{"policy", "reinforce"}})
    add_curves(out_ / stage, label, report_);
  add_examples();
  write_report(out_ / "report.html", report_);
  write_json_atomic(out_ / "summary.json", summary_json(report_));
  return out_ / "report.html";
}

fs::path RecipeRun::execute() {
  claim_folder();
  carry_out(prepare_stage());
  carry_out(fit_stage());
  judge_recommenders();
  carry_out(construct_stage());
  carry_out(new_lm_stage());
  if (recipe_.pretrain) {
    carry_out(pretrain_stage());
    judge(folder("timeline"), kTimeLine);
  }
  carry_out(distill_stage("label-only", "label-only SFT", true));
  judge(folder("label-only"), kLabelOnly);
  carry_out(distill_stage("student", "distill", false));
  judge(folder("student"), kStudent);
  carry_out(reinforce_stage());
  judge(folder("policy"), kPolicy);
  timed("judge", [this] {
    judge_mixes();
    judge_bounds();
    judge_other_protocols();
    compare_models();
  });
  const fs::path path = write();
  fmt::print("{}\n{}\nreport: {}\nnext: {}\n", format_metrics(report_), report_.summary,
             path.string(), recipe_.next_command);
  return path;
}

}  // namespace

fs::path run_recipe(Recipe recipe) { return RecipeRun(std::move(recipe)).execute(); }

}  // namespace etrlrec
