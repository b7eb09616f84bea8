// First-order transitions: what followed the last item of the history in the training log, smoothed
// towards popularity. T(a -> b) = (n_ab + alpha p_b) / (n_a + alpha) with alpha = `smoothing` and
// the popularity share p_b, which is also the score where there is no last item. Scores are
// log-probabilities over the catalogue.
#pragma once

#include "models/recommender.h"

namespace etrlrec {

extern const RecommenderType kMarkov;

}  // namespace etrlrec
