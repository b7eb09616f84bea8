// Items like the last ones: the catalogue by the cosine between what describes an item (embeddings
// of titles, method/item_embeddings.h) and the mean of a user's items, older ones weighing less.
// Scores are log-probabilities, softmax(scale x cosine); scale and half-life, in entries, are those
// under which the latest interactions of the training log are most likely. Items that nobody has
// chosen yet are scored as all others.
#pragma once

#include "models/recommender.h"

namespace etrlrec {

extern const RecommenderType kContent;

}  // namespace etrlrec
