#include "method/construct.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <set>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "method/study.h"
#include "temporal/claim_weights.h"
#include "temporal/prompts.h"
#include "temporal/statistics.h"
#include "temporal/teachers.h"
#include "temporal/verifier.h"

namespace etrlrec {
namespace {

constexpr int64_t kRowsPerPart = 512;
constexpr int64_t kWeightContexts = 2000;

// Phrases that betray that the answer was known.
constexpr std::string_view kBetrayals[] = {"the hint",     "hinted",      "actual next",
                                           "ground truth", "true next",   "correct answer",
                                           "given answer", "target item", "revealed"};

bool betrays(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return c < 128 ? std::tolower(c) : c; });
  return std::any_of(std::begin(kBetrayals), std::end(kBetrayals), [&](std::string_view phrase) {
    return text.find(phrase) != std::string::npos;
  });
}

PromptOptions prompt_options(const ConstructOptions& options) {
  return {options.max_history, options.with_times, true};
}

struct Judged {
  std::string verdict = "kept";  // or the first filter that refused
  ReasoningScore score;
};

Judged judge(const TeacherReply& reply, const ClaimContext& context, const ClaimWeights& weights,
             const ConstructOptions& options) {
  Judged judged;
  const auto n = static_cast<int32_t>(context.request.candidates.size());
  judged.score =
      score_reasoning(judge_claims(reply.reasoning, context, weights), reply.answer, context);
  const PromptOptions prompt = prompt_options(options);
  const std::string text = completion_text(reply.reasoning, reply.answer, prompt);
  if (parse_completion(text, n, prompt).code != AnswerCode::kValid)
    judged.verdict = "format";
  else if (betrays(reply.reasoning))
    judged.verdict = "betrayal";
  else if (options.filter_answer && reply.answer != context.request.target_slot + 1)
    judged.verdict = "wrong_answer";
  else if (judged.score.precision < options.min_precision)
    judged.verdict = "precision";
  return judged;
}

class Constructor {
 public:
  Constructor(const ConstructOptions& options, const Study& study, const CandidateSet& set)
      : options_(options), study_(study), set_(set) {
    CHECK(options.hint_policy == "fallback" || options.hint_policy == "never" ||
              options.hint_policy == "always",
          kUsage, "unknown hint policy \"{}\"; known: fallback, never, always",
          options.hint_policy);
    CHECK(options.max_per_row > 0 && options.draws >= 0 && options.hinted_draws >= 0, kUsage,
          "draws: expected numbers that are not negative, and at least one kept per row");
    teacher_ = make_teacher(options.teacher, study.dataset.catalogue, study.statistics,
                            {options.temperature, options.with_times});
  }

  // Measured on training rows spread over the whole set; independent of --limit.
  void measure_weights() {
    const auto rows = spread_rows(static_cast<int64_t>(set_.rows.size()), kWeightContexts);
    const auto requests = make_requests(study_, set_, rows, options_.max_history);
    std::vector<FactSheet> facts(requests.size());
    at::parallel_for(0, static_cast<int64_t>(facts.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        facts[i] = compute_facts(study_.dataset.catalogue, study_.statistics, requests[i]);
    });
    std::vector<TrainingContext> contexts;
    for (size_t i = 0; i < facts.size(); ++i) {
      const Request& request = requests[i];
      contexts.push_back(
          {{study_.dataset.catalogue, request, facts[i]}, request.candidates[request.target_slot]});
    }
    weights_ = measure_claim_weights(contexts, options_.seed);
  }
  const ClaimWeights& weights() const { return weights_; }

  std::string resume_key(int64_t row) const { return teacher_->resume_key(row); }

