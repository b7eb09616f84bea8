#include "data/log_rows.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "text/utf8.h"

namespace etrlrec {
namespace {

constexpr size_t kRejectedRowText = 200;

bool is_graphic(char c) { return c > ' ' && c < '\x7f'; }

// As trim(); most cells have no blanks.
std::string_view cell_without_blanks(std::string_view cell) {
  const bool plain = !cell.empty() && is_graphic(cell.front()) && is_graphic(cell.back());
  return plain ? cell : trim(cell);
}

bool is_plain_text(std::string_view text) {
  bool plain = true;
  for (const char c : text) plain = plain && c >= ' ' && c < '\x7f';
  return plain;
}

}  // namespace

std::vector<int32_t> log_columns_of(const LogPlan& plan) {
  std::vector<int32_t> columns = {plan.user, plan.item};
  if (plan.time >= 0) columns.push_back(plan.time);
  if (plan.rating >= 0) columns.push_back(plan.rating);
  return columns;
}

LogRows LogRowReader::take() {
  look_up(users_, rows_.users);
  look_up(items_, rows_.items);
  const size_t usual = rows_.users.size() + rows_.users.size() / 16;
  LogRows done = std::exchange(rows_, LogRows(time_options_));
  rows_.users.reserve(usual);
  rows_.items.reserve(usual);
  return done;
}

void LogRowReader::reject(int64_t line, const std::string& reason, std::string_view text) {
  rows_.rejected.push_back({{}, line, reason, to_utf8(text.substr(0, kRejectedRowText))});
}

void LogRowReader::add_bad(int64_t line, const std::string& reason, std::string_view text) {
  ++rows_.rows;
  reject(line, reason, text);
}

void LogRowReader::note_line(int64_t line) {
  const int64_t index = size() - 1;
  const auto& runs = rows_.lines;
  if (runs.empty() || runs.back().line + index - runs.back().index != line)
    rows_.lines.push_back({index, line});
}

void LogRowReader::add_row(int64_t line, std::span<const std::string_view> values) {
  if (is_blank(values)) {
    ++rows_.blank;
    return;
  }
  ++rows_.rows;
  if (plan_.impressions) return add_impressions(line, values);
  const std::string problem = add_interaction(values);
  if (problem.empty()) {
    note_line(line);
  } else {
    reject(line, problem, fmt::format("{}", fmt::join(values, " | ")));
  }
}

void LogRowReader::add_impressions(int64_t line, std::span<const std::string_view> values) {
  std::vector<std::string_view> event(values.begin(), values.end()), clicked;
  std::string problem;
  std::string_view rest = trim(values[1]);
  if (rest.empty()) problem = "no impressions";
  while (!rest.empty() && problem.empty()) {
    const std::string_view shown = rest.substr(0, rest.find(' '));
    rest = trim(rest.substr(shown.size()));
    if (shown.ends_with("-1")) {
      clicked.push_back(shown.substr(0, shown.size() - 2));
    } else if (!shown.ends_with("-0")) {
      problem = "an impression without -0 or -1";
    }
  }
  rows_.unclicked += problem.empty() && clicked.empty();
  for (size_t c = 0; c < clicked.size() && problem.empty(); ++c) {
    event[1] = clicked[c];
    problem = add_interaction(event);
    if (problem.empty()) note_line(line);
  }
  if (!problem.empty()) reject(line, problem, fmt::format("{}", fmt::join(values, " | ")));
}

// The id as it is kept, and what is wrong with it. Text that is not UTF-8 is read as Windows-1252.
std::string LogRowReader::id_of(std::string_view cell, const char* what, std::string& buffer,
                                std::string_view& id) {
  id = cell_without_blanks(cell);
  if (is_plain_text(id)) {
    return id.empty() || missing_.has(id) ? id_problem(id, what, missing_) : std::string();
  }
  if (!is_utf8(id)) {
    rows_.windows1252 = true;
    id = buffer = windows1252_to_utf8(id);
  }
  return id_problem(id, what, missing_);
}

// Ids are looked up some rows later, when their places in the table have come into the cache.
void LogRowReader::push(std::string_view id, SeenIds& seen, std::vector<int32_t>& out) {
  constexpr size_t kAhead = 32;
  if (Interner::is_short(id)) {
    const Interner::Short text = Interner::short_text(id);
    seen.ids.prefetch(text);
    seen.expected.push_back(text);
    out.push_back(-1);
    if (seen.expected.size() == kAhead) look_up(seen, out);
    return;
  }
  look_up(seen, out);
  const int32_t index = seen.ids.index(id);
  if (static_cast<size_t>(index) == seen.first.size())
    seen.first.push_back(block_ << 32 | std::ssize(out));
  out.push_back(index);
}

void LogRowReader::look_up(SeenIds& seen, std::vector<int32_t>& out) {
  size_t row = out.size() - seen.expected.size();
  for (const Interner::Short text : seen.expected) {
    const int32_t index = seen.ids.index(text);
    if (static_cast<size_t>(index) == seen.first.size())
      seen.first.push_back(block_ << 32 | static_cast<int64_t>(row));
    out[row++] = index;
  }
  seen.expected.clear();
}

// Empty when the row was taken.
std::string LogRowReader::add_interaction(std::span<const std::string_view> values) {
  std::string user_buffer, item_buffer;
  std::string_view user, item;
  // Both are looked at before either is refused: the encoding is told by all cells.
  const std::string user_problem = id_of(values[0], "user", user_buffer, user);
  const std::string item_problem = id_of(values[1], "item", item_buffer, item);
  if (!user_problem.empty()) return user_problem;
  if (!item_problem.empty()) return item_problem;
  size_t column = 2;
  std::optional<float> rating;
  const std::string_view time = plan_.time >= 0 ? cell_without_blanks(values[column++]) : "";
  if (plan_.rating >= 0) {
    rating = parse_rating(cell_without_blanks(values[column]));
    if (!rating && (plan_.rating_mapped || options_.need_rating)) return "bad rating";
    rows_.missing_ratings += !rating;
  }
  if (plan_.time < 0) {
    rows_.times.add_order();
  } else if (time.empty() || missing_.has(time)) {
    return "no time";
  } else if (!rows_.times.add(time)) {
    if (rows_.first_bad_time.empty()) rows_.first_bad_time = time;
    return "bad time";
  }
  if (plan_.rating >= 0) rows_.ratings.push_back(rating.value_or(0));
  push(user, users_, rows_.users);
  push(item, items_, rows_.items);
  return {};
}

}  // namespace etrlrec
