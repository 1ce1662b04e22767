// Matrix products with sixteen samples as columns.
#pragma once

#include "lanes.h"

namespace {

// Six rows of twelve accumulators fill the sixteen vector registers of AVX2 with two columns and one weight.
constexpr int64_t TILE = 6;

// Terms that are added up before their sum joins the others: one long sum in single precision would lose a digit.
constexpr int64_t BLOCK = 64;

template <int ROWS>
inline void tile(int64_t inner, const real* weights, int64_t stride, const real* columns, real* out) {
  Half totals[ROWS][2] = {};
  for (int64_t begin = 0; begin < inner; begin += BLOCK) {
    const int64_t end = std::min(begin + BLOCK, inner);
    Half sums[ROWS][2] = {};
    for (int64_t k = begin; k < end; ++k) {
      const Half low = *reinterpret_cast<const Half*>(columns + k * LANES);
      const Half high = *reinterpret_cast<const Half*>(columns + k * LANES + LANES / 2);
#pragma GCC unroll 8
      for (int r = 0; r < ROWS; ++r) {
        const real w = weights[r * stride + k];
        sums[r][0] += w * low;
        sums[r][1] += w * high;
      }
    }
    for (int r = 0; r < ROWS; ++r)
      for (int half = 0; half < 2; ++half) totals[r][half] += sums[r][half];
  }
  for (int r = 0; r < ROWS; ++r) {
    *reinterpret_cast<Half*>(out + r * LANES) = totals[r][0];
    *reinterpret_cast<Half*>(out + r * LANES + LANES / 2) = totals[r][1];
  }
}

// out (rows, 16) = weights (rows, inner), rows `stride` apart, times columns (inner, 16), for at most TILE rows.
__attribute__((noinline)) void few_rows(int64_t rows, int64_t inner, const real* weights, int64_t stride,
                                        const real* columns, real* out) {
  switch (rows) {
    case 6:
      return tile<6>(inner, weights, stride, columns, out);
    case 5:
      return tile<5>(inner, weights, stride, columns, out);
    case 4:
      return tile<4>(inner, weights, stride, columns, out);
    case 3:
      return tile<3>(inner, weights, stride, columns, out);
    case 2:
      return tile<2>(inner, weights, stride, columns, out);
    case 1:
      return tile<1>(inner, weights, stride, columns, out);
  }
}

// Hand every row of weights (rows, inner) times columns (inner, 16) to finish(row number, values).
template <class Finish>
inline void product(int64_t rows, int64_t inner, const real* weights, const real* columns, Finish&& finish) {
  real sums[TILE * LANES];
  for (int64_t first = 0; first < rows; first += TILE) {
    const int64_t count = std::min(TILE, rows - first);
    few_rows(count, inner, weights + first * inner, inner, columns, sums);
    for (int64_t r = 0; r < count; ++r) finish(first + r, row(sums + r * LANES));
  }
}

// out[i * inner] += dot of a's row i with b's row over ticks and lanes; rows of 16, ticks `a_tick` and `b_tick` apart.
template <int A, int B>
inline void dots(int64_t ticks, const real* a, int64_t a_tick, const real* b, int64_t b_tick, real* out,
                 int64_t stride) {
  Half sums[A][B] = {};
  for (int64_t t = 0; t < ticks; ++t)
    for (int64_t lane = 0; lane < LANES; lane += LANES / 2) {
      Half y[B];
#pragma GCC unroll 8
      for (int j = 0; j < B; ++j) y[j] = *reinterpret_cast<const Half*>(b + t * b_tick + j * LANES + lane);
#pragma GCC unroll 8
      for (int i = 0; i < A; ++i) {
        const Half x = *reinterpret_cast<const Half*>(a + t * a_tick + i * LANES + lane);
#pragma GCC unroll 8
        for (int j = 0; j < B; ++j) sums[i][j] += x * y[j];
      }
    }
  for (int i = 0; i < A; ++i)
    for (int j = 0; j < B; ++j) {
      real total = 0;
      for (int64_t lane = 0; lane < LANES / 2; ++lane) total += sums[i][j][lane];
      out[i * stride + j] += total;
    }
}

}  // namespace
