// Public data sets as their columns are described, in samples of a few made-up rows: MIND, Amazon
// reviews of 2018 and 2023, Goodreads.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/check.h"
#include "base/io.h"
#include "data/calendar.h"
#include "data/readers.h"

namespace etrlrec {
namespace {

class PublicLogs : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() /
              (std::string("etrlrec_public_") + info->name() + std::to_string(getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path write(const std::string& name, const std::string& text) {
    write_file_atomic(folder_ / name, text);
    return folder_ / name;
  }
  std::string error_of(const fs::path& path) {
    try {
      read_log(path, options_);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  fs::path folder_;
  ReaderOptions options_;
};

using Strings = std::vector<std::string>;

// "user item time" of every event.
Strings events_of(const Dataset& data) {
  Strings events;
  for (int64_t u = 0; u < data.num_users(); ++u) {
    for (int64_t p = data.user_offsets[u]; p < data.user_offsets[u + 1]; ++p)
      events.push_back(data.user_ids[u] + " " + data.catalogue.item_ids[data.items[p]] + " " +
                       format_iso_time(data.times[p]));
  }
  return events;
}

// "field:name" of the item's attributes.
Strings attributes_of(const Catalogue& catalogue, int64_t item) {
  Strings names;
  for (const int32_t a : catalogue.attributes_of(item))
    names.push_back(catalogue.fields[catalogue.attribute_fields[a]] + ":" +
                    catalogue.attributes[a]);
  return names;
}

int64_t warnings_with(const ReadReport& report, const std::string& part) {
  return std::count_if(report.warnings.begin(), report.warnings.end(), [&](const auto& warning) {
    return warning.find(part) != std::string::npos;
  });
}

TEST_F(PublicLogs, mind_events_are_clicked_impressions) {
  write("news.tsv",
        "N1\tsports\tgolf\tThe \"Open\" begins\tabstract\thttps://a\t[]\t[]\n"
        "N2\tnews\tnewsworld\tA vote\t\thttps://b\t[]\t[]\n"
        "N3\tnews\tnewsworld\tA storm\t\thttps://c\t[]\t[]\n");
  write("behaviors.tsv",
        "1\tU1\t11/11/2019 8:36:57 AM\tN3 N2\tN1-1 N2-0 N3-1\n"
        "2\tU2\t11/12/2019 12:05:00 AM\t\tN2-1\n"
        "3\tU1\t11/10/2019 9:00:00 PM\tN3\tN2-1 N1-0\n"
        "4\tU2\t11/12/2019 1:00:00 PM\tN1\tN1-0 N3-0\n"
        "5\tU2\t11/12/2019 2:00:00 PM\tN1\tN1 N3\n"
        "6\tU3\tsoon\tN1\tN1-1 N2-1\n"
        "7\tU3\t11/09/2019 3:00:00 PM\tN1\t\n");
  const auto [data, report] = read_log(folder_, options_);
  EXPECT_EQ(report.format, "mind");
  EXPECT_EQ(events_of(data), (Strings{"U1 N2 2019-11-10T21:00:00Z", "U1 N1 2019-11-11T08:36:57Z",
                                      "U1 N3 2019-11-11T08:36:57Z", "U2 N2 2019-11-12T00:05:00Z"}));
  EXPECT_EQ(data.catalogue.titles, (Strings{"The \"Open\" begins", "A vote", "A storm"}));
  EXPECT_EQ(attributes_of(data.catalogue, 0), (Strings{"category:sports", "subcategory:golf"}));
  EXPECT_EQ(warnings_with(report, "histories (without times)"), 1);
  EXPECT_EQ(warnings_with(report, "1 of 7 rows of impressions have no click"), 1);
  ASSERT_EQ(report.rejected.size(), 3u);
  const std::vector<std::pair<int64_t, std::string>> expected = {
      {5, "an impression without -0 or -1"}, {6, "bad time"}, {7, "no impressions"}};
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(report.rejected[i].line, expected[i].first);
    EXPECT_EQ(report.rejected[i].reason, expected[i].second);
  }
  options_.threads = 1;
  EXPECT_EQ(events_of(read_log(folder_ / "behaviors.tsv", options_).dataset), events_of(data));
}

TEST_F(PublicLogs, files_named_as_those_of_mind_may_be_others) {
  const auto path = write("behaviors.tsv", "user\titem\ttime\na\tx\t5\n");
  EXPECT_EQ(read_log(path, options_).report.format, "table");
  options_.format = "mind";
  EXPECT_NE(error_of(path).find("expected impression id, user, time, history and impressions"),
            std::string::npos);
  write("news.tsv", "N1\tsports\n");
  write("behaviors.tsv", "1\tU1\t11/11/2019 8:36:57 AM\tN3\tN1-1\n");
  EXPECT_NE(error_of(folder_).find("found 2 columns"), std::string::npos);
  options_.title = "3";
  EXPECT_NE(error_of(folder_).find("fixed columns"), std::string::npos);
}

TEST_F(PublicLogs, amazon_2018) {
  const auto log = write(
      "reviews.json",
      R"({"overall": 5.0, "verified": true, "reviewTime": "05 16, 2014", "reviewerID": "A1", "asin": "B001", "style": {"Size:": " Large"}, "reviewerName": "x", "reviewText": "\"good\"", "summary": "ok", "unixReviewTime": 1400198400})"
      "\n"
      R"({"overall": 2.0, "vote": "3", "verified": false, "reviewTime": "05 17, 2014", "reviewerID": "A1", "asin": "B002", "reviewerName": "x", "summary": "no", "unixReviewTime": 1400284800, "image": ["u"]})"
      "\n");
  options_.items = write(
      "meta.json",
      R"({"category": ["Toys", "Puzzles"], "tech1": "", "description": ["d"], "title": "Cube", "also_buy": ["B002"], "brand": "Ace", "feature": [], "rank": "1,234 in Toys (", "also_view": [], "details": {"Weight:": "1 pound"}, "main_cat": "Toys", "date": "", "price": "$4.99", "asin": "B001"})"
      "\n"
      R"({"category": [], "title": "Kite", "also_buy": [], "brand": "", "rank": [">#5 in Toys", ">#9 in Games"], "details": {}, "main_cat": "Toys", "asin": "B002"})"
      "\n");
  options_.attributes = {"category", "brand", "rank", "also_buy"};
  const auto [data, report] = read_log(log, options_);
  EXPECT_EQ(events_of(data),
            (Strings{"A1 B001 2014-05-16T00:00:00Z", "A1 B002 2014-05-17T00:00:00Z"}));
  EXPECT_EQ(data.ratings, (std::vector<float>{5, 2}));
  EXPECT_EQ(data.catalogue.titles, (Strings{"Cube", "Kite"}));
  EXPECT_EQ(attributes_of(data.catalogue, 0),
            (Strings{"category:Toys", "category:Puzzles", "brand:Ace", "rank:1",
                     "rank:234 in Toys (", "also_buy:B002"}));
  EXPECT_EQ(warnings_with(report, "attribute rank: "), 1);
  EXPECT_EQ(warnings_with(report, "attribute also_buy: "), 1);
  EXPECT_EQ(warnings_with(report, "attribute "), 2);
  EXPECT_TRUE(report.rejected.empty());
}

TEST_F(PublicLogs, amazon_2023) {
  const auto log = write(
      "All_Beauty.jsonl",
      R"({"rating": 5.0, "title": "Lovely", "text": "t", "images": [], "asin": "B00A", "parent_asin": "B00P", "user_id": "AG", "timestamp": 1588687728923, "helpful_vote": 0, "verified_purchase": true})"
      "\n"
      R"({"rating": 4.0, "title": "Fine", "text": "t", "images": [{"small_image_url": "u"}], "asin": "B00B", "parent_asin": "B00Q", "user_id": "AG", "timestamp": 1588615855070, "helpful_vote": 1, "verified_purchase": true})"
      "\n");
  options_.items = write(
      "meta_All_Beauty.jsonl",
      R"({"main_category": "All Beauty", "title": "Howard Soap", "average_rating": 4.8, "rating_number": 10, "features": [], "description": [], "price": null, "images": [{"thumb": "u", "variant": "MAIN"}], "videos": [], "store": "Howard", "categories": ["Beauty", ["Soap", "Bars"]], "details": {"Brand": "Howard", "Best Sellers Rank": {"Beauty": 12}}, "parent_asin": "B00P", "bought_together": null})"
      "\n"
      R"({"main_category": "All Beauty", "title": "Yes to Tomatoes", "average_rating": 4.5, "rating_number": 3, "categories": [], "details": {}, "parent_asin": "B00Q", "bought_together": null})"
      "\n");
  options_.attributes = {"categories", "store", "details.Brand", "average_rating", "rating_number"};
  const auto [data, report] = read_log(log, options_);
  EXPECT_EQ(events_of(data),
            (Strings{"AG B00Q 2020-05-04T18:10:55Z", "AG B00P 2020-05-05T14:08:48Z"}));
  EXPECT_EQ(report.time_unit, "milliseconds");
  EXPECT_EQ(data.catalogue.titles, (Strings{"Howard Soap", "Yes to Tomatoes"}));
  EXPECT_EQ(attributes_of(data.catalogue, 0),
            (Strings{"categories:Beauty", "categories:Soap", "categories:Bars", "store:Howard",
                     "details.Brand:Howard", "average_rating:4.8", "rating_number:10"}));
  EXPECT_EQ(warnings_with(report, "attribute average_rating: "), 1);
  EXPECT_EQ(warnings_with(report, "attribute rating_number: "), 1);
  EXPECT_EQ(warnings_with(report, "attribute "), 2);
}

TEST_F(PublicLogs, goodreads) {
  const auto log = write(
      "goodreads_interactions_poetry.json",
      R"({"user_id": "8842", "book_id": "402128", "review_id": "92a9", "is_read": true, "rating": 5, "review_text_incomplete": "", "date_added": "Thu Apr 30 17:26:45 -0700 2015", "date_updated": "Thu Apr 30 17:26:46 -0700 2015", "read_at": "", "started_at": ""})"
      "\n"
      R"({"user_id": "8842", "book_id": "53332", "review_id": "92aa", "is_read": false, "rating": 0, "review_text_incomplete": "", "date_added": "Wed Apr 29 10:00:00 -0700 2015", "date_updated": "", "read_at": "", "started_at": ""})"
      "\n");
  options_.items = write(
      "goodreads_books_poetry.json",
      R"({"isbn": "", "text_reviews_count": "1", "series": [], "popular_shelves": [{"count": "3", "name": "to-read"}, {"count": "1", "name": "poetry"}], "asin": "B1", "average_rating": "4.00", "similar_books": [], "authors": [{"author_id": "604", "role": ""}], "publisher": "Anvil", "num_pages": "88", "book_id": "402128", "ratings_count": "3", "work_id": "54", "title": "Verses", "title_without_series": "Verses"})"
      "\n"
      R"({"isbn": "", "text_reviews_count": "2", "popular_shelves": [], "asin": "", "average_rating": "3.90", "authors": [], "publisher": "", "book_id": "53332", "ratings_count": "9", "title": "Odes", "title_without_series": "Odes"})"
      "\n");
  options_.attributes = {"publisher", "popular_shelves", "ratings_count", "text_reviews_count",
                         "average_rating"};
  const auto [data, report] = read_log(log, options_);
  EXPECT_EQ(events_of(data),
            (Strings{"8842 53332 2015-04-29T17:00:00Z", "8842 402128 2015-05-01T00:26:45Z"}));
  EXPECT_EQ(data.catalogue.titles, (Strings{"Verses", "Odes"}));
  const Strings attributes = attributes_of(data.catalogue, 0);
  EXPECT_EQ((Strings{attributes.begin(), attributes.begin() + 3}),
            (Strings{"publisher:Anvil", "popular_shelves:to-read", "popular_shelves:poetry"}));
  for (size_t a = 1; a < options_.attributes.size(); ++a)
    EXPECT_EQ(warnings_with(report, "attribute " + options_.attributes[a] + ": "), 1);
}

TEST_F(PublicLogs, goodreads_numbers_of_the_id_map_meet_no_catalogue) {
  const auto log = write("goodreads_interactions.csv",
                         "user_id,book_id,is_read,rating,is_reviewed\n0,948,1,5,0\n0,947,1,5,1\n");
  EXPECT_NE(error_of(log).find("no column looks like the time"), std::string::npos);
  options_.time.order = true;
  EXPECT_EQ(read_log(log, options_).dataset.num_interactions(), 2);
  options_.items = write("goodreads_books.json", R"({"book_id": "948", "title": "Another"})"
                                                 "\n");
  EXPECT_NE(error_of(log).find("hint: awk"), std::string::npos) << error_of(log);
}

}  // namespace
}  // namespace etrlrec
