#include "method/llm_rows.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <optional>
#include <set>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "base/log.h"
#include "method/construct_filters.h"
#include "method/model_folder.h"
#include "remote/http_client.h"
#include "temporal/claim_mining.h"
#include "text/tokenizer_folder.h"

namespace etrlrec {
namespace {

constexpr int64_t kFreeTokens = 16;  // of the student's budget (method.md G.2)
constexpr int32_t kMostRounds = 1 << 20;

bool wants_whole_text(const ConstructOptions& options) {
  const std::string& kept = options.llm.reasoning;
  CHECK(kept == "auto" || kept == "whole" || kept == "claims", kUsage,
        "--keep: expected auto, whole or claims, found \"{}\"", kept);
  CHECK(kept != "whole" || options.style == "natural", kUsage,
        "--keep whole: the style {} has no words of a teacher's own\nhint: --style natural, or "
        "--keep claims",
        options.style);
  return kept == "whole" || (kept == "auto" && options.style == "natural");
}

}  // namespace

bool writes_free_text(const std::string& teacher) {
  return teacher == "endpoint" || teacher == "local" || teacher == "file";
}

std::vector<std::string> construct_teachers() { return {"program", "endpoint", "local", "file"}; }

GuidanceTexts guidance_of(const LlmTeacherOptions& options, const Catalogue& catalogue) {
  const GuidanceTexts texts =
      guidance_texts(options.domain == "auto" ? guess_domain(catalogue) : options.domain);
  return options.guidance.empty() ? texts : read_guidance(options.guidance, texts);
}

std::string call_parameters(Json usual, const std::vector<std::string>& texts, const char* option) {
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    const Json value = equals == text.npos ? Json(Json::value_t::discarded)
                                           : Json::parse(text.substr(equals + 1), nullptr, false);
    CHECK(!name.empty() && !value.is_discarded(), kUsage,
          "{}: expected NAME=JSON, found \"{}\"\nhint: texts need quotes, "
          "reasoning_effort='\"low\"'",
          option, text);
    CHECK(name != "model" && name != "messages" && name != "n" && name != "stream", kUsage,
          "{}: \"{}\" is set by the call itself", option, name);
    if (name == "max_completion_tokens") usual.erase("max_tokens");
    usual[name] = value;
  }
  return usual.dump();
}

std::string call_parameters(const ConstructOptions& options) {
  Json usual = {{"temperature", options.temperature}, {"max_tokens", options.llm.max_new_tokens}};
  if (options.llm.top_p < 1) usual["top_p"] = options.llm.top_p;
  return call_parameters(std::move(usual), options.llm.parameters, "--parameter");
}

void check_llm_options(const ConstructOptions& options) {
  wants_whole_text(options);
  call_parameters(options);
  CHECK(!options.llm.usefulness_filter || !options.llm.student.empty(), kUsage,
        "--usefulness-filter: expected --student");
  if (options.llm.domain != "auto") guidance_texts(options.llm.domain);
  if (!options.llm.student.empty()) load_tokenizer(options.llm.student);
  if (options.teacher == "file") return;
  CHECK(!options.llm.model.empty(), kUsage, "--teacher {}: expected --teacher-model, its {}",
        options.teacher, options.teacher == "local" ? "folder" : "name at the endpoint");
  if (options.teacher == "endpoint") {
    CHECK(!options.llm.endpoint.base_url.empty(), kUsage,
          "--teacher endpoint: expected --base-url, e.g. http://localhost:8000/v1");
    parse_base_url(options.llm.endpoint.base_url);
    return;
  }
  const LoadedModel model =
      open_model_folder(options.llm.model, "", options.llm.dtype, options.numerics);
  CHECK(!model.model->has_encoder(), kUsage,
        "--teacher-model: {} is an encoder-decoder model (T5), which cannot teach",
        options.llm.model);
}

std::vector<ChatMessage> teacher_messages(const GuidanceTexts& texts,
                                          const ConstructOptions& options, const RowView& view,
                                          int64_t row, bool hinted) {
  Rng rng(options.seed, "guidance", static_cast<uint64_t>(row));
  const GuidanceOptions guidance{.fact_sheet = options.llm.fact_sheet,
                                 .with_times = options.with_times,
                                 .with_attributes = options.with_attributes,
                                 .hinted = hinted};
  return guidance_messages(texts, view.context(), guidance, rng);
}

