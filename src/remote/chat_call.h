// One call of a chat model: what is asked, the key under which its answer is kept, and the answer,
// in the words of OpenAI's chat completions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "remote/budget.h"
#include "text/chat_message.h"

namespace etrlrec {

struct ChatCall {
  std::string model;
  std::vector<ChatMessage> messages;
  // A JSON object as text: temperature, max_tokens … as they are sent. A null is not sent, but part
  // of the key.
  std::string parameters = "{}";
  int32_t draw = 0;  // of the same question; not sent
};
// SHA-256 of model, messages, parameters and draw, in a form that does not depend on the order of
// keys.
std::string call_key(const ChatCall& call);
std::string call_body(const ChatCall& call);  // of the POST
// The most that the call can cost: a token for every two bytes and eight for each message, and
// `max_tokens` or `max_completion_tokens` (0 where neither is there).
TokenUsage most_usage(const ChatCall& call);

struct ChatReply {
  std::string text;      // without the thinking part that a server hands over apart
  std::string thinking;  // reasoning_content or reasoning
  std::string finish_reason;
  TokenUsage usage;
  bool usage_estimated = false;  // the server did not say: a token for every four bytes
};

// An answer with status 200, or why it is none. Server-sent events count, too, if they are
// complete.
struct ReadReply {
  std::optional<ChatReply> reply;
  std::string error;
};
ReadReply read_reply(std::string_view body, std::string_view content_type, const ChatCall& call);
// What an answer with another status says went wrong; its beginning where it is no JSON.
std::string read_error(std::string_view body);

}  // namespace etrlrec
