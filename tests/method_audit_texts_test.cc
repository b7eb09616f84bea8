// What a teacher must not have been told and must not tell: a leak of each kind is planted and
// found.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include "base/check.h"
#include "chat_server.h"
#include "data/calendar.h"
#include "method/audit.h"
#include "refusal.h"
#include "stages_fixture.h"

namespace etrlrec {
namespace {

using Counts = std::map<std::string, int64_t>;

class AuditTexts : public Stages {
 protected:
  // Findings in a copy of `folder` with one line of reasoning.jsonl changed, its first one or that
  // of `row`.
  static Counts planted(const std::string& folder, const std::function<void(Json&)>& change,
                        std::optional<int64_t> row = {}, const std::string& guidance = {}) {
    const fs::path copy = root_ / "planted";
    fs::remove_all(copy);
    fs::copy(root_ / folder, copy);
    std::string lines;
    for_each_json_line(copy / "reasoning.jsonl", [&](const Json& line, int64_t number) {
      Json changed = line;
      if (row ? line["meta"]["row"] == *row : number == 1) change(changed);
      lines += changed.dump() + "\n";
    });
    write_file_atomic(copy / "reasoning.jsonl", lines);
    return audit({.data = root_ / "data", .reasoning = copy, .guidance = guidance}).counts;
  }
  // Says something at the end of the reasoning.
  static std::function<void(Json&)> saying(const std::string& words) {
    return [words](Json& line) {
      std::string text = line["completion"];
      text.insert(text.find("</reasoning>"), " " + words);
      line["completion"] = text;
    };
  }
  static std::set<int32_t> chosen_before(const Study& study, const Row& row) {
    const Dataset& data = study.dataset;
    return {data.items.begin() + data.user_offsets[static_cast<size_t>(row.user)],
            data.items.begin() + row.position};
  }
};

TEST_F(AuditTexts, find_a_teacher_that_betrays_the_answer) {
  EXPECT_EQ(planted("reasoning", saying("as the ground truth shows")), (Counts{{"betrayal", 1}}));
  EXPECT_EQ(planted("reasoning", saying("as history shows")), Counts());
}

TEST_F(AuditTexts, find_a_title_that_was_chosen_only_later) {
  const Study study = open_study(root_ / "data");
  const Dataset& data = study.dataset;
  const CandidateSet set = study.candidates("train");
  std::set<int64_t> written;
  for_each_json_line(root_ / "reasoning/reasoning.jsonl", [&](const Json& line, int64_t) {
    written.insert(line["meta"]["row"].get<int64_t>());
  });
  int later_titles = 0;
  for (const int64_t r : written) {
    const Row& row = set.rows[static_cast<size_t>(r)];
    const std::set<int32_t> before = chosen_before(study, row);
    const Request request = make_request(data, set, r, 100);
    const auto end = data.user_offsets[static_cast<size_t>(row.user) + 1];
    if (row.position + 1 >= end || before.empty()) continue;
    const int32_t later = data.items[static_cast<size_t>(row.position) + 1];
    const std::string& title = data.catalogue.titles[static_cast<size_t>(later)];
    const bool is_known = before.contains(later) || std::count(request.candidates.begin(),
                                                               request.candidates.end(), later) > 0;
    if (is_known || title.size() < 8 || title.find(' ') == title.npos) continue;
    if (++later_titles > 3) break;
    EXPECT_EQ(planted("reasoning", saying("then " + title), r), (Counts{{"later item", 1}}))
        << title;
    // Inside of a longer word it is no name; what was chosen before, and what may be, has one.
    EXPECT_EQ(planted("reasoning", saying("then " + title + "esque"), r), Counts());
    for (const int32_t item : {*before.begin(), request.candidates.front()})
      EXPECT_EQ(planted("reasoning", saying("then " + data.catalogue.titles[item]), r), Counts());
  }
  EXPECT_GT(later_titles, 3);
}

TEST_F(AuditTexts, find_a_day_after_the_request) {
  const auto at = [](int64_t shift) {
    return [shift](Json& line) {
      const int64_t now = line["meta"]["now"];
      saying("on " + format_iso_time(now + shift * kSecondsPerDay).substr(0, 10))(line);
    };
  };
  EXPECT_EQ(planted("reasoning", at(1)), (Counts{{"later day", 1}}));
  EXPECT_EQ(planted("reasoning", at(0)), Counts());
  EXPECT_EQ(planted("reasoning", at(-1)), Counts());
  EXPECT_EQ(planted("reasoning", saying("on 9999-99-99")), Counts());
}

TEST_F(AuditTexts, find_a_teacher_that_was_asked_with_more_than_the_past) {
  const ChatServer server({"--answers", "reason"});
  if (!server.runs()) GTEST_SKIP() << "python3 does not run the test server";
  ConstructOptions options = construct_into("asked");
  options.teacher = "endpoint";
  options.style = "natural";
  options.limit = 12;
  options.draws = 2;
  options.hinted_draws = 1;
  options.hint_policy = "always";
  options.llm.model = "m";
  options.llm.endpoint.base_url = server.url();
  ASSERT_EQ(construct(options).rows_kept, 12);
  EXPECT_EQ(planted("asked", [](Json&) {}), Counts());
  // The hint was given where none is recorded.
  EXPECT_EQ(planted("asked", [](Json& line) { line["meta"]["hinted"] = false; }),
            (Counts{{"teacher messages", 1}}));
  // The messages of another row.
  std::string key;
  for_each_json_line(root_ / "asked/reasoning.jsonl", [&](const Json& line, int64_t number) {
    if (number == 2) key = line["meta"]["key"];
  });
  EXPECT_EQ(planted("asked", [&](Json& line) { line["meta"]["key"] = key; }),
            (Counts{{"teacher messages", 1}}));
  const fs::path guidance = root_ / "guidance.json";
  write_file_atomic(guidance, R"({"system": "You know people."})");
  EXPECT_NE(usage_refusal([&] {
              planted(
                  "asked", [](Json&) {}, {}, guidance);
            }).find("--guidance"),
            std::string::npos);
  EXPECT_NE(usage_refusal([&] {
              planted(
                  "reasoning", [](Json&) {}, {}, guidance);
            }).find("(program) was asked with none"),
            std::string::npos);
  options.out = root_ / "asked-otherwise";
  options.llm.guidance = guidance;
  ASSERT_EQ(construct(options).rows_kept, 12);
  EXPECT_EQ(planted(
                "asked-otherwise", [](Json&) {}, {}, guidance),
            Counts());
  EXPECT_NE(
      usage_refusal([&] { planted("asked-otherwise", [](Json&) {}); }).find("hint: --guidance"),
      std::string::npos);
}

}  // namespace
}  // namespace etrlrec
