// etrlrec recommend: ranked titles for a user or a history given by hand, with the model's
// reasoning, each claim of which the verifier marks true or false, or a table for many users.
#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "app/training_options.h"
#include "base/check.h"
#include "base/json.h"
#include "method/ranking_service.h"
#include "method/ranking_text.h"
#include "method/recommend_users.h"

namespace etrlrec {
namespace {

struct RecommendOptions {
  RankerOptions ranker;
  RankingQuery query;
  int32_t k = 5;
  bool all_users = false;
  std::string users, out;  // of a table for many users
  bool explain = false, raw = false, dry_run = false;
};

// The table for all users, or those of --users.
void recommend_to_many(const RecommendOptions& options, const CommonOptions& common) {
  CHECK(!options.out.empty(), kUsage, "--all-users, --users: expected --out FILE");
  CHECK(options.all_users || !options.users.empty(), kUsage,
        "--out: expected --all-users or --users FILE");
  CHECK(options.query.user.empty() && options.query.history.empty() &&
            options.query.candidates.empty() && !options.explain && !options.dry_run,
        kUsage,
        "--out: is for many users; --user, --history, --candidates, --explain and --dry-run are "
        "for one");
  const RecommendUsersSummary summary =
      recommend_users({.ranker = options.ranker,
                       .users = options.users,
                       .out = options.out,
                       .k = options.k,
                       .num_candidates = options.query.num_candidates});
  if (common.json) {
    fmt::print("{}\n", to_json(summary, options.out).dump(2));
    return;
  }
  fmt::print("{} users, {} of them now in {:.1f} s ({:.1f} users/s): {}\n", summary.users,
             summary.users_now, summary.seconds, summary.users_per_second(), options.out);
}

void recommend(const RecommendOptions& options, const CommonOptions& common) {
  if (options.all_users || !options.users.empty() || !options.out.empty()) {
    recommend_to_many(options, common);
    return;
  }
  Ranker ranker(options.ranker);
  CHECK(ranker.has_language_model() || !options.explain, kUsage,
        "--explain: expected a language model, found a recommender alone");
  const std::vector<Request> requests = ranker.requests({&options.query, 1});
  if (ranker.has_language_model() || options.dry_run) {
    const MemoryEstimate estimate = ranker.estimate(requests);
    const int64_t available = available_memory();
    if (options.dry_run) print_estimate(estimate, available, common.json);
    check_memory(estimate, available, "recommend", "a smaller model");
    if (options.dry_run) return;
  }
  ranker.load();
  const Ranking ranking = ranker.rank(requests, options.k)[0];
  if (common.json) {
    fmt::print("{}\n", to_json(ranking, ranker.catalogue())
                           .dump(2, ' ', false, OrderedJson::error_handler_t::replace));
  } else {
    const ExplanationForm form = !options.explain ? ExplanationForm::kNone
                                 : options.raw    ? ExplanationForm::kRaw
                                                  : ExplanationForm::kSentences;
    fmt::print("{}", format_ranking(ranking, ranker.catalogue(), form));
  }
}

}  // namespace

void add_recommend(CommandLine& app, CommonOptions& common) {
  Command command = app.add_command(
      "recommend", "ranked titles for a user or a history, with the reasoning, or for many users");
  command.example(
      "recommend --data shop --model shop-policy --recommender shop-fit/sasrec --user u17 -k 5 "
      "--explain\n"
      "  etrlrec recommend --data shop --model shop-timeline --all-users -k 10 --out "
      "shop-top10.parquet");
  command.alias("explain");
  auto options = std::make_shared<RecommendOptions>();
  command.add_option("-d,--data", options->ranker.data, "data set folder")
      .required()
      .existing_folder();
  command
      .add_option("-m,--model", options->ranker.model,
                  "language model folder; without it the recommender ranks all unseen items")
      .existing_folder();
  const auto has_model = [=] { return !options->ranker.model.empty(); };
  add_dtype(command, options->ranker.dtype).only_with("--model", has_model);
  add_adapters(command, options->ranker.adapters).only_with("--model", has_model);
  command.add_option("--recommender", options->ranker.recommender,
                     "recommender folder whose best unseen items are the candidates; a model that "
                     "answers by title needs none, unless it was trained with --knowledge pattern");
  Option user = command.add_option("--user", options->query.user, "user id of the data set");
  command.add_option("--history", options->query.history, "item ids, oldest first, one day apart")
      .separated_by(',')
      .excludes(user);
  command.add_option("--candidates", options->query.candidates, "item ids to rank")
      .separated_by(',');
  Option all = command.add_flag("--all-users", options->all_users,
                                "a table of all users instead of one user");
  command
      .add_option("--users", options->users,
                  "a table of the users whose ids are in a file, one a line")
      .existing_file()
      .excludes(all);
  command.add_option(
      "-o,--out", options->out,
      "file of that table: .csv, .jsonl or .parquet; an interrupted run goes on when "
      "the command is repeated");
  command.add_option("-k", options->k, "titles of each user").range(1, 100);
  command
      .add_option("--beam", options->ranker.beam,
                  "a model that answers by title: beam search with so many beams, at least -k; 0: "
                  "exact scores of all titles")
      .range(0, 1000);
  command
      .add_option(
          "--num-candidates", options->query.num_candidates,
          "taken from the recommender; 0: all unseen items, for a model that answers by title")
      .range(0, 200);
  command.add_flag("!--no-trend", options->ranker.trend,
                   "do not follow what is chosen lately, which a model does whose validation rows "
                   "said that it helps");
  Option explain = command.add_flag(
      "--explain", options->explain,
      "print in sentences what the model claims, whether it is true, and what decided");
  command.add_flag("--raw", options->raw, "with --explain: the reasoning as the model wrote it")
      .needs(explain);
  add_dry_run(command, options->dry_run);
  command.on_run([options, &common] {
    options->ranker.numerics = common.numerics();
    recommend(*options, common);
  });
}

}  // namespace etrlrec