  // The line of one row in the part file.
  std::string row_line(int64_t row) const {
    const Request request = make_request(study_.dataset, set_, row, options_.max_history);
    const FactSheet facts = compute_facts(study_.dataset.catalogue, study_.statistics, request);
    const ClaimContext context{study_.dataset.catalogue, request, facts};
    Rng rng(options_.seed, "teacher", static_cast<uint64_t>(row));
    OrderedJson draws = OrderedJson::array(), kept = OrderedJson::array();
    std::set<std::string> texts;
    int32_t drawn = 0;
    const auto draw = [&](bool hint) {
      if (static_cast<int32_t>(kept.size()) >= options_.max_per_row) return;
      const TeacherRequest request{context, rng, drawn++, hint};
      const TeacherReply reply = teacher_->reply({&request, 1}).front();
      Judged judged = judge(reply, context, weights_, options_);
      if (judged.verdict == "kept" &&
          !texts.insert(completion_text(reply.reasoning, reply.answer, prompt_)).second)
        judged.verdict = "repeated";
      draws.push_back({{"verdict", judged.verdict}, {"hinted", reply.hinted}});
      if (judged.verdict == "kept")
        kept.push_back({{"reasoning", reply.reasoning},
                        {"answer", reply.answer},
                        {"hinted", reply.hinted},
                        {"precision", judged.score.precision},
                        {"coverage", judged.score.coverage},
                        {"r_ver", judged.score.r_ver}});
    };
    if (options_.hint_policy != "always")
      for (int32_t d = 0; d < options_.draws; ++d) draw(false);
    if (options_.hint_policy == "always" || (options_.hint_policy == "fallback" && kept.empty()))
      for (int32_t d = 0; d < options_.hinted_draws; ++d) draw(true);
    return OrderedJson{{"row", row}, {"key", resume_key(row)}, {"draws", draws}, {"kept", kept}}
        .dump();
  }

 private:
  const ConstructOptions& options_;
  const Study& study_;
  const CandidateSet& set_;
  const PromptOptions prompt_ = prompt_options(options_);
  std::unique_ptr<Teacher> teacher_;
  ClaimWeights weights_;
};

OrderedJson fingerprint(const ConstructOptions& options, const CandidateSet& set) {
  return {{"candidates", set.hash},
          {"teacher", options.teacher},
          {"draws", options.draws},
          {"hinted_draws", options.hinted_draws},
          {"hint_policy", options.hint_policy},
          {"temperature", options.temperature},
          {"filter_answer", options.filter_answer},
          {"min_precision", options.min_precision},
          {"max_per_row", options.max_per_row},
          {"max_history", options.max_history},
          {"with_times", options.with_times},
          {"seed", options.seed}};
}

// Number of rows that the part file holds under the keys that the teacher would give them; what
// comes after these (a torn line, a row of another key) is cut off and drawn again.
int64_t continue_part(const Constructor& constructor, const fs::path& path) {
  if (!fs::exists(path)) return 0;
  const std::string text = read_file(path, uint64_t{1} << 40);
  int64_t rows = 0;
  size_t begin = 0;
  for (size_t end = text.find('\n'); end != text.npos; end = text.find('\n', begin)) {
    const std::string name = fmt::format("{}:{}", path.string(), rows + 1);
    const Json line = parse_json(std::string_view(text).substr(begin, end - begin), name);
    if (get_or<std::string>(line, "key", "", name) != constructor.resume_key(rows)) break;
    begin = end + 1;
    ++rows;
  }
  fs::resize_file(path, begin);
  return rows;
}

void write_parts(const Constructor& constructor, const fs::path& path, int64_t total) {
  int64_t done = continue_part(constructor, path);
  if (done > 0) log_info("construct: continuing at row {} of {}", done, total);
  std::ofstream file(path, std::ios::app | std::ios::binary);
  ProgressBar bar("construct", total, done);
  while (done < total) {
    const int64_t count = std::min(kRowsPerPart, total - done);
    std::vector<std::string> lines(static_cast<size_t>(count));
    at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) lines[i] = constructor.row_line(done + i);
    });
    for (const std::string& line : lines) file << line << '\n';
    file.flush();
    CHECK(file.good(), kFailure, "{}: cannot write", path.string());
    done += count;
    bar.update(done);
  }
}

