#include "method/construct.h"

#include <ATen/Parallel.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <set>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "method/endpoint_teacher.h"
#include "method/file_teacher.h"
#include "method/llm_rows.h"
#include "method/local_teacher.h"
#include "method/reasoning_file.h"
#include "temporal/claim_weights.h"
#include "temporal/prompts.h"
#include "temporal/statistics.h"
#include "temporal/teachers.h"
#include "temporal/verifier.h"

namespace etrlrec {
namespace {

constexpr int64_t kRowsPerPart = 512;
constexpr int64_t kWeightContexts = 2000;

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
  else if (betrays(reply.reasoning, false))
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

// Measured on training rows spread over all that may be written; independent of --limit.
ClaimWeights measure_weights(const ConstructSetup& setup) {
  std::vector<RowView> views;
  for (const int64_t index : spread_rows(std::ssize(setup.usable), kWeightContexts))
    views.push_back(setup.source.view(setup.usable[static_cast<size_t>(index)]));
  at::parallel_for(0, std::ssize(views), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) views[static_cast<size_t>(i)].facts();
  });
  std::vector<TrainingContext> contexts;
  for (const RowView& view : views)
    contexts.push_back({view.context(), view.request().candidates[view.request().target_slot]});
  return measure_claim_weights(contexts, setup.options.seed);
}

class Constructor {
 public:
  Constructor(const ConstructSetup& setup, const ClaimWeights& weights)
      : options_(setup.options),
        source_(setup.source),
        teacher_(teacher_of(setup)),
        weights_(weights) {}

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
  std::unique_ptr<Teacher> teacher_;
  const ClaimWeights& weights_;
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
  const auto teachers = construct_teachers();
  CHECK(std::find(teachers.begin(), teachers.end(), options.teacher) != teachers.end(), kUsage,
        "unknown teacher \"{}\"; known: {}", options.teacher, fmt::join(teachers, ", "));
}

// What else decides the result of a teacher that writes free text. Where an endpoint is, does not.
OrderedJson llm_fingerprint(const ConstructOptions& options, const Catalogue& catalogue) {
  const LlmTeacherOptions& llm = options.llm;
  const GuidanceTexts texts = guidance_of(llm, catalogue);
  OrderedJson print = {{"keep", llm.reasoning}, {"student", llm.student}};
  if (!llm.student.empty()) print["max_completion_tokens"] = llm.max_completion_tokens;
  if (llm.usefulness_filter) print["min_usefulness"] = llm.min_usefulness;
  if (options.teacher == "file") {
    print["file"] = sha256_file(llm.file);
    return print;
  }
  print["model"] = llm.model;
  print["parameters"] = Json::parse(call_parameters(options));
  print["fact_sheet"] = llm.fact_sheet;
  print["domain"] = texts.domain;
  print["guidance"] = sha256_hex(to_json(texts).dump());
  return print;
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
  if (writes_free_text(options.teacher))
    print["llm"] = llm_fingerprint(options, setup.study->dataset.catalogue);
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

std::unique_ptr<ReplySource> reply_source(const ConstructSetup& setup) {
  const ConstructOptions& options = setup.options;
  const fs::path calls = fs::path(options.out) / "calls.jsonl";
  if (options.teacher == "endpoint") return endpoint_teacher(options.llm, calls);
  if (options.teacher == "local") return local_teacher(options, calls);
  return file_teacher(options.llm.file, setup.source, setup.rows);
}

void write_llm_part(LlmRows& teacher, std::span<const int64_t> rows, const fs::path& path) {
  std::ofstream file(path, std::ios::trunc | std::ios::binary);
  teacher.write(rows, [&](const std::string& line) { file << line << '\n'; });
  file.close();
  CHECK(file.good(), kFailure, "{}: cannot write", path.string());
}

// Why the teacher gave up; nothing where it answered everything. What it has is written either way.
std::optional<Error> write_llm_rows(const ConstructSetup& setup, const ClaimWeights& weights,
                                    ReplySource& replies, const fs::path& path) {
  LlmRows teacher(setup.options, setup.source, weights, replies);
  try {
    write_llm_part(teacher, setup.rows, path);
    return std::nullopt;
  } catch (const Error& error) {
    if (error.code() != ExitCode::kTeacher && error.code() != ExitCode::kResumable) throw;
    replies.go_offline();
    write_llm_part(teacher, setup.rows, path);
    return error;
  }
}

// Records what the folder was begun with; error (kUsage) where that was something else.
void begin_folder(const fs::path& out, const fs::path& part, const OrderedJson& effective) {
  const fs::path begun = out / "construct.part.json";
  if (!fs::exists(begun)) {
    CHECK(!fs::exists(part), kInput, "{}: part file without its options", part.string());
    return write_json_atomic(begun, effective);
  }
  Json found = read_json(begun);
  // What older versions did not write.
  if (!found.contains("style")) found["style"] = PromptOptions{}.style;
  if (!found.contains("answer")) found["answer"] = answer_kind_name(AnswerKind::kNumber);
  CHECK(found == Json::parse(effective.dump()), kUsage,
        "{}: begun with other options\nhint: repeat the command with the old ones, or choose "
        "another folder",
        out.string());
}

}  // namespace

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
  if (!get_or<bool>(json, "complete", true, name))
    log_warning("{}: its teacher gave up before all rows were written", folder.string());
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
  if (writes_free_text(options.teacher)) check_llm_options(options);
  if (options.max_history == 0) options.max_history = usual_history(options.answer);
  auto study = std::make_unique<const Study>(open_study(options.data));
  options.with_times = options.with_times && !study->dataset.order_only;
  RowSource source(*study, study->candidates("train"), prompt_options(options));
  std::vector<int64_t> usable = draw_limited(source.size(), 0, options.seed);
  check_no_pattern(source.prompt(), options.recommender, "this reasoning");
  const auto knowledge = open_knowledge(source.prompt(), {}, options.recommender, study->dataset,
                                        options.numerics, "construct");
  if (knowledge) usable = add_training_knowledge(*knowledge, source);
  if (knowledge && knowledge->record()) source.name_recommender(knowledge->record()->recommender);
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
  const bool free_text = writes_free_text(options.teacher);
  // Free text is judged again in each run: what counts is the file of calls.
  if (!free_text)
    plan.rows_done = read_part(*teacher_of(setup), part_file(options), setup.rows).rows;
  const int32_t draws = (options.hint_policy != "always" ? options.draws : 0) +
                        (options.hint_policy != "never" ? options.hinted_draws : 0);
  plan.most_draws = (plan.rows - plan.rows_done) * draws;
  const fs::path calls = fs::path(options.out) / "calls.jsonl";
  if (free_text && fs::exists(calls))
    plan.most_draws = std::max<int64_t>(0, plan.most_draws - count_calls(calls).totals.replies);
  return plan;
}

