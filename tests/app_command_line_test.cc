#include <gtest/gtest.h>

#include "app/command.h"
#include "app/command_line.h"
#include "base/check.h"
#include "temporal/prompts.h"

namespace etrlrec {
namespace {

// What the program says to these words, empty when it runs.
std::string refusal(const std::vector<std::string>& words) {
  CommandLine app("test", "");
  std::string model;
  bool runs = false;
  Command recommend = app.add_command("recommend", "ranked titles");
  recommend.alias("explain");
  recommend.add_option("-m,--model", model, "folder").required();
  recommend.on_run([&runs] { runs = true; });
  app.add_command("reinforce", "learn").on_run([&runs] { runs = true; });
  try {
    app.run(words);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    EXPECT_FALSE(runs);
    return error.what();
  }
  EXPECT_TRUE(runs);
  return "";
}

TEST(CommandLine, an_unknown_command_names_the_nearest_one) {
  const std::string text = refusal({"recomend", "--model", "x"});
  EXPECT_NE(text.find("unknown command \"recomend\"; did you mean \"recommend\"?"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("etrlrec --help"), std::string::npos) << text;
  EXPECT_NE(refusal({"explian"}).find("did you mean \"explain\"?"), std::string::npos);
  EXPECT_NE(refusal({"--config", "options.toml", "reinforc"}).find("\"reinforce\""),
            std::string::npos);
}

TEST(CommandLine, a_command_like_no_other_gets_no_guess) {
  const std::string text = refusal({"frobnicate"});
  EXPECT_NE(text.find("unknown command \"frobnicate\"\nhint: etrlrec --help"), std::string::npos)
      << text;
  EXPECT_NE(refusal({}).find("expected a command"), std::string::npos);
}

TEST(CommandLine, an_unknown_option_names_the_nearest_one) {
  const std::string text = refusal({"recommend", "--modle", "x"});
  EXPECT_NE(text.find("unknown option \"--modle\" of recommend; did you mean \"--model\"?"),
            std::string::npos)
      << text;
  EXPECT_NE(
      refusal({"explain", "--model", "x", "--frobnicate=3"})
          .find("unknown option \"--frobnicate\" of recommend\nhint: etrlrec recommend --help"),
      std::string::npos);
}

TEST(CommandLine, what_is_known_runs) {
  EXPECT_EQ(refusal({"recommend", "--model", "x"}), "");
  EXPECT_EQ(refusal({"explain", "-m", "x"}), "");
  EXPECT_EQ(refusal({"reinforce"}), "");
}

// An option with one legal value would be none.
TEST(CommandLine, a_style_is_an_option_where_there_is_a_choice) {
  const auto style_of = [](const std::string& word) {
    CommandLine app("test", "");
    Command command = app.add_command("construct", "reasoning");
    std::string style = "compact";
    add_style(command, style);
    app.run({"construct", "--style", word});
    return style;
  };
  const std::vector<std::string> names = style_names();
  if (names.size() > 1)
    for (const std::string& name : names) EXPECT_EQ(style_of(name), name);
  else
    EXPECT_THROW(style_of(names[0]), Error);
  EXPECT_THROW(style_of("baroque"), Error);
}

}  // namespace
}  // namespace etrlrec
