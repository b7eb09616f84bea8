#include "method/reply_source.h"

namespace etrlrec {

std::vector<TeacherText> stored_replies(const CallStore& store,
                                        std::span<const TeacherCall> calls) {
  std::vector<TeacherText> texts;
  for (const TeacherCall& asked : calls) {
    TeacherText& text = texts.emplace_back();
    text.key = call_key(asked.call);
    if (auto reply = store.reply(text.key)) {
      text.fate = TeacherText::Fate::kReply;
      text.reply = std::move(*reply);
    } else if (store.failure(text.key)) {
      text.fate = TeacherText::Fate::kFailed;
    }
  }
  return texts;
}

}  // namespace etrlrec
