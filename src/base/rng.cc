#include "base/rng.h"

#include <cmath>
#include <numbers>

#include "base/check.h"

namespace etrlrec {
namespace {

uint64_t splitmix64(uint64_t& state) {
  state += 0x9e3779b97f4a7c15ULL;
  uint64_t value = state;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31);
}

uint64_t fnv1a(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const unsigned char byte : text) hash = (hash ^ byte) * 0x100000001b3ULL;
  return hash;
}

uint64_t rotate_left(uint64_t value, int bits) { return (value << bits) | (value >> (64 - bits)); }

}  // namespace

Rng::Rng(uint64_t seed, std::string_view name, uint64_t index) {
  uint64_t mixed = seed;
  mixed = splitmix64(mixed) ^ fnv1a(name);
  mixed = splitmix64(mixed) ^ index;
  for (uint64_t& word : state_) word = splitmix64(mixed);
}

uint64_t Rng::next() {
  const uint64_t result = rotate_left(state_[1] * 5, 7) * 9;
  const uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = rotate_left(state_[3], 45);
  return result;
}

double Rng::uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

uint64_t Rng::below(uint64_t bound) {
  CHECK(bound > 0, kFailure, "random draw: expected a positive bound, found 0");
  const uint64_t rejected = -bound % bound;  // 2^64 mod bound
  for (;;) {
    const uint64_t value = next();
    if (value >= rejected) return value % bound;
  }
}

double Rng::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

size_t Rng::weighted(std::span<const double> weights) {
  double sum = 0;
  for (const double weight : weights) sum += weight;
  CHECK(sum > 0 && std::isfinite(sum), kFailure,
        "weighted draw over {} weights: expected a positive finite sum, found {}", weights.size(),
        sum);
  double remaining = uniform() * sum;
  size_t last = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] <= 0) continue;
    last = i;
    remaining -= weights[i];
    if (remaining < 0) return i;
  }
  return last;
}

}  // namespace etrlrec
