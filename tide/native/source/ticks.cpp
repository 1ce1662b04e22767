// TIDE's loop over ticks, forward and backward through time, for CPUs.
//
// A panel of sixteen samples goes through all ticks before the next one starts: its state stays in the caches, and
// threads that share the panels out need no barrier. The gradients of matrices are left to one product each over all
// ticks, which the caller makes.
#include "attention.h"
#include "dynamics.h"
#include "neuron_models.h"
#include "synchrony.h"

namespace {

// Turn samples first into features first.
inline void gather(const Panel& panel, int64_t features, const real* samples, real* rows) {
  for (int64_t lane = 0; lane < LANES; ++lane)
    for (int64_t f = 0; f < features; ++f) rows[f * LANES + lane] = samples[panel.sample(lane) * features + f];
}

inline void scatter(const Panel& panel, int64_t features, const real* rows, real* samples) {
  for (int64_t lane = 0; lane < panel.count; ++lane)
    for (int64_t f = 0; f < features; ++f) samples[(panel.first + lane) * features + f] = rows[f * LANES + lane];
}

// The same for gradients, which padding has none of; a null pointer is a gradient of zero.
inline void gather_gradient(const Panel& panel, int64_t features, const real* samples, real* rows) {
  std::fill_n(rows, features * LANES, real(0));
  if (!samples) return;
  for (int64_t lane = 0; lane < panel.count; ++lane)
    for (int64_t f = 0; f < features; ++f) rows[f * LANES + lane] = samples[(panel.first + lane) * features + f];
}

inline void begin(const Call& call, const Panel& panel, const Tick& tick) {
  const Sizes& s = call.sizes;
  gather(panel, s.neurons, call.start.rates, tick.rates);
  gather(panel, s.pairs, call.start.products, tick.products);
  gather(panel, s.latent, call.start.latent, tick.latent);
  if (s.hidden == 0) return;
  for (int64_t f = 0; f < s.neurons; ++f)
    for (int64_t lane = 0; lane < LANES; ++lane) {
      const real* entries = call.start.history + (f * s.batch + panel.sample(lane)) * s.memory;
      real* slots = tick.history + f * s.history_slots * LANES;
      for (int64_t m = 0; m < s.memory; ++m) slots[m * LANES + lane] = entries[m];
    }
}

inline void end(const Call& call, const Panel& panel, const Tick& tick) {
  const Sizes& s = call.sizes;
  const Outcome& outcome = call.outcome;
  scatter(panel, s.neurons, tick.euler, outcome.euler);
  scatter(panel, s.attention(), tick.attended, outcome.attended);
  for (int64_t f = 0; f < s.neurons; ++f)
    for (int64_t lane = 0; lane < panel.count; ++lane)
      outcome.preactivation[(panel.first + lane) * s.neurons + f] =
          preactivation(call.weights, f, row(tick.normalised + f * LANES))[lane];
  scatter(panel, s.neurons, tick.next_rates, outcome.rates);
  scatter(panel, s.pairs, tick.next_products, outcome.products);
  if (s.hidden == 0) return;
  for (int64_t f = 0; f < s.neurons; ++f)
    for (int64_t lane = 0; lane < panel.count; ++lane) {
      real* entries = outcome.history + (f * s.batch + panel.first + lane) * s.memory;
      const real* window = tick.window(s, f);
      for (int64_t m = 0; m < s.memory; ++m) entries[m] = window[m * LANES + lane];
    }
}

void think(const Call& call, int64_t number, int64_t slot, Scratch& scratch) {
  const Sizes& s = call.sizes;
  const Panel panel(s, number, slot);
  if (!s.goes_on) begin(call, panel, Tick(call, panel, 0));
  for (int64_t t = 0; t < s.ticks; ++t) {
    const Tick tick(call, panel, t);
    attend(call, panel, tick, scratch);
    euler_step(call, panel, tick);
    inhibit(call, panel, tick);
    correct(call, tick, scratch);
    synchronise(call, panel, tick);
    if (!s.feedback) std::copy_n(tick.euler, s.neurons * LANES, tick.next_rates);
    if (tick.last && call.outcome.rates) end(call, panel, tick);
  }
}

void think_backward(const Call& call, int64_t number, Scratch& scratch) {
  const Sizes& s = call.sizes;
  const Arriving& arriving = call.arriving;
  const Leaving& leaving = call.leaving;
  const Panel panel(s, number, number);
  const int64_t width = s.attention(), history = s.neurons * s.history_slots * LANES;
  for (auto [sums, features] : {std::pair{leaving.attention_gain, width},
                                {leaving.attention_bias, width},
                                {leaving.gain, s.neurons},
                                {leaving.offset, s.neurons},
                                {leaving.retention, s.pairs},
                                {leaving.latent_gain, s.latent},
                                {leaving.latent_bias, s.latent}})
    std::fill_n(sums + number * features * LANES, features * LANES, real(0));
  scratch.rates.resize(s.neurons * LANES);
  scratch.products.resize(s.pairs * LANES);
  scratch.post.resize(s.neurons * LANES);
  scratch.joined.resize(s.neurons * LANES);
  scratch.driven.resize(s.excitatory * LANES);
  scratch.latent.assign(s.latent * LANES, real(0));
  scratch.history.assign(s.hidden ? history : 0, real(0));
  std::vector<real> attended(width * LANES);
  // Of the rates, the products and the latent state that enter the tick after the one at work.
  real *g_rates = scratch.rates.data(), *g_products = scratch.products.data(), *g_latent = scratch.latent.data();
  real *g_history = scratch.history.data(), *g_corrected = scratch.joined.data(), *g_post = scratch.post.data();
  gather_gradient(panel, s.neurons, arriving.rates, g_rates);
  gather_gradient(panel, s.pairs, arriving.products, g_products);
  if (s.hidden && arriving.history)
    for (int64_t f = 0; f < s.neurons; ++f)
      for (int64_t lane = 0; lane < panel.count; ++lane) {
        const real* entries = arriving.history + (f * s.batch + panel.first + lane) * s.memory;
        for (int64_t m = 0; m < s.memory; ++m)
          g_history[(f * s.history_slots + s.ticks + m) * LANES + lane] = entries[m];
      }
  for (int64_t t = s.ticks - 1; t >= 0; --t) {
    const Tick tick(call, panel, t);
    if (s.feedback)
      std::copy_n(g_rates, s.neurons * LANES, g_corrected);
    else
      std::fill_n(g_corrected, s.neurons * LANES, real(0));
    synchronise_backward(call, panel, tick, g_latent, g_products, g_corrected, scratch);
    correct_backward(call, panel, tick, g_corrected, g_post, g_history, scratch);
    inhibit_backward(call, panel, tick, g_post, scratch.driven.data());
    if (!s.feedback)
      for (int64_t f = 0; f < s.neurons; ++f) row(g_post + f * LANES) += row(g_rates + f * LANES);
    if (tick.last && arriving.euler)
      for (int64_t lane = 0; lane < panel.count; ++lane)
        for (int64_t f = 0; f < s.neurons; ++f)
          g_post[f * LANES + lane] += arriving.euler[(panel.first + lane) * s.neurons + f];
    euler_step_backward(call, panel, tick, g_post, attended.data(), g_rates);
    if (tick.last && arriving.attended)
      for (int64_t lane = 0; lane < panel.count; ++lane)
        for (int64_t f = 0; f < width; ++f)
          attended[f * LANES + lane] += arriving.attended[(panel.first + lane) * width + f];
    attend_backward(call, panel, tick, attended.data(), g_latent, scratch);
  }
  scatter(panel, s.neurons, g_rates, leaving.rates);
  scatter(panel, s.pairs, g_products, leaving.products);
  scatter(panel, s.latent, g_latent, leaving.latent);
  if (s.hidden == 0) return;
  for (int64_t f = 0; f < s.neurons; ++f)
    for (int64_t lane = 0; lane < panel.count; ++lane) {
      real* entries = leaving.history + (f * s.batch + panel.first + lane) * s.memory;
      for (int64_t m = 0; m < s.memory; ++m) entries[m] = g_history[(f * s.history_slots + m) * LANES + lane];
    }
}

}  // namespace

