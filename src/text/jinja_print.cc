#include "text/jinja_print.h"

#include <algorithm>
#include <cmath>

#include "text/jinja_case.h"

namespace etrlrec {
namespace {

std::string print_integer(const JinjaValue& value, const char* yes, const char* no) {
  if (value.is(JinjaType::kBoolean)) return value.integer() != 0 ? yes : no;
  return fmt::format("{}", value.integer());
}

class ReprWriter {
 public:
  explicit ReprWriter(JinjaContext& context) : context_(context) {}
  void write(const JinjaValue& value);
  JinjaText take() { return {std::move(out_), is_template_}; }

 private:
  void write_text(const JinjaText& text);
  void write_items(const JinjaItems& items);
  void write_dict(const JinjaDict& dict);

  JinjaContext& context_;
  std::string out_;
  bool is_template_ = true;
};

void ReprWriter::write_text(const JinjaText& text) {
  const std::string& bytes = text.bytes();
  is_template_ = is_template_ && text.is_template();
  context_.check_text(out_.size() + bytes.size());
  context_.charge(bytes.size());
  const char quote = bytes.find('\'') != bytes.npos && bytes.find('"') == bytes.npos ? '"' : '\'';
  out_ += quote;
  for (size_t i = 0; i < bytes.size();) {
    const std::string_view rest = std::string_view(bytes).substr(i);
    const size_t length = character_length(rest);
    const int32_t point = code_point_at(rest);
    if (rest[0] == quote || rest[0] == '\\')
      (out_ += '\\') += rest[0];
    else if (rest[0] == '\n' || rest[0] == '\r' || rest[0] == '\t')
      (out_ += '\\') += rest[0] == '\n' ? 'n' : rest[0] == '\r' ? 'r' : 't';
    else if (is_printable(point))
      out_ += rest.substr(0, length);
    else if (point < 0x100)
      out_ += fmt::format("\\x{:02x}", point < 0 ? static_cast<unsigned char>(rest[0]) : point);
    else
      out_ += point < 0x10000 ? fmt::format("\\u{:04x}", point) : fmt::format("\\U{:08x}", point);
    i += length;
  }
  out_ += quote;
}

void ReprWriter::write_items(const JinjaItems& items) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out_ += ", ";
    write(items[i]);
  }
}

void ReprWriter::write_dict(const JinjaDict& dict) {
  out_ += '{';
  for (size_t i = 0; i < dict.entries.size(); ++i) {
    if (i > 0) out_ += ", ";
    write(dict.entries[i].first);
    out_ += ": ";
    write(dict.entries[i].second);
  }
  out_ += '}';
}

void ReprWriter::write(const JinjaValue& value) {
  context_.charge();
  context_.check_text(out_.size());
  switch (value.type()) {
    case JinjaType::kUndefined:
      out_ += "Undefined";
      break;
    case JinjaType::kNone:
      out_ += "None";
      break;
    case JinjaType::kBoolean:
    case JinjaType::kInteger:
      is_template_ = false;
      out_ += print_integer(value, "True", "False");
      break;
    case JinjaType::kFloat:
      is_template_ = false;
      out_ += print_float(value.number());
      break;
    case JinjaType::kString:
      write_text(value.text());
      break;
    case JinjaType::kList:
      out_ += '[';
      write_items(value.sequence().items);
      out_ += ']';
      break;
    case JinjaType::kTuple:
      out_ += '(';
      write_items(value.sequence().items);
      out_ += value.sequence().items.size() == 1 ? ",)" : ")";
      break;
    case JinjaType::kDictView:
      out_ += value.sequence().view + "([";
      write_items(value.sequence().items);
      out_ += "])";
      break;
    case JinjaType::kDict:
      write_dict(value.dict());
      break;
    default:
      context_.fail("a {} has no text of its own", type_name(value));
  }
}

class JsonWriter {
 public:
  JsonWriter(JinjaContext& context, const JsonStyle& style) : context_(context), style_(style) {}
  void write(const JinjaValue& value, size_t level);
  JinjaText take() { return {std::move(out_), is_template_}; }

 private:
  void write_text(const JinjaText& text);
  void write_escaped(std::string_view character);
  void write_items(const JinjaItems& items, size_t level);
  void write_dict(const JinjaDict& dict, size_t level);
  std::string key_text(const JinjaValue& key);
  void new_line(size_t level);

  JinjaContext& context_;
  const JsonStyle& style_;
  std::string out_;
  bool is_template_ = true;
};

void JsonWriter::new_line(size_t level) {
  if (!style_.indented) return;
  context_.check_text(out_.size() + level * style_.indent.size());
  out_ += '\n';
  for (size_t i = 0; i < level; ++i) out_ += style_.indent;
}