ConstructSummary run(const ConstructSetup& setup) {
  const ConstructOptions& options = setup.options;
  const fs::path out = options.out, part = part_file(options);
  const bool free_text = writes_free_text(options.teacher);
  CHECK(options.teacher != "file" || !options.llm.file.empty(), kUsage,
        "--teacher file: expected --teacher-file");
  // A file or a model that is none is refused before anything is written.
  std::unique_ptr<ReplySource> replies;
  if (free_text && options.teacher != "endpoint") replies = reply_source(setup);
  fs::create_directories(out);
  const ExclusiveUse use(out);
  const OrderedJson effective = fingerprint(setup);
  begin_folder(out, part, effective);
  const ClaimWeights weights = measure_weights(setup);
  write_claim_weights(weights, out / "claim_weights.json");
  std::optional<Error> stopped;
  if (options.teacher == "endpoint") replies = reply_source(setup);
  if (free_text)
    stopped = write_llm_rows(setup, weights, *replies, part);
  else
    write_parts(Constructor(setup, weights), part, setup.rows);
  const ConstructSummary summary =
      collect_reasoning({.part = part,
                         .reasoning = out / "reasoning.jsonl",
                         .quarantine = free_text ? out / "quarantine.jsonl" : fs::path(),
                         .messages = options.messages ? out / "messages.jsonl" : fs::path()},
                        setup.source);
  OrderedJson record = to_json(summary);
  record["options"] = effective;
  record["catalogue_hash"] = setup.study->catalogue_hash;
  if (free_text) record["complete"] = !stopped;
  write_json_atomic(out / "construct.json", record);
  if (stopped) throw *stopped;
  return summary;
}

int64_t write_requests(const ConstructSetup& setup, const fs::path& path) {
  const ConstructOptions& options = setup.options;
  const ClaimWeights weights;
  const auto replies = file_teacher({}, setup.source, setup.rows);
  const LlmRows teacher(options, setup.source, weights, *replies);
  AtomicFile file(path);
  int64_t lines = 0;
  for (const int64_t row : setup.rows) {
    const RowView view = setup.source.view(row);
    for (const bool hinted : {false, true}) {
      if (options.hint_policy == (hinted ? "never" : "always")) continue;
      OrderedJson messages = OrderedJson::array();
      for (const ChatMessage& message : teacher.messages(view, row, hinted))
        messages.push_back({{"role", message.role}, {"content", message.content}});
      const OrderedJson line = {{"messages", messages},
                                {"meta", {{"row", row}, {"hinted", hinted}}}};
      file.write(line.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n");
      ++lines;
    }
  }
  file.commit();
  return lines;
}

ConstructSummary construct(const ConstructOptions& options) { return run(setup(options)); }

}  // namespace etrlrec
