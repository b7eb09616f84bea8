#include "text/jinja_format.h"

#include <algorithm>
#include <cmath>

#include "text/jinja_print.h"

namespace etrlrec {
namespace {

struct Conversion {
  std::string key;
  bool has_key = false, left = false, zero = false, plus = false, space = false;
  size_t width = 0;
  int precision = -1;
  char letter = ' ';
};

class PercentFormat {
 public:
  PercentFormat(JinjaContext& context, const JinjaText& format, const JinjaValue& values)
      : context_(context), format_(format), bytes_(format.bytes()), values_(values) {}
  JinjaText run();

 private:
  Conversion read_conversion();
  size_t read_number();
  JinjaValue next_value(const Conversion& conversion);
  void write(const Conversion& conversion, const JinjaValue& value);

  JinjaContext& context_;
  const JinjaText& format_;
  const std::string& bytes_;
  const JinjaValue& values_;
  size_t at_ = 0, used_ = 0;
  JinjaText out_;
};

size_t PercentFormat::read_number() {
  size_t number = 0;
  for (; at_ < bytes_.size() && bytes_[at_] >= '0' && bytes_[at_] <= '9'; ++at_) {
    number = number * 10 + static_cast<size_t>(bytes_[at_] - '0');
    if (number > 10'000) context_.fail("%: a width or precision above 10000 is not supported");
  }
  return number;
}

Conversion PercentFormat::read_conversion() {
  Conversion out;
  if (at_ < bytes_.size() && bytes_[at_] == '(') {
    const size_t end = bytes_.find(')', at_);
    if (end == bytes_.npos) context_.fail("%: a key has no end )");
    out.key = bytes_.substr(at_ + 1, end - at_ - 1);
    out.has_key = true;
    at_ = end + 1;
  }
  for (;
       at_ < bytes_.size() && std::string_view("-0+ ").find(bytes_[at_]) != std::string_view::npos;
       ++at_) {
    out.left = out.left || bytes_[at_] == '-';
    out.zero = out.zero || bytes_[at_] == '0';
    out.plus = out.plus || bytes_[at_] == '+';
    out.space = out.space || bytes_[at_] == ' ';
  }
  out.width = read_number();
  if (at_ < bytes_.size() && bytes_[at_] == '.') {
    ++at_;
    out.precision = static_cast<int>(read_number());
  }
  if (at_ == bytes_.size()) context_.fail("%: the format ends in a conversion");
  out.letter = bytes_[at_++];
  return out;
}

JinjaValue PercentFormat::next_value(const Conversion& conversion) {
  if (conversion.has_key) {
    if (!values_.is(JinjaType::kDict)) context_.fail("%: a key needs a dict");
    const JinjaValue* found = values_.dict().find_text(conversion.key);
    if (found == nullptr) context_.fail("%: the dict has no \"{}\"", conversion.key);
    return *found;
  }
  const bool is_tuple = values_.is(JinjaType::kTuple);
  if (used_ >= (is_tuple ? values_.sequence().items.size() : 1))
    context_.fail("%: the format has more conversions than there are values");
  ++used_;
  return is_tuple ? values_.sequence().items[used_ - 1] : values_;
}

void PercentFormat::write(const Conversion& conversion, const JinjaValue& value) {
  JinjaText text;
  if (conversion.letter == 's') {
    text = print_value(context_, value);
    if (conversion.precision >= 0)
      text =
          text.slice(0, character_offset(text.bytes(), static_cast<size_t>(conversion.precision)));
  } else {
    if (!value.is_number())
      context_.fail("%{}: expected a number, found {}", conversion.letter, type_name(value));
    const bool is_float = conversion.letter == 'f';
    const double number = value.number();
    if (!is_float && (!std::isfinite(number) || std::abs(number) > 9e18))
      context_.fail("%{}: the number is out of range", conversion.letter);
    if (!is_float && conversion.letter == 'x' && !value.is_integral())
      context_.fail("%x: expected an integer, found {}", type_name(value));
    const int64_t whole = is_float              ? 0
                          : value.is_integral() ? value.integer()
                                                : static_cast<int64_t>(number);
    const bool negative = is_float ? std::signbit(number) : whole < 0;
    const uint64_t size =
        whole < 0 ? uint64_t{0} - static_cast<uint64_t>(whole) : static_cast<uint64_t>(whole);
    std::string digits = is_float                   ? fmt::format("{:.{}f}", std::abs(number),
                                                conversion.precision < 0 ? 6 : conversion.precision)
                         : conversion.letter == 'x' ? fmt::format("{:x}", size)
                                                    : fmt::format("{}", size);
    if (!is_float && conversion.precision > static_cast<int>(digits.size()))
      digits.insert(0, static_cast<size_t>(conversion.precision) - digits.size(), '0');
    const std::string sign = negative ? "-" : conversion.plus ? "+" : conversion.space ? " " : "";
    if (conversion.zero && !conversion.left && sign.size() + digits.size() < conversion.width)
      digits.insert(0, conversion.width - sign.size() - digits.size(), '0');
    text = JinjaText(sign + digits, false);
  }
  const size_t length = count_characters(text.bytes());
  const std::string pad(length < conversion.width ? conversion.width - length : 0, ' ');
  context_.charge_text(out_.size() + text.size() + pad.size());
  if (!conversion.left) out_.append(pad, true);
  out_.append(text);
  if (conversion.left) out_.append(pad, true);
}

JinjaText PercentFormat::run() {
  while (at_ < bytes_.size()) {
    const size_t percent = std::min(bytes_.find('%', at_), bytes_.size());
    out_.append(format_.slice(at_, percent));
    at_ = percent + 1;
    if (percent == bytes_.size()) break;
    const size_t letter = at_;
    const Conversion conversion = read_conversion();
    if (conversion.letter == '%')
      out_.append(format_.slice(at_ - 1, at_));
    else if (std::string_view("sdifx").find(conversion.letter) != std::string_view::npos)
      write(conversion, next_value(conversion));
    else
      context_.fail("the conversion %{} is not supported", bytes_.substr(letter, at_ - letter));
  }
  const bool is_tuple = values_.is(JinjaType::kTuple);
  const bool may_rest = values_.is(JinjaType::kDict) || values_.is(JinjaType::kList);
  if (!may_rest && used_ < (is_tuple ? values_.sequence().items.size() : 1))
    context_.fail("%: there are more values than the format has conversions");
  return std::move(out_);
}

}  // namespace

JinjaValue format_percent(JinjaContext& context, const JinjaText& format,
                          const JinjaValue& values) {
  context.charge_text(format.size());
  return JinjaValue(PercentFormat(context, format, values).run());
}

JinjaValue format_braces(JinjaContext& context, const JinjaText& format,
                         const JinjaArguments& arguments) {
  const std::string& bytes = format.bytes();
  context.charge_text(bytes.size());
  JinjaText out;
  size_t next = 0;
  for (size_t i = 0; i < bytes.size();) {
    const char c = bytes[i];
    const bool doubled = i + 1 < bytes.size() && bytes[i + 1] == c;
    if ((c != '{' && c != '}') || doubled) {
      out.append(format.slice(i, i + 1));
      i += 1 + (doubled && (c == '{' || c == '}'));
      continue;
    }
    const size_t end = bytes.find('}', i);
    if (c == '}' || end == bytes.npos) context.fail("format: a single {}", c);
    const std::string field = bytes.substr(i + 1, end - i - 1);
    if (field.find_first_of(".[:!{") != field.npos)
      context.fail("format: the field {{{}}} is not supported", field);
    const bool is_number = field.find_first_not_of("0123456789") == field.npos;
    JinjaValue value;
    if (is_number) {
      if (field.size() > 4) context.fail("format: there is no argument {}", field);
      const size_t index = field.empty() ? next++ : std::stoul(field);
      if (index >= arguments.positional.size())
        context.fail("format: there is no argument {}", index);
      value = arguments.positional[index];
    } else {
      const auto found = std::find_if(arguments.named.begin(), arguments.named.end(),
                                      [&](const auto& entry) { return entry.first == field; });
      if (found == arguments.named.end()) context.fail("format: there is no argument {}", field);
      value = found->second;
    }
    const JinjaText text = print_value(context, value);
    context.check_text(out.size() + text.size());
    out.append(text);
    i = end + 1;
  }
  return JinjaValue(std::move(out));
}

JinjaText escape_html(JinjaContext& context, const JinjaText& text) {
  static constexpr std::string_view kFrom = "&<>\"'";
  static constexpr std::string_view kTo[] = {"&amp;", "&lt;", "&gt;", "&#34;", "&#39;"};
  context.charge_text(text.size());
  JinjaText out;
  const std::string& bytes = text.bytes();
  for (size_t i = 0; i < bytes.size();) {
    const size_t next = std::min(bytes.find_first_of(kFrom, i), bytes.size());
    out.append(text.slice(i, next));
    i = next + 1;
    if (next == bytes.size()) break;
    context.charge();
    context.check_text(out.size() + 5);
    out.append(kTo[kFrom.find(bytes[next])], text.slice(next, next + 1).is_template());
  }
  out.is_markup = true;
  return out;
}

}  // namespace etrlrec