void JsonWriter::write_escaped(std::string_view character) {
  const int32_t point = code_point_at(character);
  const auto first = static_cast<unsigned char>(character[0]);
  const uint32_t code = point < 0 ? first : static_cast<uint32_t>(point);
  static constexpr std::string_view kFrom = "\"\\\n\r\t\f\b", kTo = "\"\\nrtfb";
  if (const size_t at = kFrom.find(character[0]); at != kFrom.npos)
    (out_ += '\\') += kTo[at];
  else if (code < 0x20 || (style_.ensure_ascii && code >= 0x7f && code < 0x10000 && code != 0x7f))
    out_ += fmt::format("\\u{:04x}", code);
  else if (style_.ensure_ascii && code >= 0x10000)
    out_ += fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + ((code - 0x10000) >> 10),
                        0xdc00 + ((code - 0x10000) & 0x3ff));
  else
    out_ += character;
}

void JsonWriter::write_text(const JinjaText& text) {
  is_template_ = is_template_ && text.is_template();
  context_.check_text(out_.size() + text.size());
  context_.charge(text.size());
  const std::string_view bytes = text.bytes();
  out_ += '"';
  for (size_t i = 0, length = 0; i < bytes.size(); i += length) {
    length = character_length(bytes.substr(i));
    write_escaped(bytes.substr(i, length));
  }
  out_ += '"';
}

std::string JsonWriter::key_text(const JinjaValue& key) {
  if (key.is_string()) return key.bytes();
  if (key.is_integral()) return print_integer(key, "true", "false");
  if (key.is(JinjaType::kNone)) return "null";
  if (!key.is(JinjaType::kFloat))
    context_.fail("tojson: expected keys that are texts or numbers, found {}", type_name(key));
  return print_float(key.number());
}

void JsonWriter::write_items(const JinjaItems& items, size_t level) {
  out_ += '[';
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out_ += style_.item_separator;
    new_line(level + 1);
    write(items[i], level + 1);
  }
  if (!items.empty()) new_line(level);
  out_ += ']';
}

void JsonWriter::write_dict(const JinjaDict& dict, size_t level) {
  std::vector<size_t> order(dict.entries.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  if (style_.sort_keys)
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return is_less(context_, dict.entries[a].first, dict.entries[b].first);
    });
  out_ += '{';
  for (size_t i = 0; i < order.size(); ++i) {
    const auto& [key, value] = dict.entries[order[i]];
    if (i > 0) out_ += style_.item_separator;
    new_line(level + 1);
    write_text({key_text(key), key.is_string() && key.text().is_template()});
    out_ += style_.key_separator;
    write(value, level + 1);
  }
  if (!order.empty()) new_line(level);
  out_ += '}';
}

void JsonWriter::write(const JinjaValue& value, size_t level) {
  context_.charge();
  context_.check_text(out_.size());
  switch (value.type()) {
    case JinjaType::kNone:
      out_ += "null";
      break;
    case JinjaType::kBoolean:
    case JinjaType::kInteger:
      is_template_ = false;
      out_ += print_integer(value, "true", "false");
      break;
    case JinjaType::kFloat: {
      is_template_ = false;
      const double number = value.number();
      out_ += std::isnan(number)   ? "NaN"
              : std::isinf(number) ? (number < 0 ? "-Infinity" : "Infinity")
                                   : print_float(number);
      break;
    }
    case JinjaType::kString:
      write_text(value.text());
      break;
    case JinjaType::kList:
    case JinjaType::kTuple:
      write_items(value.sequence().items, level);
      break;
    case JinjaType::kDict:
      write_dict(value.dict(), level);
      break;
    default:
      context_.fail("tojson: JSON has no form for {}", type_name(value));
  }
}

}  // namespace

std::string print_float(double number) {
  if (std::isnan(number)) return "nan";
  std::string out = fmt::format("{}", number);
  if (std::isfinite(number) && out.find_first_of(".e") == out.npos) out += ".0";
  return out;
}

JinjaText print_value(JinjaContext& context, const JinjaValue& value) {
  if (value.is_string()) {
    context.charge_text(value.text().size());
    return value.text();
  }
  if (value.is_undefined()) return {};
  if (value.is(JinjaType::kRange)) {
    const JinjaItems& items = value.sequence().items;
    context.fail("a range of {} items has no text of its own\nhint: write | list", items.size());
  }
  ReprWriter writer(context);
  writer.write(value);
  return writer.take();
}

JinjaText print_json(JinjaContext& context, const JinjaValue& value, const JsonStyle& style) {
  JsonWriter writer(context, style);
  writer.write(value, 0);
  return writer.take();
}

}  // namespace etrlrec
