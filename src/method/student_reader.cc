#include "method/student_reader.h"

#include <torch/types.h>

#include "engine/scoring.h"
#include "temporal/encoding.h"
#include "temporal/prompts.h"
#include "text/tokenizer_folder.h"

namespace etrlrec {

StudentReader::StudentReader(const std::string& folder, bool weights, const Numerics& numerics,
                             const RowSource& source)
    : source_(source) {
  if (weights)
    model_ = std::make_unique<LoadedModel>(load_model_folder(folder, "", numerics));
  else
    tokenizer_ = load_tokenizer(folder);
}

int64_t StudentReader::tokens(const std::string& text) const {
  return std::ssize((model_ ? *model_->tokenizer : *tokenizer_).encode(text));
}

std::vector<double> StudentReader::target_logprobs(std::span<const ReadReasoning> readings,
                                                   const PromptOptions& prompt) const {
  const Tokenizer& tokenizer = *model_->tokenizer;
  const ChatFrame around = model_->frame(prompt);
  std::vector<std::vector<int64_t>> prefixes;
  std::vector<Answers> answers;
  for (const ReadReasoning& reading : readings) {
    const RowView view = source_.view(reading.row, prompt);
    const AnswerEncoding encoding = encode_answers(tokenizer, view.answers(), prompt);
    std::vector<int64_t>& ids =
        prefixes.emplace_back(view.encoding(tokenizer, around.before, around.after));
    if (prompt.reasoning) {
      const auto said = tokenizer.encode(reading.reasoning);
      ids.insert(ids.end(), said.begin(), said.end());
    }
    ids.insert(ids.end(), encoding.close.begin(), encoding.close.end());
    answers.push_back(encoding.answers);
  }
  const at::NoGradGuard no_grad;
  const auto scores = answer_logprobs(*model_->model, prefixes, answers);
  std::vector<double> targets;
  for (size_t i = 0; i < scores.size(); ++i) {
    const int32_t slot = source_.view(readings[i].row).request().target_slot;
    targets.push_back(scores[i][slot].item<double>());
  }
  return targets;
}

std::vector<double> StudentReader::usefulness(std::span<const ReadReasoning> readings) {
  PromptOptions prompt = source_.prompt();
  prompt.reasoning = false;
  std::vector<ReadReasoning> fresh;
  for (const ReadReasoning& reading : readings)
    if (at_once_.emplace(reading.row, 0).second) fresh.push_back({reading.row, ""});
  const auto at_once = target_logprobs(fresh, prompt);
  for (size_t i = 0; i < fresh.size(); ++i) at_once_[fresh[i].row] = at_once[i];
  prompt.reasoning = true;
  std::vector<double> gains = target_logprobs(readings, prompt);
  for (size_t i = 0; i < gains.size(); ++i) gains[i] -= at_once_.at(readings[i].row);
  return gains;
}

}  // namespace etrlrec
