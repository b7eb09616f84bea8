// A structured start for small decoders: attention that already looks things up. Weights are random
// except in the first head of each layer. Layer 0: the query and key biases are chosen so that
// under RoPE the score depends on the distance only and peaks at one token back (a previous-token
// head); it copies the previous token's identity into a subspace of the residual stream. Later
// layers: queries read the current token's identity and keys read that subspace, both written into
// the pairs of coordinates that RoPE hardly turns, so that a token finds what once followed it (an
// induction head); the value head copies the found token towards the tied output. Everything is
// trained on; only the start differs.
//
// A habit, not a fact: nothing depends on the vocabulary or on data. The idea of starting attention
// near useful maps is Trockman and Kolter 2023 (arXiv 2305.09828), the circuit is that of Olsson et
// al. 2022 (arXiv 2209.11895). What it buys is measured in docs/experiments.md.
#pragma once

#include <cstdint>

#include "models/decoder.h"

namespace etrlrec {

struct LookupInit {
  double bias = 8;  // of the previous-token head: its score is bias^2 sum_f cos(theta_f (distance -
                    // 1)) / sqrt(D)
  double match = 1.5;  // scale of the query and key maps of the matching heads
};

// Overwrites all weights of `model`. Needs qkv biases, a head dimension with at least four slow
// RoPE pairs (rope_theta 1e6 with 32 dimensions has eight) and hidden_size >= 2 * head_dim; errors
// (kUsage) say which is missing.
void initialize_lookup(Decoder& model, const LookupInit& options, uint64_t seed);

}  // namespace etrlrec
