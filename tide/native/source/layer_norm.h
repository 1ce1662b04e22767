// LayerNorm over features (F, 16).
#pragma once

#include "lanes.h"

namespace {

// x becomes its normalised self in place; y = normalised * gain + bias.
inline void layer_norm(int64_t features, real epsilon, real* x, real* scale, const real* gain, const real* bias,
                       real* y) {
  Row mean{}, variance{};
  for (int64_t f = 0; f < features; ++f) mean += row(x + f * LANES);
  mean /= real(features);
  for (int64_t f = 0; f < features; ++f) {
    const Row centred = row(x + f * LANES) - mean;
    variance += centred * centred;
  }
  const Row inverse = reciprocal_root(variance / real(features) + epsilon);
  row(scale) = inverse;
  for (int64_t f = 0; f < features; ++f) {
    const Row hat = (row(x + f * LANES) - mean) * inverse;
    row(x + f * LANES) = hat;
    row(y + f * LANES) = hat * gain[f] + bias[f];
  }
}

inline void layer_norm_backward(int64_t features, const real* g_y, const real* hat, const real* scale, const real* gain,
                                real* g_x, real* g_gain, real* g_bias) {
  Row mean{}, along{};
  for (int64_t f = 0; f < features; ++f) {
    const Row g = row(g_y + f * LANES), x = row(hat + f * LANES);
    row(g_gain + f * LANES) += g * x;
    row(g_bias + f * LANES) += g;
    mean += g * gain[f];
    along += g * gain[f] * x;
  }
  mean /= real(features);
  along /= real(features);
  const Row inverse = row(scale);
  for (int64_t f = 0; f < features; ++f)
    row(g_x + f * LANES) = inverse * (row(g_y + f * LANES) * gain[f] - mean - row(hat + f * LANES) * along);
}

}  // namespace
