// What Python hands over; tide/native/arguments.py mirrors these structures field by field.
//
// Letters as in tide/types.py: B batch, T ticks, D neurons, N positions, P pairs, M history length, d_z latent width;
// A is the attention's width, K the number of lateral iterations, h the hidden width of the neuron models. A panel is a
// group of sixteen samples; a slot is the place of a panel in the trace.
#pragma once

#include "lanes.h"

struct Sizes {
  int64_t batch, ticks, iterations, heads, head_width, positions;
  int64_t neurons, excitatory, pool, hidden, memory, pairs, streams, latent;
  int64_t stream_pairs[3];
  int64_t norm;         // see NORM_*
  int64_t feedback;     // the corrected rates enter the next tick
  int64_t early_stop;   // lateral inhibition stops by tolerance (eval mode)
  int64_t keep_ticks;   // the trace holds every tick, for the backward pass; else one that is overwritten
  int64_t states_stay;  // every panel has its own place for its state between calls, whatever its slot
  int64_t goes_on;      // those places already hold the state to start from
  int64_t first_tick;   // ticks that earlier calls on this trace ran
  int64_t history_slots;
  double tolerance, clamp, attention_epsilon, latent_epsilon, rms_epsilon;

  int64_t attention() const { return heads * head_width; }
  int64_t mapped() const { return attention() + neurons; }
  int64_t stream_width() const { return latent / streams; }
};

constexpr int64_t NORM_NONE = 0, NORM_RMS = 1, NORM_RMS_CAP = 2, NORM_LAYER = 3;

struct Weights {
  const int64_t *left, *right;                            // (P)
  const real *query, *query_bias;                         // (A, d_z), (A)
  const real *output, *output_bias;                       // (A, A), (A)
  const real *skip, *skip_bias;                           // (A, d_z), (A), or null
  const real *attention_gain, *attention_bias;            // (A)
  const real *map, *map_bias;                             // [U | W_eff] (D, A + D), (D)
  const real *gain, *offset, *alpha;                      // (D), (D) or null, (D)
  const real *excite, *inhibit;                           // (n_W, n_E), (n_E, n_W) with its sign
  const real *first, *first_bias, *second, *second_bias;  // (D, 2h, M), (D, 2h), (D, 2, h), (D, 2)
  const real* retention;                                  // (P)
  const real *stream[3], *stream_bias[3];
  const real *latent_gain, *latent_bias;  // (d_z)
};

// The same matrices with rows and columns exchanged, for the backward pass.
struct Transposed {
  const real *query, *output, *skip, *map, *excite, *inhibit, *first, *stream[3];
  const real *keys, *values;  // (B, heads, N, d_head), (B, heads, d_head, N)
};

struct Start {
  const real *keys, *values;                        // (B, heads, d_head, N), (B, heads, N, d_head)
  const int64_t* sample;                            // of each lane; negative: nobody there; null: all in order
  const real *rates, *history, *products, *latent;  // (B, D), (D, B, M), (B, P), (B, d_z)
  const real* scale;                                // 1/sqrt(N) of every tick (T, P)
};

// Samples first, the padding of the last panel left out.
struct Outcome {
  real *latent, *sums, *power, *iterations;  // (B, T, d_z), (B, T, 2), (B, T), (B, T)
  real *euler, *preactivation, *attended;    // of the last tick: (B, D), (B, D), (B, A)
  real *rates, *history, *products;          // the state after it
};

// Every tick's intermediate results, (slots, ticks or 1, features, 16). Those with "entering" have one tick more.
struct Trace {
  real *query, *attention;                            // (B, heads, T, d_head), (B, heads, T, N), or null
  real *read, *attended_hat, *attended_scale;         // A, A, 1
  real* entering;                                     // attended and rates, A + D
  real *normalised, *inverse_rms, *euler;             // D, 2, D
  real *inhibited, *pool, *iterations;                // (K + 1) n_E, K n_W, 1
  real* history;                                      // (slots, D, history_slots, 16)
  real *gated, *correction, *corrected;               // D 2h, D 2, D
  real *entering_products, *synchrony;                // P, P
  real *latent_hat, *latent_scale, *entering_latent;  // d_z, 1, d_z
};

// Gradients that arrive (null: none), in the shapes of Outcome.
struct Arriving {
  const real *latent, *sums, *power, *euler, *preactivation, *attended, *rates, *history, *products;
};

// What the backward pass returns: gradients of the products' results, to be multiplied with their inputs afterwards,
// and sums over ticks of those of elementwise weights, (panels, features, 16).
struct Leaving {
  real *query, *score, *read;             // (panels, T, A, 16), (B, heads, T, N), (B, heads, T, d_head)
  real *output, *map, *inhibited, *pool;  // (panels, T, A | D | K n_E | K n_W, 16)
  real *gated, *correction, *streams;     // (panels, T, D 2h | D 2 | d_z, 16)
  real *attention_gain, *attention_bias, *gain, *offset, *retention, *latent_gain, *latent_bias;
  real* scale;                                // (panels, T, P)
  real *rates, *history, *products, *latent;  // of the state at the start, in the shapes of Start
  real *first, *first_bias, *second, *second_bias;
};

struct Call {
  Sizes sizes;
  Weights weights;
  Start start;
  Outcome outcome;
  Trace trace;
  Transposed transposed;
  Arriving arriving;
  Leaving leaving;
};
