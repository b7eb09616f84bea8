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
  return {.max_history = options.max_history,
          .with_times = options.with_times,
          .style = options.style,
          .answer = options.answer,
          .knowledge = options.knowledge,
          .knowledge_items = options.knowledge_items,
          .list_candidates = options.list_candidates,
          .with_attributes = options.with_attributes};
}

std::string completion_of(const TeacherReply& reply, const std::vector<std::string>& answers,
                          const PromptOptions& prompt) {
  return completion_text(reply.reasoning, answers.at(static_cast<size_t>(reply.answer) - 1),
                         prompt);
}

struct Judged {
  std::string verdict = "kept";  // or the first filter that refused
  std::string text;              // the completion
  ReasoningScore score;
};

Judged judge(const TeacherReply& reply, const ClaimContext& context, const ClaimWeights& weights,
             const ConstructOptions& options) {
  Judged judged;
  const PromptStyle& style = find_style(options.style);
  judged.score =
      score_reasoning(judge_claims(style.read(reply.reasoning, context).claims, context, weights),
                      reply.answer, context);
  const PromptOptions prompt = prompt_options(options);
  const auto answers = answer_texts(context.catalogue, context.request, prompt);
  judged.text = completion_of(reply, answers, prompt);
  if (parse_completion(judged.text, answers, prompt).code != AnswerCode::kValid)
    judged.verdict = "format";
  else if (betrays(reply.reasoning))
    judged.verdict = "betrayal";
  else if (options.filter_answer && reply.answer != context.request.target_slot + 1)
    judged.verdict = "wrong_answer";
  else if (judged.score.precision < options.min_precision)
    judged.verdict = "precision";
  return judged;
}

std::unique_ptr<Teacher> teacher_of(const ConstructSetup& setup) {
  const ConstructOptions& options = setup.options;
  const auto precision = [&](std::vector<int32_t> KnownItems::*list) {
    return setup.knowledge ? list_precision(setup.source, setup.usable, list) : 0;
  };
  return make_teacher(options.teacher, setup.study->dataset.catalogue, setup.study->statistics,
                      {.temperature = options.temperature,
                       .with_times = options.with_times,
                       .names_candidates = options.answer == AnswerKind::kNumber,
                       .pattern_precision = precision(&KnownItems::pattern),
                       .lately_precision = precision(&KnownItems::lately),
                       .after_precision = precision(&KnownItems::after),
                       .style = options.style});
}

class Constructor {
 public:
  explicit Constructor(const ConstructSetup& setup)
      : options_(setup.options),
        source_(setup.source),
        usable_(setup.usable),
        teacher_(teacher_of(setup)) {}

  // Measured on training rows spread over all that may be written; independent of --limit.
  void measure_weights() {
    std::vector<RowView> views;
    for (const int64_t index : spread_rows(std::ssize(usable_), kWeightContexts))
      views.push_back(source_.view(usable_[static_cast<size_t>(index)]));
    at::parallel_for(0, std::ssize(views), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) views[static_cast<size_t>(i)].facts();
    });
    std::vector<TrainingContext> contexts;
    for (const RowView& view : views)
      contexts.push_back({view.context(), view.request().candidates[view.request().target_slot]});
    weights_ = measure_claim_weights(contexts, options_.seed);
  }
  const ClaimWeights& weights() const { return weights_; }

  const Teacher& teacher() const { return *teacher_; }

  // The line of one row in the part file.
  std::string row_line(int64_t row) const {
    const RowView view = source_.view(row);
    const ClaimContext context = view.context();
    Rng rng(options_.seed, "teacher", static_cast<uint64_t>(row));
    OrderedJson draws = OrderedJson::array(), kept = OrderedJson::array();
    std::set<std::string> texts;
    int32_t drawn = 0;
    const auto draw = [&](bool hint) {
      if (static_cast<int32_t>(kept.size()) >= options_.max_per_row) return;
      const TeacherRequest request{context, rng, drawn++, hint};
      const TeacherReply reply = teacher_->reply({&request, 1}).front();
      Judged judged = judge(reply, context, weights_, options_);
      if (judged.verdict == "kept" && !texts.insert(judged.text).second)
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
    return OrderedJson{
        {"row", row}, {"key", teacher_->resume_key(row)}, {"draws", draws}, {"kept", kept}}
        .dump();
  }

 private:
  const ConstructOptions& options_;
  const RowSource& source_;
  const std::vector<int64_t>& usable_;
  std::unique_ptr<Teacher> teacher_;
  ClaimWeights weights_;
};

