#include "method/file_teacher.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>
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

// What a line says of one request.
struct FileLine {
  std::string asked, answered;  // the prompt or the user's last message; what the teacher wrote
};

// How a list of messages says who wrote which text.
struct ChatNames {
  const char *role, *text;
  std::vector<std::string_view> user, assistant;  // what the role is called
};
const ChatNames kMessages{"role", "content", {"user"}, {"assistant"}};
const ChatNames kShareGpt{"from", "value", {"human", "user"}, {"gpt", "assistant"}};

// The text of the last message of a role.
std::string last_text(const Json& messages, const ChatNames& names,
                      const std::vector<std::string_view>& roles, const std::string& name) {
  CHECK(messages.is_array(), kInput, "{}: expected a list of messages, found {}", name,
        messages.type_name());
  for (auto message = messages.rbegin(); message != messages.rend(); ++message) {
    const auto role = get<std::string>(*message, names.role, name);
    if (std::find(roles.begin(), roles.end(), role) != roles.end())
      return get<std::string>(*message, names.text, name);
  }
  fail(ExitCode::kInput, "{}: expected a message of the role {}, found none", name, roles[0]);
}

// Both last texts of the chat under `key`.
FileLine read_chat(const Json& line, const char* key, const ChatNames& names,
                   const std::string& name) {
  const std::string list = fmt::format("{}: key \"{}\"", name, key);
  return {last_text(line[key], names, names.user, list),
          last_text(line[key], names, names.assistant, list)};
}

// A text, or the last text of a role in a list of messages.
std::string read_side(const Json& line, const char* key, const std::vector<std::string_view>& roles,
                      const std::string& name) {
  const Json& value = line[key];
  if (value.is_string()) return value.get<std::string>();
  CHECK(value.is_array(), kInput, "{}: key \"{}\": expected a text or a list of messages, found {}",
        name, key, value.type_name());
  return last_text(value, kMessages, roles, fmt::format("{}: key \"{}\"", name, key));
}

// Alpaca's instruction with its input on the next line.
std::string read_instruction(const Json& line, const std::string& name) {
  const auto instruction = get<std::string>(line, "instruction", name);
  const auto input = get_or<std::string>(line, "input", "", name);
  return input.empty() ? instruction : instruction + "\n" + input;
}

// What a form looks like: the keys that each of its lines has, and what they mean.
struct Form {
  const char* says;
  std::vector<std::string> keys;
  FileLine (*read)(const Json& line, const std::string& name);

  bool fits(const Json& line) const {
    return std::all_of(keys.begin(), keys.end(), [&](const std::string& key) {
      return line.contains(key) && !line[key].is_null();
    });
  }
};

const Form kForms[] = {
    {"\"messages\" (of role and content)",
     {"messages"},
     [](const Json& line, const std::string& name) {
       return read_chat(line, "messages", kMessages, name);
     }},
    {"\"prompt\" and \"completion\"",
     {"prompt", "completion"},
     [](const Json& line, const std::string& name) {
       return FileLine{read_side(line, "prompt", kMessages.user, name),
                       read_side(line, "completion", kMessages.assistant, name)};
     }},
    {"\"conversations\" (ShareGPT: of from and value)",
     {"conversations"},
     [](const Json& line, const std::string& name) {
       return read_chat(line, "conversations", kShareGpt, name);
     }},
    {"\"instruction\" and \"output\" (Alpaca)",
     {"instruction", "output"},
     [](const Json& line, const std::string& name) {
       return FileLine{read_instruction(line, name), get<std::string>(line, "output", name)};
     }},
};

// The form of a line, which has exactly one.
const Form& form_of(const Json& line, const std::string& name) {
  std::vector<const char*> known, found;
  const Form* form = nullptr;
  for (const Form& each : kForms) {
    known.push_back(each.says);
    if (!line.is_object() || !each.fits(line)) continue;
    found.push_back(each.says);
    form = &each;
  }
  CHECK(!found.empty(), kInput, "{}: expected one of these forms: {}, found none of them", name,
        fmt::join(known, "; "));
  CHECK(found.size() == 1, kInput, "{}: expected one of these forms: {}, found several: {}", name,
        fmt::join(known, "; "), fmt::join(found, "; "));
  return *form;
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
    const FileLine line = form_of(json, name).read(json, name);
    const Json meta = get_or<Json>(json, "meta", Json::object(), name);
    ++lines_;
    const std::optional<int64_t> row = row_of(line.asked, meta, name);
    if (!row) {
      ++unknown_;
      return;
    }
    check_meta(*row, meta, name);
    TeacherText text;
    text.fate = TeacherText::Fate::kReply;
    text.key = sha256_hex(json.dump(-1, ' ', false, Json::error_handler_t::replace));
    text.reply.text = in_contract(*row, line.answered);
    text.reply.finish_reason = get_or<std::string>(meta, "finish_reason", "stop", name);
    texts_[{*row, get_or<bool>(meta, "hinted", false, name)}].push_back(std::move(text));
  }

  std::optional<int64_t> row_of(const std::string& asked, const Json& meta,
                                const std::string& name) {
    if (meta.contains("row")) {
      const auto row = get<int64_t>(meta, "row", name);
      CHECK(row >= 0 && row < source_.size(), kInput,
            "{}: expected a training row below {}, found {}", name, source_.size(), row);
      return std::binary_search(rows_.begin(), rows_.end(), row) ? std::optional(row)
                                                                 : std::nullopt;
    }
    if (row_of_prompt_.empty())
      for (const int64_t row : rows_)
        row_of_prompt_.emplace(sha256_hex(source_.view(row).prompt()), row);
    const auto found = row_of_prompt_.find(sha256_hex(asked));
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
