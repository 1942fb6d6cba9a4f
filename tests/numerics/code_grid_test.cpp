#include "tandem/numerics/code_grid.h"

#include <cmath>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "tandem/base/error.h"

namespace tandem {
namespace {

const char* const kGridFormats[] = {"int4",      "uint8",   "e4m3",    "e5m2",    "e2m1",
                                    "e3m2",      "nf4",     "pow2<4>", "log2<4>", "logsqrt2<4>",
                                    "khot<6,2>", "ternary", "f16",     "bf16"};

double encoded(const Format& format, double real) {
  return format.decode(format.encode(real, Rounding::kHalfEven, Overflow::kSaturateSymmetric));
}

TEST(CodeGrid, NearestIsWhatTheFormatEncodes) {
  std::mt19937_64 engine(3);
  for (const char* name : kGridFormats) {
    const Format format = Format::parse(name);
    const CodeGrid& grid = CodeGrid::of(format);
    std::uniform_real_distribution<double> real(1.2 * grid.least() - 0.1, 1.2 * grid.greatest());
    for (int i = 0; i < 2000; ++i) {
      const double x = real(engine) * (i % 3 == 0 ? 0.01 : 1);
      // The least code of a symmetric integer is in the list, though this overflow leaves it out.
      if (format.is_integer() && x < grid.least() + 1) continue;
      EXPECT_EQ(grid.nearest(x), encoded(format, x)) << name << " " << x;
      EXPECT_EQ(grid.values()[grid.rank(x)], encoded(format, x)) << name << " " << x;
    }
    for (const double value : grid.values()) EXPECT_EQ(grid.nearest(value), value) << name;
  }
}

TEST(CodeGrid, ErrorIntegralIsTheSumOfSmallSteps) {
  for (const char* name : {"e2m1", "nf4", "log2<3>", "ternary"}) {
    const CodeGrid grid(Format::parse(name));
    const double from = grid.least() - 0.5, to = grid.greatest() + 0.7;
    constexpr int kSteps = 200000;
    double sum = 0;
    for (int i = 0; i < kSteps; ++i) {
      const double x = from + (to - from) * (i + 0.5) / kSteps;
      sum += std::pow(x - grid.nearest(x), 2) * (to - from) / kSteps;
    }
    EXPECT_NEAR(grid.error_integral(to) - grid.error_integral(from), sum, 1e-6 * sum) << name;
  }
}

TEST(CodeGrid, RefusesFormatsOfManyCodes) { EXPECT_THROW(CodeGrid{Format()}, Error); }

}  // namespace
}  // namespace tandem
