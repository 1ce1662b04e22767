// The Wilson-Cowan step and the lateral inhibition (equations 2.2 to 2.4).
#pragma once

#include "products.h"
#include "tick.h"

namespace {

struct Population {
  int64_t begin, end;
  Population(const Sizes& s, int number) : begin(number ? s.excitatory : 0), end(number ? s.neurons : s.excitatory) {}
};

// What the activation is of, after the norm.
inline Row preactivation(const Weights& w, int64_t f, Row normalised) {
  const Row scaled = normalised * w.gain[f];
  return w.offset ? scaled + w.offset[f] : scaled;
}

inline void euler_step(const Call& call, const Panel& panel, const Tick& tick) {
  const Sizes& s = call.sizes;
  const Weights& w = call.weights;
  product(s.neurons, s.mapped(), w.map, tick.entering,
          [&](int64_t f, Row h) { row(tick.normalised + f * LANES) = h + w.map_bias[f]; });
  for (int number = 0; number < 2; ++number) {
    const Population population(s, number);
    const real size = real(population.end - population.begin);
    Row inverse = Row{} + real(1), total{};
    if (s.norm == NORM_LAYER) {
      Row mean{};
      for (int64_t f = population.begin; f < population.end; ++f) mean += row(tick.normalised + f * LANES);
      mean /= size;
      for (int64_t f = population.begin; f < population.end; ++f) row(tick.normalised + f * LANES) -= mean;
    }
    if (s.norm != NORM_NONE) {
      Row square{};
      for (int64_t f = population.begin; f < population.end; ++f) {
        const Row h = row(tick.normalised + f * LANES);
        square += h * h;
      }
      inverse = reciprocal_root(square / size + real(s.rms_epsilon));
      if (s.norm == NORM_RMS_CAP) inverse = inverse > 1 ? Row{} + real(1) : inverse;
    }
    row(tick.inverse_rms + number * LANES) = inverse;
    for (int64_t f = population.begin; f < population.end; ++f) {
      const Row normalised = row(tick.normalised + f * LANES) * inverse, before = row(tick.rates + f * LANES);
      const Row after = before + w.alpha[f] * (rectified(preactivation(w, f, normalised)) - before);
      row(tick.normalised + f * LANES) = normalised;
      row(tick.euler + f * LANES) = after;
      total += after;
    }
    for (int64_t lane = 0; lane < panel.count; ++lane)
      call.outcome.sums[((panel.first + lane) * s.ticks + tick.number) * 2 + number] = total[lane];
  }
}

// From the gradient of the new rates (D, 16) to those of the attended (A, 16) and of the old rates (D, 16).
inline void euler_step_backward(const Call& call, const Panel& panel, const Tick& tick, const real* g_euler,
                                real* g_attended, real* g_rates) {
  const Sizes& s = call.sizes;
  const Weights& w = call.weights;
  real* g_map = call.leaving.map + (panel.number * s.ticks + tick.number) * s.neurons * LANES;
  real* g_gain = call.leaving.gain + panel.number * s.neurons * LANES;
  real* g_offset = call.leaving.offset + panel.number * s.neurons * LANES;
  for (int number = 0; number < 2; ++number) {
    const Population population(s, number);
    const real size = real(population.end - population.begin);
    Row g_sum{}, along{}, mean{};
    if (call.arriving.sums)
      for (int64_t lane = 0; lane < panel.count; ++lane)
        g_sum[lane] = call.arriving.sums[((panel.first + lane) * s.ticks + tick.number) * 2 + number];
    for (int64_t f = population.begin; f < population.end; ++f) {
      const Row g = row(g_euler + f * LANES) + g_sum, normalised = row(tick.normalised + f * LANES);
      Row g_h = where_positive(preactivation(w, f, normalised), w.alpha[f] * g);
      if (tick.last && call.arriving.preactivation)
        for (int64_t lane = 0; lane < panel.count; ++lane)
          g_h[lane] += call.arriving.preactivation[(panel.first + lane) * s.neurons + f];
      row(g_rates + f * LANES) = (real(1) - w.alpha[f]) * g;
      row(g_gain + f * LANES) += g_h * normalised;
      row(g_offset + f * LANES) += g_h;
      row(g_map + f * LANES) = g_h * w.gain[f];
      mean += g_h * w.gain[f];
      along += g_h * w.gain[f] * normalised;
    }
    const Row inverse = row(tick.inverse_rms + number * LANES);
    along /= size;
    mean /= size;
    if (s.norm != NORM_LAYER) mean = Row{};
    if (s.norm == NORM_NONE) along = Row{};
    if (s.norm == NORM_RMS_CAP) along = inverse >= 1 ? Row{} : along;  // inside the ball the norm is the identity
    for (int64_t f = population.begin; f < population.end; ++f)
      row(g_map + f * LANES) = inverse * (row(g_map + f * LANES) - mean - row(tick.normalised + f * LANES) * along);
  }
  const int64_t width = s.attention();
  product(s.mapped(), s.neurons, call.transposed.map, g_map, [&](int64_t m, Row g) {
    if (m < width)
      row(g_attended + m * LANES) = g;
    else
      row(g_rates + (m - width) * LANES) += g;
  });
}

inline void inhibit(const Call& call, const Panel& panel, const Tick& tick) {
  const Sizes& s = call.sizes;
  const Weights& w = call.weights;
  const int64_t step = s.excitatory * LANES;
  std::copy_n(tick.euler, step, tick.inhibited);
  Row used{}, active = Row{} + real(1);  // 1 for a sample that still moves
  for (int64_t k = 0; k < s.iterations; ++k) {
    const real* current = tick.inhibited + k * step;
    real *moved = tick.inhibited + (k + 1) * step, *pool = tick.pool + k * s.pool * LANES;
    product(s.pool, s.excitatory, w.excite, current, [&](int64_t m, Row a) { row(pool + m * LANES) = rectified(a); });
    if (!s.early_stop) {
      product(s.excitatory, s.pool, w.inhibit, pool,
              [&](int64_t m, Row a) { row(moved + m * LANES) = rectified(row(tick.euler + m * LANES) + a); });
      continue;
    }
    Row moving{};
    product(s.excitatory, s.pool, w.inhibit, pool, [&](int64_t m, Row a) {
      const Row old = row(current + m * LANES), now = rectified(row(tick.euler + m * LANES) + a);
      const Row change = now < old ? old - now : now - old;
      moving = change >= real(s.tolerance) ? Row{} + real(1) : moving;
      row(moved + m * LANES) = active > 0 ? now : old;
    });
    used += active;
    active = moving > 0 ? active : Row{};
    // With a trace all iterations are run, so that every number in it is defined.
    if (!s.keep_ticks && sum_of_lanes(active) == 0) {
      for (int64_t later = k + 1; later < s.iterations; ++later)
        std::copy_n(moved, step, tick.inhibited + (later + 1) * step);
      break;
    }
  }
  row(tick.iterations) = s.early_stop ? used : Row{} + real(s.iterations);
  for (int64_t lane = 0; lane < panel.count; ++lane)
    call.outcome.iterations[(panel.first + lane) * s.ticks + tick.number] = tick.iterations[lane];
}

// `g` (n_E, 16) holds the gradient of the inhibited rates and becomes that of the rates before the inhibition.
inline void inhibit_backward(const Call& call, const Panel& panel, const Tick& tick, real* g, real* g_driven) {
  const Sizes& s = call.sizes;
  const int64_t here = panel.number * s.ticks + tick.number;
  const Row used = row(tick.iterations);
  std::fill_n(g_driven, s.excitatory * LANES, real(0));
  for (int64_t k = s.iterations - 1; k >= 0; --k) {
    const real *moved = tick.inhibited + (k + 1) * s.excitatory * LANES, *pool = tick.pool + k * s.pool * LANES;
    real* g_moved = call.leaving.inhibited + (here * s.iterations + k) * s.excitatory * LANES;
    real* g_pool = call.leaving.pool + (here * s.iterations + k) * s.pool * LANES;
    for (int64_t f = 0; f < s.excitatory; ++f) {
      const Row through = where_positive(row(moved + f * LANES), row(g + f * LANES));
      const Row taken = used > real(k) ? through : Row{};
      row(g_moved + f * LANES) = taken;
      row(g_driven + f * LANES) += taken;
    }
    product(s.pool, s.excitatory, call.transposed.inhibit, g_moved,
            [&](int64_t m, Row a) { row(g_pool + m * LANES) = where_positive(row(pool + m * LANES), a); });
    product(s.excitatory, s.pool, call.transposed.excite, g_pool, [&](int64_t f, Row a) {
      // A sample that had stopped by then kept its rates: their gradient passes.
      row(g + f * LANES) = used > real(k) ? a : row(g + f * LANES);
    });
  }
  for (int64_t f = 0; f < s.excitatory; ++f) row(g + f * LANES) += row(g_driven + f * LANES);
}

}  // namespace
