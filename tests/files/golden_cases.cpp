#include "tests/files/golden_cases.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/text.h"

#include "tests/support/paths.h"

namespace tandem::test {
namespace {

std::string text_of(const Tensor& bytes) {
  const auto data = bytes.data<std::uint8_t>();
  return {data.begin(), data.end()};
}

}  // namespace

std::vector<GoldenCase> golden_cases(const std::string& name) {
  const auto outer = read_npz(source_dir() / "tests/files/golden" / concat(name, ".npz"));
  const NamedTensors arrays = read_npz(find_array(outer, "cases", name).bytes(), name);
  std::vector<GoldenCase> cases;
  for (const auto& [path, tensor] : arrays) {
    const std::size_t slash = path.find('/');
    const std::string case_name = path.substr(0, slash), rest = path.substr(slash + 1);
    if (cases.empty() || cases.back().name != case_name)
      cases.push_back({case_name, "", "", {}, {}});
    GoldenCase& last = cases.back();
    if (rest == "model")
      last.model = text_of(tensor);
    else if (rest == "error")
      last.error = text_of(tensor);
    else if (rest.starts_with("in/"))
      last.inputs.emplace_back(rest.substr(3), tensor);
    else
      last.outputs.emplace_back(rest.substr(4), tensor);
  }
  return cases;
}

const GoldenCase& find_case(const std::vector<GoldenCase>& cases, const std::string& name) {
  const auto found = std::ranges::find(cases, name, &GoldenCase::name);
  ensure(found != cases.end(), concat("no golden case ", name));
  return *found;
}

}  // namespace tandem::test
