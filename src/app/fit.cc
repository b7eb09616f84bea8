// etrlrec fit: conventional recommenders.
#include "method/fit.h"

#include <algorithm>
#include <functional>

#include "app/command.h"
#include "app/command_line.h"
#include "app/training_options.h"
#include "base/check.h"
#include "base/json.h"
#include "method/fit_presets.h"
#include "models/recommenders.h"
#include "tuning/optim.h"

namespace etrlrec {
namespace {

constexpr const char* kTrained = "models that are trained, not counted\nhint: etrlrec fit --list";

void run_fit(FitOptions options, const Command& command, const CommonOptions& common) {
  CHECK(!options.data.empty() && !options.out.empty(), kUsage,
        "fit: --data and --out are required");
  options.trainer.seed = options.left_out.seed = common.seed;
  options.numerics = common.numerics();
  for (const RecommenderType* type : recommender_types())
    for (const RecommenderOption& option : type->options)
      if (!command.is_given(option.flag)) options.recommender.erase(option.key);
  options.search.learning_rate = !command.is_given("--learning-rate");
  options.search.train_batch_size = !command.is_given("--train-batch-size");
  if (!options.preset.empty())
    apply_preset(
        fit_preset(options.preset),
        [&command](const std::string& flag) { return command.is_given(flag); }, options);
  const std::vector<FitSummary> summaries = fit(options);
  for (const FitSummary& summary : summaries)
    write_run_record(summary.folder, command, common, {{"data", options.data}}, summary.seconds);
  if (common.json) return fmt::print("{}\n", to_json(summaries).dump(2));
  fmt::print("{}next: etrlrec evaluate --data {} --model {}\n", format_fit(summaries), options.data,
             summaries.back().folder.string());
}

// Whether `is_such` holds for one of the models that are asked for.
bool any_model(const FitOptions& options,
               const std::function<bool(const RecommenderType&)>& is_such) {
  const auto types = recommender_types();
  return std::any_of(types.begin(), types.end(), [&](const RecommenderType* type) {
    const auto asked = options.preset.empty()
                           ? options.models
                           : std::vector<std::string>{fit_preset(options.preset).model};
    return std::find(asked.begin(), asked.end(), type->name) != asked.end() && is_such(*type);
  });
}

bool lists(const RecommenderType& type, const std::string& flag) {
  return std::any_of(type.options.begin(), type.options.end(),
                     [&](const RecommenderOption& option) { return option.flag == flag; });
}

// Declares the options that the types list; what several of them list, once.
void add_recommender_options(Command& command, FitOptions& options) {
  OptionValues& values = options.recommender;
  for (const RecommenderType* type : recommender_types()) {
    for (const RecommenderOption& option : type->options) {
      const auto [value, is_new] = values.try_emplace(option.key, option.default_value);
      if (!is_new) continue;
      const std::string flag = option.flag;
      std::visit(
          [&](auto& each) {
            Option declared = [&] {
              if constexpr (std::is_same_v<decltype(each), bool&>)
                return command.add_flag(option.flag, each, option.help);
              else
                return command.add_option(option.flag, each, option.help);
            }();
            if (*type->heading != 0) declared.group(type->heading);
            declared.only_with("models that have it\nhint: etrlrec fit --list", [&options, flag] {
              return any_model(options,
                               [&](const RecommenderType& one) { return lists(one, flag); });
            });
          },
          value->second);
    }
  }
}

void add_loss_options(Command& command, FitOptions& options) {
  LossOptions& loss = options.loss;
  const auto any_loss = [&options](const std::function<bool(const std::string&)>& is_such) {
    return any_model(options, [&](const RecommenderType& type) {
      return type.create != nullptr &&
             is_such(!options.loss.name.empty() ? options.loss.name
                     : options.preset.empty()   ? type.loss
                                                : fit_preset(options.preset).loss.name);
    });
  };
  const auto add = [&](const char* flag, auto& value, const char* help) {
    return command.add_option(flag, value, help).group("Loss");
  };
  const auto draws = [any_loss] {
    return any_loss(
        [](const std::string& name) { return loss_type(name).negatives != NegativesOf::kNone; });
  };
  const std::string with_negatives = "a loss that has negatives\nhint: etrlrec fit --list";
  add("--loss", loss.name, "what training minimises, default that of the model (--list)")
      .one_of(loss_names())
      .only_with(kTrained, [any_loss] { return any_loss([](const auto&) { return true; }); });
  add("--num-negatives", loss.num_negatives,
      "drawn for each position or step, 0: as many as the loss usually has")
      .only_with(with_negatives, draws);
  add("--negative-alpha", loss.negative_alpha,
      "negatives are drawn by (1 + interactions)^alpha, 0: uniformly")
      .only_with(with_negatives, draws);
  add("--gbce-t", loss.gbce_t, "calibration of gbce, 0: bce, 1: full")
      .only_with("--loss gbce",
                 [any_loss] { return any_loss([](const auto& name) { return name == "gbce"; }); });
  add("--bpreg", loss.bpreg, "weight of the negatives' squared scores in bpr-max")
      .only_with("--loss bpr-max", [any_loss] {
        return any_loss([](const auto& name) { return name == "bpr-max"; });
      });
}

void add_training_options(Command& command, FitOptions& options) {
  const auto trains = [&options] {
    return any_model(options, [](const RecommenderType& type) { return type.create != nullptr; });
  };
  for (Option& option : add_schedule_options(command, options.trainer))
    option.only_with(kTrained, trains);
  command.add_option("--optim", options.trainer.optim, "optimiser")
      .group("Training")
      .one_of(optimizer_names())
      .only_with(kTrained, trains);
  command
      .add_option("--train-batch-size,--batch-size", options.trainer.train_batch_size,
                  "windows of one step")
      .group("Training")
      .only_with(kTrained, trains);
  command
      .add_option("--patience", options.trainer.early_stopping_patience,
                  "epochs without a better validation NDCG@10, 0: no early stopping")
      .group("Training")
      .only_with(kTrained, trains);
}

}  // namespace

void add_fit(CommandLine& app, CommonOptions& common) {
  Command command = app.add_command("fit", "train conventional recommenders");
  command.example("fit --data shop --out shop-fit --model markov,sasrec");
  auto options = std::make_shared<FitOptions>();
  command.add_option("-d,--data", options->data, "data set folder");
  command.add_option("-o,--out", options->out, "gets one folder per model");
  command.add_option("-m,--model", options->models, "models, separated by commas")
      .separated_by(',');
  command
      .add_option("--preset", options->preset,
                  "a model with the settings of a publication (--list); options given beside it "
                  "override it")
      .one_of(preset_names());
  command
      .add_option("--embeddings", options->embeddings,
                  "of content: a folder of etrlrec embed, which describes the items")
      .only_with("--model content", [=] {
        return any_model(*options,
                         [](const RecommenderType& type) { return type.needs_embeddings; });
      });
  add_recommender_options(command, *options);
  add_loss_options(command, *options);
  add_training_options(command, *options);
  command
      .add_option("--train-share", options->train_share,
                  "earliest share of the training interactions; the later ones can then be "
                  "rewarded by reinforce")
      .range(0.01, 1.0);
  command.add_option("--folds", options->left_out.count,
                     "folds of users, by a hash of seed and id, for lists of soft-prompt; 0: none");
  command
      .add_option("--leave-out-fold", options->left_out.fold,
                  "whose users are neither learned from nor validated on, from 0")
      .only_with("--folds", [=] { return options->left_out.count != 0; });
  command.add_flag("--mask-seen", options->mask_seen, "leave seen items out in validation");
  command.add_option("--eval-rows", options->eval_rows, "validation rows used, 0: all");
  command
      .add_option("--search", options->search.trials,
                  "settings tried for each model, drawn from the values of --list, the best by "
                  "validation NDCG@10 is kept; what is given stays as it is; 0: none")
      .range(0, 10000)
      .only_with("models by name, not with --preset", [=] { return options->preset.empty(); });
  command.add_option("--evaluate", options->evaluate, "metrics on the test rows")
      .one_of({"none", "full", "candidates"});
  command.add_flag("--replace", options->replace, "replace models fitted with other inputs");
  auto list = std::make_shared<bool>(false);
  command.add_flag("--list", *list, "list the recommenders, losses and presets");
  command.on_run([options, command, list, &common] {
    if (*list) {
      fmt::print("{}\npresets:\n{}\nvalues that --search draws from:\n{}", format_recommenders(),
                 format_presets(), format_search_space());
    } else {
      run_fit(*options, command, common);
    }
  });
}

}  // namespace etrlrec
