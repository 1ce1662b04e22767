// The latent state reads the tokens (equations 2.1).
#pragma once

#include "layer_norm.h"
#include "products.h"
#include "tick.h"

namespace {

// out (columns) = weights (rows) times matrix (rows, columns): one query against keys, or attention against values.
inline void vector_times_matrix(int64_t rows, int64_t columns, const real* weights, const real* matrix, real* out) {
  for (int64_t i = 0; i < columns; ++i) out[i] = 0;
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {  // four rows at a time: fewer passes over `out`
    const real a = weights[r], b = weights[r + 1], c = weights[r + 2], d = weights[r + 3];
    const real* m = matrix + r * columns;
    for (int64_t i = 0; i < columns; ++i)
      out[i] += a * m[i] + b * m[columns + i] + c * m[2 * columns + i] + d * m[3 * columns + i];
  }
  for (; r < rows; ++r)
    for (int64_t i = 0; i < columns; ++i) out[i] += weights[r] * matrix[r * columns + i];
}

inline void softmax(int64_t count, real* scores) {
  real top = scores[0], total = 0;
  for (int64_t i = 1; i < count; ++i) top = std::max(top, scores[i]);
  for (int64_t i = 0; i < count; ++i) scores[i] -= top;
  const int64_t padded = rounded_up(count, 8);
  for (int64_t i = count; i < padded; ++i) scores[i] = 0;
  exponentials(scores, padded);
  for (int64_t i = 0; i < count; ++i) total += scores[i];
  const real inverse = real(1) / total;
  for (int64_t i = 0; i < count; ++i) scores[i] *= inverse;
}

inline void attend(const Call& call, const Panel& panel, const Tick& tick, Scratch& scratch) {
  const Sizes& s = call.sizes;
  const Weights& w = call.weights;
  const int64_t width = s.attention(), head = s.head_width, positions = s.positions;
  scratch.turned.resize(width * LANES);
  scratch.scores.resize(rounded_up(positions, 8) + head);
  real* queries = scratch.turned.data();  // (16, A): a sample's query in one piece
  product(width, s.latent, w.query, tick.latent, [&](int64_t m, Row q) {
    q += w.query_bias[m];
    for (int64_t lane = 0; lane < LANES; ++lane) queries[lane * width + m] = q[lane];
  });
  for (int64_t lane = 0; lane < LANES; ++lane) {
    const int64_t place = panel.sample(lane), sample = call.start.sample ? call.start.sample[place] : place;
    if (lane >= panel.count || sample < 0) {
      // Padding shows what the last sample read, a lane whose sample has left reads nothing.
      for (int64_t m = 0; m < width; ++m)
        tick.read[m * LANES + lane] = sample < 0 ? 0 : tick.read[m * LANES + lane - 1];
      continue;
    }
    for (int64_t h = 0; h < s.heads; ++h) {
      const int64_t at = sample * s.heads + h, kept = at * s.ticks + tick.number;
      const real* query = queries + lane * width + h * head;
      real* scores = scratch.scores.data();
      real* found = scores + rounded_up(positions, 8);
      vector_times_matrix(head, positions, query, call.start.keys + at * head * positions, scores);
      softmax(positions, scores);
      vector_times_matrix(positions, head, scores, call.start.values + at * positions * head, found);
      for (int64_t c = 0; c < head; ++c) tick.read[(h * head + c) * LANES + lane] = found[c];
      if (s.keep_ticks) {
        std::copy_n(query, head, call.trace.query + kept * head);
        std::copy_n(scores, positions, call.trace.attention + kept * positions);
      }
    }
  }
  product(width, width, w.output, tick.read,
          [&](int64_t m, Row o) { row(tick.attended_hat + m * LANES) = o + w.output_bias[m]; });
  if (w.skip)
    product(width, s.latent, w.skip, tick.latent,
            [&](int64_t m, Row o) { row(tick.attended_hat + m * LANES) += o + w.skip_bias[m]; });
  layer_norm(width, real(s.attention_epsilon), tick.attended_hat, tick.attended_scale, w.attention_gain,
             w.attention_bias, tick.attended);
}

// From the gradient of what was attended (A, 16) to that of the latent state at the tick's start (d_z, 16).
inline void attend_backward(const Call& call, const Panel& panel, const Tick& tick, const real* g_attended,
                            real* g_latent, Scratch& scratch) {
  const Sizes& s = call.sizes;
  const Transposed& w = call.transposed;
  const Leaving& leaving = call.leaving;
  const int64_t width = s.attention(), head = s.head_width, positions = s.positions;
  const int64_t here = (panel.number * s.ticks + tick.number) * width * LANES;
  real *g_output = leaving.output + here, *g_query = leaving.query + here;
  layer_norm_backward(width, g_attended, tick.attended_hat, tick.attended_scale, call.weights.attention_gain, g_output,
                      leaving.attention_gain + panel.number * width * LANES,
                      leaving.attention_bias + panel.number * width * LANES);
  scratch.turned.resize(width * LANES);
  scratch.scores.resize(positions + head);
  real* g_reads = scratch.turned.data();  // (16, A)
  product(width, width, w.output, g_output, [&](int64_t m, Row g) {
    for (int64_t lane = 0; lane < LANES; ++lane) g_reads[lane * width + m] = g[lane];
  });
  for (int64_t m = 0; m < width; ++m) row(g_query + m * LANES) = Row{};
  for (int64_t lane = 0; lane < panel.count; ++lane)
    for (int64_t h = 0; h < s.heads; ++h) {
      const int64_t at = panel.sample(lane) * s.heads + h, kept = at * s.ticks + tick.number;
      const real* g_read = g_reads + lane * width + h * head;
      const real* attention = call.trace.attention + kept * positions;
      real *g_attention = scratch.scores.data(), *g_head = g_attention + positions,
           *g_score = leaving.score + kept * positions;
      std::copy_n(g_read, head, leaving.read + kept * head);
      vector_times_matrix(head, positions, g_read, w.values + at * head * positions, g_attention);
      real along = 0;
      for (int64_t i = 0; i < positions; ++i) along += g_attention[i] * attention[i];
      for (int64_t i = 0; i < positions; ++i) g_score[i] = attention[i] * (g_attention[i] - along);
      vector_times_matrix(positions, head, g_score, w.keys + at * positions * head, g_head);
      for (int64_t c = 0; c < head; ++c) g_query[(h * head + c) * LANES + lane] = g_head[c];
    }
  product(s.latent, width, w.query, g_query, [&](int64_t m, Row g) { row(g_latent + m * LANES) = g; });
  if (w.skip) product(s.latent, width, w.skip, g_output, [&](int64_t m, Row g) { row(g_latent + m * LANES) += g; });
}

}  // namespace
