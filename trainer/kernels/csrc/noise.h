// Counter-based noise in a ball: `reference.perturb_init`; counters as in `philox.py`.

#pragma once

#include <vector>
#include "numbers.h"

namespace robust {

// Philox 4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011); counter layout in philox.py.
constexpr int64_t kLanes = 64;  // counters per batch: enough for any vector unit, and all in registers or L1

struct Counter { uint32_t id_low, step, stream_and_id_high; uint64_t key; };

inline Counter counter_of(int64_t id, uint64_t seed, int64_t step, uint32_t stream) {
    return {uint32_t(id), uint32_t(step), stream | (uint32_t(id >> 32) & 0xFFFFu) << 16, seed};
}

struct Words { uint32_t lane[4][kLanes]; };

inline void philox(const Counter& c, uint64_t first, Words& words) {
    const uint32_t key0 = uint32_t(c.key), key1 = uint32_t(c.key >> 32);
#pragma omp simd
    for (int64_t b = 0; b < kLanes; ++b) {
        uint32_t c0 = uint32_t(first) + uint32_t(b), c1 = c.id_low, c2 = c.step, c3 = c.stream_and_id_high;
#pragma GCC unroll 10
        for (uint32_t round = 0; round < 10; ++round) {
            const uint64_t p0 = uint64_t(c0) * 0xD2511F53u, p1 = uint64_t(c2) * 0xCD9E8D57u;
            const uint32_t n0 = uint32_t(p1 >> 32) ^ c1 ^ (key0 + round * 0x9E3779B9u);
            const uint32_t n2 = uint32_t(p0 >> 32) ^ c3 ^ (key1 + round * 0xBB67AE85u);
            c0 = n0, c1 = uint32_t(p1), c2 = n2, c3 = uint32_t(p0);
        }
        words.lane[0][b] = c0, words.lane[1][b] = c1, words.lane[2][b] = c2, words.lane[3][b] = c3;
    }
}

inline float unit(uint32_t word) { return (float(int32_t(word >> 9)) + 0.5f) * (1.0f / float(1 << 23)); }

// Natural logarithm of a normal fp32 number: u = 2^k m with m in [1/sqrt 2, sqrt 2), and log m = 2 atanh(s) with
// s = (m - 1) / (m + 1) by its series, truncated at a relative error below 3e-9. libm calls would not be
// vectorised.
inline float logarithm(float u) {
    const int32_t bits = __builtin_bit_cast(int32_t, u), k = (bits - 0x3F3504F3) >> 23;
    const float m = __builtin_bit_cast(float, bits - k * (1 << 23));
    const float s = (m - 1.0f) / (m + 1.0f), q = s * s;
    const float series = 1.0f + q * (1.0f / 3 + q * (1.0f / 5 + q * (1.0f / 7 + q * (1.0f / 9))));
    return float(k) * 0.693147181f + 2.0f * s * series;
}

// cos and sin of `turns` full circles, turns in (0, 1). Subtracting quarter circles is exact; the remainder is at most
// pi / 4, where the truncated series are within 3e-9.
inline void cos_and_sin(float turns, float& cosine, float& sine) {
    const int32_t quarter = int32_t(4.0f * turns + 0.5f);
    const float a = 6.283185307179586f * (turns - 0.25f * float(quarter)), q = a * a;
    const float s = a * (1 + q * (-1.0f / 6 + q * (1.0f / 120 + q * (-1.0f / 5040 + q * (1.0f / 362880)))));
    const float c =
        1 + q * (-1.0f / 2 + q * (1.0f / 24 + q * (-1.0f / 720 + q * (1.0f / 40320 + q * (-1.0f / 3628800)))));
    const float cos_part = quarter & 1 ? s : c, sin_part = quarter & 1 ? c : s;
    cosine = (quarter + 1) & 2 ? -cos_part : cos_part;
    sine = quarter & 2 ? -sin_part : sin_part;
}

// `width` numbers of the row whose first block is `first`: uniform in (-1, 1), or standard normal (Box, Muller 1958).
template <class W>
void random_row(const Counter& c, uint64_t first, int64_t width, bool normal, W* out) {
    Words words;
    alignas(64) float value[4][kLanes];
    for (int64_t start = 0; start < width; start += 4 * kLanes) {
        philox(c, first + uint64_t(start / 4), words);
        if (normal) {
            for (int pair = 0; pair < 4; pair += 2) {
                const uint32_t* one = words.lane[pair];
                const uint32_t* two = words.lane[pair + 1];
#pragma omp simd
                for (int64_t b = 0; b < kLanes; ++b) {
                    const float radius = sqrtf(-2.0f * logarithm(unit(one[b])));
                    float cosine, sine;
                    cos_and_sin(unit(two[b]), cosine, sine);
                    value[pair][b] = radius * cosine;
                    value[pair + 1][b] = radius * sine;
                }
            }
        } else {
            for (int k = 0; k < 4; ++k)
#pragma omp simd
                for (int64_t b = 0; b < kLanes; ++b) value[k][b] = 2.0f * unit(words.lane[k][b]) - 1.0f;
        }
        const int64_t count = std::min(width - start, 4 * kLanes);
        for (int64_t i = 0; i < count; ++i) out[start + i] = W(value[i & 3][i >> 2]);
    }
}

template <class T> struct Noise {
    const T* x; const uint8_t* mask; const int64_t* ids; T* total; T* out;
    int64_t length, width; double epsilon; bool linf, sequence, normal; uint64_t seed; int64_t step; uint32_t draw;
};

template <class T>
void noise_ball(const Noise<T>& n, int64_t example, int64_t token, int64_t rows, Work<T>* drawn) {
    using W = Work<T>;
    const int64_t first = example * n.length + token, blocks = (n.width + 3) / 4;
    const Counter counter = counter_of(n.ids[example], n.seed, n.step, n.draw);
    double squares = 0;
    int64_t content = 0;
    for (int64_t r = 0; r < rows; ++r) {
        if (!n.mask[first + r]) continue;
        W* row = drawn + r * n.width;
        random_row(counter, uint64_t((token + r) * blocks), n.width, n.normal || !n.linf, row);
        if (!n.linf) squares += squares_of(row, n.width, W(1));
        ++content;
    }
    W scale = W(n.epsilon);
    if (!n.linf && content) {
        const double dims = double(n.width) * double(n.sequence ? content : 1);
        if (n.normal) {
            scale = W(n.epsilon) / W(std::sqrt(dims));
        } else {
            Words words;
            philox(counter_of(n.ids[example], n.seed, n.step, (1u << 12) + n.draw), uint64_t(token), words);
            scale = W(n.epsilon * std::pow(double(unit(words.lane[0][0])), 1.0 / dims) / std::sqrt(squares));
        }
        scale *= shrink<W>(squares * double(scale) * double(scale), n.epsilon);
    }
    for (int64_t r = 0; r < rows; ++r) {
        const int64_t at = (first + r) * n.width;
        W* row = drawn + r * n.width;
        if (!n.mask[first + r]) std::fill(row, row + n.width, W(0));
        const W bound = n.linf ? W(1) : W(INFINITY);  // clips Gaussian noise for linf only
        for (int64_t i = 0; i < n.width; ++i) row[i] = within(row[i], bound);
        write_row(row, n.x + at, n.total + at, n.out + at, n.width, scale);
    }
}

template <class T>
void noise(const Noise<T>& n, int64_t batch, int threads) {
    const int64_t rows = n.sequence ? n.length : 1, per_example = n.sequence ? 1 : n.length;
#pragma omp parallel num_threads(threads_for(batch * n.length * n.width, threads))
    {
        std::vector<Work<T>> drawn(rows * n.width);
#pragma omp for schedule(static)
        for (int64_t ball = 0; ball < batch * per_example; ++ball)
            noise_ball(n, ball / per_example, n.sequence ? 0 : ball % per_example, rows, drawn.data());
    }
}

}  // namespace robust
