// Ascent step and projection onto the ball: `reference.perturb_ascend` and `perturb_project`.

#pragma once

#include <vector>
#include "numbers.h"

namespace robust {

template <class T, class G> struct Ascent {
    const T* delta; const G* grad; const T* x; const uint8_t* mask; T* total; T* out;
    int64_t rows, width; double step, epsilon; bool linf;
};

template <class T, class G>
void ascend_ball(const Ascent<T, G>& a, int64_t first, Work<T>* moved) {
    using W = Work<T>;
    typename Bits<Work<G>>::Word peak = 0;
    for (int64_t r = first; r < first + a.rows; ++r)
        if (a.mask[r]) peak = std::max(peak, peak_of(a.grad + r * a.width, a.width));
    const bool usable = peak > 0 && peak < Bits<Work<G>>::infinity;
    const W near_one = usable ? towards_one(W(__builtin_bit_cast(Work<G>, peak))) : W(0);
    W stride = 0;
    if (usable && !a.linf) {
        double squares = 0;
        for (int64_t r = first; r < first + a.rows; ++r)
            if (a.mask[r]) squares += squares_of(a.grad + r * a.width, a.width, near_one);
        stride = W(a.step) / W(std::sqrt(squares));
    }
    double squares = 0;
    const W step = W(a.step), bound = W(a.epsilon);
    for (int64_t r = first; r < first + a.rows; ++r) {
        if (!a.mask[r]) continue;
        const T* __restrict delta = a.delta + r * a.width;
        const G* __restrict grad = a.grad + r * a.width;
        W* __restrict to = moved + (r - first) * a.width;
        if (a.linf) {
            const W moving = usable ? step : W(0);
#pragma omp simd
            for (int64_t i = 0; i < a.width; ++i) {
                const W g = W(get(grad[i]));
                to[i] = within(get(delta[i]) + moving * (W(g > 0) - W(g < 0)), bound);
            }
        } else if (usable) {
            squares += sum_of<W>(a.width, [=](int64_t i) {
                to[i] = get(delta[i]) + stride * (W(get(grad[i])) * near_one);
                return to[i] * to[i];
            });
        } else {
            squares += sum_of<W>(a.width, [=](int64_t i) {
                to[i] = get(delta[i]);
                return to[i] * to[i];
            });
        }
    }
    const W scale = a.linf ? W(1) : shrink<W>(squares, a.epsilon);
    for (int64_t r = first; r < first + a.rows; ++r) {
        const int64_t at = r * a.width;
        if (a.mask[r]) {
            write_row(moved + (r - first) * a.width, a.x + at, a.total + at, a.out + at, a.width, scale);
        } else {
            write_zeros(a.out + at, a.width);
            // x + 0, not x: turns a negative zero into a positive one, like the reference.
            for (int64_t i = 0; i < a.width; ++i) a.total[at + i] = put<T>(get(a.x[at + i]) + Work<T>(0));
        }
    }
}

template <class T, class G>
void ascend(const Ascent<T, G>& a, int64_t balls, int threads) {
#pragma omp parallel num_threads(threads_for(balls * a.rows * a.width, threads))
    {
        std::vector<Work<T>> moved(a.rows * a.width);
#pragma omp for schedule(static)
        for (int64_t ball = 0; ball < balls; ++ball) ascend_ball(a, ball * a.rows, moved.data());
    }
}

template <class T>
void project_ball(const T* delta, const uint8_t* mask, T* out, int64_t first, int64_t rows, int64_t width,
                  double epsilon, bool linf) {
    using W = Work<T>;
    double squares = 0;
    if (!linf)
        for (int64_t r = first; r < first + rows; ++r)
            if (mask[r]) squares += squares_of(delta + r * width, width, W(1));
    const W scale = linf ? W(1) : shrink<W>(squares, epsilon), bound = W(epsilon);
    for (int64_t r = first; r < first + rows; ++r) {
        const T* __restrict from = delta + r * width;
        T* __restrict to = out + r * width;
        if (!mask[r]) {
            write_zeros(to, width);
        } else if (linf) {
#pragma omp simd
            for (int64_t i = 0; i < width; ++i) to[i] = put<T>(within(W(get(from[i])), bound));
        } else {
#pragma omp simd
            for (int64_t i = 0; i < width; ++i) to[i] = put<T>(get(from[i]) * scale);
        }
    }
}

template <class T>
void project(const T* delta, const uint8_t* mask, T* out, int64_t balls, int64_t rows, int64_t width, double epsilon,
             bool linf, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads_for(balls * rows * width, threads))
    for (int64_t ball = 0; ball < balls; ++ball)
        project_ball(delta, mask, out, ball * rows, rows, width, epsilon, linf);
}

}  // namespace robust
