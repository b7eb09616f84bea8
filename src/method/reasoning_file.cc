#include "method/reasoning_file.h"

#include <fstream>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"

namespace etrlrec {
namespace {

// A file that takes its name when it is whole.
class LineFile {
 public:
  explicit LineFile(const fs::path& path)
      : path_(path),
        temporary_(path.string() + ".tmp"),
        file_(temporary_, std::ios::binary | std::ios::trunc) {}
  void add(const OrderedJson& line) {
    file_ << line.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) << '\n';
  }
  void finish() {
    file_.close();
    CHECK(file_.good(), kFailure, "{}: cannot write", temporary_.string());
    fs::rename(temporary_, path_);
  }

 private:
  fs::path path_, temporary_;
  std::ofstream file_;
};

OrderedJson meta_of(const Json& kept, int64_t row, const RowView& view, const Study& study) {
  const Request& request = view.request();
  const auto& ids = study.dataset.catalogue.item_ids;
  OrderedJson candidates = OrderedJson::array();
  for (const int32_t item : request.candidates) candidates.push_back(ids[item]);
  OrderedJson meta = {{"row", row},
                      {"user_id", study.dataset.user_ids[request.user]},
                      {"target_item_id", ids[request.candidates[request.target_slot]]},
                      {"target", request.target_slot + 1},
                      {"answer", kept.at("answer")},
                      {"candidates", candidates},
                      {"now", request.now},
                      {"hinted", kept.at("hinted")},
                      {"precision", kept.at("precision")},
                      {"coverage", kept.at("coverage")},
                      {"r_ver", kept.at("r_ver")}};
  if (kept.contains("key")) meta["key"] = kept.at("key");
  return meta;
}

// As the student reads it: the style's system message, where it has one, the prompt and the answer.
OrderedJson chat_of(const RowView& view, const std::string& completion, const OrderedJson& meta) {
  OrderedJson messages = OrderedJson::array();
  const std::string system(view.style().system);
  if (!system.empty()) messages.push_back({{"role", "system"}, {"content", system}});
  messages.push_back({{"role", "user"}, {"content", view.prompt()}});
  messages.push_back({{"role", "assistant"}, {"content", completion}});
  return {{"messages", messages}, {"meta", meta}};
}

void add_mined(const Json& draw, const std::string& name, MinedTotals& mined) {
  if (!draw.contains("sentences")) return;
  ++mined.readings;
  mined.sentences += get<int64_t>(draw, "sentences", name);
  mined.claim_sentences += get<int64_t>(draw, "claim_sentences", name);
  const char* verdicts[] = {"true", "false", "unverifiable"};
  for (size_t v = 0; v < 3; ++v) mined.verdicts[v] += get<int64_t>(draw, verdicts[v], name);
  mined.precision += get<double>(draw, "precision", name);
  mined.coverage += get<double>(draw, "coverage", name);
}

}  // namespace

ConstructSummary collect_reasoning(const ReasoningFiles& files, const RowSource& source) {
  ConstructSummary summary;
  if (!files.quarantine.empty()) summary.mined.emplace();
  const std::string name = files.part.string();
  LineFile file(files.reasoning);
  std::optional<LineFile> refused, chats;
  if (!files.quarantine.empty()) refused.emplace(files.quarantine);
  if (!files.messages.empty()) chats.emplace(files.messages);
  for_each_json_line(files.part, [&](const Json& line, int64_t) {
    const auto row = get<int64_t>(line, "row", name);
    ++summary.rows;
    for (const Json& draw : line.at("draws")) {
      ++summary.draws;
      if (summary.mined) add_mined(draw, name, *summary.mined);
      if (draw.at("verdict") == "kept") continue;
      ++summary.rejected[draw.at("verdict")];
      if (!refused) continue;
      OrderedJson entry = {{"row", row}};
      entry.update(OrderedJson::parse(draw.dump()));
      refused->add(entry);
    }
    summary.rows_kept += !line.at("kept").empty();
    if (line.at("kept").empty()) return;
    const RowView view = source.view(row);
    for (const Json& kept : line.at("kept")) {
      ++summary.kept;
      const TeacherReply reply{kept.at("reasoning"), kept.at("answer"), kept.at("hinted")};
      summary.hinted += reply.hinted;
      const std::string completion = completion_of(reply, view.answers(), source.prompt());
      const OrderedJson meta = meta_of(kept, row, view, source.study());
      file.add({{"prompt", view.prompt()}, {"completion", completion}, {"meta", meta}});
      if (chats) chats->add(chat_of(view, completion, meta));
    }
  });
  file.finish();
  if (refused) refused->finish();
  if (chats) chats->finish();
  return summary;
}

}  // namespace etrlrec
