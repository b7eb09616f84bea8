// etrlrec candidates: another candidate file for a prepared data set, e.g. hard ones from a
// recommender's top list (method.md G.7). evaluate takes it by --candidates.
#include "data/candidates.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "method/fit.h"

namespace etrlrec {
namespace {

constexpr int64_t kTop = 50;  // of the recommender, method.md G.7
constexpr int64_t kBatch = 256;

struct DrawOptions {
  std::string data, out, recommender, kind = "uniform", part = "test";
  int32_t count = 20;
  int64_t limit = 0;
};

// Item indices of the recommender's kTop best for every row.
std::vector<std::vector<int32_t>> top_items(const fs::path& folder, const Dataset& dataset,
                                            std::span<const Row> rows) {
  const auto recommender = load_recommender_of(folder, dataset.catalogue);
  const auto tasks = ranking_tasks(dataset, rows);
  std::vector<std::vector<int32_t>> tops;
  ProgressBar bar("candidates", static_cast<int64_t>(tasks.size()));
  for (size_t begin = 0; begin < tasks.size(); begin += kBatch) {
    std::vector<HistoryView> histories;
    for (size_t r = begin; r < std::min(tasks.size(), begin + kBatch); ++r)
      histories.push_back(tasks[r].history);
    const at::Tensor scores = recommender->score(histories);
    const at::Tensor best =
        std::get<1>(scores.topk(std::min(kTop, scores.size(1)), 1)).contiguous();
    for (int64_t r = 0; r < best.size(0); ++r) {
      const int64_t* ids = best.const_data_ptr<int64_t>() + r * best.size(1);
      tops.emplace_back(ids, ids + best.size(1));
    }
    bar.update(static_cast<int64_t>(tops.size()));
  }
  return tops;
}

void run_candidates(const DrawOptions& options, const CommonOptions& common) {
  const Dataset dataset = load_dataset(options.data);
  const Split split = load_split(options.data);
  CandidateOptions draw{candidate_kind(options.kind), options.count, common.seed};
  const bool hard = draw.kind == CandidateKind::kMixedHard;
  CHECK(hard == !options.recommender.empty(), kUsage, "--kind {}: {}", options.kind,
        hard ? "needs --recommender, a folder of fit" : "takes no --recommender");
  CHECK(!fs::exists(options.out), kUsage, "{}: exists already\nhint: choose another --out",
        options.out);
  std::vector<Row> rows = options.part == "train"   ? split.train
                          : options.part == "valid" ? split.valid
                                                    : split.test;
  if (options.limit > 0 && static_cast<int64_t>(rows.size()) > options.limit) {
    log_info("--limit: {} of {} rows", options.limit, rows.size());
    rows.resize(static_cast<size_t>(options.limit));
  }
  const auto tops =
      hard ? top_items(options.recommender, dataset, rows) : std::vector<std::vector<int32_t>>{};
  const CandidateSet set = draw_candidates(dataset, split, rows, draw, tops);
  save_candidates(set, dataset, options.out);
  if (common.json) {
    fmt::print("{}\n", OrderedJson{{"schema_version", 1},
                                   {"out", options.out},
                                   {"kind", options.kind},
                                   {"rows", rows.size()},
                                   {"hash", set.hash}}
                           .dump(2));
  } else {
    fmt::print(
        "{}: {} rows of {} candidates, {}\nnext: etrlrec evaluate --data {} --candidates {} "
        "--model MODEL\n",
        options.out, rows.size(), options.count, options.kind, options.data, options.out);
  }
}

}  // namespace

void add_candidates(CommandLine& app, CommonOptions& common) {
  Command command = app.add_command("candidates", "draw another candidate file for a data set");
  auto options = std::make_shared<DrawOptions>();
  command.add_option("-d,--data", options->data, "data set folder").required().existing_folder();
  command.add_option("-o,--out", options->out, "file to write (JSON Lines)").required();
  command
      .add_option("--kind", options->kind,
                  "uniform; popular: by popularity^0.75 among items alive at the request; hard: "
                  "half from the recommender's top 50, half popular")
      .one_of({"uniform", "popular", "hard"});
  command.add_option("--recommender", options->recommender, "for hard ones: a folder of fit");
  command.add_option("--part", options->part, "rows").one_of({"train", "valid", "test"});
  command.add_option("--num-candidates", options->count, "per row, the target included")
      .range(2, 1000);
  command.add_option("--limit", options->limit, "only the first rows, 0: all");
  command.on_run([options, &common] { run_candidates(*options, common); });
}

}  // namespace etrlrec
