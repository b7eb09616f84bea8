#include "method/file_teacher.h"

#include <algorithm>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "temporal/answer_tags.h"
#include "temporal/guidance.h"

namespace etrlrec {
namespace {

struct FileLine {
  std::string asked, answered;  // the last user's message or prompt; what the teacher wrote
  Json meta;
};

// A text, or the content of the last message of `role`.
std::string message_text(const Json& value, const char* role, const std::string& name) {
  if (value.is_string()) return value.get<std::string>();
  CHECK(value.is_array(), kInput, "{}: expected a text or a list of messages", name);
  for (auto message = value.rbegin(); message != value.rend(); ++message)
    if (get<std::string>(*message, "role", name) == role)
      return get<std::string>(*message, "content", name);
  fail(ExitCode::kInput, "{}: expected a message of the role {}", name, role);
}

FileLine read_line(const Json& line, const std::string& name) {
  CHECK(line.is_object() &&
            (line.contains("messages") || (line.contains("prompt") && line.contains("completion"))),
        kInput, "{}: expected \"messages\", or \"prompt\" and \"completion\"", name);
  const Json meta = get_or<Json>(line, "meta", Json::object(), name);
  CHECK(!line.contains("messages") || line["messages"].is_array(), kInput,
        "{}: expected a list of messages", name);
  if (!line.contains("messages"))
    return {message_text(line["prompt"], "user", name),
            message_text(line["completion"], "assistant", name), meta};
  return {message_text(line["messages"], "user", name),
          message_text(line["messages"], "assistant", name), meta};
}

class FileTeacher : public ReplySource {
 public:
  FileTeacher(const fs::path& path, const RowSource& source, std::span<const int64_t> rows)
      : source_(source), rows_(rows) {
    if (path.empty()) return;
    for_each_json_line(path, [&](const Json& line, int64_t number) {
      add(line, fmt::format("{}:{}", path.string(), number));
    });
    if (unknown_ > 0)
      log_warning("{}: {} of {} lines are of no row that is written", path.string(), unknown_,
                  lines_);
  }

  std::string model() const override { return "file"; }
  int64_t batch() const override { return 512; }
  void go_offline() override {}

  std::vector<TeacherText> replies(std::span<const TeacherCall> calls) override {
    std::vector<TeacherText> texts;
    for (const TeacherCall& call : calls) {
      const auto found = texts_.find({call.row, call.hinted});
      const auto draw = static_cast<size_t>(call.call.draw);
      texts.push_back(found == texts_.end() || draw >= found->second.size() ? TeacherText{}
                                                                            : found->second[draw]);
    }
    return texts;
  }

 private:
  void add(const Json& json, const std::string& name) {
    const FileLine line = read_line(json, name);
    ++lines_;
    const std::optional<int64_t> row = row_of(line, name);
    if (!row) {
      ++unknown_;
      return;
    }
    check_meta(*row, line.meta, name);
    TeacherText text;
    text.fate = TeacherText::Fate::kReply;
    text.key = sha256_hex(json.dump(-1, ' ', false, Json::error_handler_t::replace));
    text.reply.text = in_contract(*row, line.answered);
    text.reply.finish_reason = get_or<std::string>(line.meta, "finish_reason", "stop", name);
    texts_[{*row, get_or<bool>(line.meta, "hinted", false, name)}].push_back(std::move(text));
  }

  std::optional<int64_t> row_of(const FileLine& line, const std::string& name) {
    if (line.meta.contains("row")) {
      const auto row = get<int64_t>(line.meta, "row", name);
      CHECK(row >= 0 && row < source_.size(), kInput,
            "{}: expected a training row below {}, found "
            "{}",
            name, source_.size(), row);
      return std::binary_search(rows_.begin(), rows_.end(), row) ? std::optional(row)
                                                                 : std::nullopt;
    }
    if (row_of_prompt_.empty())
      for (const int64_t row : rows_)
        row_of_prompt_.emplace(sha256_hex(source_.view(row).prompt()), row);
    const auto found = row_of_prompt_.find(sha256_hex(line.asked));
    return found == row_of_prompt_.end() ? std::nullopt : std::optional(found->second);
  }

  void check_meta(int64_t row, const Json& meta, const std::string& name) const {
    const RowView view = source_.view(row);
    const Request& request = view.request();
    const auto& catalogue = source_.study().dataset.catalogue;
    const std::string& target =
        catalogue.item_ids[static_cast<size_t>(request.candidates[request.target_slot])];
    const auto named = get_or<std::string>(meta, "target_item_id", target, name);
    CHECK(named == target, kInput,
          "{}: meta names the target {}, row {} has {}\nhint: was it made for another data set or "
          "other candidates?",
          name, named, row, target);
  }

  // What was written in the student's style, in the tags that a teacher is asked for.
  std::string in_contract(int64_t row, const std::string& text) const {
    if (text.find(kReasoningOpen) != std::string::npos) return text;
    const RowView view = source_.view(row);
    const ParsedCompletion parsed = view.parse(text);
    if (parsed.code != AnswerCode::kValid) return text;
    return fmt::format("{}{}{}{} {}{}", kReasoningOpen, parsed.reasoning, kReasoningClose,
                       kAnswerOpen, parsed.answer, kAnswerClose);
  }

  const RowSource& source_;
  const std::span<const int64_t> rows_;                                 // ascending
  std::map<std::pair<int64_t, bool>, std::vector<TeacherText>> texts_;  // by row and hint
  std::unordered_map<std::string, int64_t> row_of_prompt_;              // by SHA-256
  int64_t lines_ = 0, unknown_ = 0;
};

}  // namespace

std::unique_ptr<ReplySource> file_teacher(const fs::path& path, const RowSource& source,
                                          std::span<const int64_t> rows) {
  return std::make_unique<FileTeacher>(path, source, rows);
}

}  // namespace etrlrec
