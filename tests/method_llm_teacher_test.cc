// Stage 1 with teachers that write free text: a file, an endpoint, a local model.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <regex>

#include "base/check.h"
#include "chat_server.h"
#include "method/construct_status.h"
#include "method/llm_rows.h"
#include "refusal.h"
#include "stages_fixture.h"

namespace etrlrec {
namespace {

class LlmTeachers : public Stages {
 protected:
  static ConstructOptions llm_into(const std::string& name, const std::string& teacher) {
    ConstructOptions options = construct_into(name);
    options.teacher = teacher;
    options.style = "natural";
    options.limit = 12;
    options.draws = 2;
    options.hinted_draws = 1;
    return options;
  }
  static ConstructOptions endpoint_into(const std::string& name, const ChatServer& server) {
    ConstructOptions options = llm_into(name, "endpoint");
    options.llm.model = "m";
    options.llm.endpoint.base_url = server.url();
    options.llm.endpoint.retry_seconds = 0.005;
    options.llm.endpoint.max_retry_seconds = 0.02;
    options.llm.endpoint.max_attempts = 20;
    return options;
  }
  static std::vector<Json> lines(const fs::path& path) {
    std::vector<Json> all;
    for_each_json_line(path, [&](const Json& line, int64_t) { all.push_back(line); });
    return all;
  }
  // The facts of the guidance as a reasoning, with the answer of its notice, else `answer`.
  static std::string answered(const std::string& question, int32_t answer) {
    std::string text;
    const std::regex fact("\n- ([^\n]+)");
    for (std::sregex_iterator it(question.begin(), question.end(), fact), end; it != end; ++it)
      text += " " + (*it)[1].str();
    std::smatch told;
    if (std::regex_search(question, told, std::regex("Notice:.* number ([0-9]+)")))
      answer = std::stoi(told[1]);
    return fmt::format("<think>POISON</think><reasoning>{}</reasoning><answer>{}</answer>", text,
                       answer);
  }
  static Json chat_message(const char* role, const std::string& content) {
    return {{"role", role}, {"content", content}};
  }
  // What the program wrote passes again, where `form` makes each line of a prompt and a completion:
  // the lines find their rows by the prompt, and below another prompt by meta.row.
  static void expect_rows_found(
      const std::string& name,
      const std::function<Json(const std::string& prompt, const std::string& completion)>& form) {
    const auto written = lines(root_ / "reasoning/reasoning.jsonl");
    for (const bool by_prompt : {true, false}) {
      std::string made;
      for (const Json& line : written) {
        Json own =
            form(by_prompt ? line["prompt"].get<std::string>() : "Which one?", line["completion"]);
        own["meta"]["hinted"] = line["meta"]["hinted"];
        if (!by_prompt) own["meta"]["row"] = line["meta"]["row"];
        made += own.dump() + "\n";
      }
      ConstructOptions options =
          construct_into(fmt::format("{}-{}", name, by_prompt ? "by-prompt" : "by-row"));
      options.teacher = "file";
      options.llm.file = root_ / (name + ".jsonl");
      write_file_atomic(options.llm.file, made);
      EXPECT_EQ(construct(options).kept, summary_.kept) << options.out;
      const auto read = lines(fs::path(options.out) / "reasoning.jsonl");
      ASSERT_EQ(read.size(), written.size()) << options.out;
      for (size_t i = 0; i < read.size(); ++i)
        EXPECT_EQ(read[i]["completion"], written[i]["completion"]) << options.out;
    }
  }
  static int64_t count(const fs::path& path, const std::string& word) {
    const std::string text = read_file(path);
    int64_t found = 0;
    for (size_t at = text.find(word); at != text.npos; at = text.find(word, at + 1)) ++found;
    return found;
  }
};

TEST_F(LlmTeachers, a_file_answers_the_requests_that_construct_writes) {
  ConstructOptions options = llm_into("from-file", "file");
  const fs::path requests = root_ / "requests.jsonl", answers = root_ / "answers.jsonl";
  EXPECT_EQ(write_requests(setup(options), requests), 24);
  std::string made;
  for (const Json& line : lines(requests)) {
    Json answer = line;
    const std::string question = line["messages"].back()["content"];
    answer["messages"].push_back({{"role", "assistant"}, {"content", answered(question, 1)}});
    made += answer.dump() + "\n";
  }
  made += R"({"prompt": "of nobody", "completion": "POISON"})"
          "\n";
  write_file_atomic(answers, made);
  options.llm.file = answers;
  const ConstructSummary summary = construct(options);
  EXPECT_EQ(summary.rows, 12);
  EXPECT_GE(summary.rows_kept, 11);
  EXPECT_GT(summary.hinted, 5);
  EXPECT_GT(summary.rejected.at("wrong_answer"), 3);
  EXPECT_GT(summary.mined->verdicts[0], 50);
  EXPECT_EQ(summary.mined->verdicts[1], 0) << "facts of the sheet are true";
  EXPECT_EQ(count(root_ / "from-file/reasoning.jsonl", "POISON"), 0);
  EXPECT_EQ(std::ssize(lines(root_ / "from-file/quarantine.jsonl")), summary.draws - summary.kept);
  const Json kept = lines(root_ / "from-file/reasoning.jsonl").front();
  EXPECT_TRUE(kept["meta"].contains("key"));
  EXPECT_EQ(read_json(root_ / "from-file/construct.json")["complete"], true);
  EXPECT_EQ(read_reasoning_record(root_ / "from-file").prompt.style, "natural");
}

TEST_F(LlmTeachers, what_the_program_wrote_passes_as_a_file) {
  ConstructOptions options = construct_into("own-file");
  options.teacher = "file";
  options.llm.file = root_ / "reasoning/reasoning.jsonl";
  const ConstructSummary summary = construct(options);
  EXPECT_EQ(summary.kept, summary_.kept);
  const auto before = lines(root_ / "reasoning/reasoning.jsonl"),
             after = lines(root_ / "own-file/reasoning.jsonl");
  ASSERT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(before[i]["prompt"], after[i]["prompt"]);
    EXPECT_EQ(before[i]["completion"], after[i]["completion"]);
  }
}

TEST_F(LlmTeachers, lines_of_prompt_and_completion_find_their_rows) {
  expect_rows_found("plain", [](const std::string& prompt, const std::string& completion) {
    return Json{{"prompt", prompt}, {"completion", completion}};
  });
  expect_rows_found("plain-lists", [](const std::string& prompt, const std::string& completion) {
    return Json{{"prompt", Json::array({chat_message("user", prompt)})},
                {"completion", Json::array({chat_message("assistant", completion)})}};
  });
}

TEST_F(LlmTeachers, lines_of_messages_find_their_rows) {
  expect_rows_found("messages", [](const std::string& prompt, const std::string& completion) {
    return Json{{"messages",
                 {chat_message("user", "POISON"), chat_message("assistant", "POISON"),
                  chat_message("user", prompt), chat_message("assistant", completion)}},
                {"conversations", nullptr}};
  });
}

TEST_F(LlmTeachers, lines_of_sharegpt_find_their_rows) {
  for (const auto& [user, assistant] : {std::pair{"human", "gpt"}, {"user", "assistant"}}) {
    const auto said = [](const char* who, const std::string& text) {
      return Json{{"from", who}, {"value", text}};
    };
    const char* const asks = user;
    const char* const answers = assistant;
    expect_rows_found(asks, [&](const std::string& prompt, const std::string& completion) {
      return Json{{"conversations",
                   {said("system", "POISON"), said(asks, prompt), said(answers, completion)}}};
    });
  }
}

TEST_F(LlmTeachers, lines_of_alpaca_find_their_rows) {
  expect_rows_found("alpaca", [](const std::string& prompt, const std::string& completion) {
    return Json{{"instruction", prompt}, {"input", ""}, {"output", completion}};
  });
  expect_rows_found("alpaca-input", [](const std::string& prompt, const std::string& completion) {
    const size_t end = prompt.find('\n');
    return Json{{"instruction", prompt.substr(0, end)},
                {"input", end == prompt.npos ? "" : prompt.substr(end + 1)},
                {"output", completion},
                {"system", "POISON"},
                {"history", Json::array({"POISON", "POISON"})}};
  });
}

TEST_F(LlmTeachers, chats_go_out_and_come_back) {
  ConstructOptions options = construct_into("chats");
  options.style = "natural";
  options.messages = true;
  construct(options);
  const auto plain = lines(root_ / "chats/reasoning.jsonl"),
             chats = lines(root_ / "chats/messages.jsonl");
  ASSERT_EQ(plain.size(), chats.size());
  EXPECT_EQ(chats[0]["messages"].size(), 3u);
  EXPECT_EQ(chats[0]["messages"][1]["content"], plain[0]["prompt"]);
  EXPECT_EQ(chats[0]["messages"][2]["content"], plain[0]["completion"]);
  ConstructOptions back = options;
  back.out = root_ / "chats-back";
  back.teacher = "file";
  back.llm.file = root_ / "chats/messages.jsonl";
  EXPECT_EQ(construct(back).kept, std::ssize(plain));
}

TEST_F(LlmTeachers, files_of_another_form_or_another_data_set_are_refused) {
  for (const auto& [wrong, says] : std::vector<std::pair<std::string, std::string>>{
           {R"({"text": "x"})", "found none of them"},
           {R"([1])", "found none of them"},
           {R"({"prompt": "x"})", "\"prompt\" and \"completion\""},
           {R"({"prompt": "x", "completion": null})", "\"conversations\" (ShareGPT"},
           {R"({"instruction": "x", "input": "y"})", "\"instruction\" and \"output\" (Alpaca)"},
           {R"({"messages": [], "conversations": []})",
            "found several: \"messages\" (of role and content); \"conversations\""},
           {R"({"prompt": "x", "completion": "y", "instruction": "x", "output": "y"})",
            "found several: \"prompt\""},
           {R"({"messages": "x", "prompt": 1})", "expected a list of messages, found string"},
           {R"({"messages": [{"role": "user"}]})", "key \"content\" is missing"},
           {R"({"messages": [{"content": "x"}]})", "key \"role\" is missing"},
           {R"({"messages": [{"role": "user", "content": "x"}]})", "role assistant"},
           {R"({"messages": [{"role": "user", "content": "x"}, {"role": "assistant"}]})",
            "key \"content\" is missing"},
           {R"({"prompt": 1, "completion": "y"})",
            "expected a text or a list of messages, found number"},
           {R"({"prompt": "x", "completion": []})", "role assistant"},
           {R"({"conversations": {"from": "gpt"}})", "expected a list of messages, found object"},
           {R"({"conversations": [{"from": "gpt", "value": "x"}]})", "role human"},
           {R"({"conversations": [{"from": "human", "value": "x"}, {"from": "bot"}]})", "role gpt"},
           {R"({"conversations": [{"role": "user", "content": "x"}]})", "key \"from\" is missing"},
           {R"({"instruction": "x", "output": 1})", "key \"output\" has the wrong type"},
           {R"({"instruction": "x", "input": ["y"], "output": "z"})", "key \"input\""},
           {R"({"prompt": "x", "completion": "y", "meta": {"row": 100000}})",
            "expected a training row below"},
           {R"({"prompt": "x", "completion": "y", "meta": {"row": 1, "target_item_id": "other"}})",
            "meta names the target other"}}) {
    ConstructOptions options = construct_into("wrong-file");
    options.teacher = "file";
    options.llm.file = root_ / "wrong.jsonl";
    write_file_atomic(root_ / "wrong.jsonl", wrong + "\n");
    try {
      construct(options);
      ADD_FAILURE() << wrong;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kInput) << wrong;
      const std::string message = error.what();
      EXPECT_NE(message.find("wrong.jsonl:1"), message.npos) << message;
      EXPECT_NE(message.find(says), message.npos) << wrong << ": " << message;
    }
    fs::remove_all(root_ / "wrong-file");
  }
}

