// A hand-made catalogue, log and requests for the tests of temporal/.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "days.h"
#include "temporal/claims.h"
#include "temporal/facts.h"
#include "temporal/names.h"
#include "temporal/statistics.h"
#include "temporal/verifier.h"

namespace etrlrec {

inline constexpr int64_t kJanuary = 1704067200;  // 2024-01-01 00:00 UTC

struct HandItem {
  std::string title;
  std::vector<std::string> attributes;  // "genre:drama", "tone:dark"
};

inline Catalogue hand_catalogue(const std::vector<std::string>& fields,
                                const std::vector<HandItem>& items) {
  Catalogue catalogue;
  catalogue.fields = fields;
  for (size_t i = 0; i < items.size(); ++i) {
    catalogue.item_ids.push_back("i" + std::to_string(i));
    catalogue.titles.push_back(items[i].title);
    for (const std::string& text : items[i].attributes) {
      const size_t colon = text.find(':');
      int32_t field = 0;
      while (fields[field] != text.substr(0, colon)) ++field;
      const std::string name = text.substr(colon + 1);
      int32_t id = 0;
      const auto size = static_cast<int32_t>(catalogue.attributes.size());
      while (id < size &&
             (catalogue.attributes[id] != name || catalogue.attribute_fields[id] != field))
        ++id;
      if (id == size) {
        catalogue.attributes.push_back(name);
        catalogue.attribute_fields.push_back(field);
      }
      catalogue.attribute_ids.push_back(id);
    }
    catalogue.attribute_offsets.push_back(static_cast<int64_t>(catalogue.attribute_ids.size()));
  }
  return catalogue;
}

// Items 0-5: two genres that follow each other, tones by season; 6 is the next part of 0.
inline Catalogue small_catalogue() {
  return hand_catalogue({"genre", "tone"}, {{"Hollow River", {"genre:drama", "tone:dark"}},
                                            {"Paper Crown", {"genre:crime", "tone:dark"}},
                                            {"Silent Bridge", {"genre:drama", "tone:bright"}},
                                            {"Iron Letter", {"genre:crime", "tone:bright"}},
                                            {"Lost Meadow", {"genre:horror", "tone:dark"}},
                                            {"Pale Mirror", {"genre:horror", "tone:bright"}},
                                            {"Hollow River II", {"genre:drama", "tone:dark"}}});
}

// Forty users who alternate drama and crime an hour apart, dark in January and bright in July, with
// some horror.
inline std::pair<Dataset, Split> small_log() {
  Dataset data;
  data.catalogue = small_catalogue();
  Split split;
  for (int u = 0; u < 40; ++u) {
    const bool winter = u % 2 == 0;
    const int64_t start = kJanuary + (winter ? 0 : 190 * kDay) + u * 60;
    std::vector<int32_t> items =
        winter ? std::vector<int32_t>{0, 1, 0, 1} : std::vector<int32_t>{2, 3, 2, 3};
    if (u % 4 == 0) items.push_back(6);
    if (u % 5 == 0) items.push_back(winter ? 4 : 5);
    for (size_t j = 0; j < items.size(); ++j) {
      data.items.push_back(items[j]);
      data.times.push_back(start + static_cast<int64_t>(j) * kHour);
    }
    data.user_ids.push_back("u" + std::to_string(u));
    data.user_offsets.push_back(static_cast<int64_t>(data.items.size()));
    split.train_end.push_back(data.user_offsets.back());
  }
  return {data, split};
}

inline TemporalStatistics small_statistics() {
  const auto [data, split] = small_log();
  return count_statistics(data, split);
}

// 1 drama dark, 2 crime dark (an hour on), 3 and 4 crime bright and dark at one instant, 5 drama (a
// month on), then a week to now in January 2025.
inline Request small_request() {
  Request request;
  const int64_t start = kJanuary + 330 * kDay;
  request.history = {0, 1, 3, 1, 0};
  request.times = {start, start + kHour, start + 2 * kDay, start + 2 * kDay, start + 32 * kDay};
  request.now = start + 38 * kDay;
  request.candidates = {1, 2, 4, 6};
  request.target_slot = 3;
  return request;
}

inline int32_t attribute(const Catalogue& catalogue, std::string_view word) {
  return find_attribute(catalogue, word);
}

// Verdict of the only claim of a text.
inline Verdict verdict_of(std::string_view text, const ClaimContext& context) {
  return judge_claims(parse_claims(text), context, {}).at(0).verdict;
}

}  // namespace etrlrec
