// Options that would do nothing are refused: one row for each condition, over all commands.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "app/command.h"
#include "app/command_line.h"
#include "app/commands.h"
#include "method/recipe_file.h"
#include "method/recipe_plan.h"
#include "method/recipe_texts.h"

namespace etrlrec {
namespace {

std::vector<std::string> split_words(const std::string& line) {
  std::vector<std::string> words;
  for (size_t begin = 0; begin < line.size();) {
    const size_t end = std::min(line.find(' ', begin), line.size());
    words.push_back(line.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

std::string complaint(const std::string& line) {
  return program_commands().without_effect(split_words(line));
}

struct Refused {
  const char* line;    // a command with an option that does nothing
  const char* needs;   // what the message says it needs
  const char* heeded;  // words that make the option do something
};

constexpr Refused kRefused[] = {
    {"prepare --format synthetic --delimiter ;", "a log", "--format table"},
    {"prepare --format synthetic --missing x", "a log", "--format table"},
    {"prepare --format synthetic --strict", "a log", "--format table"},
    {"prepare --format synthetic --min-rating 3", "a log", "--format table"},
    {"prepare --format synthetic --drop-untitled", "a log", "--format table"},
    {"prepare --format table --users 5", "--format synthetic", "--format synthetic"},
    {"prepare --num-items 5", "--format synthetic", "--format synthetic"},
    {"prepare --informative gaps", "--format synthetic", "--format synthetic"},
    {"prepare --time order --time-unit days", "--time column", "--time column"},
    {"prepare --time order --time-format %Y", "--time column", "--time column"},
    {"prepare --strict --allow-rejects", "not with --strict", ""},
    {"prepare --split leave-one-out --valid 0.5", "--split global-time", "--split global-time"},
    {"prepare --split leave-one-out --test 0.5", "--split global-time", "--split global-time"},
    {"prepare --split user-ratio --target first", "--split global-time", "--split global-time"},
    {"prepare --split global-time --ratio 0.5,0.2,0.3", "--split user-ratio", "--split user-ratio"},
    {"prepare --train-candidates 0 --min-history 7", "--train-candidates above 0",
     "--train-candidates 9"},
    {"candidates --kind cold --recommender x", "--kind hard", "--kind hard"},
    {"compare a b --candidates x", "--data", "--data ."},
    {"compare a b --json --format latex", "not with --json", ""},
    {"construct --hint-policy never --hinted-draws 7", "--hint-policy", "--hint-policy always"},
    {"construct --recommender x", "--knowledge pattern", "--knowledge time+pattern"},
    {"construct --knowledge time --recommender x", "--knowledge pattern", "--knowledge pattern"},
    {"construct --knowledge time --recommender y", "list", "--knowledge list"},
    {"audit --recommender .", "--reasoning or --model", "--model ."},
    {"audit --guidance /dev/null", "--reasoning", "--reasoning ."},
    {"construct --knowledge-items 7", "--knowledge", "--knowledge time"},
    {"construct --answer number --list-candidates", "--answer title", "--answer title"},
    {"construct --teacher file --draws 7", "another teacher", "--teacher local"},
    {"construct --teacher file --temperature 0.5", "another teacher", "--teacher endpoint"},
    {"construct --teacher-model x", "endpoint or local", "--teacher local"},
    {"construct --teacher endpoint --teacher-dtype int8", "--teacher local", "--teacher local"},
    {"construct --domain game", "endpoint or local", "--teacher endpoint"},
    {"construct --teacher file --fact-sheet off", "--write-requests", "--write-requests x"},
    {"construct --keep claims", "endpoint, local or file", "--teacher file"},
    {"construct --teacher file --max-new-tokens 9", "endpoint or local", "--teacher local"},
    {"construct --top-p 0.5", "endpoint or local", "--teacher local"},
    {"construct --student .", "endpoint, local or file", "--teacher file"},
    {"construct --max-completion-tokens 99", "--student", "--student . --teacher file"},
    {"construct --usefulness-filter", "--student", "--student . --teacher file"},
    {"construct --min-usefulness 0.5", "--usefulness-filter",
     "--usefulness-filter --student . --teacher file"},
    {"construct --write-requests x", "--teacher file", "--teacher file"},
    {"construct --base-url x", "--teacher endpoint", "--teacher endpoint"},
    {"construct --teacher local --api-key-env X", "--teacher endpoint", "--teacher endpoint"},
    {"construct --teacher local --parameter a=1", "--teacher endpoint", "--teacher endpoint"},
    {"construct --teacher local --concurrency 9", "--teacher endpoint", "--teacher endpoint"},
    {"construct --requests-per-minute 9", "--teacher endpoint", "--teacher endpoint"},
    {"construct --tokens-per-minute 9", "--teacher endpoint", "--teacher endpoint"},
    {"construct --max-tokens-total 9", "--teacher endpoint", "--teacher endpoint"},
    {"construct --max-money 9", "--teacher endpoint", "--teacher endpoint"},
    {"construct --price-prompt 9", "--teacher endpoint", "--teacher endpoint"},
    {"construct --price-completion 9", "--teacher endpoint", "--teacher endpoint"},
    {"construct --timeout 9", "--teacher endpoint", "--teacher endpoint"},
    {"construct --max-attempts 9", "--teacher endpoint", "--teacher endpoint"},
    {"construct --retry-seconds 9", "--teacher endpoint", "--teacher endpoint"},
    {"construct --max-failures 9", "--teacher endpoint", "--teacher endpoint"},
    {"construct --retry", "--teacher endpoint", "--teacher endpoint"},
    {"evaluate --mask-seen", "--candidates all", "--candidates all"},
    {"evaluate --beam 7", "--candidates all", "--candidates all"},
    {"evaluate --protocol elimination --reasonings 4", "--protocol likelihood",
     "--protocol likelihood"},
    {"evaluate --protocol elimination --permutations 4", "--protocol likelihood",
     "--protocol likelihood"},
    {"evaluate --reasoning-share 0.25", "--protocol truncated-reasoning",
     "--protocol truncated-reasoning"},
    {"evaluate --reasoning-share 0.5 --protocol flipped-facts", "--protocol truncated-reasoning",
     "--protocol truncated-reasoning"},
    {"evaluate --retrieve .", "--candidates all", "--candidates all"},
    {"evaluate --top-n 9", "--retrieve", "--candidates all --retrieve ."},
    {"evaluate --replace", "--out", "--out x"},
    {"export gguf --adapter .", "merge and peft", ""},
    {"export merge --base-model x", "peft", ""},
    {"export peft --type q8_0", "gguf", ""},
    {"fit --model popularity --lr 0.5", "models that are trained", "--model sasrec"},
    {"fit --model markov --patience 2", "models that are trained", "--model markov,sasrec"},
    {"fit --model markov --batch-size 2", "models that are trained", "--model sasrec"},
    {"fit --model markov --optim adam", "models that are trained", "--model sasrec"},
    {"fit --preset gsasrec --search 5", "not with --preset", ""},
    {"fit --model markov --hidden-size 7", "models that have it", "--model sasrec"},
    {"fit --model sasrec --embeddings x", "--model content", "--model content"},
    {"generate --temperature 0 --top-k 5", "--temperature above 0", "--temperature 1"},
    {"generate --temperature 0 --top-p 0.5", "--temperature above 0", "--temperature 1"},
    {"generate --temperature 0 --min-p 0.5", "--temperature above 0", "--temperature 1"},
    {"generate --temperature 0 --typical-p 0.5", "--temperature above 0", "--temperature 1"},
    {"generate --chat --parse-special", "not with --chat", ""},
    {"new-lm --family t5 --init random", "--family qwen2", "--family qwen2"},
    {"new-lm --family t5 --max-position-embeddings 99", "--family qwen2", "--family qwen2"},
    {"new-lm --whole-titles 0 --whole-title-interactions 7", "--whole-titles above 0",
     "--whole-titles 7"},
    {"recommend --dtype int8", "--model", "--model ."},
    {"recommend --adapter .", "--model", "--model ."},
    {"pretrain --max-steps 7 --num-train-epochs 9", "not with --max-steps", "--max-steps -1"},
    {"pretrain --eval-rows 0 --eval-steps 7", "not with --eval-rows 0", "--eval-rows 9"},
    {"distill --eval-rows 0 --early-stopping-patience 7", "not with --eval-rows 0",
     "--eval-rows 9"},
    {"distill --label-only --direct-share 0.5", "not with --label-only", ""},
    {"distill --negatives popular --answer-loss candidates",
     "--label-only and --answer-loss candidates", "--label-only"},
    {"distill --knowledge list", "--label-only and no --reasoning", "--label-only"},
    {"distill --label-only --reasoning x --knowledge time", "--label-only and no --reasoning", ""},
    {"distill --label-only --knowledge-items 7", "--knowledge", "--knowledge time"},
    {"distill --label-only --field-weight pick=2", "not with --label-only", ""},
    {"distill --lora-alpha 7", "--lora-r above 0", "--lora-r 4"},
    {"distill --lora-dropout 0.5", "--lora-r above 0", "--adapter adalora"},
    {"distill --target-modules q_proj", "--lora-r above 0", "--lora-r 4"},
    {"distill --use-rslora", "--lora-r above 0", "--lora-r 4"},
    {"distill --adapter prompt --lora-r 4", "--adapter lora or adalora", "--adapter lora"},
    {"distill --target-r 3", "--adapter adalora", "--adapter adalora"},
    {"distill --tinit 3", "--adapter adalora", "--adapter adalora"},
    {"distill --tfinal 3", "--adapter adalora", "--adapter adalora"},
    {"distill --delta-t 3", "--adapter adalora", "--adapter adalora"},
    {"distill --beta1 0.5", "--adapter adalora", "--adapter adalora"},
    {"distill --beta2 0.5", "--adapter adalora", "--adapter adalora"},
    {"distill --orth-reg-weight 0.3", "--adapter adalora", "--adapter adalora"},
    {"distill --total-step 9", "--adapter adalora", "--adapter adalora"},
    {"distill --num-virtual-tokens 9", "--adapter prompt", "--adapter prompt"},
    {"distill --prompt-name x", "--adapter prompt", "--adapter prompt"},
    {"distill --prompt-tuning-init text", "--adapter prompt", "--adapter prompt"},
    {"distill --adapter prompt --prompt-tuning-init-text x", "--prompt-tuning-init text",
     "--prompt-tuning-init text"},
    {"reinforce --crm-reward faithful", "--recommender", "--recommender x"},
    {"reinforce --reward-weights 1,1,1 --curriculum C2", "not with --reward-weights", ""},
    {"reinforce --curriculum C1 --curriculum-step 9", "--curriculum C0 or C2", "--curriculum C2"},
    {"reinforce --beta 0 --kl-estimator k2", "--beta above 0", "--beta 1"},
    {"reinforce --advantage rloo --std-floor 0.5", "--advantage group, batch or gdpo",
     "--advantage batch"},
    {"reinforce --judge-model m", "--judge", "--judge local"},
    {"reinforce --judge-reveal", "--judge", "--judge endpoint"},
    {"reinforce --judge local --base-url http://a/v1", "--judge endpoint", "--judge endpoint"},
    {"reinforce --judge local --judge-calls c", "--judge endpoint", "--judge endpoint"},
    {"reinforce --judge local --reward-mode faithful --judge-share 0.5", "--reward-mode verified",
     "--reward-mode verified"},
    {"reinforce --reward-mode faithful --usefulness-share 0.1", "--reward-mode verified",
     "--reward-mode verified"},
    {"reinforce --method faithful --usefulness-share 0.1", "--reward-mode verified",
     "--reward-mode verified"},
    {"reinforce --std-floor 0.5", "--advantage group, batch or gdpo", "--algorithm gdpo"},
    {"reinforce --algorithm dapo --kl-estimator k2", "--beta above 0", "--algorithm grpo"},
    {"reinforce --pass-at-k 4", "--no-rb", "--method faithful"},
    {"reinforce --no-rb --lambda-ce 0.123", "--rb", "--rb"},
    {"reinforce --rb --pass-at-k 4", "--no-rb", "--no-rb"},
};

// The words with another value for the options that `heeded` names.
std::string changed(const std::string& line, const std::string& heeded) {
  std::vector<std::string> words = split_words(line);
  const std::string name = split_words(heeded).front();
  const auto found = std::find(words.begin(), words.end(), name);
  if (found != words.end()) {
    const bool has_value = split_words(heeded).size() > 1;
    words.erase(found, found + (has_value ? 2 : 1));
  }
  std::string text;
  for (const std::string& word : words) text += word + " ";
  return text + heeded;
}

TEST(Options, without_effect_are_refused_with_what_they_need) {
  for (const Refused& row : kRefused) {
    const std::string found = complaint(row.line);
    EXPECT_NE(found.find("only with "), std::string::npos) << row.line << ": " << found;
    EXPECT_NE(found.find(row.needs), std::string::npos) << row.line << ": " << found;
  }
}

TEST(Options, with_what_they_need_are_taken) {
  for (const Refused& row : kRefused) {
    if (*row.heeded == '\0') continue;
    std::string line = changed(row.line, row.heeded);
    for (const char* opposite : {"--rb", "--no-rb"})
      if (std::string(row.heeded) == opposite)
        line = changed(changed(row.line, opposite[2] == 'r' ? "--no-rb" : "--rb"), row.heeded);
    const std::string found = complaint(line);
    EXPECT_EQ(found.find("only with "), std::string::npos) << line << ": " << found;
  }
}

TEST(Options, defaults_that_an_options_file_repeats_are_no_error) {
  EXPECT_EQ(complaint("reinforce --no-rb --pass-at-k 0 --eval-rows 0 --lora-alpha 16"), "");
  EXPECT_EQ(complaint("prepare --format synthetic --header auto --time column"), "");
}

TEST(Options, of_the_recipes_have_all_an_effect) {
  for (const RecipeText& text : recipe_texts()) {
    Recipe recipe = open_recipe(text.name);
    give_arguments(recipe, std::vector<std::string>(recipe.arguments.size(), "."));
    EXPECT_NO_THROW(plan_recipe(recipe, program_commands(), {"out", 42, "float32"})) << text.name;
  }
}

}  // namespace
}  // namespace etrlrec
