// Each neuron corrects its rate from its own recent history (equations 2.5, 2.6).
#pragma once

#include "products.h"
#include "tick.h"

namespace {

constexpr int64_t FOUR = 4;  // rows of a neuron's first layer at a time: 2h is usually 8

// Neurons lie far apart in memory: ask for the next one's history while this one is at work.
inline void prefetch(const real* at, int64_t rows) {
  for (int64_t i = 0; i < rows; ++i) __builtin_prefetch(at + i * LANES);
}

inline void correct(const Call& call, const Tick& tick, Scratch& scratch) {
  const Sizes& s = call.sizes;
  const Weights& w = call.weights;
  const int64_t hidden = s.hidden, twice = 2 * hidden, length = s.memory;
  if (hidden == 0) {
    for (int64_t f = 0; f < s.neurons; ++f) row(tick.corrected + f * LANES) = row(tick.inhibited_rates(s, f));
    return;
  }
  scratch.layer.resize(twice * LANES);
  real* layer = scratch.layer.data();
  for (int64_t f = 0; f < s.neurons; ++f) {
    real* window = tick.window(s, f);
    const Row rate = row(tick.inhibited_rates(s, f));
    row(window + (length - 1) * LANES) = rate;
    if (f + 1 < s.neurons) prefetch(tick.window(s, f + 1), length);
    const real *first = w.first + f * twice * length, *first_bias = w.first_bias + f * twice;
    for (int64_t k = 0; k < twice; k += FOUR)
      few_rows(std::min(FOUR, twice - k), length, first + k * length, length, window, layer + k * LANES);
    for (int64_t k = hidden; k < twice; ++k) row(layer + k * LANES) = -(row(layer + k * LANES) + first_bias[k]);
    exponentials(layer + hidden * LANES, hidden * LANES);
    real* gated = tick.gated + f * twice * LANES;
    const real* second = w.second + f * 2 * hidden;
    Row value = Row{} + w.second_bias[f * 2], gate = Row{} + w.second_bias[f * 2 + 1];
    for (int64_t k = 0; k < hidden; ++k) {
      const Row u = row(layer + k * LANES) + first_bias[k],
                open = real(1) / (real(1) + row(layer + (hidden + k) * LANES));
      row(gated + k * LANES) = u;
      row(gated + (hidden + k) * LANES) = open;
      value += second[k] * (u * open);
      gate += second[hidden + k] * (u * open);
    }
    const Row open = sigmoid(gate);
    real* correction = tick.correction + f * 2 * LANES;
    row(correction) = value;
    row(correction + LANES) = open;
    row(tick.corrected + f * LANES) = rectified(rate + value * open);
  }
}

// From the gradient of the corrected rates (D, 16) to that of the rates before; `g_history` (D, M + T, 16) collects
// those of the history, which earlier ticks then take up.
inline void correct_backward(const Call& call, const Panel& panel, const Tick& tick, const real* g_corrected,
                             real* g_rates, real* g_history, Scratch& scratch) {
  const Sizes& s = call.sizes;
  const int64_t hidden = s.hidden, twice = 2 * hidden, length = s.memory;
  if (hidden == 0) {
    std::copy_n(g_corrected, s.neurons * LANES, g_rates);
    return;
  }
  const int64_t here = (panel.number * s.ticks + tick.number) * s.neurons;
  scratch.neuron.resize(TILE * LANES);
  for (int64_t f = 0; f < s.neurons; ++f) {
    real* g_window = g_history + (f * s.history_slots + tick.number + 1) * LANES;
    if (f + 1 < s.neurons) prefetch(g_window + s.history_slots * LANES, length);
    const Row g = where_positive(row(tick.corrected + f * LANES), row(g_corrected + f * LANES));
    const real *correction = tick.correction + f * 2 * LANES, *gated = tick.gated + f * twice * LANES;
    const Row open = row(correction + LANES), g_value = g * open, g_gate = g_value * row(correction) * (real(1) - open);
    real* g_correction = call.leaving.correction + (here + f) * 2 * LANES;
    real* g_gated = call.leaving.gated + (here + f) * twice * LANES;
    row(g_correction) = g_value;
    row(g_correction + LANES) = g_gate;
    const real* second = call.weights.second + f * 2 * hidden;
    for (int64_t k = 0; k < hidden; ++k) {
      const Row g_hidden = second[k] * g_value + second[hidden + k] * g_gate, pass = row(gated + (hidden + k) * LANES);
      row(g_gated + k * LANES) = g_hidden * pass;
      row(g_gated + (hidden + k) * LANES) = g_hidden * pass * row(gated + k * LANES) * (real(1) - pass);
    }
    const real* first = call.transposed.first + f * length * twice;
    real* sums = scratch.neuron.data();
    for (int64_t m = 0; m < length; m += TILE) {
      const int64_t rows = std::min(TILE, length - m);
      few_rows(rows, twice, first + m * twice, twice, g_gated, sums);
      for (int64_t i = 0; i < rows; ++i) row(g_window + (m + i) * LANES) += row(sums + i * LANES);
    }
    row(g_rates + f * LANES) = g + row(g_window + (length - 1) * LANES);
  }
}

// Gradients of one neuron's own weights, over all panels and ticks.
inline void neuron_weights_backward(const Call& call, int64_t f, Scratch& scratch) {
  const Sizes& s = call.sizes;
  const Leaving& leaving = call.leaving;
  const int64_t ticks = s.ticks, hidden = s.hidden, twice = 2 * hidden, length = s.memory;
  scratch.layer.resize(ticks * hidden * LANES);
  scratch.joined.resize(ticks * twice * LANES);
  real *outputs = scratch.layer.data(), *g_layer = scratch.joined.data();
  real *g_first = leaving.first + f * twice * length, *g_second = leaving.second + f * 2 * hidden;
  std::fill_n(g_first, twice * length, real(0));
  std::fill_n(g_second, 2 * hidden, real(0));
  std::vector<real> g_first_bias(twice * LANES, real(0));
  Row g_second_bias[2] = {};
  const int64_t panels = (s.batch + LANES - 1) / LANES;
  for (int64_t n = 0; n < panels; ++n) {
    const real* history = call.trace.history + ((n * s.neurons + f) * s.history_slots + 1) * LANES;
    for (int64_t t = 0; t < ticks; ++t) {
      const int64_t at = (n * ticks + t) * s.neurons + f;
      const real *gated = call.trace.gated + at * twice * LANES, *g_gated = leaving.gated + at * twice * LANES;
      const real* g_correction = leaving.correction + at * 2 * LANES;
      for (int64_t k = 0; k < hidden; ++k)
        row(outputs + (t * hidden + k) * LANES) = row(gated + k * LANES) * row(gated + (hidden + k) * LANES);
      for (int64_t k = 0; k < twice; ++k) {
        row(g_layer + (t * twice + k) * LANES) = row(g_gated + k * LANES);
        row(&g_first_bias[k * LANES]) += row(g_gated + k * LANES);
      }
      for (int i = 0; i < 2; ++i) g_second_bias[i] += row(g_correction + i * LANES);
    }
    const int64_t tick = twice * LANES;
    int64_t k = 0;
    for (; k + 4 <= twice; k += 4) {
      int64_t m = 0;
      for (; m + 3 <= length; m += 3)
        dots<4, 3>(ticks, g_layer + k * LANES, tick, history + m * LANES, LANES, g_first + k * length + m, length);
      for (; m < length; ++m)
        dots<4, 1>(ticks, g_layer + k * LANES, tick, history + m * LANES, LANES, g_first + k * length + m, length);
    }
    for (; k < twice; ++k)
      for (int64_t m = 0; m < length; ++m)
        dots<1, 1>(ticks, g_layer + k * LANES, tick, history + m * LANES, LANES, g_first + k * length + m, length);
    const real* g_correction = leaving.correction + (n * ticks * s.neurons + f) * 2 * LANES;
    for (k = 0; k < hidden; ++k)
      dots<2, 1>(ticks, g_correction, s.neurons * 2 * LANES, outputs + k * LANES, hidden * LANES, g_second + k, hidden);
  }
  for (int64_t k = 0; k < twice; ++k) leaving.first_bias[f * twice + k] = sum_of_lanes(row(&g_first_bias[k * LANES]));
  for (int i = 0; i < 2; ++i) leaving.second_bias[f * 2 + i] = sum_of_lanes(g_second_bias[i]);
}

}  // namespace
