#include "method/audit_texts.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <set>
#include <vector>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/sha256.h"
#include "method/construct_filters.h"
#include "method/llm_rows.h"
#include "remote/chat_call.h"
#include "temporal/prompts.h"

namespace etrlrec {
namespace {

constexpr size_t kShortestTitle = 8;  // of several words

// The name of the model that answered the calls of a folder; empty where there are none.
std::string called_model(const fs::path& folder) {
  const fs::path path = folder / "calls.jsonl";
  if (!fs::exists(path)) return {};
  const MappedFile file(path);
  std::string_view rest = file.text();
  for (size_t end = rest.find('\n'); end != rest.npos; end = rest.find('\n')) {
    const Json call = parse_json(rest.substr(0, end), path.string());
    if (call.contains("model")) return get<std::string>(call, "model", path.string());
    rest.remove_prefix(end + 1);
  }
  return {};
}

bool is_in_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         static_cast<unsigned char>(c) >= 0x80;
}

// Whether a text has these words, not as a part of longer ones.
bool has_words(std::string_view text, std::string_view words) {
  for (size_t at = text.find(words); at != text.npos; at = text.find(words, at + 1)) {
    const size_t end = at + words.size();
    if ((at == 0 || !is_in_word(text[at - 1])) && (end == text.size() || !is_in_word(text[end])))
      return true;
  }
  return false;
}

// A title as people say it: without a year, "Usual Suspects, The" also the other way round.
std::vector<std::string> spoken_titles(std::string_view title) {
  const size_t n = title.size();
  if (n > 7 && title.ends_with(')') && title.substr(n - 7, 2) == " (" &&
      std::all_of(title.begin() + static_cast<int64_t>(n) - 5, title.end() - 1,
                  [](char c) { return c >= '0' && c <= '9'; }))
    title.remove_suffix(7);
  std::vector<std::string> spoken{std::string(title)};
  for (const std::string_view article : {", The", ", A", ", An"})
    if (title.ends_with(article))
      spoken.push_back(std::string(article.substr(2)) + " " +
                       std::string(title.substr(0, title.size() - article.size())));
  return spoken;
}

// The titles cut out, the longest first: what is part of a title that may be named is not named.
std::string text_without(std::string text, const std::set<std::string>& titles) {
  std::vector<std::string> longest(titles.begin(), titles.end());
  std::sort(longest.begin(), longest.end(),
            [](const auto& a, const auto& b) { return a.size() > b.size(); });
  for (const std::string& title : longest)
    for (size_t at = text.find(title); !title.empty() && at != text.npos; at = text.find(title, at))
      text.replace(at, title.size(), "\n");
  return text;
}

// The first day in a text, written 2024-05-31, that comes after `now`.
std::optional<std::string> later_day(std::string_view text, int64_t now) {
  using namespace std::chrono;
  const auto number = [&](size_t at, size_t digits) {
    int value = 0;
    for (size_t i = at; i < at + digits; ++i) {
      if (text[i] < '0' || text[i] > '9') return -1;
      value = 10 * value + (text[i] - '0');
    }
    return value;
  };
  const sys_days today = floor<days>(sys_seconds(seconds(now)));
  for (size_t at = 0; at + 10 <= text.size(); ++at) {
    if (text[at + 4] != '-' || text[at + 7] != '-') continue;
    const int y = number(at, 4), m = number(at + 5, 2), d = number(at + 8, 2);
    if (y < 0 || m < 0 || d < 0) continue;
    const year_month_day date{year(y), month(static_cast<unsigned>(m)),
                              day(static_cast<unsigned>(d))};
    if (date.ok() && sys_days(date) > today) return std::string(text.substr(at, 10));
  }
  return std::nullopt;
}

}  // namespace

