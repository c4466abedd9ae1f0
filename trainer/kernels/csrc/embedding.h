// The embedding block with the perturbation inside, forward and backward; `reference.perturbed_embedding`.

#pragma once

#include <vector>
#include "numbers.h"

namespace robust {

template <class T> struct Embedding {
    const int64_t *ids, *positions, *types;
    const T *delta, *words, *position_rows, *type_rows, *weight, *bias;
    int64_t width;
};

// words + delta + types + positions of one token, added in the order of the reference; returns their total.
template <class T>
double add_row(const Embedding<T>& e, int64_t row, Work<T>* __restrict sum) {
    const T* word = e.words + e.ids[row] * e.width;
    const T* delta = e.delta + row * e.width;
    const T* type = e.type_rows + e.types[row] * e.width;
    const T* position = e.position_rows + e.positions[row] * e.width;
    return sum_of<Work<T>>(e.width, [=](int64_t i) {
        return sum[i] = ((get(word[i]) + get(delta[i])) + get(type[i])) + get(position[i]);
    });
}

template <class T>
void embed_forward(const Embedding<T>& e, int64_t rows, double epsilon, T* out, Work<T>* mean, Work<T>* rstd,
                   int threads) {
    using W = Work<T>;
#pragma omp parallel num_threads(threads_for(rows * e.width, threads))
    {
        std::vector<W> sum(e.width);
#pragma omp for schedule(static)
        for (int64_t r = 0; r < rows; ++r) {
            if (r + kRowsAhead < rows) ask_for(e.words + e.ids[r + kRowsAhead] * e.width, e.width * sizeof(T));
            W* s = sum.data();
            const W centre = W(add_row(e, r, s) / double(e.width));
            const double squares = sum_of<W>(e.width, [=](int64_t i) {
                s[i] -= centre;
                return s[i] * s[i];
            });
            const W scale = W(1.0 / std::sqrt(squares / double(e.width) + epsilon));
            T* to = out + r * e.width;
#pragma omp simd
            for (int64_t i = 0; i < e.width; ++i) to[i] = put<T>(s[i] * scale * get(e.weight[i]) + get(e.bias[i]));
            mean[r] = centre;
            rstd[r] = scale;
        }
    }
}

// grad_sum = d loss / d (sum before LayerNorm); where asked for, each chunk's share of d loss / d weight and d bias.
// The sum itself is not kept from the forward pass: reading its parts again costs no more than reading it back.
template <class T>
void embed_backward(const Embedding<T>& e, const T* grad, const Work<T>* mean, const Work<T>* rstd, int64_t rows,
                    int64_t chunk, T* grad_sum, Work<T>* weight_parts, Work<T>* bias_parts, int threads) {
    using W = Work<T>;
#pragma omp parallel num_threads(threads_for(rows * e.width, threads))
    {
        std::vector<W> normal(e.width);
#pragma omp for schedule(static)
        for (int64_t start = 0; start < rows; start += chunk) {
            for (int64_t r = start; r < std::min(rows, start + chunk); ++r) {
                if (r + kRowsAhead < rows) ask_for(e.words + e.ids[r + kRowsAhead] * e.width, e.width * sizeof(T));
                W* __restrict n = normal.data();
                add_row(e, r, n);
                const T* __restrict g = grad + r * e.width;
                const T* __restrict w = e.weight;
                const W centre = mean[r], scale = rstd[r];
                const W first = W(sum_of<W>(e.width, [=](int64_t i) {
                    n[i] = (n[i] - centre) * scale;
                    return get(g[i]) * get(w[i]);
                }) / double(e.width));
                const W second = W(sum_of<W>(e.width, [=](int64_t i) {
                    return get(g[i]) * get(w[i]) * n[i];
                }) / double(e.width));
                T* __restrict to = grad_sum + r * e.width;
#pragma omp simd
                for (int64_t i = 0; i < e.width; ++i)
                    to[i] = put<T>(scale * (get(g[i]) * get(w[i]) - first - n[i] * second));
                if (!weight_parts) continue;
                W* __restrict weight = weight_parts + start / chunk * e.width;
                W* __restrict bias = bias_parts + start / chunk * e.width;
#pragma omp simd
                for (int64_t i = 0; i < e.width; ++i) {
                    weight[i] += get(g[i]) * n[i];
                    bias[i] += get(g[i]);
                }
            }
        }
    }
}

}  // namespace robust
