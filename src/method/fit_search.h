// Settings of recommenders that `fit --search` tries: which values an option may take, and random
// draws of them without repetition (Bergstra and Bengio 2012).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/recommender.h"
#include "train/trainer.h"

namespace etrlrec {

// Beside the options of a model, two of the training; empty: what the training says.
struct FitSetting {
  OptionValues recommender;
  double learning_rate = 0;
  int64_t train_batch_size = 0;
};

// What a search may change.
struct FitSearch {
  int64_t trials = 0;  // settings for each model, 0: no search
  bool learning_rate = true, train_batch_size = true;
};

// At most `search.trials` different settings of one type, the first of which is what the options
// say. An option that is given keeps its value; every other one that lists values takes each of
// them with the same probability. Fewer settings where no more exist. The draws depend on the
// seed, the type and what is given, and those of n trials begin those of more.
std::vector<FitSetting> draw_settings(const RecommenderType& type, const OptionValues& given,
                                      const TrainerOptions& trainer, const FitSearch& search);

// "hidden_size 64, dropout 0.2, learning rate 0.001": what differs between settings of a search.
std::string format_setting(const RecommenderType& type, const FitSetting& setting);

// A line for each type that has values to draw from.
std::string format_search_space();

}  // namespace etrlrec
