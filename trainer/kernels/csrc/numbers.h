// Storage types and reductions over a row: peak, squares, and the factor that projects it onto a ball.
//
// Storage is fp32, fp64, bf16 or fp16; arithmetic is fp32, and fp64 for fp64.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace robust {

struct Bf16 { uint16_t bits; };
struct Fp16 { _Float16 value; };

template <class T> struct Storage { using Work = float; };
template <> struct Storage<double> { using Work = double; };
template <class T> using Work = typename Storage<T>::Work;

template <class W> struct Bits;
template <> struct Bits<float> { using Word = uint32_t; static constexpr Word infinity = 0x7F800000u; };
template <> struct Bits<double> { using Word = uint64_t; static constexpr Word infinity = 0x7FF0000000000000ull; };

inline float get(float v) { return v; }
inline double get(double v) { return v; }
inline float get(Bf16 v) { return __builtin_bit_cast(float, uint32_t(v.bits) << 16); }
inline float get(Fp16 v) { return float(v.value); }

template <class T> inline T put(Work<T> v) { return T(v); }
template <> inline Fp16 put<Fp16>(float v) { return Fp16{_Float16(v)}; }
template <> inline Bf16 put<Bf16>(float v) {  // to nearest, ties to even; a NaN stays one
    const uint32_t bits = __builtin_bit_cast(uint32_t, v);
    const uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
    return Bf16{uint16_t((bits & 0x7FFFFFFFu) > 0x7F800000u ? (bits >> 16) | 0x40u : rounded)};
}

constexpr int64_t kParts = 64;        // partial sums of a row
constexpr int64_t kSerial = 1 << 14;  // smaller inputs run on one thread: waking others costs more

inline int threads_for(int64_t numbers, int threads) { return numbers < kSerial ? 1 : threads; }

// Bits of the largest magnitude. As integers they order like the magnitudes, with Inf and every NaN on top, so one
// maximum gives both the size of the row and whether it is finite.
template <class G>
typename Bits<Work<G>>::Word peak_of(const G* row, int64_t width) {
    using Word = typename Bits<Work<G>>::Word;
    Word peak = 0;
#pragma omp simd reduction(max : peak)
    for (int64_t i = 0; i < width; ++i) {
        const Word word = __builtin_bit_cast(Word, get(row[i])) & (~Word(0) >> 1);
        peak = word > peak ? word : peak;
    }
    return peak;
}

// Sum of term(i) over [0, width): kParts partial sums in W, added in fp64. Independent partial sums keep the pipeline
// full, and each is too short to lose digits.
template <class W, class Term>
inline double sum_of(int64_t width, const Term& term) {
    alignas(64) W parts[kParts] = {};
    int64_t start = 0;
    for (; start + kParts <= width; start += kParts)
#pragma omp simd
        for (int64_t i = 0; i < kParts; ++i) parts[i] += term(start + i);
#pragma omp simd
    for (int64_t i = 0; i < width - start; ++i) parts[i] += term(start + i);
    double total = 0;
#pragma omp simd reduction(+ : total)
    for (int64_t i = 0; i < kParts; ++i) total += parts[i];
    return total;
}

template <class T, class W>
double squares_of(const T* row, int64_t width, W factor) {
    return sum_of<W>(width, [=](int64_t i) {
        const W v = W(get(row[i])) * factor;
        return v * v;
    });
}

// Power of two that scales `peak` close to one: exact, and squares of scaled numbers neither underflow nor overflow.
template <class W> W towards_one(W peak) {
    constexpr int limit = sizeof(W) == 4 ? 126 : 1022;
    return std::ldexp(W(1), std::clamp(-std::ilogb(peak), -limit, limit));
}

template <class W> W shrink(double squares, double epsilon) {
    const W size = W(std::sqrt(squares));
    return size > W(epsilon) ? W(epsilon) / size : W(1);
}

// NaN passes, as in torch.clamp.
template <class W> inline W within(W v, W bound) { return v < -bound ? -bound : (v > bound ? bound : v); }

template <class T> void write_zeros(T* row, int64_t width) { std::fill(row, row + width, T{}); }

// delta = scale * moved, rounded to storage; total = x + delta.
template <class T>
void write_row(const Work<T>* __restrict moved, const T* __restrict x, T* __restrict total, T* __restrict delta,
               int64_t width, Work<T> scale) {
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) delta[i] = put<T>(moved[i] * scale);
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) total[i] = put<T>(get(x[i]) + get(delta[i]));
}

}  // namespace robust