TEST_F(LlmTeachers, an_endpoint_is_asked_once_and_audited) {
  const fs::path paid = root_ / "paid.jsonl";
  const ChatServer server({"--answers", "think", "--log", paid.string(), "--fault", "cut-body=0.1",
                           "--fault", "torn-json=0.1", "--fault", "unavailable=0.1"});
  if (!server.runs()) GTEST_SKIP() << "python3 does not run the test server";
  const ConstructOptions options = endpoint_into("endpoint", server);
  const ConstructSummary summary = construct(options);
  EXPECT_GE(summary.rows_kept, 11);
  const auto calls = std::ssize(lines(paid));
  EXPECT_EQ(summary.draws, calls);
  EXPECT_EQ(count(root_ / "endpoint/reasoning.jsonl", "POISON"), 0);
  EXPECT_EQ(count(root_ / "endpoint/reasoning.jsonl", "Nonce"), summary.kept);
  const std::string before = read_file(root_ / "endpoint/reasoning.jsonl");
  construct(options);
  EXPECT_EQ(read_file(root_ / "endpoint/reasoning.jsonl"), before);
  EXPECT_EQ(std::ssize(lines(paid)), calls);

  const ConstructStatus status = construct_status(root_ / "endpoint");
  EXPECT_TRUE(status.complete);
  EXPECT_EQ(status.calls->totals.replies, calls);
  EXPECT_NE(format_status(status).find("mean precision"), std::string::npos);
  EXPECT_EQ(audit_construct(root_ / "endpoint").total(), 0)
      << format_audit(audit_construct(root_ / "endpoint"));
  std::string changed = before;
  changed.replace(changed.find("Nonce"), 5, "Other");
  changed.replace(changed.rfind("\"key\":\"") + 7, 4, "0000");
  write_file_atomic(root_ / "endpoint/reasoning.jsonl", changed);
  const ConstructAudit audit = audit_construct(root_ / "endpoint");
  EXPECT_EQ(audit.findings.at("training line with other words than its call"), 1);
  EXPECT_EQ(audit.findings.at("training line without a call"), 1);

  ConstructOptions other = options;
  other.llm.fact_sheet = false;
  EXPECT_NE(usage_refusal([&] { construct(other); }).find("other options"), std::string::npos);
}

