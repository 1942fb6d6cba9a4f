#pragma once

#include <cstddef>
#include <string>

namespace tandem {

// What this processor can do at most, measured: the roofs that kernels are held against (Williams,
// Waterman and Patterson, "Roofline", CACM 2009).

enum class Products {
  kF32,  // multiply and add in f32
  kI16,  // pairs of 16-bit products, added in 32 bits
  kI8    // u8 by s8 with 32-bit sums: four at a time where the processor has such an instruction
};

// Multiplications and additions (two operations for each product) of one thread in one second, with
// operands in registers and `threads` threads at work; the best of several runs that take about
// `seconds` together.
double operations_per_second(Products products, int threads, double seconds = 0.1);

// Bytes in one second that `threads` threads together read from a working set of `bytes` in all,
// over and over; the best of several runs that take about `seconds` together.
double read_bytes_per_second(std::size_t bytes, int threads, double seconds = 0.1);

// Clock cycles of one second, by a chain of additions that each wait for the one before.
double clock_hertz(double seconds = 0.1);

// The widest vectors that the kernels of this room use here, for people: "AVX3_DL, VNNI".
std::string vector_extensions();

}  // namespace tandem
