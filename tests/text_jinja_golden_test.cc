// The Jinja interpreter against Jinja2 itself: short templates of every feature, and published chat
// templates as Transformers renders them.
#include <gtest/gtest.h>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "text/jinja_template.h"

namespace etrlrec {
namespace {

const std::string kOwnCases = std::string(ETRLREC_SOURCE_DIR) + "/tests/golden/jinja/";
const std::string kPublished =
    std::string(ETRLREC_SOURCE_DIR) + "/../shared/golden/chat-templates/";

// Empty where the rendering is refused; the reason goes to `error`.
std::optional<std::string> render_or_refuse(const std::string& text, const OrderedJson& variables,
                                            std::string& error) {
  std::map<std::string, JinjaValue> values;
  for (const auto& [name, value] : variables.items())
    values.emplace(name, JinjaValue::from_json(value));
  JinjaSettings settings;
  settings.strftime_now = [](const std::string&) { return "26 Jul 2024"; };
  try {
    return JinjaTemplate(text, "case").render(values, settings).bytes();
  } catch (const Error& refusal) {
    error = refusal.what();
    return std::nullopt;
  }
}

TEST(JinjaGolden, renders_short_templates_as_jinja2_does) {
  const OrderedJson golden = OrderedJson::parse(read_file(kOwnCases + "templates.json"));
  ASSERT_GT(golden.at("cases").size(), 500U);
  for (const OrderedJson& entry : golden.at("cases")) {
    const std::string text = entry[0];
    std::string error;
    const auto found = render_or_refuse(text, golden.at("variables"), error);
    if (entry[1].is_null()) {
      EXPECT_FALSE(found.has_value()) << text;
    } else {
      EXPECT_EQ(found.value_or(error), entry[1].get<std::string>()) << text;
    }
  }
}

OrderedJson variables_of(const OrderedJson& golden, const OrderedJson& entry) {
  const OrderedJson& model = golden.at("templates").at(entry.at("template").get<std::string>());
  OrderedJson out{{"messages", golden.at("messages").at(entry.at("messages").get<std::string>())},
                  {"tools", nullptr},
                  {"documents", nullptr},
                  {"add_generation_prompt", entry.at("add_generation_prompt")}};
  if (entry.contains("tools"))
    out["tools"] = golden.at("tools").at(entry.at("tools").get<std::string>());
  for (const char* token : {"bos_token", "eos_token"})
    if (!model.at(token).is_null()) out[token] = model.at(token);
  out.update(entry.at("kwargs"));
  return out;
}

TEST(JinjaGolden, renders_published_chat_templates_as_transformers_does) {
  if (!fs::exists(kPublished)) GTEST_SKIP() << "no golden files at " << kPublished;
  const OrderedJson golden = OrderedJson::parse(read_file(kPublished + "golden.json"));
  ASSERT_GT(golden.at("cases").size(), 1000U);
  for (const OrderedJson& entry : golden.at("cases")) {
    const std::string name = entry.at("template");
    const std::string text = read_file(kPublished + "templates/" + name + ".jinja");
    std::string error;
    const auto found = render_or_refuse(text, variables_of(golden, entry), error);
    if (entry.contains("text")) {
      EXPECT_EQ(found.value_or(error), entry.at("text").get<std::string>()) << name;
      continue;
    }
    EXPECT_FALSE(found.has_value()) << name << " " << entry.at("messages");
    if (entry.at("error_kind") != "raise_exception") continue;
    EXPECT_TRUE(error.ends_with(": " + entry.at("error").get<std::string>())) << error;
  }
}

}  // namespace
}  // namespace etrlrec
