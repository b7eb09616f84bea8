// Rows of stage 1 whose teacher writes free text: guidance, replies in rounds over blocks of rows,
// what is mined from them, and the verdict of each draw (method.md A.4, G.2).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "method/construct_options.h"
#include "method/reply_source.h"
#include "method/row.h"
#include "method/student_reader.h"
#include "temporal/claim_weights.h"
#include "temporal/guidance.h"

namespace etrlrec {

bool writes_free_text(const std::string& teacher);  // endpoint, local, file
std::vector<std::string> construct_teachers();      // all of them, and the program
// The texts that the options ask for, of the catalogue's domain where they leave it open.
GuidanceTexts guidance_of(const LlmTeacherOptions& options, const Catalogue& catalogue);
// Errors (kUsage) in options that no data are needed for: --keep, --parameter, the domain, an
// endpoint without model or address; kModel for a local model that cannot be opened.
void check_llm_options(const ConstructOptions& options);
// What a call sends besides model and messages, as JSON: `usual`, and each of `texts`, which
// `option` gave. Errors (kUsage): one that is no NAME=JSON, or that the call itself sets (model,
// messages, n, stream).
std::string call_parameters(nlohmann::json usual, const std::vector<std::string>& texts,
                            const char* option);
std::string call_parameters(const ConstructOptions& options);

// The messages of a row's draws. `options`: the seed, the fact sheet, times and attributes.
std::vector<ChatMessage> teacher_messages(const GuidanceTexts& texts,
                                          const ConstructOptions& options, const RowView& view,
                                          int64_t row, bool hinted);

class LlmRows {
 public:
  // All are kept as references. The options are checked.
  LlmRows(const ConstructOptions& options, const RowSource& source, const ClaimWeights& weights,
          ReplySource& replies);
  // Calls `write` with the line of each row, in order: row, draws (verdict, key, what was mined,
  // and of those that are not kept the text), kept.
  void write(std::span<const int64_t> rows, const std::function<void(const std::string&)>& write);
  std::vector<ChatMessage> messages(const RowView& view, int64_t row, bool hinted) const {
    return teacher_messages(texts_, options_, view, row, hinted);
  }

 private:
  struct State;
  struct Judged;
  // Asks once more about the rows that need it; false where nobody was.
  bool ask(std::span<State> block, int32_t draw, bool hinted);
  Judged judge(const TeacherText& text, const State& state, bool hinted) const;
  void ask_student(std::span<Judged> judged, std::span<State* const> rows);
  void record(const Judged& judged, const TeacherText& text, bool hinted, State& state) const;

  const ConstructOptions& options_;
  const RowSource& source_;
  const ClaimWeights& weights_;
  ReplySource& replies_;
  const PromptStyle& style_;
  GuidanceTexts texts_;
  std::string parameters_;
  bool whole_ = false;                      // the teacher's own words
  std::unique_ptr<StudentReader> student_;  // null: it is not asked
};

}  // namespace etrlrec