TEST_F(LlmTeachers, a_spent_budget_keeps_what_is_there_and_continues) {
  const ChatServer server({"--answers", "reason"});
  if (!server.runs()) GTEST_SKIP() << "python3 does not run the test server";
  ConstructOptions options = endpoint_into("budget", server);
  options.hint_policy = "always";
  options.llm.endpoint.budget.max_tokens = 3500;
  try {
    construct(options);
    FAIL() << "the budget suffices for everything";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kResumable) << error.what();
  }
  EXPECT_FALSE(construct_status(root_ / "budget").complete);
  const auto some = std::ssize(lines(root_ / "budget/reasoning.jsonl"));
  EXPECT_LT(some, 12);
  EXPECT_EQ(audit_construct(root_ / "budget").total(), 0);
  options.llm.endpoint.budget.max_tokens = 0;
  EXPECT_EQ(construct(options).rows_kept, 12);
  EXPECT_TRUE(construct_status(root_ / "budget").complete);
}

TEST_F(LlmTeachers, refused_calls_give_no_text_and_no_hint) {
  const ChatServer server({"--answers", "reason", "--first", "refuse", "--first", "refuse"});
  if (!server.runs()) GTEST_SKIP() << "python3 does not run the test server";
  ConstructOptions options = endpoint_into("refused", server);
  options.draws = 1;
  options.llm.endpoint.concurrency = 1;
  const ConstructSummary summary = construct(options);
  EXPECT_EQ(summary.rejected.at("failed"), 2);
  EXPECT_EQ(summary.rows_kept, 10);
  EXPECT_EQ(construct_status(root_ / "refused").calls->totals.failed_for_good, 2);
  options.llm.endpoint.retry_failed = true;
  EXPECT_EQ(construct(options).rows_kept, 12);
}

