#include "text/chat_recognition.h"

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "text/chat.h"

namespace etrlrec {
namespace {

constexpr uint64_t kMaxTemplateBytes = uint64_t{16} << 20;

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

// End of the string literal that opens at `at`; appends it with single quotes.
size_t copy_literal(std::string_view jinja, size_t at, std::string& out) {
  const char quote = jinja[at];
  out += '\'';
  for (++at; at < jinja.size() && jinja[at] != quote; ++at) {
    if (jinja[at] == '\n') {
      out += "\\n";
      continue;
    }
    if (jinja[at] == '\\' && at + 1 < jinja.size()) out += jinja[at++];
    out += jinja[at];
  }
  out += '\'';
  return at + 1;
}

// Without layout and comments. Quotes delimit strings only inside {{ }} and {% %}.
std::string squeeze(std::string_view jinja) {
  std::string out;
  bool in_block = false;
  for (size_t i = 0; i < jinja.size();) {
    const std::string_view two = jinja.substr(i, 2);
    const char c = jinja[i];
    if (!in_block && two == "{#") {
      const size_t end = jinja.find("#}", i);
      i = end == jinja.npos ? jinja.size() : end + 2;
    } else if (!in_block && (two == "{{" || two == "{%")) {
      in_block = true;
      out += two;
      i += 2 + (jinja.substr(i + 2, 1) == "-");
    } else if (in_block && (two == "}}" || two == "%}")) {
      in_block = false;
      if (out.ends_with('-')) out.pop_back();
      out += two;
      i += 2;
    } else if (in_block && (c == '\'' || c == '"')) {
      i = copy_literal(jinja, i, out);
    } else {
      if (c != ' ' && c != '\n' && c != '\r' && c != '\t') out += c;
      ++i;
    }
  }
  replace_all(out, "['role']", ".role");
  replace_all(out, "['content']", ".content");
  replace_all(out, "'+'", "");
  return out;
}

struct Marks {
  std::string_view name;
  std::vector<std::string_view> all, none;
};

const std::vector<Marks>& known_marks() {
  static constexpr std::string_view kTurn =
      R"('<|im_start|>'+message.role+'\n'+message.content+'<|im_end|>\n')";
  static constexpr std::string_view kPrompt = R"({{'<|im_start|>assistant\n'}})";
  static const std::vector<Marks> table{
      {"qwen3",
       {R"('\n<think>\n'+reasoning_content.strip('\n')+'\n</think>\n\n'+content.lstrip('\n'))",
        "ns.last_query_index", "enable_thinkingisfalse", R"({{'<think>\n\n</think>\n\n'}})",
        R"('<|im_start|>'+message.role+'\n'+content+'<|im_end|>\n')", kPrompt},
       {"vision", "You are Qwen", "You are a helpful"}},
      {"qwen2.5",
       {R"('<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n')",
        kTurn, kPrompt},
       {"think", "vision"}},
      {"qwen2",
       {R"('<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n')", kTurn, kPrompt},
       {"think", "vision", "tool"}},
      {"smollm2",
       {R"('<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n')",
        kTurn, kPrompt},
       {"think", "vision", "tool"}},
      {"chatml", {kTurn, kPrompt}, {"system", "think", "tool", "trim", "strip", "You are"}},
      {"llama3",
       {R"('<|start_header_id|>'+message.role+'<|end_header_id|>\n\n'+message.content|trim+'<|eot_id|>')",
        R"('Cutting Knowledge Date: December 2023\n')", R"('Today Date: '+date_string+'\n\n')",
        R"('<|start_header_id|>assistant<|end_header_id|>\n\n')"},
       {"think"}},
      {"mistral",
       {"'[INST] '+message.content+'[/INST]'",
        R"('[INST] '+system_message+'\n\n'+message.content+'[/INST]')",
        "' '+message.content|trim+eos_token", "{{bos_token}}"},
       {"[SYSTEM_PROMPT]", "THINK", "<<SYS>>"}},
  };
  return table;
}

// The template of a folder; the path or key it comes from goes to `source`.
std::string find_template(const fs::path& folder, std::string& source) {
  const fs::path file = folder / "chat_template.jinja", config = folder / "tokenizer_config.json";
  source = file.string();
  if (fs::exists(file)) return read_file(file, kMaxTemplateBytes);
  if (!fs::exists(config)) return "";
  source = config.string() + ": chat_template";
  const Json root = parse_json(read_file(config, kMaxTemplateBytes), config.string());
  const Json value = get_or<Json>(root, "chat_template", Json(), config.string());
  if (!value.is_array()) return get_or<std::string>(root, "chat_template", "", config.string());
  for (const Json& entry : value)
    if (get<std::string>(entry, "name", source) == "default")
      return get<std::string>(entry, "template", source);
  return "";
}

}  // namespace

std::string chat_template_text(const fs::path& folder) {
  std::string source;
  return find_template(folder, source);
}

std::string recognise_chat_text(std::string_view jinja) {
  const std::string text = squeeze(jinja);
  const auto has = [&](std::string_view mark) { return text.find(mark) != std::string::npos; };
  for (const Marks& marks : known_marks()) {
    bool fits = true;
    for (std::string_view mark : marks.all) fits = fits && has(mark);
    for (std::string_view mark : marks.none) fits = fits && !has(mark);
    if (fits) return std::string(marks.name);
  }
  return "";
}

std::string known_chat_template(const fs::path& folder) {
  std::string source;
  return recognise_chat_text(find_template(folder, source));
}

std::string recognise_chat_template(const fs::path& folder) {
  std::string source;
  const std::string jinja = find_template(folder, source);
  const std::string choices =
      fmt::format("--chat-template one of: {}", fmt::join(chat_template_names(), ", "));
  CHECK(!jinja.empty(), kModel, "{}: no chat template\nhint: {}", folder.string(), choices);
  std::string name = recognise_chat_text(jinja);
  CHECK(!name.empty(), kModel, "{}: not one of the chat templates that are written out\nhint: {}",
        source, choices);
  return name;
}

}  // namespace etrlrec
