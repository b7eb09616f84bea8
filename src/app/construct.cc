// etrlrec construct: options of stage 1 and what it prints.
#include "method/construct.h"

#include <memory>

#include "app/command.h"
#include "app/command_line.h"
#include "base/check.h"
#include "base/json.h"
#include "temporal/teachers.h"

namespace etrlrec {
void add_construct(CommandLine& app, CommonOptions& common) {
  Command command =
      app.add_command("construct", "temporal facts and teacher reasoning for the training rows");
  command.example("construct --data shop --out shop-reasoning");
  auto options = std::make_shared<ConstructOptions>();
  command.add_option("-d,--data", options->data, "data set folder").required().existing_folder();
  command.add_option("-o,--out", options->out, "folder to fill; an unfinished one is continued")
      .required();
  command.add_option("--teacher", options->teacher, "who writes the reasoning")
      .one_of(teacher_names());
  command.add_option("--draws", options->draws, "draws per row without the target");
  command.add_option("--hinted-draws", options->hinted_draws, "draws per row that see the target")
      .only_with("--hint-policy fallback or always",
                 [=] { return options->hint_policy != "never"; });
  command.add_option("--hint-policy", options->hint_policy, "when hinted draws are made")
      .one_of({"fallback", "never", "always"});
  command.add_option("--temperature", options->temperature, "of the teacher, 0: its best guess");
  command.add_flag("--filter-answer,!--no-filter-answer", options->filter_answer,
                   "keep only draws that answer with the target");
  command.add_option("--min-precision", options->min_precision, "share of true claims, weighted")
      .range(0.0, 1.0);
  command.add_option("--max-per-row", options->max_per_row, "different draws kept of one row");
  auto answer = std::make_shared<std::string>("title");
  command
      .add_option("--answer", *answer,
                  "what a student answers: a title after the time line, or the number of a listed "
                  "candidate")
      .one_of({"title", "number"});
  command.add_option("--max-history", options->max_history,
                     "history entries in a prompt; 0: 8 by number, 50 by title");
  command.add_flag("--times,!--no-times", options->with_times,
                   "times in the prompt and claims about them");
  command.add_flag("--attributes,!--no-attributes", options->with_attributes,
                   "attributes after each title of the prompt; claims speak of them either way");
  add_style(command, options->style);
  auto known = std::make_shared<std::string>("none");
  command
      .add_option("--knowledge", *known,
                  "what a prompt says besides history and candidates: time, what everybody chooses "
                  "lately, what usually follows and what is new; pattern, what a recommender puts "
                  "first")
      .one_of(knowledge_names());
  command
      .add_option("--recommender", options->recommender,
                  "with knowledge of a pattern: folder of fit --train-share; only rows after its "
                  "training are written")
      .only_with("--knowledge pattern or time+pattern",
                 [=] { return known->find("pattern") != std::string::npos; });
  command.add_option("--knowledge-items", options->knowledge_items, "items of each list, at most")
      .range(1, 100)
      .only_with("--knowledge", [=] { return *known != "none"; });
  command
      .add_flag("--list-candidates", options->list_candidates,
                "name the candidates in prompts with answers by title, too")
      .only_with("--answer title: prompts with answers by number always do",
                 [=] { return *answer == "title"; });
  command.add_option("--limit", options->limit, "training rows, drawn by the seed; 0: all");
  auto dry_run = std::make_shared<bool>(false);
  command.add_flag("--dry-run", *dry_run, "only print what would be written");
  command.on_run([=, &common] {
    const Stopwatch watch;
    options->seed = common.seed;
    options->answer = answer_kind(*answer);
    options->knowledge = knowledge(*known);
    options->numerics = common.numerics();
    const ConstructSetup stage = setup(*options);
    if (*dry_run) {
      const ConstructPlan left = plan(stage);
      return fmt::print("{}\n", common.json ? to_json(left).dump(2) : format_plan(left));
    }
    const ConstructSummary summary = run(stage);
    write_run_record(options->out, command, common, {{"data", options->data}}, watch.seconds());
    if (common.json)
      fmt::print("{}\n", to_json(summary).dump(2));
    else
      fmt::print("{}", format_summary(summary));
  });
}

}  // namespace etrlrec
