// What a model has not read, from the parts of a split, and the rate that its validation rows give.
#include <gtest/gtest.h>

#include "method/fit.h"
#include "method/unread_items.h"
#include "temporal_fixture.h"

namespace etrlrec {
namespace {

// Two users of seven items, a day between events. Items 0 to 3 are trained on, 4 and 5 come in
// validation, 6 later.
struct TwoUsers {
  Dataset dataset;
  Split split;
};

TwoUsers two_users() {
  TwoUsers log;
  log.dataset.catalogue = small_catalogue();
  log.dataset.user_ids = {"u", "v"};
  log.dataset.user_offsets = {0, 5, 9};
  log.dataset.items = {0, 1, 2, 4, 6, 3, 0, 5, 1};
  for (const int64_t day : {0, 1, 2, 5, 8, 1, 3, 6, 9})
    log.dataset.times.push_back(kJanuary + day * kDay);
  log.split.train_end = {3, 7};
  log.split.valid = {{0, 3}, {1, 7}};
  log.split.test = {{0, 4}, {1, 8}};
  return log;
}

TEST(UnreadItems, have_a_rate_from_the_validation_rows) {
  const auto [dataset, split] = two_users();
  const auto rate = measure_new_items(dataset, split, training_log(dataset, split));
  ASSERT_TRUE(rate.has_value());
  EXPECT_EQ(rate->since, kJanuary + 3 * kDay);
  EXPECT_DOUBLE_EQ(rate->at_once, 1);  // both rows ask for an unread item
  EXPECT_DOUBLE_EQ(rate->per_day, 0);
  EXPECT_DOUBLE_EQ(rate->most_days, 3);
}

TEST(UnreadItems, are_measured_for_a_recommender_too) {
  const auto [dataset, split] = two_users();
  const auto measured = measured_new_items(dataset, split);
  ASSERT_NE(measured, nullptr);
  EXPECT_EQ(measured->is_new, (std::vector<bool>{false, false, false, false, true, true, true}));
  EXPECT_DOUBLE_EQ(measured->rate.at_once, 1);
  Split without = split;
  without.valid.clear();
  EXPECT_EQ(measured_new_items(dataset, without), nullptr);
}

TEST(UnreadItems, are_those_of_no_training_event_until_the_reading_ended) {
  const auto [dataset, split] = two_users();
  ModelCard card;
  card.prompt.answer = AnswerKind::kTitle;
  EXPECT_EQ(unread_items(card, dataset, split), nullptr);  // an older folder
  card.new_items = {0, 0.1, kJanuary + 3 * kDay, 5};
  const auto unread = unread_items(card, dataset, split);
  ASSERT_NE(unread, nullptr);
  EXPECT_EQ(unread->is_new, (std::vector<bool>{false, false, false, false, true, true, true}));
  EXPECT_EQ(unread->count, 3);
  card.new_items->since = kJanuary + kDay;  // read a part only: item 2 came a day later
  EXPECT_TRUE(unread_items(card, dataset, split)->is_new[2]);
  card.prompt.answer = AnswerKind::kNumber;
  EXPECT_EQ(unread_items(card, dataset, split), nullptr);
}

}  // namespace
}  // namespace etrlrec
