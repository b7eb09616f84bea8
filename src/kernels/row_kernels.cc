// One instance of each pass per register width; see simd.h.
#include "kernels/row_kernels.h"

#include <cmath>

#include "kernels/simd.h"

namespace etrlrec {
namespace {

using simd::kLanes;
using simd::Vec;

template <int B>
[[gnu::always_inline]] inline void read(Vec<B>& r, const float* p, int64_t n, float fill = 0) {
  if (n >= kLanes) {
    load(r, p);
  } else {
    load_first(r, p, n, fill);
  }
}
template <int B>
[[gnu::always_inline]] inline void write(float* p, const Vec<B>& r, int64_t n) {
  if (n >= kLanes) {
    store(p, r);
  } else {
    store_first(p, r, n);
  }
}

template <int B>
[[gnu::always_inline]] inline void norm_with(const RmsNormRows& p, int64_t begin, int64_t end) {
  const int64_t n = p.columns;
  for (int64_t row = begin; row < end; ++row) {
    const float* x = p.x + row * n;
    const float* source = p.delta == nullptr ? x : p.sum + row * n;
    Vec<B> squares, a, b;
    fill(squares, 0.0f);
    for (int64_t i = 0; i < n; i += kLanes) {
      read(a, x + i, n - i);
      if (p.delta != nullptr) {
        read(b, p.delta + row * n + i, n - i);
        add(a, b);
        write(p.sum + row * n + i, a, n - i);
      }
      add_product(squares, a, a);
    }
    const float inverse = 1.0f / std::sqrt(simd::sum(squares) / static_cast<float>(n) + p.eps);
    p.inverse_rms[row] = inverse;
    for (int64_t i = 0; i < n; i += kLanes) {
      read(a, source + i, n - i);
      read(b, p.weight + i, n - i);
      scale(a, inverse);
      mul(a, b);
      write(p.out + row * n + i, a, n - i);
    }
  }
}

// With u = weight * out_gradient and z = sum / rms: dx = (u - z mean(u z)) / rms + sum_gradient.
template <int B>
[[gnu::always_inline]] inline void norm_backward_with(const RmsNormGradientRows& p, int64_t begin,
                                                      int64_t end) {
  const int64_t n = p.columns;
  for (int64_t row = begin; row < end; ++row) {
    const float* s = p.sum + row * n;
    const float* g = p.out_gradient + row * n;
    const float inverse = p.inverse_rms[row];
    Vec<B> dot, a, b, c;
    fill(dot, 0.0f);
    for (int64_t i = 0; i < n; i += kLanes) {
      read(a, s + i, n - i);
      read(b, g + i, n - i);
      mul(a, b);
      read(c, p.weight + i, n - i);
      add_product(dot, a, c);
      if (p.weight_gradient == nullptr) continue;
      read(c, p.weight_gradient + i, n - i);
      add_product(c, inverse, a);
      write(p.weight_gradient + i, c, n - i);
    }
    const float mean = simd::sum(dot) * inverse * inverse * inverse / static_cast<float>(n);
    for (int64_t i = 0; i < n; i += kLanes) {
      read(a, g + i, n - i);
      read(b, p.weight + i, n - i);
      mul(a, b);
      scale(a, inverse);
      read(b, s + i, n - i);
      add_product(a, -mean, b);
      if (p.sum_gradient != nullptr) {
        read(b, p.sum_gradient + row * n + i, n - i);
        add(a, b);
      }
      write(p.x_gradient + row * n + i, a, n - i);
    }
  }
}

// r = 1 / (1 + exp(-x))
template <int B>
[[gnu::always_inline]] inline void sigmoid(Vec<B>& r, const Vec<B>& x) {
  for (int i = 0; i < Vec<B>::kParts; ++i) r.part[i] = -x.part[i];
  exponential(r);
  for (int i = 0; i < Vec<B>::kParts; ++i) r.part[i] = 1.0f / (1.0f + r.part[i]);
}

template <int B>
[[gnu::always_inline]] inline void swiglu_with(const float* gate_up, float* out, int64_t n,
                                               int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const float* gate = gate_up + row * 2 * n;
    for (int64_t i = 0; i < n; i += kLanes) {
      Vec<B> g, u, s;
      read(g, gate + i, n - i);
      read(u, gate + n + i, n - i);
      sigmoid(s, g);
      mul(s, g);
      mul(s, u);
      write(out + row * n + i, s, n - i);
    }
  }
}

template <int B>
[[gnu::always_inline]] inline void swiglu_backward_with(const float* gate_up,
                                                        const float* out_gradient, float* gradient,
                                                        int64_t n, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const float* gate = gate_up + row * 2 * n;
    float* to = gradient + row * 2 * n;
    for (int64_t i = 0; i < n; i += kLanes) {
      Vec<B> g, u, s, d, t;
      read(g, gate + i, n - i);
      read(u, gate + n + i, n - i);
      read(d, out_gradient + row * n + i, n - i);
      sigmoid(s, g);
      t = g;
      mul(t, s);  // silu(g)
      mul(u, d);  // du silu' factor: d * up
      mul(d, t);  // gradient of up
      write(to + n + i, d, n - i);
      d = s;
      sub(g, t);
      add_product(d, s, g);  // silu'(g) = s + s * (g - silu(g))
      mul(d, u);
      write(to + i, d, n - i);
    }
  }
}

