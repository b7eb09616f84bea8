// What goes into a chat template and what comes out of it: messages, and pieces of the rendered
// text.
#pragma once

#include <string>

namespace etrlrec {

struct ChatMessage {
  std::string role, content;  // role: system, user or assistant
};

struct ChatPiece {
  std::string text;
  bool is_special = false;  // the name of one added token
  bool operator==(const ChatPiece&) const = default;
};

}  // namespace etrlrec
