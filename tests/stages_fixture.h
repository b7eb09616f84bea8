// The stages on a very small world: its data set, the reasoning of construct and a base model.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "data/candidate_file.h"
#include "data/split.h"
#include "data/synthetic.h"
#include "method/construct.h"
#include "method/distill.h"
#include "method/evaluate.h"
#include "method/reinforce.h"
#include "models/decoder.h"
#include "text/bpe_train.h"
#include "text/tokenizer_folder.h"

namespace etrlrec {

class Stages : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    set_log_options({.quiet = true, .progress = false});
    root_ = fs::temp_directory_path() / fmt::format("etrlrec_stages_{}", ::getpid());
    fs::create_directories(root_ / "data");
    WorldOptions options;
    options.users = 120, options.items = 80, options.mean_events = 12;
    const Dataset dataset = make_world(options).dataset;
    Split split = split_dataset(dataset, {});
    split.train.resize(150);
    split.valid.resize(20);
    save_dataset(dataset, split, root_ / "data");
    for (const auto& [part, rows] : {std::pair{"train", &split.train}, {"valid", &split.valid}})
      save_candidates(draw_candidates(dataset, split, *rows, {.count = 6}), dataset,
                      root_ / "data" / fmt::format("candidates-{}.jsonl", part));
    ConstructOptions construct_options = construct_into("reasoning");
    summary_ = construct(construct_options);
    make_base_model();
  }
  static void TearDownTestSuite() { fs::remove_all(root_); }

  static ConstructOptions construct_into(const std::string& name) {
    ConstructOptions options;
    options.data = root_ / "data";
    options.out = root_ / name;
    options.answer = AnswerKind::kNumber;
    return options;
  }

  // A copy of reasoning whose first prompt names candidate 9 right behind `head`.
  static void forge_first_prompt(const std::string& reasoning, const std::string& head,
                                 const std::string& copy) {
    fs::copy(root_ / reasoning, root_ / copy);
    std::string lines;
    for_each_json_line(root_ / reasoning / "reasoning.jsonl",
                       [&](const Json& line, int64_t number) {
                         Json changed = line;
                         std::string prompt = line["prompt"];
                         if (number == 1) prompt.replace(prompt.find(head) + head.size(), 1, "9");
                         changed["prompt"] = prompt;
                         lines += changed.dump() + "\n";
                       });
    write_file_atomic(root_ / copy / "reasoning.jsonl", lines);
  }

  static void make_base_model() {
    std::vector<std::string> documents;
    for_each_json_line(root_ / "reasoning/reasoning.jsonl", [&](const Json& line, int64_t) {
      documents.push_back(line["prompt"].get<std::string>() +
                          line["completion"].get<std::string>());
    });
    fs::create_directories(root_ / "base");
    train_bpe(documents, {.vocab_size = 400}, root_ / "base");
    LlmConfig config;
    config.vocab_size = load_tokenizer(root_ / "base")->vocab_size();
    config.hidden_size = 16;
    config.num_hidden_layers = 1;
    config.num_attention_heads = config.num_key_value_heads = 2;
    config.head_dim = 8;
    config.intermediate_size = 24;
    new_decoder(config, 3)->save(root_ / "base");
  }

  static DistillOptions distill_into(const std::string& name) {
    DistillOptions options;
    options.data = root_ / "data";
    options.reasoning = root_ / "reasoning";
    options.model = root_ / "base";
    options.out = root_ / name;
    options.max_reasoning_tokens = 200;
    options.eval_rows = 4;
    options.trainer.max_steps = 3;
    options.trainer.train_batch_size = 4;
    options.trainer.logging_steps = 1;
    return options;
  }

  // On the validation rows; empty: no recommender.
  static EvaluateOptions evaluation_of(const std::string& model,
                                       const std::string& recommender = "") {
    EvaluateOptions options;
    options.data = root_ / "data";
    options.model = root_ / model;
    options.candidates = root_ / "data/candidates-valid.jsonl";
    if (!recommender.empty()) options.recommender = root_ / recommender;
    return options;
  }

  static ReinforceOptions reinforce_into(const std::string& model, const std::string& name) {
    ReinforceOptions options;
    options.data = root_ / "data";
    options.model = root_ / model;
    options.reasoning = root_ / "reasoning";
    options.out = root_ / name;
    options.eval_rows = 4;
    options.min_valid = 0;  // models of three steps hardly say anything
    options.grpo.num_generations = 2;
    options.trainer.max_steps = 2;
    options.trainer.train_batch_size = 2;
    options.trainer.logging_steps = 1;
    return options;
  }

  static inline fs::path root_;
  static inline ConstructSummary summary_;
};

}  // namespace etrlrec