// One row while it is asked about.
struct LlmRows::State {
  State(int64_t index, RowView shown) : row(index), view(std::move(shown)) {}
  int64_t row;
  RowView view;
  OrderedJson draws = OrderedJson::array(), kept = OrderedJson::array();
  std::set<std::string> texts;  // completions that are kept
  bool failed = false;          // a draw got no answer: no hint stands in for it
  bool absent = false;          // nobody can be asked any more
};

struct LlmRows::Judged {
  std::string verdict = "kept";
  std::string problem;  // of the format
  TeacherReply reply;
  MinedReasoning mined;
  bool is_mined = false;
  std::string completion;
  std::optional<double> usefulness;
};

LlmRows::LlmRows(const ConstructOptions& options, const RowSource& source,
                 const ClaimWeights& weights, ReplySource& replies)
    : options_(options),
      source_(source),
      weights_(weights),
      replies_(replies),
      style_(find_style(options.style)),
      texts_(guidance_of(options.llm, source.study().dataset.catalogue)),
      parameters_(call_parameters(options)),
      whole_(wants_whole_text(options)),
      student_(options.llm.student.empty() ? nullptr
                                           : std::make_unique<StudentReader>(
                                                 options.llm.student, options.llm.usefulness_filter,
                                                 options.numerics, source)) {}

LlmRows::Judged LlmRows::judge(const TeacherText& text, const State& state, bool hinted) const {
  Judged judged;
  const auto refuse = [&](const char* verdict) {
    judged.verdict = verdict;
    return judged;
  };
  if (text.fate == TeacherText::Fate::kFailed) return refuse("failed");
  if (text.reply.finish_reason == "length") return refuse("cut");
  if (text.reply.finish_reason == "content_filter" || text.reply.finish_reason == "refusal")
    return refuse("refused");
  const ClaimContext context = state.view.context();
  const auto answers = state.view.answers();
  const TeacherAnswer read =
      read_teacher_answer(text.reply.text, static_cast<int32_t>(answers.size()));
  judged.problem = read.problem;
  if (!read.problem.empty()) return refuse("format");
  judged.reply = {read.reasoning, read.answer, hinted};
  judged.mined = mine_claims(read.reasoning, read.answer, style_, context, weights_);
  judged.is_mined = true;
  // What was written in the student's style has its words already.
  if (!whole_ && (judged.mined.is_english || options_.llm.reasoning == "claims")) {
    Rng rng(options_.seed, "restated", static_cast<uint64_t>(state.row));
    judged.reply.reasoning = restated(judged.mined, read.reasoning, style_,
                                      options_.answer == AnswerKind::kNumber, context, rng);
  }
  judged.completion = completion_of(judged.reply, answers, source_.prompt());
  if (betrays(read.reasoning, true)) return refuse("betrayal");
  if (options_.filter_answer && read.answer != context.request.target_slot + 1)
    return refuse("wrong_answer");
  if (judged.mined.score.precision < options_.min_precision) return refuse("precision");
  // Only texts without any true claim have nothing to restate.
  if (parse_completion(judged.completion, answers, source_.prompt()).code != AnswerCode::kValid)
    return refuse(judged.reply.reasoning.empty() ? "precision" : "format");
  const int64_t most = options_.llm.max_completion_tokens - kFreeTokens;
  if (student_ && student_->tokens(judged.completion) > most) return refuse("length");
  return judged;
}

// The last filter: it costs two passes of the student.
void LlmRows::ask_student(std::span<Judged> judged, std::span<State* const> rows) {
  if (!options_.llm.usefulness_filter) return;
  std::vector<ReadReasoning> readings;
  std::vector<Judged*> read;
  for (size_t i = 0; i < judged.size(); ++i) {
    if (judged[i].verdict != "kept" || judged[i].completion.empty()) continue;
    readings.push_back({rows[i]->row, judged[i].reply.reasoning});
    read.push_back(&judged[i]);
  }
  if (readings.empty()) return;
  const std::vector<double> gains = student_->usefulness(readings);
  for (size_t i = 0; i < read.size(); ++i) {
    read[i]->usefulness = gains[i];
    if (gains[i] < options_.llm.min_usefulness) read[i]->verdict = "usefulness";
  }
}

