// The perturbation kernels on the CPU, each in one pass over memory.
// `trainer/kernels/reference.py` says what they mean.
//
// Plain C++ behind a C interface, with raw pointers and no header of torch: it compiles in seconds, and not one of
// torch's types crosses the border. `trainer/kernels/cpu.py` checks shapes and types and calls this through ctypes.
//
// A *ball* is `rows` consecutive rows of `width` numbers that share one radius: one row where the scope is a token, all
// rows of an example where it is a sequence. Balls go to threads; what a ball becomes never depends on the others or on
// the number of threads. A row stays in the first-level cache between the few loops over it, so memory is read once.
//
// Loops are written so that compilers vectorise them; no flag that lets a compiler assume away NaN or Inf is used.

#include "balls.h"
#include "embedding.h"
#include "noise.h"

namespace {

using namespace robust;

// Calls `body` with a value of the storage type that `type` names: 0 fp32, 1 fp64, 2 bf16, 3 fp16, as in cpu.py.
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
                  uint64_t seed, int64_t update, int draw, int threads) {
    with_type(type, [&](auto sample) {
        using T = decltype(sample);
        noise(Noise<T>{static_cast<const T*>(x), mask, ids, static_cast<T*>(total), static_cast<T*>(out), length, width,
                       epsilon, linf != 0, sequence != 0, normal != 0, seed, update, uint32_t(draw)}, batch, threads);
    });
}

// The random words themselves, (batch, length, dims), for the test that they are the reference's bit by bit.
void counter_bits(const int64_t* ids, int64_t batch, int64_t length, int64_t dims, uint64_t seed, int64_t update,
                  int stream, int64_t* out) {
    const int64_t blocks = (dims + 3) / 4;
    Words words;
    for (int64_t row = 0; row < batch * length; ++row) {
        const Counter counter = counter_of(ids[row / length], seed, update, uint32_t(stream));
        for (int64_t i = 0; i < dims; ++i) {
            if (i % (4 * kLanes) == 0) philox(counter, uint64_t(row % length * blocks + i / 4), words);
            out[row * dims + i] = words.lane[i & 3][i / 4 % kLanes];
        }
    }
}

// 0, or 1 + the number of the first table (words, positions, types) with an index outside of it.
int embed_forward(int type, const int64_t* ids, const int64_t* positions, const int64_t* types, const void* delta,
                  const void* words, const void* position_rows, const void* type_rows, const void* weight,
                  const void* bias, int64_t words_count, int64_t positions_count, int64_t types_count, int64_t rows,
                  int64_t width, double epsilon, void* out, void* mean, void* rstd, int threads) {
    for (int64_t r = 0; r < rows; ++r) {
        if (ids[r] < 0 || ids[r] >= words_count) return 1;
        if (positions[r] < 0 || positions[r] >= positions_count) return 2;
        if (types[r] < 0 || types[r] >= types_count) return 3;
    }
    with_type(type, [&](auto sample) {
        using T = decltype(sample);
        const Embedding<T> e{ids, positions, types, static_cast<const T*>(delta), static_cast<const T*>(words),
                             static_cast<const T*>(position_rows), static_cast<const T*>(type_rows),
                             static_cast<const T*>(weight), static_cast<const T*>(bias), width};
        embed_forward(e, rows, epsilon, static_cast<T*>(out), static_cast<Work<T>*>(mean),
                      static_cast<Work<T>*>(rstd), threads);
    });
    return 0;
}

void embed_backward(int type, const void* grad, const int64_t* ids, const int64_t* positions, const int64_t* types,
                    const void* delta, const void* words, const void* position_rows, const void* type_rows,
                    const void* weight, const void* mean, const void* rstd, int64_t rows, int64_t width, int64_t chunk,
                    void* grad_sum, void* weight_parts, void* bias_parts, int threads) {
    with_type(type, [&](auto sample) {
        using T = decltype(sample);
        const Embedding<T> e{ids, positions, types, static_cast<const T*>(delta), static_cast<const T*>(words),
                             static_cast<const T*>(position_rows), static_cast<const T*>(type_rows),
                             static_cast<const T*>(weight), nullptr, width};
        embed_backward(e, static_cast<const T*>(grad), static_cast<const Work<T>*>(mean),
                       static_cast<const Work<T>*>(rstd), rows, chunk, static_cast<T*>(grad_sum),
                       static_cast<Work<T>*>(weight_parts), static_cast<Work<T>*>(bias_parts), threads);
    });
}

}  // extern "C"