TEST_F(LlmTeachers, a_local_model_keeps_the_contract_and_is_asked_once) {
  ConstructOptions options = llm_into("local", "local");
  options.llm.model = root_ / "base";
  options.llm.max_new_tokens = 24;
  options.llm.fact_sheet = false;
  options.max_history = 3;
  options.min_precision = 0;
  options.filter_answer = false;
  options.hint_policy = "never";
  const ConstructSummary summary = construct(options);
  EXPECT_GE(summary.draws, 12);
  EXPECT_FALSE(summary.rejected.contains("failed"));
  const std::string calls = read_file(root_ / "local/calls.jsonl");
  EXPECT_NE(calls.find("<answer> "), calls.npos);
  construct(options);
  EXPECT_EQ(read_file(root_ / "local/calls.jsonl"), calls);
  EXPECT_EQ(audit_construct(root_ / "local").total(), 0);
}

TEST_F(LlmTeachers, a_student_refuses_what_is_too_long_or_of_no_use) {
  // What the program wrote for answers by title, which the untuned base model can read.
  ConstructOptions own = construct_into("of-student");
  own.limit = 12;
  construct(own);
  ConstructOptions options = own;
  options.teacher = "file";
  options.llm.file = root_ / "of-student/reasoning.jsonl";
  const auto rejected = [&](const std::string& name, const std::string& filter) {
    options.out = root_ / name;
    const ConstructSummary summary = construct(options);
    const auto found = summary.rejected.find(filter);
    return std::pair(summary.kept, found == summary.rejected.end() ? 0 : found->second);
  };
  const auto [kept, none] = rejected("free", "length");
  ASSERT_GT(kept, 6);
  EXPECT_EQ(none, 0);
  options.llm.student = root_ / "base";
  int64_t longest = 0, shortest = std::numeric_limits<int64_t>::max();
  const auto tokenizer = load_tokenizer(root_ / "base");
  for (const Json& line : lines(options.llm.file)) {
    const auto tokens = std::ssize(tokenizer->encode(line["completion"].get<std::string>()));
    longest = std::max(longest, tokens);
    shortest = std::min(shortest, tokens);
  }
  ASSERT_LT(shortest, longest);
  options.llm.max_completion_tokens = longest + 16;
  EXPECT_EQ(rejected("fits", "length"), std::pair(kept, int64_t{0}));
  options.llm.max_completion_tokens = longest + 15;
  EXPECT_GE(rejected("longest", "length").second, 1);
  options.llm.max_completion_tokens = shortest + 15;
  EXPECT_EQ(rejected("all", "length"), std::pair(int64_t{0}, kept));
  options.llm.max_completion_tokens = longest + 16;
  options.llm.usefulness_filter = true;
  options.llm.min_usefulness = -1e6;
  EXPECT_EQ(rejected("useful", "usefulness"), std::pair(kept, int64_t{0}));
  options.llm.min_usefulness = 1e6;
  EXPECT_EQ(rejected("useless", "usefulness"), std::pair(int64_t{0}, kept));
  for (const Json& line : lines(root_ / "useless/quarantine.jsonl"))
    EXPECT_EQ(line["verdict"], "usefulness");
}

