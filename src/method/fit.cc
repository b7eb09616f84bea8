#include "method/fit.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "data/candidate_file.h"
#include "data/candidates.h"
#include "eval/metrics.h"
#include "eval/protocol.h"
#include "method/item_embeddings.h"
#include "method/row.h"
#include "method/run_record.h"
#include "models/recommenders.h"

namespace etrlrec {
namespace {

std::string users_hash(const Dataset& dataset) {
  std::string ids;
  for (const std::string& id : dataset.user_ids) ids += id + '\n';
  return sha256_hex(ids);
}

// Everything that decides a fitted model.
OrderedJson inputs_of(const FitOptions& options, const RecommenderType& type,
                      const Dataset& dataset, const Split& split, const InteractionLog& log) {
  OrderedJson inputs{{"model", type.name},
                     {"catalogue_hash", catalogue_hash(dataset.catalogue)},
                     {"protocol", split.protocol},
                     {"training_log", training_log_hash(log)},
                     {"trained_until", *std::max_element(log.times.begin(), log.times.end())}};
  if (!options.preset.empty()) inputs["preset"] = options.preset;
  if (type.knows_users) inputs["users_hash"] = users_hash(dataset);
  write_user_fold(options.left_out, inputs);
  if (type.needs_embeddings) inputs["embeddings"] = embeddings_hash(options.embeddings);
  const OrderedJson config = type.configure(options.recommender);
  if (type.create == nullptr) {
    for (const auto& [key, value] : config.items()) inputs[key] = value;
    return inputs;
  }
  for (const auto& [key, value] : config.items()) inputs["config"].push_back(value);
  const TrainerOptions& t = options.trainer;
  inputs["trainer"] = {
      t.learning_rate,           t.lr_scheduler_type, t.warmup_ratio, t.weight_decay,
      t.train_batch_size,        t.num_train_epochs,  t.max_steps,    t.seed,
      t.early_stopping_patience, t.eval_steps,        t.max_grad_norm};
  if (t.optim != "adamw") inputs["optim"] = t.optim;
  if (t.ema_decay > 0) inputs["ema_decay"] = t.ema_decay;
  const LossOptions loss = complete_loss(options.loss, type.loss, log.num_items);
  if (loss.name != "ce")  // folders of older versions do not name it
    inputs["loss"] = {{"name", loss.name},
                      {"num_negatives", loss.num_negatives},
                      {"negative_alpha", loss.negative_alpha},
                      {"gbce_t", loss.gbce_t},
                      {"bpreg", loss.bpreg}};
  inputs["arithmetic"] = name_of(options.numerics.arithmetic);
  inputs["mask_seen"] = options.mask_seen;
  inputs["eval_rows"] = options.eval_rows;
  return inputs;
}

// Folders of older versions do not say with which arithmetic a model was trained.
bool same_inputs(Json inputs, const Json& recorded) {
  if (!recorded.contains("arithmetic")) inputs.erase("arithmetic");
  return inputs == recorded;
}

// Says whether `folder` already holds the finished model of these inputs, which `record` in it
// holds.
bool prepare_folder(const fs::path& folder, const fs::path& record, const OrderedJson& inputs,
                    bool replace) {
  if (fs::exists(record) && same_inputs(inputs, read_json(record)))
    return fs::exists(folder / "metrics.json");
  if (fs::exists(folder) && !fs::is_empty(folder)) {
    CHECK(replace, kUsage,
          "{}: holds another model or other inputs\nhint: --replace, or another --out",
          folder.string());
    CHECK(fs::exists(folder / "inputs.json") || fs::exists(record), kUsage,
          "{}: not written by fit; remove it by hand", folder.string());
    fs::remove_all(folder);
  }
  fs::create_directories(record.parent_path());
  write_json_atomic(record, inputs);
  return false;
}

void add_metrics(std::map<std::string, double>& all, const std::string& prefix,
                 const std::map<std::string, double>& values) {
  for (const auto& [name, value] : values) all[prefix + name] = value;
}

// Among all items, and without those of the history.
void add_full_ranking(std::map<std::string, double>& all, const std::string& prefix,
                      const Recommender& model, std::span<const RankingTask> tasks) {
  const FullRanks ranks = full_ranks(model, tasks);
  add_metrics(all, prefix + "all/", ranking_metrics(ranks.all));
  add_metrics(all, prefix + "unseen/", ranking_metrics(ranks.unseen));
}

std::map<std::string, double> candidate_metrics(const Recommender& model, const Dataset& dataset,
                                                const fs::path& data, uint64_t seed) {
  const CandidateSet set = load_candidates(data / "candidates-test.jsonl", dataset);
  std::vector<Request> requests;
  for (int64_t row = 0; row < static_cast<int64_t>(set.rows.size()); ++row)
    requests.push_back(make_request(dataset, set, row, kRecommenderHistory));
  Predictions predictions = rank_by_recommender(model, requests);
  predictions.candidates_hash = set.hash;
  predictions.num_candidates = set.options.count;
  const MetricRow row = summarize(predictions, seed);
  return {{"hit@1", row.hit1.mean}, {"hit@5", row.hit5},     {"hit@10", row.hit10},
          {"ndcg@5", row.ndcg5},    {"ndcg@10", row.ndcg10}, {"mrr", row.mrr}};
}

struct FitData {
  Dataset dataset;
  Split split;
  InteractionLog log;
  std::vector<RankingTask> valid, test;
};

std::map<std::string, double> final_metrics(const Recommender& model, const FitData& data,
                                            const FitOptions& options) {
  std::map<std::string, double> metrics;
  if (!data.valid.empty()) add_full_ranking(metrics, "valid/", model, data.valid);
  if (options.evaluate == "full") {
    CHECK(!data.test.empty(), kInput, "{}: the split has no test rows", options.data);
    add_full_ranking(metrics, "test/", model, data.test);
  }
  if (options.evaluate == "candidates")
    add_metrics(metrics, "test/candidates/",
                candidate_metrics(model, data.dataset, options.data, options.trainer.seed));
  return metrics;
}

// Embeddings where a model needs them, and nowhere else.
void check_embeddings(const FitOptions& options) {
  bool needed = false;
  for (const std::string& name : options.models) {
    if (!recommender_type(name).needs_embeddings) continue;
    needed = true;
    CHECK(!options.embeddings.empty(), kUsage,
          "--model {}: needs --embeddings\nhint: etrlrec embed writes such a folder", name);
  }
  CHECK(needed || options.embeddings.empty(), kUsage,
        "--embeddings: none of these models takes them\nhint: --model content");
}

// What can be said about the options before anything is trained or removed.
void check_models(const FitOptions& options, int64_t num_items) {
  for (const std::string& name : options.models) {
    const RecommenderType& type = recommender_type(name);
    type.configure(options.recommender);
    if (type.create != nullptr) complete_loss(options.loss, type.loss, num_items);
  }
}

FitSummary fit_one(const FitOptions& options, const FitData& data, const std::string& name,
                   const fs::path& folder) {
  const Stopwatch watch;
  FitSummary summary{name, folder, {}, 0};
  const RecommenderType& type = recommender_type(name);
  const OrderedJson inputs = inputs_of(options, type, data.dataset, data.split, data.log);
  std::unique_ptr<Recommender> model;
  if (prepare_folder(folder, folder / "inputs.json", inputs, options.replace)) {
    log_info("{}: fitted before with the same inputs", folder.string());
    model = load_recommender(folder, options.numerics);
  } else if (type.create != nullptr) {
    auto trained = type.create(data.log, options.recommender, options.trainer.seed);
    trained->set_numerics(options.numerics);
    TrainerOptions trainer = options.trainer;
    if (trainer.label.empty()) trainer.label = name;
    train_recommender(*trained, data.log, data.valid, options.mask_seen, trainer, folder,
                      complete_loss(options.loss, type.loss, data.log.num_items));
    trained->save(folder);
    model = std::move(trained);
  } else {
    model = type.count(data.log, options.recommender);
    model->save(folder);
  }
  summary.metrics = final_metrics(*model, data, options);
  write_json_atomic(folder / "metrics.json", OrderedJson(summary.metrics));
  summary.seconds = watch.seconds();
  return summary;
}

// The options of one trial of a search: a fit without a look at test rows.
FitOptions trial_options(const FitOptions& options, const FitSetting& setting,
                         const std::string& label) {
  FitOptions trial = options;
  trial.search = {};
  trial.recommender = setting.recommender;
  if (setting.learning_rate > 0) trial.trainer.learning_rate = setting.learning_rate;
  if (setting.train_batch_size > 0) trial.trainer.train_batch_size = setting.train_batch_size;
  trial.trainer.label = label;
  trial.evaluate = "none";
  return trial;
}

struct Trial {
  fs::path folder;
  FitOptions options;
  double metric = 0, seconds = 0;
};

// Fits the setting, or reads how it did; with `keeps_model` a model that was dropped comes back.
void run_trial(Trial& trial, const FitData& data, const std::string& name, bool keeps_model) {
  const bool masked = trial.options.mask_seen;
  const std::string metric = masked ? "valid/unseen/ndcg@10" : "valid/all/ndcg@10";
  const fs::path result = trial.folder / "trial.json";
  if (!fs::exists(result) || (keeps_model && !fs::exists(trial.folder / "config.json"))) {
    const FitSummary summary = fit_one(trial.options, data, name, trial.folder);
    write_json_atomic(result, OrderedJson{{"metric", metric},
                                          {"value", summary.metrics.at(metric)},
                                          {"seconds", summary.seconds}});
  }
  const Json record = read_json(result);
  trial.metric = get<double>(record, "value", result.string());
  trial.seconds = get<double>(record, "seconds", result.string());
}

// Of a trial that is beaten only the numbers stay.
void drop_model(const fs::path& folder) {
  for (const char* file : {"metrics.json", "config.json", "model.safetensors"})
    fs::remove(folder / file);
  fs::remove_all(folder / "training");
}

FitSummary search_one(const FitOptions& options, const FitData& data, const std::string& name) {
  const Stopwatch watch;
  const RecommenderType& type = recommender_type(name);
  const fs::path folder = fs::path(options.out) / name;
  OrderedJson inputs = inputs_of(options, type, data.dataset, data.split, data.log);
  inputs["search"] = {options.search.learning_rate, options.search.train_batch_size};
  prepare_folder(folder, folder / "search" / "inputs.json", inputs, options.replace);
  const auto settings = draw_settings(type, options.recommender, options.trainer, options.search);
  std::vector<Trial> trials;
  size_t best = 0;
  for (size_t i = 0; i < settings.size(); ++i) {
    const auto label = fmt::format("{} {}/{}", name, i + 1, settings.size());
    trials.push_back(
        {folder / "search" / fmt::format("{}", i), trial_options(options, settings[i], label)});
    run_trial(trials[i], data, name, false);
    if (i == 0) continue;
    const bool is_better = trials[i].metric > trials[best].metric;
    drop_model(trials[is_better ? best : i].folder);
    if (is_better) best = i;
  }
  run_trial(trials[best], data, name, true);
  OrderedJson table = OrderedJson::array();
  for (size_t i = 0; i < trials.size(); ++i)
    table.push_back({{"setting", format_setting(type, settings[i])},
                     {"valid_ndcg@10", trials[i].metric},
                     {"seconds", trials[i].seconds}});
  write_json_atomic(folder / "search.json",
                    OrderedJson{{"schema_version", 1}, {"best", best}, {"trials", table}});
  for (const char* file : {"config.json", "model.safetensors", "inputs.json"})
    fs::copy_file(trials[best].folder / file, folder / file, fs::copy_options::overwrite_existing);
  FitSummary summary{name, folder, {}, 0, format_setting(type, settings[best]), std::ssize(trials)};
  summary.metrics = final_metrics(*load_recommender(folder, options.numerics), data, options);
  write_json_atomic(folder / "metrics.json", OrderedJson(summary.metrics));
  summary.seconds = watch.seconds();
  return summary;
}

}  // namespace

InteractionLog training_log(const Dataset& dataset, const Split& split, double share) {
  CHECK(share > 0 && share <= 1, kUsage, "training share: expected a number in (0, 1], found {}",
        share);
  std::vector<int64_t> times;
  for (int64_t user = 0; user < dataset.num_users(); ++user)
    times.insert(times.end(), dataset.times.begin() + dataset.user_offsets[user],
                 dataset.times.begin() + split.train_end[user]);
  const auto wanted = static_cast<size_t>(share * static_cast<double>(times.size()));
  int64_t last = std::numeric_limits<int64_t>::max();
  if (wanted < times.size()) {
    const auto cut = times.begin() + static_cast<int64_t>(std::max<size_t>(wanted, 1)) - 1;
    std::nth_element(times.begin(), cut, times.end());
    last = *cut;
  }
  return training_log_until(dataset, split, last);
}

InteractionLog training_log_until(const Dataset& dataset, const Split& split, int64_t last) {
  InteractionLog log;
  log.num_items = dataset.catalogue.num_items();
  for (int64_t user = 0; user < dataset.num_users(); ++user) {
    const int64_t begin = dataset.user_offsets[user];
    const auto first_time = dataset.times.begin() + begin;
    const int64_t end =
        begin + (std::upper_bound(first_time, dataset.times.begin() + split.train_end[user], last) -
                 first_time);
    log.items.insert(log.items.end(), dataset.items.begin() + begin, dataset.items.begin() + end);
    log.times.insert(log.times.end(), dataset.times.begin() + begin, dataset.times.begin() + end);
    log.user_offsets.push_back(static_cast<int64_t>(log.items.size()));
  }
  return log;
}

std::string training_log_hash(const InteractionLog& log) {
  const auto bytes = [](const auto& values) {
    return std::string_view(reinterpret_cast<const char*>(values.data()),
                            values.size() * sizeof(values[0]));
  };
  return sha256_hex(sha256_hex(bytes(log.items)) + sha256_hex(bytes(log.times)) +
                    sha256_hex(bytes(log.user_offsets)));
}

int64_t trained_until(const fs::path& folder) {
  const Json inputs = read_json(folder / "inputs.json");
  CHECK(inputs.contains("trained_until"), kModel,
        "{}: does not say until when the model has learned\nhint: fit it again",
        (folder / "inputs.json").string());
  return get<int64_t>(inputs, "trained_until", (folder / "inputs.json").string());
}

std::unique_ptr<Recommender> load_recommender_of(const fs::path& folder, const Dataset& dataset,
                                                 const Numerics& numerics) {
  const Catalogue& catalogue = dataset.catalogue;
  auto recommender = load_recommender(folder, numerics);
  CHECK(recommender->num_items() == catalogue.num_items(), kModel,
        "{}: trained on {} items, the data set has {}", folder.string(), recommender->num_items(),
        catalogue.num_items());
  const fs::path record = folder / "inputs.json";
  CHECK(fs::exists(record), kModel,
        "{}: does not say which catalogue it was trained on\nhint: fit it again", record.string());
  const Json inputs = read_json(record);
  const auto hash = get_or<std::string>(inputs, "catalogue_hash", "", record.string());
  CHECK(hash == catalogue_hash(catalogue), kModel,
        "{}: trained on another catalogue than that of the data set\nhint: fit it on this data set",
        folder.string());
  const auto users = get_or<std::string>(inputs, "users_hash", "", record.string());
  CHECK(users.empty() || users == users_hash(dataset), kModel,
        "{}: knows users, and those of the data set are others\nhint: fit it on this data set",
        folder.string());
  return recommender;
}

std::vector<RankingTask> ranking_tasks(const Dataset& dataset, std::span<const Row> rows,
                                       int64_t limit) {
  const auto count = static_cast<int64_t>(rows.size());
  const int64_t wanted = limit > 0 ? std::min(limit, count) : count;
  std::vector<RankingTask> tasks;
  for (int64_t i = 0; i < wanted; ++i) {
    const Row& row = rows[static_cast<size_t>(i * count / wanted)];
    const int64_t begin = dataset.user_offsets[row.user];
    const auto length = static_cast<size_t>(row.position - begin);
    tasks.push_back({{{dataset.items.data() + begin, length},
                      {dataset.times.data() + begin, length},
                      dataset.times[row.position],
                      row.user},
                     dataset.items[row.position]});
  }
  return tasks;
}

std::map<std::string, double> ranking_metrics(std::span<const double> ranks) {
  CHECK(!ranks.empty(), kInput, "full ranking: expected a row, found none");
  std::map<std::string, double> sums;
  for (const double rank : ranks) {
    for (const int64_t k : {1, 5, 10}) sums[fmt::format("hit@{}", k)] += hit_at(rank, k);
    for (const int64_t k : {5, 10}) sums[fmt::format("ndcg@{}", k)] += ndcg_at(rank, k);
    sums["mrr"] += reciprocal_rank(rank);
  }
  for (auto& [name, value] : sums) value /= static_cast<double>(ranks.size());
  return sums;
}

TrainingResult train_recommender(TrainableRecommender& model, const InteractionLog& log,
                                 std::span<const RankingTask> valid, bool mask_seen,
                                 TrainerOptions options, const fs::path& folder,
                                 const LossOptions& loss) {
  NextItemObjective objective(model, log, options.seed, loss);
  const int64_t epoch_steps = steps_per_epoch(objective.num_rows(), options);
  if (options.eval_steps == 0) options.eval_steps = std::max<int64_t>(epoch_steps, 1);
  EvaluateFn evaluate;
  if (!valid.empty())
    evaluate = [&](int64_t) {
      const FullRanks ranks = full_ranks(model, valid);
      return ranking_metrics(mask_seen ? ranks.unseen : ranks.all);
    };
  return train(objective, options, folder / "training", evaluate);
}

std::vector<std::string> usual_recommenders() {
  std::vector<std::string> names;
  for (const RecommenderType* type : recommender_types())
    if (!type->needs_embeddings && (type->count != nullptr || type->usual))
      names.emplace_back(type->name);
  return names;
}

std::vector<FitSummary> fit(const FitOptions& options) {
  for (const std::string& name : options.models) recommender_type(name);
  CHECK(
      options.evaluate == "none" || options.evaluate == "full" || options.evaluate == "candidates",
      kUsage, "--evaluate: expected none, full or candidates, found \"{}\"", options.evaluate);
  check_user_fold(options.left_out);
  FitData data;
  data.dataset = load_dataset(options.data);
  data.split = load_split(options.data);
  data.log = training_log(data.dataset, data.split, options.train_share);
  leave_out(options.left_out, data.dataset, data.log);
  leave_out(options.left_out, data.dataset, data.split.valid);
  CHECK(!data.log.items.empty(), kInput, "{}: no interaction to learn from", options.data);
  check_embeddings(options);
  check_models(options, data.log.num_items);
  if (!options.embeddings.empty())
    data.log.item_embeddings = load_item_embeddings(options.embeddings, data.dataset.catalogue);
  data.valid = ranking_tasks(data.dataset, data.split.valid, options.eval_rows);
  data.test = ranking_tasks(data.dataset, data.split.test);
  if (data.valid.size() < data.split.valid.size())
    log_info("--eval-rows: {} of {} validation rows", data.valid.size(), data.split.valid.size());
  std::vector<FitSummary> summaries;
  CHECK(options.search.trials == 0 || !data.valid.empty(), kInput,
        "{}: --search chooses by validation rows, the split has none", options.data);
  for (const std::string& name : options.models)
    summaries.push_back(options.search.trials > 0
                            ? search_one(options, data, name)
                            : fit_one(options, data, name, fs::path(options.out) / name));
  return summaries;
}

OrderedJson to_json(std::span<const FitSummary> summaries) {
  OrderedJson document{{"schema_version", 1}, {"models", OrderedJson::array()}};
  for (const FitSummary& summary : summaries) {
    OrderedJson& model =
        document["models"].emplace_back(OrderedJson{{"model", summary.model},
                                                    {"folder", summary.folder.string()},
                                                    {"seconds", summary.seconds},
                                                    {"metrics", summary.metrics}});
    if (summary.trials > 0)
      model["search"] = {{"trials", summary.trials}, {"setting", summary.setting}};
  }
  return document;
}

std::string format_fit(std::span<const FitSummary> summaries) {
  const std::vector<std::pair<std::string, std::string>> parts = {
      {"valid/all/", "valid, all items"},
      {"valid/unseen/", "valid, seen masked"},
      {"test/all/", "test, all items"},
      {"test/unseen/", "test, seen masked"},
      {"test/candidates/", "test, candidates"}};
  std::string text;
  for (const FitSummary& summary : summaries) {
    if (summary.trials > 0)
      text += fmt::format("{:<12}best of {} settings by validation: {}\n", summary.model,
                          summary.trials, summary.setting);
    for (const auto& [prefix, title] : parts) {
      if (!summary.metrics.contains(prefix + "hit@10")) continue;
      text += fmt::format(
          "{:<12}{:<20} hit@1 {:.4f}  hit@10 {:.4f}  ndcg@10 {:.4f}  mrr {:.4f}\n", summary.model,
          title, summary.metrics.at(prefix + "hit@1"), summary.metrics.at(prefix + "hit@10"),
          summary.metrics.at(prefix + "ndcg@10"), summary.metrics.at(prefix + "mrr"));
    }
  }
  return text;
}

}  // namespace etrlrec
