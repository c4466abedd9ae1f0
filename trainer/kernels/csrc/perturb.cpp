// Perturbation kernels for CPUs, each in one pass over memory; defined by `trainer/kernels/reference.py`.
//
// Plain C++ behind a C interface with raw pointers and no torch header, so it compiles in seconds.
// `trainer/kernels/cpu.py` checks shapes and types and calls it through ctypes.
//
// A *ball* is `rows` consecutive rows of `width` numbers that share one radius: one row if the scope is a token, all rows
// of an example if it is a sequence. Threads share out balls; the result for a ball does not depend on other balls or on
// the number of threads. A row stays in the L1 cache between the few loops over it, so memory is read once.
//
// Loops are written to be vectorised by the compiler, without flags that assume away NaN or Inf.

#include "balls.h"
#include "dropout.h"
#include "noise.h"

namespace {

using namespace robust;

// Call `body` with a value of the storage type numbered `type`: 0 fp32, 1 fp64, 2 bf16, 3 fp16, as in cpu.py.
template <class Body> void with_type(int type, const Body& body) {
    if (type == 0) body(float{});
    else if (type == 1) body(double{});
    else if (type == 2) body(Bf16{});
    else body(Fp16{});
}

}  // namespace

extern "C" {

void perturb_ascend(int type, int wide_grad, const void* delta, const void* grad, const void* x, const uint8_t* mask,
                    void* total, void* out, int64_t balls, int64_t rows, int64_t width, double step, double epsilon,
                    int linf, int threads) {
    with_type(type, [&](auto sample) {
        using T = decltype(sample);
        const auto run = [&](auto grad_sample) {
            using G = decltype(grad_sample);
            ascend(Ascent<T, G>{static_cast<const T*>(delta), static_cast<const G*>(grad), static_cast<const T*>(x),
                                mask, static_cast<T*>(total), static_cast<T*>(out), rows, width, step, epsilon,
                                linf != 0}, balls, threads);
        };
        if (wide_grad) run(Work<T>{});
        else run(T{});
    });
}

void perturb_project(int type, const void* delta, const uint8_t* mask, void* out, int64_t balls, int64_t rows,
                     int64_t width, double epsilon, int linf, int threads) {
    with_type(type, [&](auto sample) {
        using T = decltype(sample);
        project(static_cast<const T*>(delta), mask, static_cast<T*>(out), balls, rows, width, epsilon, linf != 0,
                threads);
    });
}

void perturb_init(int type, const void* x, const uint8_t* mask, const int64_t* ids, void* total, void* out,
                  int64_t batch, int64_t length, int64_t width, double epsilon, int linf, int sequence, int normal,
                  uint64_t seed, int64_t step, int draw, int threads) {
    with_type(type, [&](auto sample) {
        using T = decltype(sample);
        noise(Noise<T>{static_cast<const T*>(x), mask, ids, static_cast<T*>(total), static_cast<T*>(out), length, width,
                       epsilon, linf != 0, sequence != 0, normal != 0, seed, step, uint32_t(draw)}, batch, threads);
    });
}

void dropout(int type, const void* x, void* out, int64_t count, uint64_t seed, uint32_t dropped, int threads) {
    with_type(type, [&](auto sample) {
        using T = decltype(sample);
        drop(static_cast<const T*>(x), static_cast<T*>(out), count, seed, dropped, threads);
    });
}

// Random words, (batch, length, dims), for the bitwise comparison with the reference.
void counter_bits(const int64_t* ids, int64_t batch, int64_t length, int64_t dims, uint64_t seed, int64_t step,
                  int stream, int64_t* out) {
    const int64_t blocks = (dims + 3) / 4;
    Words words;
    for (int64_t row = 0; row < batch * length; ++row) {
        const Counter counter = counter_of(ids[row / length], seed, step, uint32_t(stream));
        for (int64_t i = 0; i < dims; ++i) {
            if (i % (4 * kLanes) == 0) philox(counter, uint64_t(row % length * blocks + i / 4), words);
            out[row * dims + i] = words.lane[i & 3][i / 4 % kLanes];
        }
    }
}

}  // extern "C"
