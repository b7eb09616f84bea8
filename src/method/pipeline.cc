#include "method/pipeline.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cctype>
#include <functional>
#include <tuple>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "eval/protocol.h"
#include "method/fit.h"
#include "method/report_data.h"
#include "method/run_record.h"
#include "models/recommender.h"
#include "temporal/teacher.h"

namespace etrlrec {
namespace {

// State of one run: what the stages hand to each other in memory. Everything lasting is in the
// folders.
class Pipeline {
 public:
  explicit Pipeline(PipelineOptions options) : options_(std::move(options)), out_(options_.out) {}
  fs::path run();

 private:
  void timed(const std::string& stage, const std::function<void()>& work);
  void claim_folder();
  void prepare();
  void fit();
  void learn();
  void judge_recommenders();
  void judge_language_model(const std::string& folder, const std::string& name);
  void judge_teacher();
  void judge_world();
  void judge_other_protocols();
  void add_row(Predictions predictions, const std::string& model, const std::string& stage);
  void compare_models();
  std::string summary_sentence() const;
  fs::path write();

  std::string folder(const char* stage) const { return (out_ / stage).string(); }
  const Predictions* find(const std::string& model) const;

  PipelineOptions options_;
  fs::path out_;
  Study study_;
  CandidateSet test_;
  std::vector<Request> requests_;
  std::vector<Predictions> predictions_;
  ReportData report_;
};

void Pipeline::timed(const std::string& stage, const std::function<void()>& work) {
  const Stopwatch watch;
  log_info("── {}", stage);
  work();
  report_.stage_seconds.emplace_back(stage, watch.seconds());
  log_info("   {} took {}", stage, format_duration(watch.seconds()));
}

// Finished stages are taken as they are, so the folder must hold a run of the same recipe.
void Pipeline::claim_folder() {
  const fs::path file = out_ / "recipe.json";
  fs::create_directories(out_);
  if (!fs::exists(out_ / "data")) {
    write_json_atomic(file, OrderedJson(options_.recipe));
    return;
  }
  const OrderedJson found = fs::exists(file) ? OrderedJson(read_json(file)) : OrderedJson::object();
  std::string differences;
  for (const auto& [option, value] : options_.recipe) {
    const std::string there = found.contains(option) ? found[option].dump() : "unknown";
    const std::string here = OrderedJson(value).dump();
    if (there != here)
      differences += fmt::format("\n  {}: expected {}, found {}", option, here, there);
  }
  CHECK(differences.empty(), kUsage,
        "{}: holds a run with other options:{}\nhint: --out another folder, or remove this one",
        out_.string(), differences);
}

void Pipeline::prepare() {
  const fs::path target = folder("data");
  if (!fs::exists(target)) {
    PrepareOptions prepare = options_.prepare;
    prepare.out = target;
    FolderWriter writer(target);
    etrlrec::prepare(prepare, writer.path());
    for (const char* part : {"train", "valid", "test"}) {
      CHECK(fs::exists(writer.path() / fmt::format("candidates-{}.jsonl", part)), kInput,
            "{}: no {} row has {} earlier interactions", prepare.input.string(), part,
            prepare.train.min_history);
    }
    writer.commit();
  }
  study_ = open_study(target);
  test_ = study_.candidates("test");
  std::vector<int64_t> rows(test_.rows.size());
  for (size_t r = 0; r < rows.size(); ++r) rows[r] = static_cast<int64_t>(r);
  requests_ = make_requests(study_, test_, rows, 200);
  report_.num_candidates = options_.prepare.candidates.count;
  const Dataset& dataset = study_.dataset;
  log_info("   {} users · {} items · {} interactions · {} test rows of {} candidates",
           dataset.num_users(), dataset.catalogue.num_items(), dataset.num_interactions(),
           requests_.size(), options_.prepare.candidates.count);
}

void Pipeline::fit() {
  FitOptions fit;
  fit.data = folder("data");
  fit.out = folder("recommenders");
  fit.models = {"popularity", "recency", "markov", "sasrec"};
  fit.sasrec = options_.sasrec;
  fit.trainer = options_.sasrec_trainer;
  etrlrec::fit(fit);
  fit.out = folder("reward");
  fit.models = {"sasrec"};
  fit.train_share = options_.reward_share;
  fit.trainer.label = "sasrec (early)";
  etrlrec::fit(fit);
}

void Pipeline::learn() {
  timed("construct", [this] {
    ConstructOptions construct = options_.construct;
    construct.data = folder("data");
    construct.out = folder("reasoning");
    if (!fs::exists(out_ / "reasoning" / "construct.json")) etrlrec::construct(construct);
  });
  timed("new-lm", [this] {
    NewLmOptions new_lm = options_.new_lm;
    new_lm.data = folder("data");
    new_lm.out = folder("base");
    if (!fs::exists(out_ / "base" / "config.json")) make_new_lm(new_lm);
  });
  const auto train_arm = [this](const char* stage, bool label_only, double factor) {
    if (fs::exists(out_ / stage / "etrlrec.json")) return;
    DistillOptions distill = options_.distill;
    distill.data = folder("data");
    distill.reasoning = folder("reasoning");
    distill.model = folder("base");
    distill.out = folder(stage);
    distill.label_only = label_only;
    distill.trainer.label = stage;
    distill.trainer.max_steps =
        static_cast<int64_t>(static_cast<double>(distill.trainer.max_steps) * factor);
    etrlrec::distill(distill);
  };
  timed("label-only SFT", [&] { train_arm("label-only", true, options_.label_only_factor); });
  judge_language_model("label-only", "LM label-only SFT");
  timed("distill", [&] { train_arm("student", false, 1); });
  judge_language_model("student", "LM reasoning SFT");
  timed("reinforce", [this] {
    if (fs::exists(out_ / "policy" / "etrlrec.json")) return;
    ReinforceOptions reinforce = options_.reinforce;
    reinforce.data = folder("data");
    reinforce.model = folder("student");
    reinforce.recommender = folder("reward/sasrec");
    reinforce.reasoning = folder("reasoning");
    reinforce.out = folder("policy");
    etrlrec::reinforce(reinforce);
  });
  judge_language_model("policy", "ETRLRec (RL)");
}

void Pipeline::add_row(Predictions predictions, const std::string& model,
                       const std::string& stage) {
  predictions.model = model;
  predictions.stage = stage;
  predictions.protocol = protocol_name(predictions.protocol, test_.options);
  predictions.candidates_hash = test_.hash;
  predictions.num_candidates = test_.options.count;
  predictions.seed = options_.seed;
  const MetricRow row = summarize(predictions, options_.seed);
  log_info("   {:<24} hit@1 {:.4f} [{:.4f}, {:.4f}]  ndcg@10 {:.4f}  mrr {:.4f}  ({} rows)", model,
           row.hit1.mean, row.hit1.low, row.hit1.high, row.ndcg10, row.mrr, row.n);
  fs::create_directories(out_ / "predictions");
  std::string file = model;
  std::replace_if(
      file.begin(), file.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '-');
  save_predictions(predictions, out_ / "predictions" / (file + ".jsonl"));
  report_.rows.push_back(row);
  predictions_.push_back(std::move(predictions));
}

void Pipeline::judge_recommenders() {
  add_row(rank_at_random(requests_, options_.seed), "random", "bound");
  for (const auto& [folder_name, title] :
       {std::pair{"popularity", "popularity"}, std::pair{"recency", "popularity, recent"},
        std::pair{"markov", "Markov"}, std::pair{"sasrec", "SASRec"}}) {
    add_row(rank_by_recommender(*load_recommender(out_ / "recommenders" / folder_name), requests_),
            title, "fit");
  }
}

void Pipeline::judge_language_model(const std::string& stage, const std::string& name) {
  const LoadedModel loaded = load_model_folder(out_ / stage, study_.catalogue_hash);
  ProtocolOptions protocol;
  protocol.prompt = loaded.card.prompt;
  protocol.max_reasoning_tokens = loaded.card.max_reasoning_tokens;
  protocol.seed = options_.seed;
  ProgressBar bar("judge", static_cast<int64_t>(requests_.size()));
  add_row(ask_language_model(loaded.language_model(study_.dataset.catalogue), requests_,
                             protocol, [&bar](int64_t done, int64_t) { bar.update(done); }),
          name, loaded.card.stage);
}

void Pipeline::judge_teacher() {
  TeacherOptions teacher_options;
  teacher_options.temperature = options_.construct.temperature;
  const auto teacher =
      programmatic_teacher(study_.dataset.catalogue, study_.statistics, teacher_options);
  add_row(answers_of_teacher(*teacher, study_.dataset.catalogue, study_.statistics,
                             requests_, options_.construct.max_history, options_.seed),
          "teacher", "teacher");
}

void Pipeline::judge_world() {
  if (!options_.prepare.world) return;
  const World world = load_world(out_ / "data");
  add_row(rank_by_world(world, study_.dataset, test_.rows, requests_), "Bayes-optimal",
          "bound");
  const MetricRow& row = report_.rows.back();
  report_.bayes = {true, row.hit1.mean, row.hit5, row.hit10, row.ndcg5, row.ndcg10, row.mrr};
}

void Pipeline::judge_other_protocols() {
  if (!options_.other_protocols) return;
  const LoadedModel loaded = load_model_folder(out_ / "policy", study_.catalogue_hash);
  const auto count = std::min(requests_.size(), static_cast<size_t>(options_.other_protocol_rows));
  for (const char* name : {"first-answer", "elimination"}) {
    ProtocolOptions protocol;
    protocol.name = name;
    protocol.prompt = loaded.card.prompt;
    protocol.max_reasoning_tokens = loaded.card.max_reasoning_tokens;
    add_row(ask_language_model(loaded.language_model(study_.dataset.catalogue),
                               std::span(requests_).first(count), protocol),
            fmt::format("ETRLRec (RL), {}", name), loaded.card.stage);
  }
}

const Predictions* Pipeline::find(const std::string& model) const {
  for (const Predictions& predictions : predictions_) {
    if (predictions.model == model) return &predictions;
  }
  return nullptr;
}

void Pipeline::compare_models() {
  const Predictions* policy = find("ETRLRec (RL)");
  for (const char* other :
       {"LM reasoning SFT", "LM label-only SFT", "SASRec", "teacher", "Bayes-optimal"}) {
    const Predictions* second = find(other);
    if (second != nullptr)
      report_.tests.push_back(compare_predictions(*policy, *second, 10000, options_.seed));
  }
  const Predictions *student = find("LM reasoning SFT"), *label_only = find("LM label-only SFT");
  report_.tests.push_back(compare_predictions(*student, *label_only, 10000, options_.seed));
  adjust_comparisons(report_.tests);
}

std::string Pipeline::summary_sentence() const {
  const auto hit = [this](const char* model) {
    for (const MetricRow& row : report_.rows) {
      if (row.model == model) return row.hit1.mean;
    }
    return 0.0;
  };
  std::string text = fmt::format(
      "On {} test rows of {} candidates the reasoning student reaches hit@1 {:.3f}, reinforcement "
      "learning {:.3f}; SASRec "
      "{:.3f}, the same model trained on labels only {:.3f}.",
      requests_.size(), options_.prepare.candidates.count, hit("LM reasoning SFT"),
      hit("ETRLRec (RL)"), hit("SASRec"), hit("LM label-only SFT"));
  if (report_.bayes.known) {
    text += fmt::format(" That is {:.0f} % of what the exact rule of this world reaches ({:.3f}).",
                        100 * hit("ETRLRec (RL)") / report_.bayes.hit1, report_.bayes.hit1);
  }
  return text;
}

fs::path Pipeline::write() {
  report_.title =
      options_.name == "demo" ? "ETRLRec on the synthetic world" : "ETRLRec on " + options_.name;
  report_.summary = summary_sentence();
  report_.peak_rss_mb = static_cast<double>(peak_rss_bytes()) / 1048576;
  report_.facts = {{"seed", std::to_string(options_.seed)},
                   {"split", load_split(out_ / "data").protocol},
                   {"version", kVersion},
                   {"cpu", cpu_description()},
                   {"threads", std::to_string(at::get_num_threads())}};
  for (const auto& [stage, label] :
       {std::pair{"label-only", "label-only SFT"}, std::pair{"student", "distill"},
        std::pair{"policy", "reinforce"}}) {
    add_curves(out_ / stage, label, report_);
  }
  const Predictions* policy = find("ETRLRec (RL)");
  const Predictions* bayes = find("Bayes-optimal");
  const ClaimWeights weights = read_claim_weights(out_ / "reasoning" / "claim_weights.json");
  for (const int64_t row : example_rows(*policy, 5)) {
    const auto index = static_cast<size_t>(row);
    const auto requests =
        make_requests(study_, test_, std::span(&row, 1), options_.distill.max_history);
    report_.examples.push_back(make_example(study_, requests[0], policy->rows[index],
                                            bayes != nullptr ? &bayes->rows[index] : nullptr,
                                            weights));
  }
  write_report(out_ / "report.html", report_);
  write_json_atomic(out_ / "summary.json", summary_json(report_));
  return out_ / "report.html";
}

fs::path Pipeline::run() {
  claim_folder();
  timed("prepare", [this] { prepare(); });
  timed("fit", [this] { fit(); });
  judge_recommenders();
  learn();
  timed("judge", [this] {
    judge_teacher();
    judge_world();
    judge_other_protocols();
    compare_models();
  });
  const fs::path path = write();
  fmt::print("{}\n{}\nreport: {}\nnext: {}\n", format_metrics(report_), report_.summary,
             path.string(), options_.next_command);
  return path;
}

}  // namespace

fs::path run_pipeline(PipelineOptions options) { return Pipeline(std::move(options)).run(); }

}  // namespace etrlrec