// reasoning.jsonl from the part file: one line per kept draw, usable as it is by other trainers.
ConstructSummary collect(const fs::path& part, const fs::path& out, const Study& study,
                         const CandidateSet& set, const ConstructOptions& options) {
  ConstructSummary summary;
  const fs::path temporary = out.string() + ".tmp";
  std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
  const auto& ids = study.dataset.catalogue.item_ids;
  for_each_json_line(part, [&](const Json& line, int64_t) {
    ++summary.rows;
    for (const Json& draw : line.at("draws")) {
      ++summary.draws;
      if (draw.at("verdict") != "kept") ++summary.rejected[draw.at("verdict")];
    }
    summary.rows_kept += !line.at("kept").empty();
    if (line.at("kept").empty()) return;
    const auto row = line.at("row").get<int64_t>();
    const Request request = make_request(study.dataset, set, row, options.max_history);
    const PromptOptions prompt = prompt_options(options);
    const std::string text = student_prompt(study.dataset.catalogue, request, prompt);
    OrderedJson candidates = OrderedJson::array();
    for (const int32_t item : request.candidates) candidates.push_back(ids[item]);
    for (const Json& kept : line.at("kept")) {
      ++summary.kept;
      summary.hinted += kept.at("hinted").get<bool>();
      const TeacherReply reply{kept.at("reasoning"), kept.at("answer"), kept.at("hinted")};
      OrderedJson meta = {{"row", row},
                          {"user_id", study.dataset.user_ids[request.user]},
                          {"target_item_id", ids[request.candidates[request.target_slot]]},
                          {"target", request.target_slot + 1},
                          {"answer", reply.answer},
                          {"candidates", candidates},
                          {"now", request.now},
                          {"hinted", reply.hinted},
                          {"precision", kept.at("precision")},
                          {"coverage", kept.at("coverage")},
                          {"r_ver", kept.at("r_ver")}};
      file << OrderedJson{{"prompt", text},
                          {"completion", completion_text(reply.reasoning, reply.answer, prompt)},
                          {"meta", meta}}
                  .dump()
           << '\n';
    }
  });
  file.close();
  CHECK(file.good(), kFailure, "{}: cannot write", temporary.string());
  fs::rename(temporary, out);
  return summary;
}

OrderedJson statistics_json(const TemporalStatistics& statistics, const Study& study) {
  const HypothesisPrecision& p = statistics.precision;
  return {{"schema_version", 1},
          {"catalogue_hash", study.catalogue_hash},
          {"events", statistics.num_events},
          {"attributes", statistics.num_attributes},
          {"train_end_time", statistics.train_end_time},
          {"session_gap", statistics.session_gap},
          {"hypothesis_precision",
           {{"transition", p.transition},
            {"long_term", p.long_term},
            {"season", p.season},
            {"recent", p.recent},
            {"sequel", p.sequel}}}};
}

}  // namespace

OrderedJson to_json(const ConstructSummary& summary) {
  OrderedJson rejected = OrderedJson::object();
  for (const auto& [name, count] : summary.rejected) rejected[name] = count;
  return {{"schema_version", 1},    {"rows", summary.rows}, {"rows_kept", summary.rows_kept},
          {"draws", summary.draws}, {"kept", summary.kept}, {"hinted", summary.hinted},
          {"rejected", rejected}};
}

ConstructSummary construct(const ConstructOptions& options) {
  const fs::path out = options.out;
  const Study study = open_study(options.data);
  const CandidateSet set = study.candidates("train");
  const auto rows = static_cast<int64_t>(set.rows.size());
  const int64_t total = options.limit > 0 ? std::min(options.limit, rows) : rows;

  fs::create_directories(out);
  const fs::path part = out / "reasoning.part.jsonl", plan = out / "construct.part.json";
  const OrderedJson effective = fingerprint(options, set);
  if (fs::exists(plan)) {
    CHECK(read_json(plan) == Json::parse(effective.dump()), kUsage,
          "{}: begun with other options\nhint: repeat the command with the old ones, or choose "
          "another folder",
          out.string());
  } else {
    CHECK(!fs::exists(part), kInput, "{}: part file without its options", part.string());
    write_json_atomic(plan, effective);
  }
  Constructor constructor(options, study, set);
  constructor.measure_weights();
  write_claim_weights(constructor.weights(), out / "claim_weights.json");
  write_json_atomic(out / "statistics.json", statistics_json(study.statistics, study));
  write_parts(constructor, part, total);
  const ConstructSummary summary = collect(part, out / "reasoning.jsonl", study, set, options);
  OrderedJson record = to_json(summary);
  record["options"] = effective;
  record["catalogue_hash"] = study.catalogue_hash;
  write_json_atomic(out / "construct.json", record);
  return summary;
}

}  // namespace etrlrec
