// Which items a language model has never read, and how often users choose one of them.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "data/dataset.h"
#include "eval/new_items.h"
#include "method/model_folder.h"
#include "models/recommender.h"

namespace etrlrec {

// From the validation rows of the split; `log`: what is read. None where they say nothing: no row
// is later than the log or none asks for an unread item.
std::optional<NewItemRate> measure_new_items(const Dataset& dataset, const Split& split,
                                             const InteractionLog& log);

// Of all interactions, those of the training part, which a model learns from.
std::vector<bool> learned_events(const Dataset& dataset, const Split& split);

// For a model whose card has a rate and that answers by title, else null. Read is what the training
// part holds up to the time where the rate begins.
std::shared_ptr<const NewItems> unread_items(const ModelCard& card, const Dataset& dataset,
                                             const Split& split);
// For a recommender that has learned from the whole training part; null where validation rows say
// nothing.
std::shared_ptr<const NewItems> measured_new_items(const Dataset& dataset, const Split& split);
// With the split of the data set's folder, which is read for such a model only.
std::shared_ptr<const NewItems> unread_items(const ModelCard& card, const Dataset& dataset,
                                             const std::filesystem::path& folder);

}  // namespace etrlrec
