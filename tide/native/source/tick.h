// Where one tick of one panel finds its numbers.
#pragma once

#include "arguments.h"

namespace {

struct Panel {
  int64_t number, slot;
  int64_t first, count;  // its samples: first, ..., first + count - 1

  Panel(const Sizes& s, int64_t number, int64_t slot)
      : number(number), slot(slot), first(number * LANES), count(std::min(LANES, s.batch - number * LANES)) {}

  // The sample whose numbers a lane starts from. Padding repeats the last one: it stays finite where that does.
  int64_t sample(int64_t lane) const { return first + std::min(lane, count - 1); }
};

struct Tick {
  int64_t number, moment;  // within this call; since the start of the trace
  bool last;
  real *read, *attended_hat, *attended_scale, *entering, *attended, *rates, *next_rates;
  real *normalised, *inverse_rms, *euler, *inhibited, *pool, *iterations, *history, *gated, *correction, *corrected;
  real *products, *next_products, *synchrony, *latent_hat, *latent_scale, *latent, *next_latent;

  Tick(const Call& call, const Panel& panel, int64_t number)
      : number(number), moment(call.sizes.first_tick + number), last(number == call.sizes.ticks - 1) {
    const Sizes& s = call.sizes;
    const Trace& trace = call.trace;
    const int64_t kept = s.keep_ticks ? s.ticks : 1, here = s.keep_ticks ? number : 0,
                  next = s.keep_ticks ? here + 1 : 0;
    const int64_t states = s.keep_ticks ? s.ticks + 1 : 1;
    auto one_of = [&](real* base, int64_t features) { return base + (panel.slot * kept + here) * features * LANES; };
    const int64_t place = s.states_stay ? panel.number : panel.slot;
    auto state = [&](real* base, int64_t at, int64_t features) {
      return base + (place * states + at) * features * LANES;
    };
    const int64_t width = s.attention();
    read = one_of(trace.read, width);
    attended_hat = one_of(trace.attended_hat, width);
    attended_scale = one_of(trace.attended_scale, 1);
    entering = attended = state(trace.entering, here, s.mapped());
    rates = entering + width * LANES;
    next_rates = state(trace.entering, next, s.mapped()) + width * LANES;
    normalised = one_of(trace.normalised, s.neurons);
    inverse_rms = one_of(trace.inverse_rms, 2);
    euler = one_of(trace.euler, s.neurons);
    inhibited = one_of(trace.inhibited, (s.iterations + 1) * s.excitatory);
    pool = one_of(trace.pool, s.iterations * s.pool);
    iterations = one_of(trace.iterations, 1);
    history = trace.history + place * s.neurons * s.history_slots * LANES;
    gated = one_of(trace.gated, s.neurons * 2 * s.hidden);
    correction = one_of(trace.correction, s.neurons * 2);
    corrected = s.feedback ? next_rates : one_of(trace.corrected, s.neurons);
    products = state(trace.entering_products, here, s.pairs);
    next_products = state(trace.entering_products, next, s.pairs);
    synchrony = one_of(trace.synchrony, s.pairs);
    latent_hat = one_of(trace.latent_hat, s.latent);
    latent_scale = one_of(trace.latent_scale, 1);
    latent = state(trace.entering_latent, here, s.latent);
    next_latent = state(trace.entering_latent, next, s.latent);
  }

  // Rates after the lateral inhibition, of one neuron.
  const real* inhibited_rates(const Sizes& s, int64_t neuron) const {
    return neuron < s.excitatory ? inhibited + (s.iterations * s.excitatory + neuron) * LANES : euler + neuron * LANES;
  }

  // The history of one neuron as this tick's model sees it, oldest first; the newest entry is this tick's own.
  real* window(const Sizes& s, int64_t neuron) const {
    return history + (neuron * s.history_slots + moment + 1) * LANES;
  }
};

// Numbers that one thread needs while it runs a panel.
struct Scratch {
  std::vector<real> turned, scores, layer, neuron, rates, products, synchrony, post, driven, latent, joined, history;
};

}  // namespace