extern "C" {

// Bytes of a call, by which the caller checks that its mirror of the structures is the same.
int64_t tide_call_bytes() { return sizeof(Call); }

// Run panels first, ..., first + count - 1. Where the trace keeps panels each has its own slot, else all use `slot`.
void tide_forward(const Call* call, int64_t first, int64_t count, int64_t slot) {
  Scratch scratch;
  for (int64_t n = first; n < first + count; ++n) think(*call, n, slot < 0 ? n : slot, scratch);
}

void tide_backward(const Call* call, int64_t first, int64_t count, int64_t) {
  Scratch scratch;
  for (int64_t n = first; n < first + count; ++n) think_backward(*call, n, scratch);
}

// Gradients of the neuron models first, ..., first + count - 1, after all panels went backward.
void tide_neuron_weights(const Call* call, int64_t first, int64_t count, int64_t) {
  Scratch scratch;
  for (int64_t f = first; f < first + count; ++f) neuron_weights_backward(*call, f, scratch);
}

// Move the samples that stay to the front of (panels, groups, features, 16): lane i takes over lane source[i], never an
// earlier one, so this works in place.
void tide_compact(real* rows, int64_t groups, int64_t features, int64_t panel_stride, int64_t group_stride,
                  const int64_t* source, int64_t lanes) {
  for (int64_t g = 0; g < groups; ++g)
    for (int64_t f = 0; f < features; ++f) {
      real* at = rows + g * group_stride + f * LANES;
      for (int64_t i = 0; i < lanes; ++i)
        at[i / LANES * panel_stride + i % LANES] = at[source[i] / LANES * panel_stride + source[i] % LANES];
    }
}
}
