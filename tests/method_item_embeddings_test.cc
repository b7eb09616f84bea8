// Vectors of titles on a very small world: what is written, who takes it, and for which item table.
#include <ATen/ATen.h>

#include "base/check.h"
#include "golden_path.h"
#include "method/fit.h"
#include "method/item_embeddings.h"
#include "models/sentence_encoder.h"
#include "stages_fixture.h"

namespace etrlrec {
namespace {

class ItemEmbeddings : public Stages {
 protected:
  static void SetUpTestSuite() {
    Stages::SetUpTestSuite();
    fs::create_directories(root_ / "encoder");
    for (const char* file : {"config.json", "model.safetensors"})
      fs::copy_file(golden_path() / "bert" / file, root_ / "encoder" / file);
    fs::copy_file(golden_path() / "tokenizers/bert/tokenizer.json",
                  root_ / "encoder/tokenizer.json");
  }
};

TEST_F(ItemEmbeddings, are_one_vector_of_length_one_for_each_title) {
  const EmbedSummary summary = embed({root_ / "data", root_ / "encoder", root_ / "titles"});
  const Catalogue catalogue = load_dataset(root_ / "data").catalogue;
  EXPECT_EQ(summary.items, catalogue.num_items());
  EXPECT_EQ(summary.dimensions, 32);
  const at::Tensor items = load_item_embeddings(root_ / "titles", catalogue);
  EXPECT_LT((items.norm(2, 1) - 1).abs().max().item<double>(), 1e-5);
  const auto tokenizer = load_tokenizer(root_ / "encoder");
  std::vector<int64_t> ids = tokenizer->encode(catalogue.titles[3]);
  ids.insert(ids.begin(), tokenizer->special_id("[CLS]"));
  ids.push_back(tokenizer->special_id("[SEP]"));
  const at::Tensor alone = SentenceEncoder(root_ / "encoder").encode({&ids, 1});
  EXPECT_LT((items[3] - alone[0]).abs().max().item<double>(), 1e-5);
  embed({root_ / "data", root_ / "encoder", root_ / "attributes", true});
  EXPECT_FALSE(at::equal(items, load_item_embeddings(root_ / "attributes", catalogue)));
  EXPECT_NE(embeddings_hash(root_ / "titles"), embeddings_hash(root_ / "attributes"));
  Catalogue other = catalogue;
  other.titles[0] += "!";
  EXPECT_THROW(load_item_embeddings(root_ / "titles", other), Error);
  EXPECT_THROW(load_item_embeddings(root_ / "data", catalogue), Error);
  EXPECT_THROW(embed({root_ / "data", root_ / "encoder", root_ / "titles"}), Error);  // is there
}

TEST_F(ItemEmbeddings, content_is_fitted_with_them_and_with_nothing_else) {
  embed({root_ / "data", root_ / "encoder", root_ / "fitted-titles"});
  FitOptions options;
  options.data = root_ / "data", options.out = root_ / "fit", options.models = {"content"};
  EXPECT_THROW(fit(options), Error);
  options.embeddings = root_ / "fitted-titles";
  const auto summaries = fit(options);
  EXPECT_GT(summaries.at(0).metrics.at("valid/all/mrr"), 0);
  EXPECT_EQ(fit(options).at(0).metrics, summaries.at(0).metrics);
  options.models = {"popularity"};
  EXPECT_THROW(fit(options), Error);
  const auto usual = usual_recommenders();
  EXPECT_EQ(std::count(usual.begin(), usual.end(), "content"), 0);
}

TEST_F(ItemEmbeddings, near_misses_are_titles_like_the_target) {
  distill(distill_into("student"));
  embed({root_ / "data", root_ / "encoder", root_ / "reward-titles"});
  ReinforceOptions options = reinforce_into("student", "policy");
  const RewardCheck by_attributes = check_rewards(setup(options), 4);
  options.embeddings = root_ / "reward-titles";
  const RewardCheck by_titles = check_rewards(setup(options), 4);
  EXPECT_EQ(by_titles.parts.at("label"), by_attributes.parts.at("label"));
  EXPECT_NE(by_titles.parts.at("outcome"), by_attributes.parts.at("outcome"));
  options.embeddings = root_ / "data";
  EXPECT_THROW(setup(options), Error);
}

}  // namespace
}  // namespace etrlrec