TEST_F(LlmTeachers, options_that_make_no_sense_are_refused_before_anything_is_written) {
  const auto refuses = [&](const std::function<void(ConstructOptions&)>& change,
                           const std::string& part) {
    ConstructOptions options = llm_into("never", "endpoint");
    options.llm.model = "m";
    options.llm.endpoint.base_url = "http://localhost:1/v1";
    change(options);
    const std::string said = usage_refusal([&] { construct(options); });
    EXPECT_NE(said.find(part), said.npos) << part << ": " << said;
    EXPECT_FALSE(fs::exists(root_ / "never")) << part;
  };
  refuses([](auto& o) { o.llm.model = ""; }, "--teacher-model");
  refuses([](auto& o) { o.llm.endpoint.base_url = ""; }, "--base-url");
  refuses([](auto& o) { o.llm.endpoint.base_url = "localhost"; }, "--base-url");
  refuses([](auto& o) { o.llm.domain = "music"; }, "music");
  refuses([](auto& o) { o.llm.reasoning = "half"; }, "--keep");
  refuses([](auto& o) { o.llm.reasoning = "whole", o.style = "compact"; }, "--style natural");
  refuses([](auto& o) { o.llm.parameters = {"n=2"}; }, "call itself");
  refuses([](auto& o) { o.llm.parameters = {"effort=low"}; }, "NAME=JSON");
  refuses([](auto& o) { o.teacher = "oracle"; }, "oracle");
  refuses([](auto& o) { o.teacher = "file"; }, "--teacher-file");
}

TEST(CallParameters, are_what_the_options_say) {
  ConstructOptions options;
  options.temperature = 1.5;
  options.llm.max_new_tokens = 7;
  EXPECT_EQ(call_parameters(options), R"({"max_tokens":7,"temperature":1.5})");
  options.llm.top_p = 0.5;
  options.llm.parameters = {"max_completion_tokens=9", "temperature=null", "stop=[\"a\"]"};
  EXPECT_EQ(call_parameters(options),
            R"({"max_completion_tokens":9,"stop":["a"],"temperature":null,"top_p":0.5})");
}

}  // namespace
}  // namespace etrlrec
