// Internal to models/: the options that recommenders that are trained share.
#pragma once

#include "models/recommender.h"

namespace etrlrec {

inline constexpr RecommenderOption kHiddenSize{"--hidden-size", "hidden_size", int64_t{64}, "width",
                                               "32, 64, 128"};
inline constexpr RecommenderOption kNumHiddenLayers{"--num-hidden-layers", "num_hidden_layers",
                                                    int64_t{2}, "layers", "1, 2, 3"};
inline constexpr RecommenderOption kNumAttentionHeads{
    "--num-attention-heads", "num_attention_heads", int64_t{2}, "heads", "1, 2, 4"};
inline constexpr RecommenderOption kIntermediateSize{
    "--intermediate-size", "intermediate_size", int64_t{256},
    "width of the feed-forward layer, default four times the hidden size"};
inline constexpr RecommenderOption kDropout{"--dropout", "dropout", 0.2,
                                            "of embeddings and branches", "0.1, 0.2, 0.35, 0.5"};
inline constexpr RecommenderOption kMaxLength{"--max-length", "max_length", int64_t{50},
                                              "most recent items that are seen"};

}  // namespace etrlrec
