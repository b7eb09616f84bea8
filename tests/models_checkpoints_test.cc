// Real small checkpoints as they are published, against an independent computation in double
// precision.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/check.h"
#include "base/io.h"
#include "base/json.h"
#include "models/decoder.h"
#include "models_fixture.h"

namespace etrlrec {
namespace {

const fs::path kModels = fs::path(ETRLREC_SOURCE_DIR) / "../shared/models";

#define SKIP_WITHOUT_MODELS() \
  if (!fs::exists(kModels)) GTEST_SKIP() << "published checkpoints are not here"

TEST(Checkpoints, tinystories_continues_its_prompts_as_documented) {
  SKIP_WITHOUT_MODELS();
  const at::NoGradGuard no_grad;
  const fs::path folder = kModels / "tinystories-656k-hf";
  const std::unique_ptr<LanguageModel> model = load_decoder(folder);
  const Json golden = read_json(folder / "golden_greedy_f64.json");
  for (const Json& entry : golden.at("cases")) {
    const auto prompt = entry.at("prompt_ids").get<std::vector<int64_t>>();
    const auto expected = entry.at("greedy_ids").get<std::vector<int64_t>>();
    TokenForest prompts;
    prompts.add(-1, prompt);
    const std::vector<int64_t> root{0};
    at::Tensor hidden;
    const auto cache = model->prefill(prompts, root, static_cast<int64_t>(expected.size()), hidden);
    for (const int64_t token : expected) {
      const int64_t found = at::mm(hidden, model->head_weight().t()).argmax().item<int64_t>();
      ASSERT_EQ(found, token);
      hidden = model->decode(*cache, std::vector<int64_t>{token});
    }
  }
}

TEST(Checkpoints, bf16_llama_gives_the_documented_logits) {
  SKIP_WITHOUT_MODELS();
  const at::NoGradGuard no_grad;
  const fs::path folder = kModels / "tiny-llama-bf16-random";
  const std::unique_ptr<LanguageModel> model = load_decoder(folder);
  const Json golden = read_json(folder / "golden_logits_f64.json");
  TokenForest forest;
  forest.add(-1, golden.at("input_ids").get<std::vector<int64_t>>());
  const at::Tensor logits = at::mm(model->hidden_states(forest), model->head_weight().t());
  const auto expected = golden.at("logits").get<std::vector<std::vector<double>>>();
  for (size_t t = 0; t < expected.size(); ++t)
    for (size_t v = 0; v < expected[t].size(); ++v)
      EXPECT_NEAR(logits[static_cast<int64_t>(t)][static_cast<int64_t>(v)].item<double>(),
                  expected[t][v], 1e-5);
}

TEST(Checkpoints, one_error_names_everything_that_does_not_fit) {
  const auto model = new_decoder(small_config(), 1);
  ParameterMap source;
  for (const auto& [name, tensor] : model->parameters()) source[name] = tensor.detach();
  source.erase("model.norm.weight");
  source["model.layers.0.mlp.up_proj.weight"] = at::ones({2, 3});
  source["model.other.weight"] = at::ones({3});
  try {
    assign_parameters(model->parameters(), source, "file");
    FAIL();
  } catch (const Error& error) {
    for (const char* part : {"model.norm.weight", "up_proj", "2 x 3", "model.other.weight"})
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << part;
  }
}

}  // namespace
}  // namespace etrlrec