template <int B>
[[gnu::always_inline]] inline void softmax_with(const SoftmaxRows& p) {
  const int64_t n = p.columns;
  for (int64_t row = 0; row < p.rows; ++row) {
    float* x = p.x + row * n;
    Vec<B> top, a, e, total, weighted;
    fill(top, -1e30f);
    for (int64_t i = 0; i < n; i += kLanes) {
      read(a, x + i, n - i, -1e30f);
      maximum(top, a);
    }
    const float top_score = max_lane(top);
    fill(total, 0.0f);
    fill(weighted, 0.0f);
    for (int64_t i = 0; i < n; i += kLanes) {
      read(a, x + i, n - i, top_score - 1000.0f);
      shift(a, -top_score);
      e = a;
      exponential(e);
      add(total, e);
      if (p.entropy != nullptr) add_product(weighted, a, e);
      write(x + i, e, n - i);
    }
    const float sum = simd::sum(total);
    p.logsumexp[row] = top_score + std::log(sum);
    if (p.entropy != nullptr) p.entropy[row] = std::log(sum) - simd::sum(weighted) / sum;
    if (p.factor == nullptr) continue;
    const float factor = p.factor[row] / sum;
    for (int64_t i = 0; i < n; i += kLanes) {
      read(a, x + i, n - i);
      scale(a, factor);
      write(x + i, a, n - i);
    }
  }
}

ETRLREC_SIMD_INSTANCES(norm, (const RmsNormRows& p, int64_t begin, int64_t end), (p, begin, end))
ETRLREC_SIMD_INSTANCES(norm_backward, (const RmsNormGradientRows& p, int64_t begin, int64_t end),
                       (p, begin, end))
ETRLREC_SIMD_INSTANCES(swiglu, (const float* x, float* out, int64_t n, int64_t begin, int64_t end),
                       (x, out, n, begin, end))
ETRLREC_SIMD_INSTANCES(swiglu_backward,
                       (const float* x, const float* g, float* out, int64_t n, int64_t begin,
                        int64_t end),
                       (x, g, out, n, begin, end))
ETRLREC_SIMD_INSTANCES(softmax, (const SoftmaxRows& p), (p))

}  // namespace

void rms_norm_rows(const RmsNormRows& p, int64_t begin, int64_t end) { norm_best(p, begin, end); }

void rms_norm_backward_rows(const RmsNormGradientRows& p, int64_t begin, int64_t end) {
  norm_backward_best(p, begin, end);
}

void swiglu_rows(const float* gate_up, float* out, int64_t columns, int64_t begin, int64_t end) {
  swiglu_best(gate_up, out, columns, begin, end);
}

void swiglu_backward_rows(const float* gate_up, const float* out_gradient, float* gradient,
                          int64_t columns, int64_t begin, int64_t end) {
  swiglu_backward_best(gate_up, out_gradient, gradient, columns, begin, end);
}

void softmax_rows(const SoftmaxRows& p) { softmax_best(p); }

}  // namespace etrlrec
