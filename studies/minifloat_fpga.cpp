// Minifloats against integers of four bits, by the shape of what they code.
#include "studies/methods.h"
#include "studies/noise.h"

namespace tandem {
namespace {

constexpr std::size_t kSamples = 200000;

void run(StudyReport& report) {
  const auto gaussian = sample("gaussian", kSamples, 1);
  const auto noise = [&](const std::vector<double>& numbers, const char* format) {
    return sqnr(numbers, coded(numbers, format));
  };
  report.within("SQNR of Gaussian numbers, int4", 18.9, noise(gaussian, "int4"), 0.3, "dB");
  report.within("SQNR of Gaussian numbers, e2m1", 18.9, noise(gaussian, "e2m1"), 0.3, "dB");
  report.within("SQNR of Gaussian numbers, e3m0", 14.3, noise(gaussian, "e3m0"), 0.3, "dB");
  const auto heavy = sample("t3", kSamples, 1);
  const double int4 = noise(heavy, "int4"), e2m1 = noise(heavy, "e2m1"),
               e3m0 = noise(heavy, "e3m0");
  report.claim("Student-t of 3 degrees reverses the order: int4 < e2m1 < e3m0",
               "9.0, 10.2, 11.8 dB",
               std::to_string(int4).substr(0, 4) + ", " + std::to_string(e2m1).substr(0, 4) + ", " +
                   std::to_string(e3m0).substr(0, 4) + " dB",
               int4 < e2m1 && e2m1 < e3m0);
  report.note(
      "200,000 numbers, one scale of least squared error; heavy tails vary from draw to "
      "draw, so their order is what is claimed");
}

}  // namespace

Study minifloat_fpga_study() {
  return {"minifloat-fpga",
          "Post-Training Quantization with Low-precision Minifloats and Integers on FPGAs",
          "Aggarwal et al., FPL 2024 (arXiv 2311.12359)", run};
}

}  // namespace tandem
