#include "temporal/guidance.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "base/strings.h"
#include "temporal/answer_tags.h"
#include "temporal/fact_sentences.h"
#include "temporal/gaps.h"
#include "temporal/names.h"
#include "temporal/sentence_tokens.h"
#include "temporal/sentences.h"

namespace etrlrec {
namespace {

constexpr size_t kShownAttributes = 6;

struct DomainWords {
  std::string_view name, item, items, chose, choose, attributes;
};
constexpr std::array kDomains{
    DomainWords{"film", "film", "films", "watched", "watches",
                "such as genre, tone, period, director or setting"},
    DomainWords{"game", "game", "games", "played", "plays",
                "such as genre, platform, series, play style or theme"},
    DomainWords{"product", "product", "products", "bought", "buys",
                "such as category, brand, use, price class or sport"},
    DomainWords{"neutral", "item", "items", "chose", "chooses", "such as kind, maker or theme"},
};

constexpr std::string_view kSystemText =
    "You are an expert in sequential recommendation. You explain from the order and the times of "
    "what one person {chose} which {item} comes next, and you claim only what the data show.";
constexpr std::string_view kTask =
    "Below are the {items} that one person {chose}, the oldest first, and a numbered list of "
    "candidates. Find out which candidate the person {choose} next, and say why. Look at three "
    "dimensions, one after the other.";
constexpr std::string_view kSequentialityText =
    "Interaction sequentiality: read the history as a chain in its order. Divide it into stages. "
    "Say which {item} led to which, and what a pause or a sitting in between means. The last one "
    "or "
    "two {items} count most. Say whether the taste turned lately, and what all this means for the "
    "candidates.";
constexpr std::string_view kTransitionText =
    "Item attribute transition: choose the few attributes that carry the history ({attributes}). "
    "Say which of them grow, which fade and which stay, and what usually follows the last {item}. "
    "Derive what the next {item} must have and what it may have, and rule out candidates that do "
    "not fit.";
constexpr std::string_view kThoughtText =
    "User evolving thought: put yourself into the person's place. Tell the lasting taste from the "
    "latest mood, and say what drives the person now, from what can be seen above only. Describe "
    "the person in a few words, compare this with the candidates, and end with the one {item} that "
    "fits best.";
constexpr std::string_view kFactsText =
    "Facts that were counted in the data; you may rely on them and use their wording:";
constexpr std::string_view kContractText =
    "Answer in plain English sentences, one statement each, with titles between double quotes and "
    "never by their numbers. Put the reasoning between <reasoning> and </reasoning>, then only the "
    "number of the candidate between <answer> and </answer>, and write nothing after it.";
constexpr std::string_view kNoticeText =
    "Notice: in truth the person {choose} number {number}, \"{title}\", next. Write a reasoning "
    "that leads from the history to this {item}, answer with its number, and do not mention that "
    "you were told.";

using Member = std::string GuidanceTexts::*;
constexpr std::array<std::pair<std::string_view, Member>, 14> kMembers{
    {{"domain", &GuidanceTexts::domain},
     {"item", &GuidanceTexts::item},
     {"items", &GuidanceTexts::items},
     {"chose", &GuidanceTexts::chose},
     {"choose", &GuidanceTexts::choose},
     {"attributes", &GuidanceTexts::attributes},
     {"system", &GuidanceTexts::system},
     {"task", &GuidanceTexts::task},
     {"sequentiality", &GuidanceTexts::sequentiality},
     {"transition", &GuidanceTexts::transition},
     {"thought", &GuidanceTexts::thought},
     {"facts", &GuidanceTexts::facts},
     {"contract", &GuidanceTexts::contract},
     {"notice", &GuidanceTexts::notice}}};

std::string shown_title(const ClaimContext& context, int32_t item) {
  return plain_title(context.catalogue.titles[static_cast<size_t>(item)]);
}

// "\"Paper Crown\" (crime, dark)"
std::string entry_of(const ClaimContext& context, int32_t item, const GuidanceOptions& options) {
  std::string text = fmt::format("\"{}\"", shown_title(context, item));
  std::string attributes;
  size_t count = 0;
  if (options.with_attributes) {
    for (const int32_t a : context.catalogue.attributes_of(item)) {
      if (count++ == kShownAttributes) break;
      attributes += (attributes.empty() ? "" : ", ") + attribute_word(context.catalogue, a);
    }
  }
  return attributes.empty() ? text : fmt::format("{} ({})", text, attributes);
}

// How many of the words are attributes of the catalogue.
int64_t attributes_among(const Catalogue& catalogue, const std::set<std::string>& words) {
  return std::count_if(catalogue.attributes.begin(), catalogue.attributes.end(),
                       [&](const std::string& name) { return words.contains(ascii_lower(name)); });
}

bool ends_in_year(std::string_view title) {
  title = trim(title);
  return title.size() > 6 && title.back() == ')' && title[title.size() - 6] == '(' &&
         (title[title.size() - 5] == '1' || title[title.size() - 5] == '2');
}

bool has_field(const Catalogue& catalogue, std::initializer_list<std::string_view> parts) {
  return std::any_of(catalogue.fields.begin(), catalogue.fields.end(), [&](const auto& field) {
    return std::any_of(parts.begin(), parts.end(), [&](std::string_view part) {
      return ascii_lower(field).find(part) != std::string::npos;
    });
  });
}

}  // namespace

// A slot inside a word that was put in stays as it is.
std::string with_words(std::string_view text, const GuidanceTexts& texts, std::string_view number,
                       std::string_view title) {
  const std::array<std::pair<std::string_view, std::string_view>, 7> slots{
      {{"{item}", texts.item},
       {"{items}", texts.items},
       {"{chose}", texts.chose},
       {"{choose}", texts.choose},
       {"{attributes}", texts.attributes},
       {"{number}", number},
       {"{title}", title}}};
  std::string out;
  while (!text.empty()) {
    const size_t open = text.find('{');
    out += text.substr(0, open);
    if (open == text.npos) break;
    text.remove_prefix(open);
    const auto slot = std::find_if(slots.begin(), slots.end(),
                                   [&](const auto& pair) { return text.starts_with(pair.first); });
    if (slot == slots.end()) {
      out += '{';
      text.remove_prefix(1);
    } else {
      out += slot->second;
      text.remove_prefix(slot->first.size());
    }
  }
  return out;
}

std::string history_text(const GuidanceTexts& texts, const ClaimContext& context,
                         const GuidanceOptions& options) {
  const Request& request = context.request;
  std::string out = with_words("What the person {chose}:\n", texts);
  for (size_t j = 0; j < request.history.size(); ++j) {
    out += fmt::format("{}. {}", j + 1, entry_of(context, request.history[j], options));
    if (options.with_times && j > 0) {
      const int64_t pause = request.times[j] - request.times[j - 1];
      out += pause == 0   ? ", at the same time"
             : pause < 30 ? ", at once"
                          : fmt::format(", {} later", duration_text(pause));
    }
    out += "\n";
  }
  if (options.with_times && !request.times.empty())
    out += fmt::format("Now it is {}, {} after the last one.\n",
                       season_word(season_index(request.now)),
                       duration_text(request.now - request.times.back()));
  return out;
}

std::string candidates_text(const ClaimContext& context, const GuidanceOptions& options) {
  std::string out = "Candidates:\n";
  for (size_t k = 0; k < context.request.candidates.size(); ++k)
    out +=
        fmt::format("{}. {}\n", k + 1, entry_of(context, context.request.candidates[k], options));
  return out;
}

std::string facts_text(const GuidanceTexts& texts, const ClaimContext& context,
                       const GuidanceOptions& options, Rng& rng) {
  std::string out = with_words(texts.facts, texts) + "\n";
  for (const FactClaim& fact : true_claims(context, options.with_times, true)) {
    const std::string sentence = varied_sentence(fact.claim, context, rng);
    if (!sentence.empty()) out += fmt::format("- {}.\n", sentence);
  }
  return out;
}

std::vector<std::string> guidance_domains() {
  std::vector<std::string> names;
  for (const DomainWords& words : kDomains) names.emplace_back(words.name);
  return names;
}

GuidanceTexts guidance_texts(std::string_view domain) {
  for (const DomainWords& words : kDomains) {
    if (words.name != domain) continue;
    GuidanceTexts texts;
    texts.domain = words.name;
    texts.item = words.item;
    texts.items = words.items;
    texts.chose = words.chose;
    texts.choose = words.choose;
    texts.attributes = words.attributes;
    texts.system = kSystemText;
    texts.task = kTask;
    texts.sequentiality = kSequentialityText;
    texts.transition = kTransitionText;
    texts.thought = kThoughtText;
    texts.facts = kFactsText;
    texts.contract = kContractText;
    texts.notice = kNoticeText;
    return texts;
  }
  fail(ExitCode::kUsage, "unknown domain \"{}\"; known: {}", domain,
       fmt::join(guidance_domains(), ", "));
}

std::string guess_domain(const Catalogue& catalogue) {
  static const std::set<std::string> kGame{
      "indie",         "rpg",        "free to play",    "early access", "massively multiplayer",
      "strategy",      "simulation", "casual",          "multiplayer",  "singleplayer",
      "single-player", "shooter",    "nintendo switch", "pc",           "playstation 4",
      "xbox one",      "video games"};
  static const std::set<std::string> kFilm{"film-noir", "documentary", "western",   "horror",
                                           "romance",   "animation",   "animated",  "comedy",
                                           "drama",     "thriller",    "musical",   "sci-fi",
                                           "war",       "mystery",     "children's"};
  constexpr int64_t kEnough = 3;
  if (attributes_among(catalogue, kGame) >= kEnough || has_field(catalogue, {"platform"}))
    return "game";
  const auto years = std::count_if(catalogue.titles.begin(), catalogue.titles.end(),
                                   [](const auto& title) { return ends_in_year(title); });
  if (attributes_among(catalogue, kFilm) >= kEnough || 2 * years > catalogue.num_items())
    return "film";
  if (has_field(catalogue, {"categor", "brand", "store", "price", "colo"})) return "product";
  return "neutral";
}

GuidanceTexts read_guidance(const fs::path& path, const GuidanceTexts& base) {
  const Json json = read_json(path);
  const std::string name = path.string();
  CHECK(json.is_object(), kInput, "{}: expected an object with texts of the guidance", name);
  const auto domains = guidance_domains();
  const auto domain = get_or<std::string>(json, "domain", base.domain, name);
  const bool known = std::find(domains.begin(), domains.end(), domain) != domains.end();
  GuidanceTexts texts = known ? guidance_texts(domain) : base;
  for (const auto& entry : json.items()) {
    const std::string& key = entry.key();  // clang 14: a lambda captures no structured binding
    const auto member = std::find_if(kMembers.begin(), kMembers.end(),
                                     [&](const auto& pair) { return pair.first == key; });
    CHECK(member != kMembers.end(), kInput, "{}: unknown member \"{}\"", name, key);
    texts.*(member->second) = get<std::string>(json, key, name);
    // What looks like a slot and is none would go to the teacher as it is.
    const std::string rest = with_words(texts.*(member->second), {});
    CHECK(rest.find('{') == rest.npos, kInput,
          "{}: \"{}\" has an unknown slot; known: {{item}}, {{items}}, {{chose}}, {{choose}}, "
          "{{attributes}}, {{number}}, {{title}}",
          name, key);
  }
  return texts;
}

OrderedJson to_json(const GuidanceTexts& texts) {
  OrderedJson json;
  for (const auto& [name, member] : kMembers) json[std::string(name)] = texts.*member;
  return json;
}

std::vector<ChatMessage> guidance_messages(const GuidanceTexts& texts, const ClaimContext& context,
                                           const GuidanceOptions& options, Rng& rng) {
  const Request& request = context.request;
  std::string text = with_words(texts.task, texts) + "\n\n";
  text += history_text(texts, context, options) + "\n" + candidates_text(context, options) + "\n";
  if (options.hinted) {
    CHECK(request.target_slot >= 0 &&
              request.target_slot < static_cast<int32_t>(request.candidates.size()),
          kInput, "guidance: a notice needs a target slot below {}, found {}",
          request.candidates.size(), request.target_slot);
    const int32_t target = request.candidates[static_cast<size_t>(request.target_slot)];
    text += with_words(texts.notice, texts, fmt::format("{}", request.target_slot + 1),
                       shown_title(context, target)) +
            "\n\n";
  }
  for (const std::string& block : {texts.sequentiality, texts.transition, texts.thought})
    if (!block.empty()) text += with_words(block, texts) + "\n\n";
  if (options.fact_sheet) text += facts_text(texts, context, options, rng) + "\n";
  text += with_words(texts.contract, texts);
  return {{"system", with_words(texts.system, texts)}, {"user", text}};
}

std::string one_line(std::string_view text) {
  std::string out;
  bool blank = true;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= ' ' || byte == 127) {
      blank = true;
      continue;
    }
    if (blank) out += ' ';
    blank = false;
    out += c;
  }
  return out;
}

std::optional<std::string_view> behind_thought(std::string_view text) {
  constexpr std::string_view kThink = "<think>", kThought = "</think>";
  const size_t thought = text.rfind(kThought);
  if (thought != text.npos) return text.substr(thought + kThought.size());
  if (text.find(kThink) != text.npos) return std::nullopt;
  return text;
}

TeacherAnswer read_teacher_answer(std::string_view text, int32_t num_candidates) {
  TeacherAnswer answer;
  const auto said = behind_thought(text);
  if (!said) {
    answer.problem = "the thinking part has no end";
    return answer;
  }
  text = *said;
  const size_t open = text.find(kReasoningOpen);
  if (open == text.npos) {
    answer.problem = "no <reasoning>";
    return answer;
  }
  const ParsedCompletion parsed =
      parse_tagged_answer(text.substr(open + kReasoningOpen.size()), num_candidates, true);
  if (parsed.code != AnswerCode::kValid) {
    answer.problem = answer_code_name(parsed.code);
    return answer;
  }
  answer.reasoning = one_line(parsed.reasoning);
  answer.answer = parsed.answer;
  return answer;
}

}  // namespace etrlrec
