#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <map>

#include "base/check.h"
#include "base/json.h"
#include "models/caser.h"
#include "models_recommender_fixture.h"
#include "recommender_golden.h"
#include "refusals.h"

namespace etrlrec {
namespace {

using at::Tensor;

CaserConfig tiny_caser() {
  CaserConfig config;
  config.num_items = 12;
  config.num_users = 3;
  config.hidden_size = 4;
  config.user_embedding_size = 2;
  config.markov_order = 3;
  config.num_horizontal_filters = 5;
  config.min_filter_size = 2;
  config.max_filter_size = 3;
  config.num_vertical_filters = 2;
  config.max_length = 6;
  return config;
}

// A model whose users differ, which they do not before training.
Caser caser_with_users(CaserConfig config) {
  Caser model(config, 3);
  const at::NoGradGuard no_grad;
  Tensor& users = model.parameters().at("user_embeddings.weight");
  users.copy_(at::arange(users.numel()).reshape_as(users) * 0.3 - 0.4);
  return model;
}

Tensor caser_scores(const Recommender& model, const std::vector<std::vector<int32_t>>& histories,
                    int32_t user = -1) {
  std::vector<HistoryView> views;
  for (const auto& items : histories) views.push_back({items, {}, 0, user});
  return model.score(views);
}

// The paper's formulas, one filter and one place at a time, in double: the slow twin.
std::vector<double> caser_formula(Caser& model, const CaserConfig& c, std::vector<int64_t> items,
                                  int64_t user) {
  const ParameterMap& p = model.parameters();
  const auto at = [&](const std::string& name, int64_t row, int64_t column) {
    return p.at(name)[row][column].item<double>();
  };
  const auto bias = [&](const std::string& name, int64_t row) {
    return p.at(name + ".bias")[row].item<double>();
  };
  const int64_t length = c.markov_order, width = c.hidden_size;
  while (std::ssize(items) < length) items.insert(items.begin(), -1);
  items.erase(items.begin(), items.end() - length);
  const auto pixel = [&](int64_t place, int64_t column) {
    const int64_t item = items[static_cast<size_t>(place)];
    return item < 0 ? 0.0 : at("item_embeddings.weight", item, column);
  };
  std::vector<double> features;
  for (int64_t f = 0; f < c.num_vertical_filters; ++f)
    for (int64_t column = 0; column < width; ++column) {
      double sum = bias("vertical", f);
      for (int64_t place = 0; place < length; ++place)
        sum += at("vertical.weight", f, place) * pixel(place, column);
      features.push_back(sum);
    }
  for (int64_t size = c.min_filter_size; size <= c.max_filter_size; ++size) {
    const std::string name = fmt::format("horizontal.{}", size);
    for (int64_t f = 0; f < c.num_horizontal_filters; ++f) {
      double best = 0;
      for (int64_t first = 0; first + size <= length; ++first) {
        double sum = bias(name, f);
        for (int64_t row = 0; row < size; ++row)
          for (int64_t column = 0; column < width; ++column)
            sum += at(name + ".weight", f, row * width + column) * pixel(first + row, column);
        best = std::max(best, sum);
      }
      features.push_back(best);
    }
  }
  const auto linear = [&](const std::string& name, const std::vector<double>& in) {
    std::vector<double> out;
    for (int64_t row = 0; row < p.at(name + ".bias").size(0); ++row) {
      double sum = bias(name, row);
      for (size_t column = 0; column < in.size(); ++column)
        sum += at(name + ".weight", row, static_cast<int64_t>(column)) * in[column];
      out.push_back(sum);
    }
    return out;
  };
  std::vector<double> state = linear("dense", features);
  for (double& value : state) value = std::max(value, 0.0);
  for (int64_t column = 0; column < c.user_embedding_size; ++column)
    state.push_back(user < 0 ? 0 : at("user_embeddings.weight", user, column));
  return linear("output", state);
}

TEST(Caser, scores_equal_the_formula_for_short_and_long_histories_and_users) {
  Caser model = caser_with_users(tiny_caser());
  for (const int32_t user : {-1, 0, 2})
    for (const std::vector<int32_t>& items :
         {std::vector<int32_t>{1}, {2, 3}, {4, 5, 6}, {7, 8, 9, 1, 2}}) {
      const auto expected = caser_formula(model, tiny_caser(), {items.begin(), items.end()}, user);
      const Tensor found = caser_scores(model, {items}, user)[0];
      for (int64_t item = 0; item < 12; ++item)
        EXPECT_NEAR(found[item].item<double>(), expected[static_cast<size_t>(item)], 1e-5);
    }
}

TEST(Caser, the_state_after_an_item_is_that_of_the_history_until_there) {
  const Caser model = caser_with_users(tiny_caser());
  ItemSequences all, parts;
  const std::vector<int64_t> items{3, 1, 4, 1, 5};
  all.add(-1, items);
  all.users = {1};
  for (size_t length = 1; length <= items.size(); ++length) {
    parts.add(-1, std::span(items).first(length));
    parts.users.push_back(1);
  }
  const Tensor states = model.hidden_states(all), expected = model.hidden_states(parts);
  for (int64_t t = 0; t < 5; ++t)
    EXPECT_TRUE(at::allclose(states[t], expected[(t + 1) * (t + 2) / 2 - 1], 1e-5, 1e-6)) << t;
}

// The numbers of ../shared/golden/seqrec: the authors' code and RecBole's.
void expect_caser_golden(const std::string& name, bool tied) {
  const fs::path folder = recommender_golden(name);
  if (!fs::exists(folder)) GTEST_SKIP() << "the golden numbers are not here";
  CaserConfig config;
  config.num_items = 61;  // the padding row of the reference is an item like any other here
  config.num_users = 7;
  config.hidden_size = config.user_embedding_size = 16;
  config.markov_order = config.max_filter_size = config.max_length = 10;
  config.num_horizontal_filters = 4;
  config.num_vertical_filters = 3;
  config.dropout = 0;
  config.tie_word_embeddings = tied;
  Caser model(config, 1);
  const auto theirs = [](const std::string& own) {
    const std::string part = own.substr(own.rfind('.'));
    if (own.starts_with("horizontal."))
      return fmt::format("conv_h.{}{}", std::stoi(own.substr(11)) - 1, part);
    const std::map<std::string, std::string> names = {
        {"item_embeddings.weight", "item_embedding.weight"},
        {"user_embeddings.weight", "user_embedding.weight"},
        {"vertical.weight", "conv_v.weight"},
        {"vertical.bias", "conv_v.bias"},
        {"dense.weight", "fc1.weight"},
        {"dense.bias", "fc1.bias"},
        {"user_dense.weight", "fc2.weight"},
        {"user_dense.bias", "fc2.bias"},
        {"output.weight", "W2.weight"},
        {"output.bias", "b2.weight"}};
    return names.at(own);
  };
  expect_recommender_golden(model, folder, theirs, tied ? 6 : 7);
}

TEST(Caser, gives_the_loss_and_gradients_of_the_authors) {
  expect_caser_golden("caser-original", false);
}
TEST(Caser, gives_the_loss_and_gradients_of_recbole) { expect_caser_golden("caser-recbole", true); }

TEST(Caser, users_change_scores_and_those_without_events_score_as_unknown_ones) {
  const Caser trained = caser_with_users(tiny_caser()), fresh(tiny_caser(), 3);
  EXPECT_FALSE(at::equal(caser_scores(trained, {{1, 2}}, 1), caser_scores(trained, {{1, 2}}, 2)));
  EXPECT_TRUE(at::equal(caser_scores(fresh, {{1, 2}}, 1), caser_scores(fresh, {{1, 2}}, -1)));
  refuses([&] { caser_scores(trained, {{1, 2}}, 3); }, ExitCode::kInput, "knows 3 users");
}

TEST(Caser, dropout_is_decided_by_its_stream) { expect_dropout_by_stream(Caser(tiny_caser(), 3)); }

TEST(Caser, comes_back_from_its_folder) {
  const ScopedFolder folder("caser");
  const Caser model = caser_with_users(tiny_caser());
  model.save(folder.path());
  EXPECT_TRUE(at::equal(caser_scores(model, {{1, 2}}, 1),
                        caser_scores(*load_recommender(folder.path()), {{1, 2}}, 1)));
  Json config = read_json(folder.path() / "config.json");
  config["max_filter_size"] = 9;
  write_file_atomic(folder.path() / "config.json", config.dump());
  refuses([&] { Caser::load(folder.path()); }, ExitCode::kModel, "max_filter_size");
  config["max_filter_size"] = 3;
  config["max_length"] = 2;
  write_file_atomic(folder.path() / "config.json", config.dump());
  refuses([&] { Caser::load(folder.path()); }, ExitCode::kModel,
          "markov_order: expected at most max_length 2, found 3");
}

}  // namespace
}  // namespace etrlrec
