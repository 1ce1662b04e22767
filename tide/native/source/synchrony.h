// The latent state is read from decaying products of the rates of pairs (equations 2.7).
#pragma once

#include "layer_norm.h"
#include "products.h"
#include "tick.h"

namespace {

inline void synchronise(const Call& call, const Panel& panel, const Tick& tick) {
  const Sizes& s = call.sizes;
  const Weights& w = call.weights;
  const real* scale = call.start.scale + tick.number * s.pairs;
  const real bound = real(s.clamp);
  Row power{};
  for (int64_t p = 0; p < s.pairs; ++p) {
    Row product = row(tick.products + p * LANES) * w.retention[p] +
                  row(tick.corrected + w.left[p] * LANES) * row(tick.corrected + w.right[p] * LANES);
    product = product > bound ? Row{} + bound : product;
    product = product < -bound ? Row{} - bound : product;
    const Row synchrony = product * scale[p];
    row(tick.next_products + p * LANES) = product;
    row(tick.synchrony + p * LANES) = synchrony;
    power += synchrony * synchrony;
  }
  const int64_t width = s.stream_width();
  for (int64_t i = 0, first = 0; i < s.streams; first += s.stream_pairs[i++])
    product(width, s.stream_pairs[i], w.stream[i], tick.synchrony + first * LANES,
            [&](int64_t m, Row z) { row(tick.latent_hat + (i * width + m) * LANES) = z + w.stream_bias[i][m]; });
  layer_norm(s.latent, real(s.latent_epsilon), tick.latent_hat, tick.latent_scale, w.latent_gain, w.latent_bias,
             tick.next_latent);
  for (int64_t lane = 0; lane < panel.count; ++lane) {
    const int64_t at = (panel.first + lane) * s.ticks + tick.number;
    call.outcome.power[at] = power[lane] / real(s.pairs);
    for (int64_t f = 0; f < s.latent; ++f) call.outcome.latent[at * s.latent + f] = tick.next_latent[f * LANES + lane];
  }
}

// Adds to `g_corrected` (D, 16). `g_latent` (d_z, 16) holds the gradient of the latent state from later ticks and
// `g_products` (P, 16) that of the products, which becomes that of the tick before.
inline void synchronise_backward(const Call& call, const Panel& panel, const Tick& tick, real* g_latent,
                                 real* g_products, real* g_corrected, Scratch& scratch) {
  const Sizes& s = call.sizes;
  const Weights& w = call.weights;
  const int64_t here = panel.number * s.ticks + tick.number, width = s.stream_width();
  if (call.arriving.latent)
    for (int64_t lane = 0; lane < panel.count; ++lane) {
      const real* g = call.arriving.latent + ((panel.first + lane) * s.ticks + tick.number) * s.latent;
      for (int64_t f = 0; f < s.latent; ++f) g_latent[f * LANES + lane] += g[f];
    }
  real* g_streams = call.leaving.streams + here * s.latent * LANES;
  layer_norm_backward(s.latent, g_latent, tick.latent_hat, tick.latent_scale, w.latent_gain, g_streams,
                      call.leaving.latent_gain + panel.number * s.latent * LANES,
                      call.leaving.latent_bias + panel.number * s.latent * LANES);
  scratch.synchrony.resize(s.pairs * LANES);
  real* g_synchrony = scratch.synchrony.data();
  for (int64_t i = 0, first = 0; i < s.streams; first += s.stream_pairs[i++])
    product(s.stream_pairs[i], width, call.transposed.stream[i], g_streams + i * width * LANES,
            [&](int64_t p, Row g) { row(g_synchrony + (first + p) * LANES) = g; });
  Row g_power{};
  if (call.arriving.power)
    for (int64_t lane = 0; lane < panel.count; ++lane)
      g_power[lane] = call.arriving.power[(panel.first + lane) * s.ticks + tick.number] * (real(2) / real(s.pairs));
  const real *scale = call.start.scale + tick.number * s.pairs, bound = real(s.clamp);
  real *g_scale = call.leaving.scale + here * s.pairs,
       *g_retention = call.leaving.retention + panel.number * s.pairs * LANES;
  for (int64_t p = 0; p < s.pairs; ++p) {
    const Row g = row(g_synchrony + p * LANES) + g_power * row(tick.synchrony + p * LANES);
    const Row before = row(tick.products + p * LANES);
    const Row one = row(tick.corrected + w.left[p] * LANES), other = row(tick.corrected + w.right[p] * LANES);
    g_scale[p] = sum_of_lanes(g * row(tick.next_products + p * LANES));
    Row g_product = row(g_products + p * LANES) + g * scale[p];
    if (std::isfinite(bound)) {
      const Row unbounded = before * w.retention[p] + one * other;
      g_product = unbounded > bound ? Row{} : g_product;
      g_product = unbounded < -bound ? Row{} : g_product;
    }
    row(g_retention + p * LANES) += g_product * before;
    row(g_products + p * LANES) = g_product * w.retention[p];
    row(g_corrected + w.left[p] * LANES) += g_product * other;
    row(g_corrected + w.right[p] * LANES) += g_product * one;
  }
}

}  // namespace
