// Sixteen samples side by side: the unit that every loop works on.
//
// A quantity of F features is held as (F, 16), one row of sixteen samples per feature. Elementwise operations, sums
// over features and matrix products then run along sixteen contiguous numbers, whatever F is, and samples never meet.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#ifndef REAL
#define REAL float  // tests also build with double
#endif

namespace {

using real = REAL;

constexpr int64_t LANES = 16;

typedef real Row __attribute__((vector_size(LANES * sizeof(real)), aligned(sizeof(real)), may_alias));
typedef real Half __attribute__((vector_size(LANES / 2 * sizeof(real)), aligned(sizeof(real)), may_alias));

inline Row& row(real* at) { return *reinterpret_cast<Row*>(at); }
inline const Row& row(const real* at) { return *reinterpret_cast<const Row*>(at); }

// Comparisons are written so that NaN stays NaN: `v > 0 ? v : 0` would turn it into a zero that nobody notices.
inline Row rectified(Row v) { return v < 0 ? Row{} : v; }
inline Row where_positive(Row result, Row gradient) { return result <= 0 ? Row{} : gradient; }

inline Row reciprocal_root(Row v) {
  Row root;
  for (int64_t lane = 0; lane < LANES; ++lane) root[lane] = real(1) / std::sqrt(v[lane]);
  return root;
}

inline int64_t rounded_up(int64_t count, int64_t step) { return (count + step - 1) / step * step; }

// exp in place to 2 units in the last place; `count` is a multiple of 8.
inline void exponentials(float* values, int64_t count) {
  typedef float Floats __attribute__((vector_size(32), aligned(4), may_alias));
  typedef int32_t Integers __attribute__((vector_size(32)));
  for (int64_t i = 0; i < count; i += 8) {
    Floats x = *reinterpret_cast<Floats*>(values + i);
    const Floats least = Floats{} - 87.0f, most = Floats{} + 88.0f;
    x = x < least ? least : x;
    x = x > most ? most : x;
    const Floats y = x * 1.44269504088896341f;  // exp(x) = 2^k exp(r), |r| <= ln 2 / 2
    const Integers k = __builtin_convertvector(y + (y < 0 ? Floats{} - 0.5f : Floats{} + 0.5f), Integers);
    const Floats f = __builtin_convertvector(k, Floats);
    const Floats r = (x - f * 0.693359375f) + f * 2.12194440e-4f;  // ln 2 in two parts (Cephes)
    Floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const Integers bits = (k + 127) << 23;
    *reinterpret_cast<Floats*>(values + i) = p * reinterpret_cast<const Floats&>(bits);
  }
}

inline void exponentials(double* values, int64_t count) {
  for (int64_t i = 0; i < count; ++i) values[i] = std::exp(values[i]);
}

inline Row exponential(Row v) {
  real values[LANES];
  row(values) = v;
  exponentials(values, LANES);
  return row(values);
}

inline Row sigmoid(Row v) { return real(1) / (real(1) + exponential(-v)); }

inline real sum_of_lanes(Row v) {
  real total = 0;
  for (int64_t lane = 0; lane < LANES; ++lane) total += v[lane];
  return total;
}

}  // namespace
