// Dropout: each element is zeroed, or scaled up, by 16 random bits that are a function of the seed and its place.

#pragma once

#include "noise.h"

namespace robust {

constexpr uint32_t kDropoutStream = 6u << 12;   // STREAM_DROPOUT in philox.py
constexpr int64_t kChunk = 8 * kLanes;          // elements per batch of counters, two to a word

// Factors of the elements kChunk * chunk ...: zero below `dropped` of 2^16, else `scale`.
template <class W>
void factors(uint64_t seed, int64_t chunk, uint32_t dropped, W scale, W* out) {
    Words words;
    philox(counter_of(0, seed, 0, kDropoutStream), uint64_t(chunk * kLanes), words);
    for (int64_t k = 0; k < 4; ++k)
#pragma omp simd
        for (int64_t b = 0; b < kLanes; ++b) {
            const uint32_t word = words.lane[k][b];
            out[2 * k * kLanes + b] = (word & 0xFFFFu) < dropped ? W(0) : scale;
            out[(2 * k + 1) * kLanes + b] = (word >> 16) < dropped ? W(0) : scale;
        }
}

template <class T>
void drop(const T* x, T* out, int64_t count, uint64_t seed, uint32_t dropped, int threads) {
    using W = Work<T>;
    const W scale = W(65536.0 / (65536.0 - dropped));
#pragma omp parallel for schedule(static) num_threads(threads_for(count, threads))
    for (int64_t chunk = 0; chunk < (count + kChunk - 1) / kChunk; ++chunk) {
        alignas(64) W factor[kChunk];
        factors(seed, chunk, dropped, scale, factor);
        const int64_t start = chunk * kChunk, size = std::min(kChunk, count - start);
#pragma omp simd
        for (int64_t i = 0; i < size; ++i) out[start + i] = put<T>(get(x[start + i]) * factor[i]);
    }
}

}  // namespace robust
