// A style of writing on its way through the stages: recorded once, read by those that follow.
#include <gtest/gtest.h>

#include "base/check.h"
#include "refusal.h"
#include "stages_fixture.h"
#include "temporal/prompts.h"

namespace etrlrec {
namespace {

class StyleOfStages : public Stages {};

TEST_F(StyleOfStages, a_style_is_recorded_by_construct_and_read_by_distill) {
  for (const std::string& style : style_names()) {
    ConstructOptions options = construct_into("style-" + style);
    options.style = style;
    options.limit = 30;
    construct(options);
    EXPECT_EQ(read_json(root_ / ("style-" + style) / "construct.json")["options"]["style"], style);
    DistillOptions student = distill_into("never");
    student.reasoning = options.out;
    EXPECT_EQ(setup(student).card.prompt.style, style);
    student.style = style;  // the folder says so itself
    EXPECT_THROW(setup(student), Error);
    student.label_only = true;
    student.reasoning.clear();
    EXPECT_EQ(setup(student).card.prompt.style, style);
  }
  DistillOptions unknown = distill_into("never");
  unknown.label_only = true;
  unknown.reasoning.clear();
  unknown.style = "baroque";
  EXPECT_THROW(setup(unknown), Error);
  ConstructOptions options = construct_into("never");
  options.style = "baroque";
  EXPECT_THROW(setup(options), Error);
}

TEST_F(StyleOfStages, a_reasoning_folder_of_an_unknown_style_is_refused) {
  fs::copy(root_ / "reasoning", root_ / "baroque");
  const fs::path path = root_ / "baroque/construct.json";
  OrderedJson record = OrderedJson::parse(read_file(path));
  record["options"]["style"] = "baroque";
  write_json_atomic(path, record);
  try {
    read_reasoning_record(root_ / "baroque");
    FAIL() << "expected an Error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kInput);
    const std::string said = error.what();
    EXPECT_NE(said.find("construct.json: style: expected one of compact"), said.npos) << said;
    EXPECT_NE(said.find("found \"baroque\""), said.npos) << said;
  }
  DistillOptions options = distill_into("never");
  options.reasoning = root_ / "baroque";
  EXPECT_THROW(setup(options), Error);
  record["options"].erase("style");  // as older versions wrote it
  write_json_atomic(path, record);
  EXPECT_EQ(read_reasoning_record(root_ / "baroque").prompt.style, PromptOptions{}.style);
  // An older run that was interrupted continues.
  OrderedJson begun = OrderedJson::parse(read_file(root_ / "baroque/construct.part.json"));
  ASSERT_EQ(begun.erase("style"), 1u);
  write_json_atomic(root_ / "baroque/construct.part.json", begun);
  EXPECT_EQ(construct(construct_into("baroque")).kept, summary_.kept);
}

TEST_F(StyleOfStages, titles_alone_are_recorded_and_read_by_models_that_read_them) {
  ConstructOptions titles = construct_into("titles-alone");
  titles.answer = AnswerKind::kTitle;
  titles.with_attributes = false;
  titles.limit = 30;
  construct(titles);
  DistillOptions student = distill_into("never");
  student.reasoning = titles.out;
  EXPECT_FALSE(setup(student).card.prompt.with_attributes);
  student.label_only = true;
  student.reasoning.clear();
  student.out = root_ / "reads-attributes";
  distill(student);
  DistillOptions further = distill_into("never");
  further.model = student.out;
  further.reasoning = titles.out;
  const std::string said = usage_refusal([&] { setup(further); });
  EXPECT_NE(said.find("prompts are without attributes, but"), said.npos) << said;
  further.label_only = true;
  further.reasoning.clear();
  further.with_attributes = false;
  EXPECT_FALSE(setup(further).card.prompt.with_attributes);
}

TEST_F(StyleOfStages, reinforce_refuses_reasoning_of_another_style_than_its_models) {
  ConstructOptions other = construct_into("another-style");
  other.style = style_names().back();
  other.limit = 30;
  construct(other);
  DistillOptions student = distill_into("first-style");
  student.label_only = true;
  student.reasoning.clear();
  student.style = style_names().front();
  distill(student);
  ReinforceOptions options = reinforce_into("first-style", "never");
  options.reasoning = other.out;
  EXPECT_THROW(setup(options), Error);
}

}  // namespace
}  // namespace etrlrec
