// Named random streams derived from one seed: a new consumer shifts no other (docs/architecture.md,
// "Randomness and exact resume"). Generator: xoshiro256** (Blackman and Vigna 2018), seeded by
// splitmix64 over the seed and the FNV-1a hash of the name.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace etrlrec {

class Rng {
 public:
  // The stream depends on (seed, name, index) only. `index` serves per-row streams.
  Rng(uint64_t seed, std::string_view name, uint64_t index = 0);

  uint64_t next();                 // uniform over all 64-bit values
  double uniform();                // [0, 1)
  uint64_t below(uint64_t bound);  // uniform in [0, bound), bound > 0, no modulo bias
  double normal();                 // standard normal (Box-Muller, stateless pair)
  bool chance(double probability) { return uniform() < probability; }
  // Index drawn with probability weights[i] / sum; the sum must be positive.
  size_t weighted(std::span<const double> weights);

  template <typename T>
  void shuffle(std::vector<T>& values) {
    for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[below(i)]);
  }

  using State = std::array<uint64_t, 4>;
  const State& state() const { return state_; }  // for checkpoints
  void set_state(const State& state) { state_ = state; }

 private:
  State state_;
};

}  // namespace etrlrec
