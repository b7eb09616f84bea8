// A chat template as a model brings it, rendered for a small conversation with tight bounds.
#include "base/json.h"
#include "fuzz.h"
#include "text/jinja_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace etrlrec;
  static const OrderedJson messages = OrderedJson::parse(R"([
    {"role": "system", "content": " Be brief.\n"},
    {"role": "user", "content": "<|im_start|> \u00e9\u4e09 it's 1, 2", "n": 2},
    {"role": "assistant", "content": "<think>\nt\n</think>\n\nA", "parts": [1, 2.5, null, true, {"a": "b"}]}])");
  const std::string text(fuzz::bytes_of(data, size));
  JinjaSettings settings;
  settings.limits = {.steps = 200'000, .text_bytes = size_t{1} << 20};
  settings.strftime_now = [](const std::string&) { return "26 Jul 2024"; };
  fuzz::may_refuse([&] {
    JinjaTemplate(text, "t").render({{"messages", JinjaValue::from_json(messages)},
                                     {"tools", JinjaValue::none()},
                                     {"bos_token", JinjaValue::text("<s>", true)},
                                     {"add_generation_prompt", JinjaValue(true)}},
                                    settings);
  });
  return 0;
}