TextAudit::TextAudit(const RowSource& source, const fs::path& folder, const std::string& guidance)
    : source_(source) {
  const std::string name = (folder / "construct.json").string();
  const Json made = get<Json>(read_json(name), "options", name);
  const auto teacher = get<std::string>(made, "teacher", name);
  free_text_ = writes_free_text(teacher);
  const Json llm = free_text_ ? get<Json>(made, "llm", name) : Json::object();
  const bool asked = llm.contains("guidance");
  CHECK(asked || guidance.empty(), kUsage, "--guidance: the teacher of {} ({}) was asked with none",
        folder.string(), teacher);
  if (!asked) return;
  const auto domain = get<std::string>(llm, "domain", name);
  const auto known = guidance_domains();
  options_.llm.domain =
      std::find(known.begin(), known.end(), domain) == known.end() ? "auto" : domain;
  options_.llm.guidance = guidance;
  options_.llm.fact_sheet = get<bool>(llm, "fact_sheet", name);
  options_.with_times = source.prompt().with_times;
  options_.with_attributes = source.prompt().with_attributes;
  options_.seed = get<uint64_t>(made, "seed", name);
  guidance_ = guidance_of(options_.llm, source.study().dataset.catalogue);
  CHECK(sha256_hex(to_json(guidance_).dump()) == get<std::string>(llm, "guidance", name), kUsage,
        "{}: its teacher was asked with other guidance than {}\nhint: --guidance FILE, as it was "
        "given to construct",
        folder.string(),
        guidance.empty() ? fmt::format("that of the domain {}", domain) : guidance);
  model_ = called_model(folder);
  parameters_ = get<Json>(llm, "parameters", name).dump();
  draws_ = std::max(get<int32_t>(made, "draws", name), get<int32_t>(made, "hinted_draws", name));
}

void TextAudit::check(const RowView& view, std::string_view said, const Json& meta,
                      const std::string& name, AuditReport& report) const {
  if (knows_calls()) check_messages(view, meta, name, report);
  if (betrays(said, free_text_)) report.add("betrayal", name + ": says that the answer was known");
  check_words(view, said, get<int64_t>(meta, "row", name), name, report);
}

// The key of a call is a hash of its messages (etrlrec construct --audit compares the two).
void TextAudit::check_messages(const RowView& view, const Json& meta, const std::string& name,
                               AuditReport& report) const {
  const Study& study = source_.study();
  const bool hinted = get<bool>(meta, "hinted", name);
  const auto key = get<std::string>(meta, "key", name);
  Request request = view.request();
  if (!hinted) request.target_slot = -1;
  const RowView asked(study.dataset.catalogue, &study.statistics, request, source_.prompt());
  ChatCall call{
      model_, teacher_messages(guidance_, options_, asked, get<int64_t>(meta, "row", name), hinted),
      parameters_};
  for (call.draw = 0; call.draw < draws_; ++call.draw)
    if (call_key(call) == key) return;
  report.add("teacher messages",
             fmt::format("{}: its call is not what the events before the request give{}", name,
                         hinted ? " with the hint" : ""));
}

void TextAudit::check_words(const RowView& view, std::string_view said, int64_t row,
                            const std::string& name, AuditReport& report) const {
  const Dataset& dataset = source_.study().dataset;
  const Row& asked = source_.set().rows[static_cast<size_t>(row)];
  const auto user = static_cast<size_t>(asked.user);
  const auto spoken = [&](int32_t item) {
    return spoken_titles(dataset.catalogue.titles[static_cast<size_t>(item)]);
  };
  if (!dataset.order_only)
    if (const auto day = later_day(said, view.request().now))
      report.add("later day", fmt::format("{}: {}", name, *day));
  std::set<std::string> known;
  std::optional<std::string> rest;  // of the text, without what may be named
  const auto may_be_named = [&](const std::string& title) {
    if (!rest) {
      const auto know = [&](int32_t item) {
        for (std::string& one : spoken(item)) known.insert(std::move(one));
      };
      for (int64_t i = dataset.user_offsets[user]; i < asked.position; ++i)
        know(dataset.items[static_cast<size_t>(i)]);
      for (const int32_t item : view.request().candidates) know(item);
      rest = text_without(std::string(said), known);
    }
    return known.contains(title) || !has_words(*rest, title) || has_words(view.prompt(), title);
  };
  for (int64_t i = asked.position + 1; i < dataset.user_offsets[user + 1]; ++i)
    for (const std::string& title : spoken(dataset.items[static_cast<size_t>(i)])) {
      if (title.size() < kShortestTitle || title.find(' ') == title.npos) continue;
      if (has_words(said, title) && !may_be_named(title))
        report.add("later item",
                   fmt::format("{}: {}, which the user chose only later", name, title));
    }
}

}  // namespace etrlrec
