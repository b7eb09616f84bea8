// Models whose prompts show more entries than a recommender sees (kRecommenderHistory).
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/check.h"
#include "base/io.h"
#include "base/log.h"
#include "method/evaluate.h"
#include "method/new_lm.h"
#include "method/prepare.h"
#include "method/row.h"
#include "method/stage.h"

namespace etrlrec {
namespace {

constexpr int32_t kShown = 250;
static_assert(kShown > kRecommenderHistory);

class LongHistories : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    set_log_options({.quiet = true, .progress = false});
    root_ = fs::temp_directory_path() / fmt::format("etrlrec_long_{}", ::getpid());
    PrepareOptions options;
    options.out = root_ / "data";
    options.world = WorldOptions{.users = 12, .items = 1200, .mean_events = 300};
    options.candidates.count = 6;
    options.train.rows = options.valid.rows = options.test.rows = 20;
    options.valid.min_history = options.test.min_history = kShown + 10;
    FolderWriter writer(options.out);
    prepare(options, writer.path());
    writer.commit();
    NewLmOptions new_lm;
    new_lm.data = root_ / "data";
    new_lm.out = root_ / "base";
    new_lm.hidden_size = 16;
    new_lm.num_hidden_layers = new_lm.num_attention_heads = 1;
    new_lm.max_position_embeddings = 16384;
    new_lm.sample_rows = 5;
    new_lm.init = "random";
    make_new_lm(new_lm);
  }
  static void TearDownTestSuite() { fs::remove_all(root_); }

  static ModelCard card() {
    ModelCard card;
    card.prompt.max_history = kShown;
    card.prompt.reasoning = false;
    return card;
  }

  static fs::path root_;
};
fs::path LongHistories::root_;

TEST_F(LongHistories, are_shown_whole_by_evaluate) {
  const LoadedModel base = load_model_folder(root_ / "base", "");
  save_model_folder(*base.model, root_ / "base", card(), root_ / "model", true);
  EvaluateOptions options;
  options.data = root_ / "data";
  options.model = root_ / "model";
  for (const Request& request : setup(options).requests)
    EXPECT_EQ(request.history.size(), size_t{kShown});
  options.model = "random";
  for (const Request& request : setup(options).requests)
    EXPECT_EQ(request.history.size(), size_t{kRecommenderHistory});
}

TEST_F(LongHistories, are_shown_whole_by_validation) {
  const auto requests = validation_requests(open_study(root_ / "data"), card(), 8);
  ASSERT_EQ(requests.size(), 8u);
  for (const Request& request : requests) EXPECT_EQ(request.history.size(), size_t{kShown});
}

}  // namespace
}  // namespace etrlrec
