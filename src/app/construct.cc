// etrlrec construct: options of stage 1 and what it prints.
#include "method/construct.h"

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <memory>
#include <set>
#include <string>

#include "app/command.h"
#include "app/command_line.h"
#include "app/endpoint_options.h"
#include "base/check.h"
#include "base/json.h"
#include "method/construct_status.h"
#include "method/llm_rows.h"
#include "temporal/guidance.h"

namespace etrlrec {
namespace {

struct ConstructCommand {
  ConstructOptions options;
  std::string answer = "title", known = "none";
  std::string fact_sheet = "on";
  EndpointCommand endpoint;
  std::string write_requests;
  bool dry_run = false, status = false, audit = false;

  bool has_teacher(std::initializer_list<const char*> teachers) const {
    return std::find(teachers.begin(), teachers.end(), options.teacher) != teachers.end();
  }
};
using Given = std::shared_ptr<ConstructCommand>;

void add_teacher_options(Command& command, const Given& given) {
  ConstructOptions& options = given->options;
  const auto draws = [=] { return !given->has_teacher({"file"}); };
  command.add_option("--teacher", options.teacher, "who writes the reasoning")
      .one_of(construct_teachers());
  command.add_option("--draws", options.draws, "draws per row without the target")
      .only_with("another teacher than file", draws);
  command.add_option("--hinted-draws", options.hinted_draws, "draws per row that see the target")
      .only_with("--hint-policy fallback or always",
                 [=] { return given->options.hint_policy != "never"; })
      .only_with("another teacher than file", draws);
  command.add_option("--hint-policy", options.hint_policy, "when hinted draws are made")
      .one_of({"fallback", "never", "always"});
  command.add_option("--temperature", options.temperature, "of the teacher, 0: its best guess")
      .only_with("another teacher than file", draws);
  command.add_flag("--filter-answer,!--no-filter-answer", options.filter_answer,
                   "keep only draws that answer with the target");
  command.add_option("--min-precision", options.min_precision, "share of true claims, weighted")
      .range(0.0, 1.0);
  command.add_option("--max-per-row", options.max_per_row, "different draws kept of one row");
}

void add_prompt_options(Command& command, const Given& given) {
  ConstructOptions& options = given->options;
  command
      .add_option("--answer", given->answer,
                  "what a student answers: a title after the time line, or the number of a listed "
                  "candidate")
      .one_of({"title", "number"});
  command.add_option("--max-history", options.max_history,
                     "history entries in a prompt; 0: 8 by number, 50 by title");
  command.add_flag("--times,!--no-times", options.with_times,
                   "times in the prompt and claims about them");
  command.add_flag("--attributes,!--no-attributes", options.with_attributes,
                   "attributes after each title of the prompt; claims speak of them either way");
  add_style(command, options.style);
  command
      .add_option("--knowledge", given->known,
                  "what a prompt says besides history and candidates: time, what everybody chooses "
                  "lately, what usually follows and what is new; pattern, what a recommender puts "
                  "first of the candidates; list, of all that the user has not seen")
      .one_of(knowledge_names());
  command
      .add_option("--recommender", options.recommender,
                  "with knowledge of a pattern: folder of fit --train-share; only rows after its "
                  "training are written")
      .only_with("--knowledge pattern, time+pattern or list",
                 [=] { return knows_pattern(knowledge(given->known)); });
  command.add_option("--knowledge-items", options.knowledge_items, "items of each list, at most")
      .range(1, 100)
      .only_with("--knowledge", [=] { return given->known != "none"; });
  command
      .add_flag("--list-candidates", options.list_candidates,
                "name the candidates in prompts with answers by title, too")
      .only_with("--answer title: prompts with answers by number always do",
                 [=] { return given->answer == "title"; });
  command.add_option("--limit", options.limit, "training rows, drawn by the seed; 0: all");
}

// Of teachers that write free text.
void add_llm_options(Command& command, const Given& given) {
  LlmTeacherOptions& llm = given->options.llm;
  const auto asked = [=] { return given->has_teacher({"endpoint", "local"}); };
  const auto guided = [=] {
    return given->has_teacher({"endpoint", "local"}) || !given->write_requests.empty();
  };
  const auto free_text = [=] { return given->has_teacher({"endpoint", "local", "file"}); };
  const std::string group = "Teachers that write free text";
  const auto add = [&](const std::string& name, auto& value, const std::string& help,
                       const std::string& what, const std::function<bool()>& holds) {
    return command.add_option(name, value, help).group(group).only_with(what, holds);
  };
  const std::string of_models = "--teacher endpoint or local",
                    of_guidance = "--teacher endpoint or local, or --write-requests",
                    of_text = "--teacher endpoint, local or file";
  add("--teacher-model", llm.model, "endpoint: the model's name there; local: its folder",
      of_models, asked);
  add("--teacher-file", llm.file, "JSONL: messages, prompt and completion, ShareGPT or Alpaca",
      "--teacher file", [=] { return given->has_teacher({"file"}); })
      .existing_file();
  add("--teacher-dtype", llm.dtype, "local: of the weights", "--teacher local", [=] {
    return given->has_teacher({"local"});
  }).one_of({"float32", "bfloat16", "int8"});
  auto domains = guidance_domains();
  domains.insert(domains.begin(), "auto");
  add("--domain", llm.domain, "whose words the guidance has; auto: by titles and attributes",
      of_guidance, guided)
      .one_of(domains);
  add("--guidance", llm.guidance, "JSON file with other texts of the guidance", of_guidance, guided)
      .existing_file();
  add("--fact-sheet", given->fact_sheet,
      "on: the guidance lists facts that were counted in the data", of_guidance, guided)
      .one_of({"on", "off"});
  add("--keep", llm.reasoning,
      "what a student reads: whole, the teacher's words; claims, what is true of them in the words "
      "of the style; auto: whole where the style is natural",
      of_text, free_text)
      .one_of({"auto", "whole", "claims"});
  add("--max-new-tokens", llm.max_new_tokens, "longest answer of the teacher", of_models, asked)
      .at_least(1);
  add("--top-p", llm.top_p, "the teacher samples among tokens of this total probability", of_models,
      asked)
      .range(0.0, 1.0);
  add("--student", llm.student,
      "folder of the untuned student: completions that are too long for it are refused", of_text,
      free_text)
      .existing_folder();
  add("--max-completion-tokens", llm.max_completion_tokens, "of the student; 16 stay free",
      "--student", [=] { return !given->options.llm.student.empty(); })
      .at_least(17);
  const auto student = [=] { return !given->options.llm.student.empty(); };
  command
      .add_flag("--usefulness-filter", llm.usefulness_filter,
                "a reasoning must make the target likelier for the student")
      .group(group)
      .only_with("--student", student);
  add("--min-usefulness", llm.min_usefulness, "by so many nats at least", "--usefulness-filter",
      [=] { return given->options.llm.usefulness_filter; });
}

// Options that only looking at a folder does not heed.
void check_only_looks(const Command& command, const std::string& mode) {
  const std::set<std::string> heeded{"data",        "out",     mode,   "json",       "quiet",
                                     "no-progress", "threads", "seed", "arithmetic", "config"};
  for (const Command::Given& option : command.given()) {
    CHECK(heeded.contains(option.name) || !command.is_changed("--" + option.name), kUsage,
          "--{}: not with --{}, which only looks at the folder", option.name, mode);
  }
}

void print_status(const ConstructCommand& given, bool as_json) {
  const ConstructStatus status = construct_status(given.options.out);
  if (as_json)
    fmt::print("{}\n", to_json(status).dump(2));
  else
    fmt::print("{}", format_status(status));
}

void print_audit(const ConstructCommand& given, bool as_json) {
  const ConstructAudit audit = audit_construct(given.options.out);
  if (as_json)
    fmt::print("{}\n", to_json(audit).dump(2));
  else
    fmt::print("{}", format_audit(audit));
  CHECK(audit.total() == 0, kGate, "audit: {} findings, see above", audit.total());
}

void run_construct(ConstructCommand& given, const Command& command, const CommonOptions& common) {
  if (given.status || given.audit) {
    check_only_looks(command, given.status ? "status" : "audit");
    return given.status ? print_status(given, common.json) : print_audit(given, common.json);
  }
  const Stopwatch watch;
  ConstructOptions& options = given.options;
  options.seed = common.seed;
  options.answer = answer_kind(given.answer);
  options.knowledge = knowledge(given.known);
  options.llm.fact_sheet = given.fact_sheet == "on";
  options.numerics = common.numerics();
  const ConstructSetup stage = setup(options);
  if (given.dry_run) {
    const ConstructPlan left = plan(stage);
    return fmt::print("{}\n", common.json ? to_json(left).dump(2) : format_plan(left));
  }
  if (!given.write_requests.empty()) {
    const int64_t lines = write_requests(stage, given.write_requests);
    return fmt::print("{}: {} requests\n", given.write_requests, lines);
  }
  const ConstructSummary summary = run(stage);
  write_run_record(options.out, command, common, {{"data", options.data}}, watch.seconds());
  if (common.json)
    fmt::print("{}\n", to_json(summary).dump(2));
  else
    fmt::print("{}", format_summary(summary));
}

}  // namespace

void add_construct(CommandLine& app, CommonOptions& common) {
  Command command =
      app.add_command("construct", "temporal facts and teacher reasoning for the training rows");
  command.example("construct --data shop --out shop-reasoning");
  const auto given = std::make_shared<ConstructCommand>();
  command.add_option("-d,--data", given->options.data, "data set folder")
      .required()
      .existing_folder();
  command
      .add_option("-o,--out", given->options.out, "folder to fill; an unfinished one is continued")
      .required();
  add_teacher_options(command, given);
  add_prompt_options(command, given);
  add_llm_options(command, given);
  add_endpoint_options(command,
                       {"Teacher endpoint", "--teacher endpoint", "--parameter",
                        [=] { return given->has_teacher({"endpoint"}); }},
                       given->options.llm.endpoint, given->endpoint, given->options.llm.parameters);
  command.add_flag("--messages", given->options.messages,
                   "also write messages.jsonl, the same lines as chats");
  command.add_flag("--dry-run", given->dry_run, "only print what would be written");
  command.add_flag("--status", given->status, "only print what the folder holds");
  command.add_flag("--audit", given->audit,
                   "only check the folder's calls and training lines; exit code 8 for findings");
  command
      .add_option("--write-requests", given->write_requests,
                  "only write the guidance of each row to this file, for another program to answer "
                  "(--teacher file)")
      .only_with("--teacher file", [=] { return given->has_teacher({"file"}); });
  command.on_run([=, &common] {
    ConstructCommand& asked = *given;
    if (asked.options.teacher == "endpoint" && !asked.status && !asked.audit)
      asked.options.llm.endpoint.api_key =
          read_api_key(asked.endpoint.api_key_file, asked.endpoint.api_key_env);
    run_construct(asked, command, common);
  });
}

}  // namespace etrlrec
