#include "remote/chat_call.h"

#include <algorithm>

#include "base/json.h"
#include "base/sha256.h"
#include "base/strings.h"

namespace etrlrec {
namespace {

constexpr size_t kShownBytes = 300;
constexpr int kMostDepth = 32;

std::string dumped(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json messages_json(const ChatCall& call) {
  Json messages = Json::array();
  for (const ChatMessage& message : call.messages)
    messages.push_back({{"role", message.role}, {"content", message.content}});
  return messages;
}

int64_t quarter(size_t bytes) { return static_cast<int64_t>(bytes + 3) / 4; }

// A text, or the texts of a list of parts.
std::string content_text(const Json& content) {
  if (content.is_string()) return content.get<std::string>();
  std::string text;
  if (!content.is_array()) return text;
  for (const Json& part : content)
    if (part.is_object() && part.value("text", Json()).is_string())
      text += part["text"].get<std::string>();
  return text;
}

std::string string_in(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string thinking_of(const Json& message) {
  const std::string content = string_in(message, "reasoning_content");
  return content.empty() ? string_in(message, "reasoning") : content;
}

void read_usage(const Json& document, ChatReply& reply) {
  const auto usage = document.find("usage");
  if (usage == document.end() || !usage->is_object()) return;
  const auto count = [&](const char* key) -> int64_t {
    const auto found = usage->find(key);
    if (found == usage->end() || !Holds<int64_t>::all_of(*found)) return -1;
    return found->get<int64_t>();
  };
  const int64_t prompt = count("prompt_tokens"), completion = count("completion_tokens");
  if (prompt < 0 || completion < 0) return;
  reply.usage = {prompt, completion};
  reply.usage_estimated = false;
}

// Adds what one choice says; `part`: "message", or "delta" of an event.
bool add_choice(const Json& document, const char* part, ChatReply& reply) {
  const auto choices = document.find("choices");
  if (choices == document.end() || !choices->is_array() || choices->empty()) return false;
  const Json& choice = choices->front();
  if (!choice.is_object()) return false;
  const std::string finish = string_in(choice, "finish_reason");
  if (!finish.empty()) reply.finish_reason = finish;
  const auto message = choice.find(part);
  if (message == choice.end() || !message->is_object()) return false;
  if (message->contains("content")) reply.text += content_text(message->at("content"));
  reply.thinking += thinking_of(*message);
  if (!string_in(*message, "refusal").empty()) reply.finish_reason = "refusal";
  return true;
}

std::string error_in(const Json& document) {
  if (!document.is_object() || !document.contains("error")) return "";
  const Json& error = document["error"];
  if (error.is_string()) return error.get<std::string>();
  const std::string message = error.is_object() ? string_in(error, "message") : "";
  return message.empty() ? dumped(error) : message;
}

std::string shortened(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < ' '; }, ' ');
  if (text.size() > kShownBytes) text = text.substr(0, kShownBytes) + "…";
  return text;
}

std::optional<Json> parsed(std::string_view text) {
  bool too_deep = false;
  Json document = Json::parse(
      text,
      [&](int depth, Json::parse_event_t, Json&) {
        too_deep = too_deep || depth > kMostDepth;
        return !too_deep;
      },
      false);
  if (document.is_discarded() || too_deep) return std::nullopt;
  return document;
}

ReadReply read_events(std::string_view body, ChatReply reply) {
  bool complete = false;
  while (!body.empty()) {
    const size_t end = body.find('\n');
    const std::string_view line = trim(body.substr(0, end));
    body = end == body.npos ? std::string_view() : body.substr(end + 1);
    if (!line.starts_with("data:")) continue;
    const std::string_view data = trim(line.substr(5));
    if (data == "[DONE]") {
      complete = true;
      continue;
    }
    const auto event = parsed(data);
    if (!event || !event->is_object()) return {{}, "an event of the stream is no JSON object"};
    if (const std::string error = error_in(*event); !error.empty()) return {{}, shortened(error)};
    add_choice(*event, "delta", reply);
    read_usage(*event, reply);
  }
  if (!complete || reply.finish_reason.empty()) return {{}, "the stream ended early"};
  return {reply, ""};
}

}  // namespace

std::string call_key(const ChatCall& call) {
  const Json form = {{"model", call.model},
                     {"messages", messages_json(call)},
                     {"parameters", parse_json(call.parameters, "parameters")},
                     {"draw", call.draw}};
  return sha256_hex(dumped(form));
}

std::string call_body(const ChatCall& call) {
  Json body = parse_json(call.parameters, "parameters");
  for (auto it = body.begin(); it != body.end();)
    it = it->is_null() ? body.erase(it) : std::next(it);
  body["model"] = call.model;
  body["messages"] = messages_json(call);
  return dumped(body);
}

TokenUsage most_usage(const ChatCall& call) {
  TokenUsage most;
  for (const ChatMessage& message : call.messages)
    most.prompt_tokens += 8 + static_cast<int64_t>(message.content.size() / 2);
  const Json parameters = parse_json(call.parameters, "parameters");
  for (const char* key : {"max_tokens", "max_completion_tokens"})
    most.completion_tokens =
        std::max(most.completion_tokens, get_or<int64_t>(parameters, key, 0, "parameters"));
  return most;
}

ReadReply read_reply(std::string_view body, std::string_view content_type, const ChatCall& call) {
  ChatReply reply;
  reply.usage_estimated = true;
  ReadReply read;
  if (ascii_lower(content_type).find("text/event-stream") != std::string::npos) {
    read = read_events(body, reply);
  } else {
    const auto document = parsed(body);
    if (!document || !document->is_object()) return {{}, "the answer is no JSON object"};
    if (const std::string error = error_in(*document); !error.empty())
      return {{}, shortened(error)};
    if (!add_choice(*document, "message", reply)) return {{}, "the answer has no choices"};
    if (reply.finish_reason == "error") return {{}, "the answer ended in an error"};
    read_usage(*document, reply);
    read.reply = reply;
  }
  if (read.reply && read.reply->usage_estimated) {
    size_t asked = 0;
    for (const ChatMessage& message : call.messages) asked += message.content.size();
    read.reply->usage = {quarter(asked),
                         quarter(read.reply->text.size() + read.reply->thinking.size())};
  }
  return read;
}

std::string read_error(std::string_view body) {
  const auto document = parsed(body);
  const std::string error = document ? error_in(*document) : "";
  return shortened(error.empty() ? std::string(body.substr(0, kShownBytes)) : error);
}

}  // namespace etrlrec