void check_options(const ConstructOptions& options) {
  CHECK(options.hint_policy == "fallback" || options.hint_policy == "never" ||
            options.hint_policy == "always",
        kUsage, "unknown hint policy \"{}\"; known: fallback, never, always", options.hint_policy);
  CHECK(options.max_per_row > 0 && options.draws >= 0 && options.hinted_draws >= 0, kUsage,
        "draws: expected numbers that are not negative, and at least one kept per row");
  CHECK(!options.list_candidates || options.answer == AnswerKind::kTitle, kUsage,
        "--list-candidates: prompts with answers by number always list them\n"
        "hint: leave the option out, or --answer title");
  find_style(options.style, "--style");
}

// The options that decide the result. Those that older versions did not have stand here only where
// they are not as they were then.
OrderedJson fingerprint(const ConstructSetup& setup) {
  const ConstructOptions& options = setup.options;
  const CandidateSet& set = setup.source.set();
  OrderedJson print = {{"candidates", set.hash},
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
                       {"style", options.style},
                       {"answer", answer_kind_name(options.answer)},
                       {"seed", options.seed}};
  if (options.limit > 0) print["limit"] = options.limit;
  if (!options.with_attributes) print["with_attributes"] = false;
  write_knowledge(setup.source.prompt(), setup.pattern, print);
  return print;
}

fs::path part_file(const ConstructOptions& options) {
  return fs::path(options.out) / "reasoning.part.jsonl";
}

// What a part file holds of the chosen rows, in their order and under the keys that the teacher
// gives them.
struct PartState {
  int64_t rows = 0;
  size_t bytes = 0;          // of these rows; what comes after them is drawn again
  int64_t unused_lines = 0;  // whole lines after them; a torn one is no line
  std::string reason;        // why the first of these is not used
};

PartState read_part(const Teacher& teacher, const fs::path& path, std::span<const int64_t> chosen) {
  PartState state;
  if (!fs::exists(path)) return state;
  const std::string text = read_file(path, uint64_t{1} << 40);
  for (size_t end = text.find('\n'); end != text.npos; end = text.find('\n', state.bytes)) {
    const std::string name = fmt::format("{}:{}", path.string(), state.rows + 1);
    const Json line =
        parse_json(std::string_view(text).substr(state.bytes, end - state.bytes), name);
    const auto key = get_or<std::string>(line, "key", "", name);
    const std::string expected =
        state.rows == std::ssize(chosen) ? "" : teacher.resume_key(chosen[state.rows]);
    if (key.empty() || key != expected) {
      state.unused_lines =
          std::count(text.begin() + static_cast<int64_t>(state.bytes), text.end(), '\n');
      state.reason = key.empty() ? "has no key, as those of older versions"
                                 : fmt::format("is of {}, expected {}", key,
                                               expected.empty() ? "no further row" : expected);
      break;
    }
    state.bytes = end + 1;
    ++state.rows;
  }
  return state;
}

// Number of rows that are done. What comes after them in the part file is cut off.
int64_t continue_part(const Teacher& teacher, const fs::path& path,
                      std::span<const int64_t> chosen) {
  if (!fs::exists(path)) return 0;
  const PartState state = read_part(teacher, path, chosen);
  if (state.unused_lines > 0)
    log_warning("{}: line {} {}; it and all lines after it ({}) are drawn again", path.string(),
                state.rows + 1, state.reason, state.unused_lines);
  fs::resize_file(path, state.bytes);
  return state.rows;
}

