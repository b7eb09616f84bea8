// Stage 2 of DELRec: an adapter beside a soft prompt that stays as it is, and students that start
// with the prompt of another folder.
#include <gtest/gtest.h>

#include "method/evaluate.h"
#include "method/export_adapter.h"
#include "method/soft_prompt.h"
#include "refusals.h"
#include "stages_fixture.h"
#include "title_model.h"
#include "tuning/adapter_files.h"

namespace etrlrec {
namespace {

class Delrec : public Stages {
 protected:
  static void SetUpTestSuite() {
    Stages::SetUpTestSuite();
    make_new_lm(title_model_options(root_ / "data", root_ / "titles"));
    SoftPromptOptions options;
    options.data = root_ / "data";
    options.model = root_ / "titles";
    options.out = root_ / "prompt";
    options.tasks = {"ta"};
    options.num_candidates = 4;
    options.prompt.num_virtual_tokens = 3;
    options.eval_rows = 0;
    options.trainer.max_steps = 3;
    options.trainer.train_batch_size = 4;
    soft_prompt(options);
  }
  static DistillOptions stage_two(const std::string& model, const std::string& name) {
    DistillOptions options = distill_into(name);
    options.reasoning.clear();
    options.model = root_ / model;
    options.label_only = true;
    options.answer_loss = "candidates";
    options.sft_share = 0.5;
    options.lora.r = 2;
    options.trainer.learning_rate = 0.01;
    return options;
  }
  static at::Tensor prompt_of(const std::string& name) {
    return read_prompt(root_ / name / "adapter", 16).rows;
  }
  static std::string weights_of(const std::string& name) {
    return read_file(root_ / name / "model.safetensors");
  }
};

// method.md B.8 #5.
TEST_F(Delrec, stage_two_moves_the_adapter_alone) {
  for (const bool adalora : {false, true}) {
    DistillOptions options = stage_two("prompt", adalora ? "adalora" : "delrec");
    if (adalora) options.lora.adalora = AdaLoraConfig{.target_r = 1};
    const DistillSetup made = setup(options);
    EXPECT_EQ(made.rows[0].prompt[0], made.model.model->vocab_size());
    EXPECT_EQ(distill(options).steps, 3);
    const std::string name = fs::path(options.out).filename();
    EXPECT_TRUE(at::equal(prompt_of(name), prompt_of("prompt")));
    const LoadedModel loaded = load_model_folder(root_ / name, "");
    EXPECT_EQ(loaded.card.stage, "label-only");
    ASSERT_EQ(loaded.card.soft_prompts.size(), 1u);
    EXPECT_EQ(loaded.card.soft_prompts[0].num_virtual_tokens, 3);
    const LoadedModel before = load_model_folder(root_ / "prompt", "");
    int moved = 0;
    for (const auto& [parameter, tensor] : before.model->parameters()) {
      const bool is_same = at::equal(tensor, loaded.model->parameters().at(parameter));
      EXPECT_TRUE(is_same || parameter.ends_with("_proj.weight")) << parameter;
      moved += !is_same;
    }
    // AdaLoRA has taken all ranks of some layers away.
    EXPECT_TRUE(moved == 7 || (adalora && moved > 0)) << moved;
    EXPECT_TRUE(fs::exists(root_ / name / "lora/adapter_config.json"));
    EvaluateOptions asked;
    asked.data = root_ / "data";
    asked.model = root_ / name;
    asked.candidates = root_ / "data/candidates-valid.jsonl";
    EXPECT_EQ(run(setup(asked)).predictions.rows.size(), 20u);
    ExportOptions merge;
    merge.what = "merge";
    merge.model = root_ / name;
    merge.adapter = root_ / name / "lora";
    merge.out = root_ / "never";
    refuses([&] { export_adapter(merge); }, ExitCode::kUsage, "hold this adapter already");
  }
}

TEST_F(Delrec, a_prompt_of_another_folder_is_the_same_as_a_model_that_has_it) {
  DistillOptions own = stage_two("prompt", "own"), given = stage_two("titles", "given");
  given.init_prompt = root_ / "prompt";
  distill(own);
  distill(given);
  EXPECT_EQ(weights_of("own"), weights_of("given"));
  EXPECT_TRUE(at::equal(prompt_of("own"), prompt_of("given")));
  given.out = root_ / "given-files";
  given.init_prompt = root_ / "prompt/adapter";
  distill(given);
  EXPECT_EQ(weights_of("own"), weights_of("given-files"));
  // Without the prompt it is another training.
  given = stage_two("titles", "without");
  distill(given);
  EXPECT_NE(weights_of("own"), weights_of("without"));
}

TEST_F(Delrec, reinforcement_starts_with_a_prompt) {
  DistillOptions student = stage_two("titles", "student");
  student.lora.r = 0;
  distill(student);
  ReinforceOptions options = reinforce_into("student", "policy");
  options.reasoning.clear();
  options.init_prompt = root_ / "prompt";
  refuses([&] { setup(options); }, ExitCode::kUsage, "--lora-r 8");
  options.lora.r = 2;
  options.trainer.learning_rate = 0.01;
  EXPECT_EQ(reinforce(options).steps, 2);
  EXPECT_TRUE(at::equal(prompt_of("policy"), prompt_of("prompt")));
  EXPECT_NE(weights_of("policy"), weights_of("student"));
  EXPECT_EQ(load_model_folder(root_ / "policy", "").card.soft_prompts.size(), 1u);
}

TEST_F(Delrec, a_prompt_of_other_texts_is_refused) {
  DistillOptions trained = stage_two("titles", "reader");
  distill(trained);
  const fs::path other = root_ / "listing";
  fs::copy(root_ / "prompt", other, fs::copy_options::recursive);
  Json card = read_json(other / "etrlrec.json");
  card["with_attributes"] = !card.value("with_attributes", true);
  write_file_atomic(other / "etrlrec.json", card.dump());
  DistillOptions options = stage_two("reader", "never");
  options.init_prompt = root_ / "prompt";
  EXPECT_EQ(setup(options).model.card.soft_prompts.size(), 1u);
  options.init_prompt = other;
  refuses([&] { setup(options); }, ExitCode::kModel, "trained with with_attributes");
  options = stage_two("prompt", "never");
  options.init_prompt = root_ / "prompt";
  refuses([&] { setup(options); }, ExitCode::kUsage, "has a soft prompt of its own");
}

TEST_F(Delrec, a_prompt_is_not_merged) {
  ExportOptions merge;
  merge.what = "merge";
  merge.model = root_ / "prompt";
  merge.out = root_ / "never";
  refuses([&] { export_adapter(merge); }, ExitCode::kUsage, "a prompt cannot be merged");
}

TEST_F(Delrec, refuses_weights_below_a_prompt_and_folders_without_one) {
  DistillOptions options = stage_two("prompt", "never");
  options.lora.r = 0;
  refuses([&] { setup(options); }, ExitCode::kUsage, "own weights must not change");
  options = stage_two("titles", "never");
  options.init_prompt = root_ / "titles";
  refuses([&] { setup(options); }, ExitCode::kModel, "holds no soft prompt");
  distill(stage_two("titles", "lora-only"));
  options.init_prompt = root_ / "lora-only/adapter";
  refuses([&] { setup(options); }, ExitCode::kModel, "holds no soft prompt");
  options.init_prompt = root_ / "lora-only";
  refuses([&] { setup(options); }, ExitCode::kModel, "one soft prompt, found 0");
}

}  // namespace
}  // namespace etrlrec
