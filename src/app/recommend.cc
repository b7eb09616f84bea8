// etrlrec recommend: ranked titles for a user or a history given by hand, with the model's
// reasoning, each claim of which the verifier marks true or false, or a table for many users.
#include <iostream>
#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "app/training_options.h"
#include "base/check.h"
#include "base/json.h"
#include "method/ranking_service.h"
#include "method/recommend_users.h"
#include "temporal/verifier.h"

namespace etrlrec {
namespace {

struct RecommendOptions {
  RankerOptions ranker;
  RankingQuery query;
  int32_t k = 5;
  bool all_users = false;
  std::string users, out;  // of a table for many users
  bool explain = false, dry_run = false;
};

std::string claim_text(const Ranking& ranking, const Claim& claim) {
  return ranking.reasoning.substr(claim.begin, claim.end - claim.begin);
}

void print_json(const Ranking& ranking, const Catalogue& catalogue) {
  OrderedJson document = {{"schema_version", 1}, {"items", OrderedJson::array()}};
  for (size_t i = 0; i < ranking.items.size(); ++i) {
    const auto item = static_cast<size_t>(ranking.items[i].item);
    document["items"].push_back({{"item_id", catalogue.item_ids[item]},
                                 {"title", catalogue.titles[item]},
                                 {"score", ranking.items[i].score},
                                 {"rank", i + 1}});
  }
  OrderedJson claims = OrderedJson::array();
  for (const JudgedClaim& claim : ranking.claims)
    claims.push_back(
        {{"claim", claim_text(ranking, claim.claim)}, {"verdict", verdict_name(claim.verdict)}});
  document["explanation"] = {
      {"reasoning", ranking.reasoning}, {"claims", claims}, {"valid", ranking.valid}};
  std::cout << document.dump(2, ' ', false, OrderedJson::error_handler_t::replace) << "\n";
}

void print_text(const Ranking& ranking, const Catalogue& catalogue, bool explain) {
  for (size_t i = 0; i < ranking.items.size(); ++i) {
    const auto item = static_cast<size_t>(ranking.items[i].item);
    std::string attributes;
    for (const int32_t attribute : catalogue.attributes_of(static_cast<int64_t>(item))) {
      attributes +=
          (attributes.empty() ? "" : " ") + catalogue.attributes[static_cast<size_t>(attribute)];
    }
    fmt::print("{:>2}  {:<12} {:<40} {:<28} {:.3f}\n", i + 1, catalogue.item_ids[item],
               catalogue.titles[item], attributes, ranking.items[i].score);
  }
  if (!explain) return;
  fmt::print("why: {}\n", ranking.reasoning);
  for (const JudgedClaim& claim : ranking.claims) {
    const char* mark = claim.verdict == Verdict::kTrue    ? "✓"
                       : claim.verdict == Verdict::kFalse ? "✗"
                                                          : "?";
    fmt::print("  {} {:<40} {}\n", mark, claim_text(ranking, claim.claim),
               verdict_name(claim.verdict));
  }
  if (!ranking.valid)
    fmt::print("note: the reasoning did not end within its budget and was closed by force\n");
}

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
  const double rate =
      summary.seconds > 0 ? static_cast<double>(summary.users_now) / summary.seconds : 0;
  if (common.json) {
    const OrderedJson document = {
        {"schema_version", 1},        {"users", summary.users},   {"users_now", summary.users_now},
        {"seconds", summary.seconds}, {"users_per_second", rate}, {"out", options.out}};
    std::cout << document.dump(2) << "\n";
    return;
  }
  fmt::print("{} users, {} of them now in {:.1f} s ({:.1f} users/s): {}\n", summary.users,
             summary.users_now, summary.seconds, rate, options.out);
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
    print_json(ranking, ranker.catalogue());
  } else {
    print_text(ranking, ranker.catalogue(), options.explain);
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
  add_dtype(command, options->ranker.dtype);
  add_adapters(command, options->ranker.adapters);
  command.add_option("--recommender", options->ranker.recommender,
                     "recommender folder whose best unseen items are the candidates; a model that "
                     "answers by title needs none");
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
      .add_option("--num-candidates", options->query.num_candidates, "taken from the recommender")
      .range(2, 200);
  command.add_flag("--explain", options->explain,
                   "print the reasoning and the verdict on each claim");
  add_dry_run(command, options->dry_run);
  command.on_run([options, &common] {
    options->ranker.numerics = common.numerics();
    recommend(*options, common);
  });
}

}  // namespace etrlrec
