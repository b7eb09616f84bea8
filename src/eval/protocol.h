// Named ways to ask a language model about candidate rows, and the ways to ask everything else on
// the same rows. The protocol is part of every metric's name. kProtocols in protocol.cc is the
// table of the named ways:
//   likelihood    the model writes its own reasoning (greedy), then all candidate numbers are
//                 ranked by their probability: one pass, deterministic; the headline
//   swapped-reasoning  the same below the reasoning that the model wrote about another user's row
//   no-reasoning  the same below an empty reasoning: controls of what the reasoning decides
//   truncated-reasoning  the same below the first share of the model's own reasoning
//   flipped-claims  the same below its own reasoning with false claims instead of the true ones
//   flipped-facts  its own reasoning up to its first decision with false claims instead of the true
//                 ones, from where it writes on: does its decision follow from its facts?
//   first-answer  free generation, the first answer counts if the completion keeps the contract;
//                 hit@1 and valid ratio
//   elimination   asked again without the candidate it chose, up to `rounds` times, without looking
//                 at the truth
//   title-sum     no reasoning; candidates are ranked by the log-likelihood of their whole titles
//   title-mean    the same divided by the number of tokens
//   verbalizer    no reasoning; candidates are ranked by the first tokens of their titles alone, as
//                 DELRec's released program does (eval/verbalizer.h)
// Recommenders, the exact world and the teacher are ranked by their scores ("score").
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/candidates.h"
#include "data/dataset.h"
#include "data/synthetic.h"
#include "eval/asking.h"
#include "eval/predictions.h"
#include "models/recommender.h"
#include "temporal/facts.h"
#include "temporal/statistics.h"
#include "temporal/teacher.h"

namespace etrlrec {

// Elimination asks about one history again and again; its keys and values are kept between rounds.
inline constexpr int64_t kEliminationCacheBytes = int64_t{256} << 20;

std::vector<std::string> protocol_names();

// What a protocol asks of the model, as far as memory and work follow from it; a part of its row.
struct ProtocolWork {
  bool reads_titles = false;  // whole titles of all candidates, without reasoning; writes nothing
  bool samples = false;       // `reasonings` completions of a row
  bool has_rounds = false;    // `rounds` askings about the same history
  bool asks_twice = false;    // each row, or another user's before it
};
ProtocolWork protocol_work(std::string_view name);  // error (kUsage) lists the names

// Rows that are asked about together, which bounds memory: 1024, and fewer of a model of more than
// four million parameters, at least 32, so that progress is seen.
int64_t rows_per_pass(int64_t num_parameters);

using ProgressFn = std::function<void(int64_t done, int64_t total)>;

// Rows are numbered 0.. in the order of `requests`; scores are candidate probabilities, with
// title-sum and title-mean log-likelihoods.
Predictions ask_language_model(const LanguageModel& model, const PromptEncoder& encoder,
                               std::span<const Request> requests, const ProtocolOptions& options,
                               const ProgressFn& on_progress = {});
// Scores of a request's candidates, [n]; used for recommenders, the world's exact probabilities and
// popularity.
using ScoreFn = std::function<std::vector<double>(const Request& request)>;
Predictions rank_by_scores(std::span<const Request> requests, const ScoreFn& score);
// Scores drawn from a stream of (seed, row): the random level with its sampling error.
Predictions rank_at_random(std::span<const Request> requests, uint64_t seed);
// Batched: candidate scores of a recommender for all requests, [rows][n].
std::vector<std::vector<float>> candidate_scores(const Recommender& recommender,
                                                 std::span<const Request> requests);
Predictions rank_by_recommender(const Recommender& recommender, std::span<const Request> requests);
// The world's exact next-item probabilities: the Bayes-optimal ranking of uniform candidates. The
// whole stored history of each user before the request counts, not the cut one of the requests.
Predictions rank_by_world(const World& world, const Dataset& dataset, std::span<const Row> rows,
                          std::span<const Request> requests);

// One draw of a teacher per request, without a hint, judged as a first answer.
Predictions answers_of_teacher(const Teacher& teacher, const Catalogue& catalogue,
                               const TemporalStatistics& statistics,
                               std::span<const Request> requests, int32_t max_history,
                               uint64_t seed);

// "likelihood[uniform20,seed=42]"
std::string protocol_name(const std::string& name, const CandidateOptions& options);

}  // namespace etrlrec
