// Generation with T5: decoding with cached keys, greedy and beam search. Without gradient.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "models/t5.h"

namespace etrlrec {

// Keys and values of growing decoder rows. Those of the encoder rows are computed once and shared
// by all rows of one source. Sees in-place changes of the weights but keeps the adapter switch of
// its beginning; must not outlive the model.
class T5Cache {
 public:
  // Row r attends to row source_of_row[r] of `encoded` and may take `capacity` tokens.
  T5Cache(const T5& model, const StateRows& encoded, std::span<const int64_t> source_of_row,
          int64_t capacity);
  ~T5Cache();
  int64_t num_rows() const { return static_cast<int64_t>(source_of_row_.size()); }
  // Row r of the new state is row rows[r] of the old one; rows may leave, change places and repeat.
  // Rows of one source are best kept side by side.
  void keep_rows(std::span<const int64_t> rows);
  // Feeds ids[r] to row r (the start token first): T5::decode's states, [rows, d_model].
  at::Tensor decode(std::span<const int64_t> ids);

 private:
  struct Layer;
  const T5& model_;
  std::unique_ptr<const T5Weights> weights_;
  std::vector<Layer> layers_;
  std::vector<int64_t> source_of_row_;
  int64_t capacity_ = 0, length_ = 0;
};

// The most likely token of every step, for each row of `encoded`: tokens behind the start token, an
// end token included.
std::vector<std::vector<int64_t>> generate_greedy(const T5& model, const StateRows& encoded,
                                                  int64_t max_new_tokens,
                                                  std::span<const int64_t> eos_token_ids);

struct T5BeamOptions {
  int64_t num_beams = 4;
  int64_t max_new_tokens = 32;
  double length_penalty = 1;
  std::vector<int64_t> eos_token_ids;
};
struct T5Beam {
  std::vector<int64_t> ids;  // new tokens, an end token included
  double score = 0;          // sum of log-probabilities / length^length_penalty
};
// Log-probabilities [rows, V], -inf for what may not be, of what follows when row r is row
// parents[r] of the call before with ids[r] appended. Rows of one request are side by side.
using T5BeamStep =
    std::function<at::Tensor(std::span<const int64_t> ids, std::span<const int64_t> parents)>;
// Beam search as Transformers does it (early_stopping false): of the candidates of a step only the
// best num_beams may end, and a request is done when its best running beam, at its present length,
// cannot replace the worst of num_beams ended ones. `first` [requests, V] are the log-probabilities
// of the first token, and each row the parent of its request's first beams. Returns up to num_beams
// beams of every request, best first. Knows nothing about models.
std::vector<std::vector<T5Beam>> beam_search(const at::Tensor& first, const T5BeamOptions& options,
                                             const T5BeamStep& step);
// The same for each row of `encoded`.
std::vector<std::vector<T5Beam>> generate_beams(const T5& model, const StateRows& encoded,
                                                const T5BeamOptions& options);

}  // namespace etrlrec
