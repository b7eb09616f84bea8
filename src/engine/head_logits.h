// Logits of hidden states in chunks of a reused buffer, handed out row by row to several threads.
// Internal to engine/.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>
#include <span>

#include "engine/sampling.h"
#include "models/language_model.h"
#include "nn/weight.h"

namespace etrlrec {

class HeadLogits {
 public:
  explicit HeadLogits(const LanguageModel& model)
      : weight_(model.head_weight().detach()), numerics_(model.numerics()) {
    vocab_size_ = weight_.size(0);
    chunk_ = std::max<int64_t>(kLogitsBuffer / vocab_size_, 1);
  }
  // Calls row(i, logits, scratch) for every hidden state [N, C], in parallel.
  template <typename F>
  void for_each_row(const at::Tensor& hidden, const F& row) {
    for (int64_t begin = 0; begin < hidden.size(0); begin += chunk_) {
      const int64_t count = std::min(chunk_, hidden.size(0) - begin);
      if (!buffer_.defined() || buffer_.size(0) < count)
        buffer_ = at::empty({count, vocab_size_}, hidden.options());
      at::Tensor logits = buffer_.narrow(0, 0, count);
      weights_product_out(logits, hidden.narrow(0, begin, count), {weight_}, {at::Tensor()},
                          numerics_);
      const at::Tensor rows = logits.cpu();  // sampling is the CPU's work
      const float* data = rows.const_data_ptr<float>();
      const auto size = static_cast<size_t>(vocab_size_);
      at::parallel_for(
          0, count, std::max<int64_t>(1, 16384 / vocab_size_), [&](int64_t first, int64_t last) {
            SamplingScratch scratch;
            for (int64_t i = first; i < last; ++i)
              row(begin + i, std::span<const float>(data + static_cast<size_t>(i) * size, size),
                  scratch);
          });
    }
  }
  int64_t vocab_size() const { return vocab_size_; }

 private:
  static constexpr int64_t kLogitsBuffer = int64_t{1} << 24;  // floats
  at::Tensor weight_, buffer_;
  Numerics numerics_;
  int64_t vocab_size_ = 0, chunk_ = 0;
};

}  // namespace etrlrec
