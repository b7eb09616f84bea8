#include "text/jinja_chat.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <map>

#include "base/check.h"
#include "text/jinja_template.h"

namespace etrlrec {
namespace {

constexpr std::string_view kProbe = "probe of a chat";  // a content that no template writes itself
constexpr const char* kAnyDate = "26 Jul 2024";

// strftime of a day as "26 Jul 2024", at midnight.
std::string format_date(const std::string& date, const std::string& format) {
  static constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  std::array<char, 4> month{};
  int day = 0, year = 0;
  const int read = std::sscanf(date.c_str(), "%2d %3s %4d", &day, month.data(), &year);
  const size_t place = read == 3 ? kMonths.find(month.data()) : std::string_view::npos;
  const std::chrono::year_month_day parsed{
      std::chrono::year(year), std::chrono::month(static_cast<unsigned>(place / 3 + 1)),
      std::chrono::day(static_cast<unsigned>(std::clamp(day, 0, 99)))};
  CHECK(place % 3 == 0 && place < kMonths.size() && parsed.ok(), kInput,
        "date of a chat: expected a day as 26 Jul 2024, found {}", date);
  CHECK(format.size() <= 200, kInput, "strftime_now: the format is too long");
  const std::chrono::sys_days days{parsed};
  const std::chrono::sys_days first{parsed.year() / std::chrono::January / 1};
  std::tm time{};
  time.tm_mday = day;
  time.tm_mon = static_cast<int>(place / 3);
  time.tm_year = year - 1900;
  time.tm_wday = static_cast<int>(std::chrono::weekday(days).c_encoding());
  time.tm_yday = static_cast<int>((days - first).count());
  std::array<char, 4096> out{};
  return {out.data(), std::strftime(out.data(), out.size(), format.c_str(), &time)};
}

// Roles are one of three words and count as the template's: <|user|> may be put together of one.
JinjaValue messages_value(JinjaContext& context, std::span<const ChatMessage> messages) {
  JinjaItems items;
  for (const ChatMessage& message : messages) {
    std::vector<std::pair<JinjaValue, JinjaValue>> entries;
    entries.emplace_back(JinjaValue::text("role", true), JinjaValue::text(message.role, true));
    entries.emplace_back(JinjaValue::text("content", true), JinjaValue::text(message.content));
    items.push_back(make_dict(context, std::move(entries)));
  }
  return make_list(context, std::move(items));
}

void add_text(std::string_view text, std::vector<ChatPiece>& pieces) {
  if (text.empty()) return;
  if (pieces.empty() || pieces.back().is_special) pieces.push_back({});
  pieces.back().text += text;
}

std::vector<ChatMessage> fold_system(std::span<const ChatMessage> messages) {
  std::vector<ChatMessage> out(messages.begin(), messages.end());
  if (out.empty() || out[0].role != "system") return out;
  const std::string system = out[0].content;
  out.erase(out.begin());
  if (system.empty()) return out;
  if (out.empty() || out[0].role != "user")
    out.insert(out.begin(), {"user", system});
  else
    out[0].content = system + "\n\n" + out[0].content;
  return out;
}

}  // namespace

JinjaChat::JinjaChat(std::string text, const std::string& name, JinjaChatTokens tokens)
    : text_(std::move(text)),
      tokens_(std::move(tokens)),
      template_(std::make_shared<const JinjaTemplate>(text_, name)) {
  for (size_t i = 0; i < tokens_.added.size(); ++i)
    if (!tokens_.added[i].empty()) special_.add(tokens_.added[i], static_cast<uint32_t>(i));
  folds_system_ = probe_system();
  end_token_ = probe_end();
}

std::vector<ChatPiece> JinjaChat::render(std::span<const ChatMessage> messages,
                                         bool add_generation_prompt, bool thinking,
                                         const std::string& date) const {
  if (!folds_system_) return render_as_is(messages, add_generation_prompt, thinking, date);
  return render_as_is(fold_system(messages), add_generation_prompt, thinking, date);
}

std::vector<ChatPiece> JinjaChat::render_as_is(std::span<const ChatMessage> messages,
                                               bool add_generation_prompt, bool thinking,
                                               const std::string& date) const {
  JinjaContext context("chat messages", JinjaLimits());
  std::map<std::string, JinjaValue> variables{
      {"messages", messages_value(context, messages)},
      {"tools", JinjaValue::none()},
      {"documents", JinjaValue::none()},
      {"add_generation_prompt", JinjaValue(add_generation_prompt)}};
  if (tokens_.bos_token) variables["bos_token"] = JinjaValue::text(*tokens_.bos_token, true);
  if (tokens_.eos_token) variables["eos_token"] = JinjaValue::text(*tokens_.eos_token, true);
  if (!thinking) variables["enable_thinking"] = JinjaValue(false);
  JinjaSettings settings;
  settings.strftime_now = [&](const std::string& format) { return format_date(date, format); };
  const JinjaText text = template_->render(variables, settings);
  std::vector<ChatPiece> pieces;
  size_t begin = 0;
  for (const JinjaText::Run& run : text.runs()) {
    const std::string_view part = std::string_view(text.bytes()).substr(begin, run.end - begin);
    begin = run.end;
    size_t at = 0;
    while (run.from_template && at < part.size()) {
      const Phrases::Match match = special_.find(part, at);
      if (match.length == 0) break;
      add_text(part.substr(at, match.begin - at), pieces);
      pieces.push_back({std::string(part.substr(match.begin, match.length)), true});
      at = match.begin + match.length;
    }
    add_text(part.substr(at), pieces);
  }
  return pieces;
}

// A refusal is an answer here: what a template refuses is how it is asked.
std::optional<std::vector<ChatPiece>> JinjaChat::try_render(std::span<const ChatMessage> messages,
                                                            bool add_generation_prompt) const {
  try {
    return render_as_is(messages, add_generation_prompt, true, kAnyDate);
  } catch (const Error&) {
    return std::nullopt;
  }
}

bool JinjaChat::probe_system() const {
  const std::vector<ChatMessage> both{{"system", std::string(kProbe)}, {"user", "x"}};
  const auto pieces = try_render(both, true);
  if (!pieces) return try_render(std::span(both).subspan(1), true).has_value();
  return std::none_of(pieces->begin(), pieces->end(), [](const ChatPiece& piece) {
    return piece.text.find(kProbe) != std::string::npos;
  });
}

std::string JinjaChat::probe_end() const {
  const std::vector<ChatMessage> turns{{"user", "x"}, {"assistant", std::string(kProbe)}};
  const auto pieces = try_render(turns, false);
  bool behind = false;
  for (const ChatPiece& piece : pieces.value_or(std::vector<ChatPiece>())) {
    if (behind && piece.is_special) return piece.text;
    behind = behind || piece.text.find(kProbe) != std::string::npos;
  }
  return "";
}

}  // namespace etrlrec
