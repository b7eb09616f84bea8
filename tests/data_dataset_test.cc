#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "base/check.h"
#include "base/io.h"
#include "data/dataset.h"
#include "data/split.h"

namespace etrlrec {
namespace {

class DatasetFolder : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() /
              (std::string("etrlrec_dataset_") + info->name() + std::to_string(getpid()));
    fs::create_directories(folder_);
    dataset_.catalogue.item_ids = {"a", "b", "c"};
    dataset_.catalogue.titles = {"Alpha", "Über \"B\"", "alpha "};
    dataset_.catalogue.fields = {"genre", "tone"};
    dataset_.catalogue.attributes = {"dark", "war", "drama"};
    dataset_.catalogue.attribute_fields = {1, 0, 0};
    dataset_.catalogue.attribute_offsets = {0, 2, 2, 3};
    dataset_.catalogue.attribute_ids = {1, 0, 2};
    dataset_.user_ids = {"u1", "u 2"};
    dataset_.user_offsets = {0, 4, 5};
    dataset_.items = {0, 1, 2, 0, 1};
    dataset_.times = {5, 5, 9, 10, 3};
    split_ = split_leave_one_out(dataset_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  void save() { save_dataset(dataset_, split_, folder_); }
  void patch(const char* file, int64_t at, char byte) {
    std::fstream stream(folder_ / file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(at, at < 0 ? std::ios::end : std::ios::beg);
    stream.put(byte);
  }

  fs::path folder_;
  Dataset dataset_;
  Split split_;
};

TEST_F(DatasetFolder, comes_back_as_it_was_saved) {
  dataset_.ratings = {1, 2, 3, 4, 5};
  save();
  const Dataset back = load_dataset(folder_);
  EXPECT_EQ(back.catalogue.item_ids, dataset_.catalogue.item_ids);
  EXPECT_EQ(back.catalogue.titles, dataset_.catalogue.titles);
  EXPECT_EQ(back.catalogue.attributes, dataset_.catalogue.attributes);
  EXPECT_EQ(back.catalogue.attribute_fields, dataset_.catalogue.attribute_fields);
  EXPECT_EQ(back.catalogue.attribute_offsets, dataset_.catalogue.attribute_offsets);
  EXPECT_EQ(back.catalogue.attribute_ids, dataset_.catalogue.attribute_ids);
  EXPECT_EQ(back.user_ids, dataset_.user_ids);
  EXPECT_EQ(back.user_offsets, dataset_.user_offsets);
  EXPECT_EQ(back.items, dataset_.items);
  EXPECT_EQ(back.times, dataset_.times);
  EXPECT_EQ(back.ratings, dataset_.ratings);
  EXPECT_EQ(catalogue_hash(back.catalogue), catalogue_hash(dataset_.catalogue));
}

TEST_F(DatasetFolder, gives_back_the_split) {
  save();
  const Split back = load_split(folder_);
  EXPECT_EQ(back.protocol, "leave_one_out");
  EXPECT_EQ(back.train_end, split_.train_end);
  ASSERT_EQ(back.train.size(), 1u);
  EXPECT_EQ(back.train[0].position, 1);
  ASSERT_EQ(back.test.size(), 1u);
  EXPECT_EQ(back.test[0].position, 3);
}

TEST_F(DatasetFolder, refuses_a_changed_byte_in_each_file) {
  for (const char* file : {"items.jsonl", "users.txt", "interactions.bin"}) {
    save();
    patch(file, -2, '~');
    EXPECT_THROW(load_dataset(folder_), Error) << file;
  }
  save();
  patch("split.bin", -1, '~');
  EXPECT_THROW(load_split(folder_), Error);
}

TEST_F(DatasetFolder, refuses_a_folder_that_is_none) {
  EXPECT_THROW(load_dataset(folder_), Error);
  EXPECT_THROW(load_dataset(folder_ / "missing"), Error);
}

TEST_F(DatasetFolder, refuses_to_save_times_that_go_back) {
  dataset_.times[1] = 4;
  EXPECT_THROW(save(), Error);
}

TEST_F(DatasetFolder, refuses_to_save_items_outside_the_catalogue) {
  dataset_.items[4] = 3;
  EXPECT_THROW(save(), Error);
}

TEST_F(DatasetFolder, refuses_to_save_ids_that_occur_twice_or_hold_line_breaks) {
  dataset_.user_ids[1] = "u1";
  EXPECT_THROW(save(), Error);
  dataset_.user_ids[1] = "u\n2";
  EXPECT_THROW(save(), Error);
}

TEST_F(DatasetFolder, refuses_a_row_without_history) {
  split_.train[0].position = 0;
  EXPECT_THROW(save(), Error);
}

TEST_F(DatasetFolder, refuses_a_test_row_inside_the_training_part) {
  split_.test[0].position = 1;
  EXPECT_THROW(save(), Error);
}

TEST(Catalogue, hash_sees_titles_and_attributes) {
  Catalogue catalogue;
  catalogue.item_ids = {"a"};
  catalogue.titles = {"A"};
  catalogue.attribute_offsets = {0, 0};
  const std::string before = catalogue_hash(catalogue);
  catalogue.titles = {"B"};
  EXPECT_NE(catalogue_hash(catalogue), before);
}

TEST(Catalogue, items_that_read_the_same_are_one_canonical_item) {
  Catalogue catalogue;
  catalogue.item_ids = {"1", "2", "3"};
  catalogue.titles = {"The  Kull", "Other", " the kull\t"};
  EXPECT_EQ(canonical_items(catalogue), (std::vector<int32_t>{0, 1, 0}));
}

}  // namespace
}  // namespace etrlrec
