#include "temporal/answer_tags.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <vector>

#include "base/strings.h"

namespace etrlrec {
namespace {

enum class Tag : int8_t { kReasoningOpen, kReasoningClose, kAnswerOpen, kAnswerClose };
constexpr std::array<std::string_view, 4> kTags{kReasoningOpen, kReasoningClose, kAnswerOpen,
                                                kAnswerClose};
constexpr size_t kMaxTags = 4;  // one more than any valid text has

struct FoundTag {
  Tag tag;
  size_t begin, end;
};

std::vector<FoundTag> find_tags(std::string_view text) {
  std::vector<FoundTag> found;
  for (size_t p = text.find('<'); p != text.npos && found.size() < kMaxTags;
       p = text.find('<', p + 1))
    for (size_t t = 0; t < kTags.size(); ++t)
      if (text.substr(p, kTags[t].size()) == kTags[t])
        found.push_back({static_cast<Tag>(t), p, p + kTags[t].size()});
  return found;
}

constexpr std::string_view kBlanks = " \n\t\r";

}  // namespace

bool all_blank(std::string_view text) { return text.find_first_not_of(kBlanks) == text.npos; }

AnswerCode read_number(std::string_view text, int32_t num_candidates, int32_t& answer) {
  text = trim(text, kBlanks);
  const std::string_view digits = text.substr(!text.empty() && text.front() == '-' ? 1 : 0);
  const bool integer = !digits.empty() && std::all_of(digits.begin(), digits.end(),
                                                      [](char c) { return c >= '0' && c <= '9'; });
  if (!integer || (digits.size() > 1 && digits.front() == '0')) return AnswerCode::kNotAnInteger;
  const auto error = std::from_chars(text.data(), text.data() + text.size(), answer).ec;
  if (error == std::errc::result_out_of_range)
    answer = text.front() == '-' ? std::numeric_limits<int32_t>::min()
                                 : std::numeric_limits<int32_t>::max();
  return answer >= 1 && answer <= num_candidates ? AnswerCode::kValid : AnswerCode::kOutOfRange;
}

namespace {

// The answer begins at `begin`, after "<answer>"; `closing` are the tags found after it.
AnswerCode read_answer_pair(std::string_view text, size_t begin,
                            const std::vector<FoundTag>& closing, int32_t num_candidates,
                            int32_t& answer) {
  if (closing.empty()) return AnswerCode::kNoAnswer;
  if (closing.front().tag != Tag::kAnswerClose || closing.size() > 1)
    return AnswerCode::kRepeatedTag;
  if (!all_blank(text.substr(closing.front().end))) return AnswerCode::kTrailingText;
  return read_number(text.substr(begin, closing.front().begin - begin), num_candidates, answer);
}

}  // namespace

ParsedCompletion parse_tagged_answer(std::string_view text, int32_t num_candidates,
                                     bool reasoning) {
  ParsedCompletion parsed;
  const std::vector<FoundTag> tags = find_tags(text);
  if (!reasoning) {
    parsed.code = read_answer_pair(text, 0, tags, num_candidates, parsed.answer);
    return parsed;
  }
  const auto is_close = [](const FoundTag& found) { return found.tag == Tag::kReasoningClose; };
  if (std::none_of(tags.begin(), tags.end(), is_close)) {
    parsed.code = AnswerCode::kNoReasoning;
    return parsed;
  }
  if (!is_close(tags[0])) {
    parsed.code = AnswerCode::kRepeatedTag;
    return parsed;
  }
  parsed.reasoning = text.substr(0, tags[0].begin);
  if (all_blank(parsed.reasoning)) {
    parsed.code = AnswerCode::kNoReasoning;
  } else if (tags.size() == 1) {
    parsed.code = AnswerCode::kNoAnswer;
  } else if (tags[1].tag != Tag::kAnswerOpen) {
    parsed.code = AnswerCode::kRepeatedTag;
  } else if (!all_blank(text.substr(tags[0].end, tags[1].begin - tags[0].end))) {
    parsed.code = AnswerCode::kTrailingText;
  } else {
    parsed.code = read_answer_pair(text, tags[1].end, {tags.begin() + 2, tags.end()},
                                   num_candidates, parsed.answer);
  }
  return parsed;
}

void read_title(std::string_view text, std::span<const std::string> answers,
                ParsedCompletion& parsed) {
  // At the ';' of the same number as in the candidates' texts, whose leads have some, too.
  const auto all = answers.empty() ? 1 : std::ranges::count(answers.front(), ';');
  size_t end = text.find(';');
  for (auto left = all; end != text.npos && left > 1; --left) end = text.find(';', end + 1);
  parsed.code = end == text.npos                   ? AnswerCode::kNoAnswer
                : !all_blank(text.substr(end + 1)) ? AnswerCode::kTrailingText
                                                   : AnswerCode::kNoCandidate;
  if (parsed.code != AnswerCode::kNoCandidate) return;
  const std::string_view title = trim(text.substr(0, end + 1), kBlanks);
  for (size_t k = 0; k < answers.size(); ++k) {
    if (trim(answers[k], kBlanks) != title) continue;
    parsed.code = AnswerCode::kValid;
    parsed.answer = static_cast<int32_t>(k) + 1;
    return;
  }
}

ParsedCompletion parse_title_answer(std::string_view text, std::span<const std::string> answers,
                                    bool reasoning) {
  ParsedCompletion parsed;
  std::string_view rest = text;
  if (reasoning) {
    const size_t close = text.find(kReasoningClose);
    parsed.code = AnswerCode::kNoReasoning;
    if (close == text.npos || all_blank(text.substr(0, close))) return parsed;
    parsed.reasoning = text.substr(0, close);
    rest = text.substr(close + kReasoningClose.size());
  }
  if (find_tags(rest).empty())
    read_title(rest, answers, parsed);
  else
    parsed.code = AnswerCode::kRepeatedTag;
  return parsed;
}

}  // namespace etrlrec
