#pragma once

#include <string>
#include <vector>

#include "tandem/files/numpy.h"

namespace tandem::test {

// One group of a golden archive (see make_golden.py).
struct GoldenCase {
  std::string name;
  std::string model;  // bytes of an ONNX file
  std::string error;  // a part of the expected message, or ""
  NamedTensors inputs, outputs;
};

// The cases of tests/files/golden/<name>.npz.
std::vector<GoldenCase> golden_cases(const std::string& name);

// The case of that name; InternalError where there is none.
const GoldenCase& find_case(const std::vector<GoldenCase>& cases, const std::string& name);

}  // namespace tandem::test