void write_parts(const Constructor& constructor, const fs::path& path,
                 std::span<const int64_t> rows) {
  const int64_t total = std::ssize(rows);
  int64_t done = continue_part(constructor.teacher(), path, rows);
  if (done > 0) log_info("construct: continuing at row {} of {}", done, total);
  std::ofstream file(path, std::ios::app | std::ios::binary);
  ProgressBar bar("construct", total, done);
  while (done < total) {
    const int64_t count = std::min(kRowsPerPart, total - done);
    std::vector<std::string> lines(static_cast<size_t>(count));
    at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) lines[i] = constructor.row_line(rows[done + i]);
    });
    for (const std::string& line : lines) file << line << '\n';
    file.flush();
    CHECK(file.good(), kFailure, "{}: cannot write", path.string());
    done += count;
    bar.update(done);
  }
}

// reasoning.jsonl from the part file: one line per kept draw, usable as it is by other trainers.
ConstructSummary collect(const fs::path& part, const fs::path& out, const RowSource& source) {
  const Study& study = source.study();
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
    const auto row = get<int64_t>(line, "row", part.string());
    const RowView view = source.view(row);
    const Request& request = view.request();
    OrderedJson candidates = OrderedJson::array();
    for (const int32_t item : request.candidates) candidates.push_back(ids[item]);
    for (const Json& kept : line.at("kept")) {
      ++summary.kept;
      summary.hinted += get<bool>(kept, "hinted", part.string());
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
      file << OrderedJson{{"prompt", view.prompt()},
                          {"completion", completion_of(reply, view.answers(), source.prompt())},
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

}  // namespace

OrderedJson to_json(const ConstructSummary& summary) {
  OrderedJson rejected = OrderedJson::object();
  for (const auto& [name, count] : summary.rejected) rejected[name] = count;
  return {{"schema_version", 1},    {"rows", summary.rows}, {"rows_kept", summary.rows_kept},
          {"draws", summary.draws}, {"kept", summary.kept}, {"hinted", summary.hinted},
          {"rejected", rejected}};
}

std::string format_summary(const ConstructSummary& summary) {
  const auto share = [](int64_t part, int64_t whole) {
    return whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  };
  std::string text =
      fmt::format("rows {}, with reasoning {} ({:.1f} %), of these hinted draws {}\n", summary.rows,
                  summary.rows_kept, share(summary.rows_kept, summary.rows), summary.hinted);
  int64_t left = summary.draws;
  text += fmt::format("draws {}\n", left);
  for (const char* filter : {"format", "betrayal", "wrong_answer", "precision", "repeated"}) {
    const auto found = summary.rejected.find(filter);
    const int64_t refused = found == summary.rejected.end() ? 0 : found->second;
    text += fmt::format("  {:<13} passed {:5.1f} % ({} of {})\n", filter,
                        share(left - refused, left), left - refused, left);
    left -= refused;
  }
  return text;
}

OrderedJson to_json(const ConstructPlan& plan) {
  return {{"schema_version", 1},
          {"rows", plan.rows},
          {"rows_done", plan.rows_done},
          {"most_draws", plan.most_draws}};
}

std::string format_plan(const ConstructPlan& plan) {
  return fmt::format("{} rows, {} of them done; at most {} draws of the teacher are left",
                     plan.rows, plan.rows_done, plan.most_draws);
}

ReasoningRecord read_reasoning_record(const fs::path& folder) {
  const std::string name = (folder / "construct.json").string();
  CHECK(fs::exists(name), kInput, "{}: no construct.json: not a finished folder of construct",
        folder.string());
  const Json json = read_json(name);
  const Json made = get<Json>(json, "options", name);
  PromptOptions prompt;
  prompt.max_history = get<int32_t>(made, "max_history", name);
  prompt.with_times = get<bool>(made, "with_times", name);
  prompt.with_attributes = get_or<bool>(made, "with_attributes", true, name);
  prompt.style = get_or<std::string>(made, "style", prompt.style, name);
  find_style(prompt.style, name + ": style");
  prompt.answer = answer_kind(get_or<std::string>(made, "answer", "number", name));
  const std::optional<PatternRecord> pattern = read_knowledge(made, name, prompt);
  return {get<std::string>(made, "candidates", name),
          get<std::string>(json, "catalogue_hash", name), prompt, pattern};
}

ConstructSetup setup(const ConstructOptions& asked) {
  check_options(asked);
  ConstructOptions options = asked;
  if (options.max_history == 0) options.max_history = usual_history(options.answer);
  auto study = std::make_unique<const Study>(open_study(options.data));
  options.with_times = options.with_times && !study->dataset.order_only;
  RowSource source(*study, study->candidates("train"), prompt_options(options));
  std::vector<int64_t> usable = draw_limited(source.size(), 0, options.seed);
  check_no_pattern(source.prompt(), options.recommender, "this reasoning");
  const auto knowledge = open_knowledge(source.prompt(), {}, options.recommender, study->dataset,
                                        options.numerics, "construct");
  if (knowledge) usable = add_training_knowledge(*knowledge, source);
  std::vector<int64_t> rows = draw_limited(std::ssize(usable), options.limit, options.seed);
  for (int64_t& row : rows) row = usable[static_cast<size_t>(row)];
  std::sort(rows.begin(), rows.end());
  return {options,
          std::move(study),
          std::move(source),
          std::move(rows),
          std::move(usable),
          knowledge != nullptr,
          knowledge ? knowledge->record() : std::nullopt};
}

ConstructPlan plan(const ConstructSetup& setup) {
  const ConstructOptions& options = setup.options;
  ConstructPlan plan;
  plan.rows = std::ssize(setup.rows);
  plan.rows_done = read_part(*teacher_of(setup), part_file(options), setup.rows).rows;
  const int32_t draws = (options.hint_policy != "always" ? options.draws : 0) +
                        (options.hint_policy != "never" ? options.hinted_draws : 0);
  plan.most_draws = (plan.rows - plan.rows_done) * draws;
  return plan;
}

ConstructSummary run(const ConstructSetup& setup) {
  const ConstructOptions& options = setup.options;
  const fs::path out = options.out, part = part_file(options), begun = out / "construct.part.json";
  fs::create_directories(out);
  const ExclusiveUse use(out);
  const OrderedJson effective = fingerprint(setup);
  if (fs::exists(begun)) {
    Json found = read_json(begun);
    // What older versions did not write.
    if (!found.contains("style")) found["style"] = PromptOptions{}.style;
    if (!found.contains("answer")) found["answer"] = answer_kind_name(AnswerKind::kNumber);
    CHECK(found == Json::parse(effective.dump()), kUsage,
          "{}: begun with other options\nhint: repeat the command with the old ones, or choose "
          "another folder",
          out.string());
  } else {
    CHECK(!fs::exists(part), kInput, "{}: part file without its options", part.string());
    write_json_atomic(begun, effective);
  }
  Constructor constructor(setup);
  constructor.measure_weights();
  write_claim_weights(constructor.weights(), out / "claim_weights.json");
  write_parts(constructor, part, setup.rows);
  const ConstructSummary summary = collect(part, out / "reasoning.jsonl", setup.source);
  OrderedJson record = to_json(summary);
  record["options"] = effective;
  record["catalogue_hash"] = setup.study->catalogue_hash;
  write_json_atomic(out / "construct.json", record);
  return summary;
}

ConstructSummary construct(const ConstructOptions& options) { return run(setup(options)); }

}  // namespace etrlrec
