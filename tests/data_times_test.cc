#include <gtest/gtest.h>

#include "base/check.h"
#include "data/calendar.h"
#include "data/time_column.h"

namespace etrlrec {
namespace {

constexpr double kMoment = 1400267857;  // 2014-05-16T19:17:37Z

TimeColumn column_of(const std::vector<std::string>& texts, TimeOptions options = {}) {
  TimeColumn column(std::move(options));
  for (const std::string& text : texts) EXPECT_TRUE(column.add(text)) << text;
  return column;
}

std::string first_time(const TimeColumn& column) {
  return format_iso_time(static_cast<int64_t>(column.seconds()[0]));
}

TEST(TimeText, reads_the_forms_that_logs_have) {
  for (const char* text :
       {"2014-05-16T19:17:37Z", "2014-05-16 19:17:37 UTC", "2014-05-16T19:17:37+00:00",
        "2014-05-16 21:17:37 +0200", "2014/05/16 19:17:37", "20140516T191737Z",
        "Fri May 16 19:17:37 +0000 2014", "Fri May 16 12:17:37 -0700 2014",
        "Fri May 16 19:17:37 UTC 2014", "Fri May 16 19:17:37 2014",
        "Fri, 16 May 2014 19:17:37 +0000", "16 May 2014 19:17:37 GMT", "16/May/2014:19:17:37 +0000",
        "May 16, 2014 7:17:37 PM", "05/16/2014 07:17:37 PM", "16.05.2014 19:17:37"}) {
    int32_t form = 0;
    const auto time = parse_time_text(text, form);
    ASSERT_TRUE(time) << text;
    EXPECT_EQ(time->seconds, kMoment) << text;
  }
  for (const char* text : {"2014-05-16", "2014/5/16", "2014.05.16", "05 16, 2014", "May 16, 2014",
                           "16 May 2014", "16-May-2014", "5/16/2014", "16-05-2014"}) {
    int32_t form = 0;
    const auto time = parse_time_text(text, form);
    ASSERT_TRUE(time) << text;
    EXPECT_EQ(format_iso_time(static_cast<int64_t>(time->seconds)), "2014-05-16T00:00:00Z") << text;
  }
}

TEST(TimeText, refuses_what_is_no_time) {
  for (const char* text : {"", "soon", "2014-13-01", "2014-02-30", "13/13/2014",
                           "05/16/2014 13:00 PM", "5/16/14", "Fri May 16 19:17:37", "16 Mai 2014",
                           "2014-05-16 19:17:", "May 16", "1:2:3", "2014-05-16T19:17:37 CET"}) {
    int32_t form = 0;
    EXPECT_FALSE(parse_time_text(text, form)) << text;
  }
}

TEST(TimeColumn, decides_over_all_values_not_over_the_first) {
  TimeColumn column = column_of({"0", "2014-05-16", "2014-05-17", "2014-05-18"});
  const auto rejected = column.resolve();
  ASSERT_EQ(rejected.size(), 1u);
  EXPECT_EQ(rejected[0].index, 0);
  EXPECT_EQ(rejected[0].reason, "a number among dates");
  EXPECT_EQ(column.unit(), "ISO-8601");
  EXPECT_EQ(column.seconds()[1], 16206 * 86400.0);
}

TEST(TimeColumn, reads_whole_number_dates) {
  TimeColumn days = column_of({"20140516", "20140517", "20140815"});
  EXPECT_TRUE(days.resolve().empty());
  EXPECT_EQ(days.unit(), "YYYYMMDD");
  EXPECT_EQ(first_time(days), "2014-05-16T00:00:00Z");
  TimeColumn clock = column_of({"20140516191737", "20140516191738"});
  EXPECT_TRUE(clock.resolve().empty());
  EXPECT_EQ(clock.unit(), "YYYYMMDDhhmmss");
  EXPECT_EQ(clock.seconds()[0], kMoment);
  TimeColumn mixed = column_of(std::vector<std::string>(20, "20140516"));
  EXPECT_TRUE(mixed.add("20141399"));
  const auto rejected = mixed.resolve();
  ASSERT_EQ(rejected.size(), 1u);
  EXPECT_EQ(rejected[0].reason, "no date of the form YYYYMMDD");
}

TEST(TimeColumn, rejects_placeholders_where_times_are_real) {
  TimeColumn column = column_of({"1400267857", "0", "-1", "1400267858", "1400267859"});
  const auto rejected = column.resolve();
  ASSERT_EQ(rejected.size(), 2u);
  EXPECT_EQ(rejected[0].reason, "no time (0 stands in its place)");
  EXPECT_EQ(rejected[1].reason, "no time (-1 stands in its place)");
  TimeColumn relative = column_of({"0", "1", "2"});
  EXPECT_TRUE(relative.resolve().empty()) << "a log may begin at 0";
  EXPECT_EQ(relative.warnings().size(), 1u) << "but all of it in 1970 is said";
}

TEST(TimeColumn, reads_mixed_units_and_says_so) {
  TimeColumn column = column_of({"1400267857", "1400267857000", "1400267858"});
  EXPECT_TRUE(column.resolve().empty());
  EXPECT_EQ(column.seconds()[1], kMoment);
  ASSERT_EQ(column.warnings().size(), 1u);
  EXPECT_NE(column.warnings()[0].find("1 times are in milliseconds"), std::string::npos);
}

TEST(TimeColumn, never_guesses_the_order_of_day_and_month) {
  TimeColumn american = column_of({"05/06/2014", "05/16/2014"});
  EXPECT_TRUE(american.resolve().empty());
  EXPECT_EQ(first_time(american), "2014-05-06T00:00:00Z");
  TimeColumn european = column_of({"05/06/2014 10:00", "16/05/2014 11:00"});
  EXPECT_TRUE(european.resolve().empty());
  EXPECT_EQ(first_time(european), "2014-06-05T10:00:00Z");
  TimeColumn either = column_of({"05/06/2014", "06/06/2014", "07/06/2014"});
  EXPECT_THROW(either.resolve(), Error);
  TimeColumn both = column_of({"05/16/2014", "16/05/2014"});
  EXPECT_THROW(both.resolve(), Error);
}

TEST(TimeColumn, takes_a_stated_form_and_a_stated_unit) {
  TimeColumn format = column_of({"05/06/2014 10:00"}, {"", "%d/%m/%Y %H:%M"});
  EXPECT_FALSE(format.add("2014-06-05"));
  EXPECT_TRUE(format.resolve().empty());
  EXPECT_EQ(first_time(format), "2014-06-05T10:00:00Z");
  TimeColumn offset = column_of({"2014-05-16 21:17:37 +0200"}, {"", "%Y-%m-%d %H:%M:%S %z"});
  EXPECT_EQ(offset.seconds()[0], kMoment);
  TimeColumn days = column_of({"16206", "16207"}, {"days", ""});
  EXPECT_FALSE(days.add("2014-06-05"));
  EXPECT_TRUE(days.resolve().empty());
  EXPECT_EQ(days.seconds()[0], 16206 * 86400.0);
  EXPECT_THROW(TimeColumn({"fortnights", ""}), Error);
  EXPECT_THROW(TimeColumn({"days", "", true}), Error);
}

TEST(TimeColumn, takes_no_number_that_is_no_time) {
  TimeColumn nothing;
  for (const char* text : {"nan", "inf", "1e300", ""}) EXPECT_FALSE(nothing.add(text)) << text;
}

}  // namespace
}  // namespace etrlrec
