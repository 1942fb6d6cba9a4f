#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/compress/quantizer.h"
#include "tandem/compress/weight_quantizer.h"

namespace tandem {

// Numbers of unit scale of a distribution: "uniform" in [-1, 1), "gaussian", "laplace", "t3", "t5"
// (Student's, of so many degrees of freedom). The same for the same seed on every machine.
std::vector<double> sample(std::string_view distribution, std::size_t count, std::uint64_t seed);

// 10 log10 of the energy of numbers over that of their differences from others, in dB.
double sqnr(std::span<const double> numbers, std::span<const double> others);

// What codes of a format make of numbers, with one scale for all: by the range of least squared
// error, symmetric.
std::vector<double> coded(std::span<const double> numbers, const std::string& format);
// The same as weights: rows of `columns` numbers under the rules.
std::vector<double> coded_as_weights(std::span<const double> numbers, std::int64_t columns,
                                     const WeightRules& rules);
WeightRules weight_rules(const std::string& format, const std::string& granularity,
                         RangeMethod method);

// The middle one of several draws.
double median(std::vector<double> values);

// |a - b|_F / |a|_F.
double relative_error(std::span<const double> exact, std::span<const double> approximate);

}  // namespace tandem
