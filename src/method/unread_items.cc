#include "method/unread_items.h"

#include <algorithm>

#include "method/fit.h"

namespace etrlrec {

namespace {

std::vector<bool> read_items(const Dataset& dataset, const InteractionLog& log) {
  std::vector<bool> read(static_cast<size_t>(dataset.catalogue.num_items()), false);
  for (const int32_t item : log.items) read[static_cast<size_t>(item)] = true;
  return read;
}

}  // namespace

std::optional<NewItemRate> measure_new_items(const Dataset& dataset, const Split& split,
                                             const InteractionLog& log) {
  const std::vector<bool> read = read_items(dataset, log);
  const int64_t since = *std::max_element(log.times.begin(), log.times.end());
  std::vector<int32_t> targets;
  std::vector<int64_t> times;
  for (const Row& row : split.valid) {
    targets.push_back(dataset.items[static_cast<size_t>(row.position)]);
    times.push_back(dataset.times[static_cast<size_t>(row.position)]);
  }
  return new_item_rate(targets, times, new_items(dataset.catalogue, read, {}).is_new, since);
}

std::shared_ptr<const NewItems> measured_new_items(const Dataset& dataset, const Split& split) {
  const InteractionLog log = training_log(dataset, split);
  const auto rate = measure_new_items(dataset, split, log);
  if (!rate) return nullptr;
  return std::make_shared<const NewItems>(
      new_items(dataset.catalogue, read_items(dataset, log), *rate));
}

std::vector<bool> learned_events(const Dataset& dataset, const Split& split) {
  std::vector<bool> learned(dataset.items.size(), false);
  for (size_t user = 0; user < split.train_end.size(); ++user)
    for (int64_t i = dataset.user_offsets[user]; i < split.train_end[user]; ++i)
      learned[static_cast<size_t>(i)] = true;
  return learned;
}

namespace {

bool has_unread_items(const ModelCard& card) {
  return card.new_items && card.prompt.answer == AnswerKind::kTitle;
}

}  // namespace

std::shared_ptr<const NewItems> unread_items(const ModelCard& card, const Dataset& dataset,
                                             const Split& split) {
  if (!has_unread_items(card)) return nullptr;
  std::vector<bool> read(static_cast<size_t>(dataset.catalogue.num_items()), false);
  const std::vector<bool> learned = learned_events(dataset, split);
  for (size_t i = 0; i < learned.size(); ++i)
    if (learned[i] && dataset.times[i] <= card.new_items->since)
      read[static_cast<size_t>(dataset.items[i])] = true;
  return std::make_shared<const NewItems>(new_items(dataset.catalogue, read, *card.new_items));
}

std::shared_ptr<const NewItems> unread_items(const ModelCard& card, const Dataset& dataset,
                                             const std::filesystem::path& folder) {
  return has_unread_items(card) ? unread_items(card, dataset, load_split(folder)) : nullptr;
}

}  // namespace etrlrec