void LlmRows::record(const Judged& judged, const TeacherText& text, bool hinted,
                     State& state) const {
  std::string verdict = judged.verdict;
  if (verdict == "kept" && !state.texts.insert(judged.completion).second) verdict = "repeated";
  state.failed = state.failed || verdict == "failed";
  OrderedJson draw = {{"verdict", verdict}, {"hinted", hinted}, {"key", text.key}};
  const ReasoningScore& score = judged.mined.score;
  if (judged.is_mined)
    draw.update({{"answer", judged.reply.answer},
                 {"sentences", judged.mined.sentences},
                 {"claim_sentences", judged.mined.claim_sentences},
                 {"true", score.num_true},
                 {"false", score.num_false},
                 {"unverifiable", score.num_unverifiable},
                 {"precision", score.precision},
                 {"coverage", score.coverage},
                 {"rejected", judged.mined.rejected}});
  if (judged.usefulness) draw["usefulness"] = *judged.usefulness;
  if (verdict == "kept") {
    state.kept.push_back({{"reasoning", judged.reply.reasoning},
                          {"answer", judged.reply.answer},
                          {"hinted", hinted},
                          {"precision", score.precision},
                          {"coverage", score.coverage},
                          {"r_ver", score.r_ver},
                          {"key", text.key}});
  } else {
    if (!judged.problem.empty()) draw["problem"] = judged.problem;
    draw["text"] = text.reply.text;
  }
  state.draws.push_back(std::move(draw));
}

bool LlmRows::ask(std::span<State> block, int32_t draw, bool hinted) {
  std::vector<State*> asked;
  for (State& state : block)
    if (!state.absent && static_cast<int32_t>(state.kept.size()) < options_.max_per_row)
      asked.push_back(&state);
  std::vector<TeacherCall> calls(asked.size());
  at::parallel_for(0, std::ssize(asked), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const State& state = *asked[i];
      calls[i] = {state.row,
                  hinted,
                  static_cast<int32_t>(state.view.request().candidates.size()),
                  {replies_.model(), messages(state.view, state.row, hinted), parameters_, draw}};
    }
  });
  const std::vector<TeacherText> texts = replies_.replies(calls);
  std::vector<Judged> judged(asked.size());
  at::parallel_for(0, std::ssize(asked), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      if (texts[i].fate != TeacherText::Fate::kAbsent)
        judged[i] = judge(texts[i], *asked[i], hinted);
  });
  ask_student(judged, asked);
  bool any = false;
  for (size_t i = 0; i < asked.size(); ++i) {
    if (texts[i].fate == TeacherText::Fate::kAbsent) {
      asked[i]->absent = true;
    } else {
      record(judged[i], texts[i], hinted, *asked[i]);
      any = true;
    }
  }
  return any;
}

void LlmRows::write(std::span<const int64_t> rows,
                    const std::function<void(const std::string&)>& write) {
  // A file has as many draws of a row as it has lines.
  const bool file = options_.teacher == "file";
  const int32_t draws = file ? kMostRounds : options_.draws;
  const int32_t hinted_draws = file ? kMostRounds : options_.hinted_draws;
  const int64_t total = std::ssize(rows), size = replies_.batch();
  ProgressBar bar("construct", total);
  for (int64_t begin = 0; begin < total; begin += size) {
    std::vector<State> block;
    for (int64_t i = begin; i < std::min(total, begin + size); ++i)
      block.emplace_back(rows[static_cast<size_t>(i)], source_.view(rows[static_cast<size_t>(i)]));
    if (options_.hint_policy != "always")
      for (int32_t d = 0; d < draws && ask(block, d, false); ++d) {
      }
    for (State& state : block)
      state.absent = options_.hint_policy == "never" ||
                     (options_.hint_policy == "fallback" &&
                      (state.failed || !state.kept.empty() || (state.absent && !file)));
    for (int32_t d = 0; d < hinted_draws && ask(block, d, true); ++d) {
    }
    for (const State& state : block)
      write(OrderedJson{{"row", state.row}, {"draws", state.draws}, {"kept", state.kept}}.dump(
          -1, ' ', false, OrderedJson::error_handler_t::replace));
    bar.update(std::min(total, begin + size));
  }
}

}  // namespace etrlrec
