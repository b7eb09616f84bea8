// Who answers the guidance: an endpoint, a local model or a file. All are asked in batches.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "remote/call_store.h"
#include "remote/chat_call.h"

namespace etrlrec {

struct TeacherCall {
  int64_t row = 0;
  bool hinted = false;
  int32_t candidates = 0;  // that the guidance numbers
  ChatCall call;
};

struct TeacherText {
  enum class Fate : int8_t {
    kReply,
    kFailed,  // asked in vain
    kAbsent,  // nobody was asked
  };
  Fate fate = Fate::kAbsent;
  ChatReply reply;
  std::string key;  // where the text is kept: of the call, or of the line
};

class ReplySource {
 public:
  virtual ~ReplySource() = default;
  virtual std::string model() const = 0;  // part of each call's key
  // In the order of the calls. Errors: kTeacher and kResumable where the source gives up; what it
  // has is kept.
  virtual std::vector<TeacherText> replies(std::span<const TeacherCall> calls) = 0;
  // From now on only what is there already; everything else is absent.
  virtual void go_offline() = 0;
  // Calls at a time that keep it busy.
  virtual int64_t batch() const = 0;
};

// What the store has of the calls; those it knows nothing of are absent.
std::vector<TeacherText> stored_replies(const CallStore& store, std::span<const TeacherCall> calls);

}  // namespace etrlrec
