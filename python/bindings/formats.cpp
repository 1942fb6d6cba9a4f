#include "python/bindings/formats.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <nanobind/stl/string.h>
#include <optional>
#include <span>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/base/threads.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/operator.h"

#include "python/bindings/arguments.h"
#include "python/bindings/arrays.h"
#include "python/bindings/call.h"

namespace nb = nanobind;
using namespace nb::literals;  // NOLINT(google-build-using-namespace): "name"_a

namespace tandem::python {
namespace {

constexpr std::int64_t kGrain = std::int64_t{1} << 15;  // elements that one thread takes at a time

// What an array of codes of a format is, whatever integers its dtype names.
Tensor codes_of(nb::handle values, const Format& format) {
  Tensor given = tensor_of(values, format);
  if (given.format() == format) return given;
  if (given.format().storage() != format.storage())
    throw Error("codes of ", format.name(), " are an array of dtype ",
                nb::cast<std::string>(nb::str(dtype_of(format).attr("name"))), ", not ",
                given.format().name());
  Tensor codes(format, given.shape());
  std::ranges::copy(given.bytes(), codes.mutable_bytes().begin());
  visit_storage(format.storage(), [&]<typename T>() {
    if constexpr (std::is_unsigned_v<T>) {
      if (format.bits() >= std::numeric_limits<T>::digits) return;
      for (const T code : codes.data<T>()) {
        if (code >> format.bits() != 0)
          throw Error("code ", +code, " has more than the ", format.bits(), " bits of ",
                      format.name());
      }
    }
  });
  return codes;
}

// ---- Format ----

// The nearest code to a number beyond all of them.
double end_of(const Format& format, bool upper) {
  if (format.is_boolean()) return upper ? 1 : 0;
  const double huge = format.is_float() ? 1e300 : std::numeric_limits<double>::infinity();
  return format.decode(
      format.encode(upper ? huge : -huge, Rounding::kHalfEven,
                    format.is_float() ? Overflow::kSaturateSymmetric : Overflow::kSaturate));
}

nb::object encode(const Format& format, nb::handle values, const std::string& rounding,
                  const std::string& overflow) {
  const Tensor reals = tensor_of(values, Format::parse("f64"));
  if (!reals.format().is_float()) throw Error("encode() takes reals, not ", reals.format().name());
  const Rounding how = parse_rounding(rounding);
  const Overflow beyond = parse_overflow(overflow);
  return array_of(without_gil(
      [&] { return Tensor::from_reals(format, reals.shape(), reals.to_reals(), how, beyond); }));
}

nb::object decode(const Format& format, nb::handle codes) {
  const Tensor stored = codes_of(codes, format);
  return array_of(without_gil(
      [&] { return Tensor::from_reals(Format::parse("f64"), stored.shape(), stored.to_reals()); }));
}

nb::object all_codes(const Format& format) {
  constexpr int kMostBits = 16;
  if (format.bits() > kMostBits)
    throw Error("codes(): ", format.name(), " has ", format.bits(), " bits; up to ", kMostBits,
                " are listed");
  const std::vector<std::uint64_t> codes = format.codes();
  Tensor tensor(format, {static_cast<std::int64_t>(codes.size())});
  visit_storage(format.storage(), [&]<typename T>() {
    std::ranges::transform(codes, tensor.mutable_data<T>().begin(), [&](std::uint64_t code) {
      return format.is_uniform() ? static_cast<T>(format.integer_of(code)) : static_cast<T>(code);
    });
  });
  return array_of(std::move(tensor));
}

// ---- The operators Quantize and Dequantize over arrays ----

// A module of one node over x [any shape] with constant parameters.
struct OneNode {
  Module module;
  std::vector<Tensor> parameters;  // scale, zero

  OneNode(std::string_view op, const Tensor& x, const Tensor& scale,
          const std::optional<Tensor>& zero, Attributes attributes) {
    Builder builder(module, Builder::add_graph(module, "main"));
    std::vector<ValueId> inputs = {builder.input("x", type_of(x))};
    parameters.push_back(scale);
    if (zero) parameters.push_back(*zero);
    for (const Tensor& parameter : parameters) inputs.push_back(builder.constant(parameter));
    builder.output(builder.add(op, inputs, std::move(attributes)));
  }

  Tensor run(const std::vector<Tensor>& inputs) const {
    const Graph& graph = module.main();
    const Node& node = graph.nodes.back();
    return node.op->evaluate({module, graph, node}, inputs).front();
  }
};

// Those rows of a parameter that belong to rows [from, to) of x.
Tensor rows_of(const Tensor& parameter, std::int64_t rank, std::int64_t from, std::int64_t to) {
  const bool varies = parameter.rank() == rank && parameter.shape()[0] > 1;
  return varies ? parameter.rows(from, to) : parameter;
}

// node(x) by all threads, each taking rows of the first axis; the operator is elementwise.
Tensor run_in_parts(const OneNode& node, const Tensor& given, const Format& result) {
  const bool is_flat = std::ranges::all_of(
      node.parameters, [](const Tensor& parameter) { return parameter.size() == 1; });
  std::vector<Tensor> parameters = node.parameters;
  if (is_flat)
    for (Tensor& parameter : parameters) parameter = parameter.reshaped({});
  const Tensor x = is_flat ? given.reshaped({given.size()}) : given;
  const std::int64_t rows = x.rank() == 0 ? 0 : x.shape()[0];
  if (x.size() <= kGrain || rows < 2) {
    std::vector<Tensor> inputs = {x};
    inputs.insert(inputs.end(), parameters.begin(), parameters.end());
    return node.run(inputs).reshaped(given.shape());
  }
  const std::int64_t grain = std::max<std::int64_t>(1, kGrain / (x.size() / rows));
  Tensor y(result, given.shape());
  const std::span<std::byte> to = y.mutable_bytes();
  const auto row_bytes = to.size() / static_cast<std::size_t>(rows);
  parallel_for(0, rows, grain, [&](std::int64_t begin, std::int64_t end) {
    std::vector<Tensor> inputs = {x.rows(begin, end)};
    for (const Tensor& parameter : parameters)
      inputs.push_back(rows_of(parameter, x.rank(), begin, end));
    const Tensor part = node.run(inputs);
    std::ranges::copy(part.bytes(),
                      to.subspan(static_cast<std::size_t>(begin) * row_bytes).begin());
  });
  return y;
}

Tensor real_of_argument(nb::handle values, const char* what) {
  try {
    return tensor_of(values, Format());
  } catch (const Error& error) {
    throw error.at(what);
  }
}

std::optional<Tensor> zero_of(nb::handle zero) {
  if (zero.is_none()) return std::nullopt;
  return real_of_argument(zero, "zero");
}

void refuse_nan(const Tensor& x) {
  if (!x.format().is_float()) return;  // which the operator refuses
  const std::vector<float> values = x.to_floats();
  const auto bad = std::ranges::find_if(values, [](float value) { return std::isnan(value); });
  if (bad != values.end())
    throw Error("Quantize: element ", bad - values.begin(), " of its input is NaN");
}

nb::object quantize(const ArrayArgument& x, const ArrayArgument& scale, nb::handle zero,
                    const std::string& format, const std::string& rounding,
                    const std::string& overflow, const std::string& zero_added) {
  const Tensor reals = real_of_argument(x, "x");
  const Format codes = Format::parse(format);
  const OneNode node("Quantize", reals, real_of_argument(scale, "scale"), zero_of(zero),
                     {{"format", codes},
                      {"rounding", rounding},
                      {"overflow", overflow},
                      {"zero_added", zero_added}});
  return array_of(without_gil([&] {
    refuse_nan(reals);
    return run_in_parts(node, reals, codes);
  }));
}

nb::object dequantize(const ArrayArgument& codes, const ArrayArgument& scale, nb::handle zero,
                      const std::string& format) {
  const Tensor stored = codes_of(codes, Format::parse(format));
  const OneNode node("Dequantize", stored, real_of_argument(scale, "scale"), zero_of(zero), {});
  return array_of(without_gil([&] { return run_in_parts(node, stored, Format()); }));
}

}  // namespace

void bind_formats(nb::module_& module) {
  nb::class_<Format>(
      module, "Format",
      "A number format: \"int8\", \"fixed<8,3>\", \"e4m3\", \"nf4\", \"pow2<4>\" and "
      "what else `tandem list formats` shows. A code is an integer (of uniform "
      "formats the exact integer, of others the bit pattern).")
      .def(
          "__init__",
          [](Format* self, const std::string& name) { new (self) Format(Format::parse(name)); },
          "name"_a, "Raises Error naming the nearest format where there is none of this name.")
      .def_prop_ro("name", [](const Format& self) { return self.name(); })
      .def_prop_ro(
          "bits", [](const Format& self) { return self.bits(); }, "Width of a code.")
      .def_prop_ro(
          "is_uniform", [](const Format& self) { return self.is_uniform(); },
          "Whether every code is an integer times the same power of two.")
      .def_prop_ro(
          "is_integer", [](const Format& self) { return self.is_integer(); },
          "Whether every code is an integer: int, uint, bipolar, ternary.")
      .def_prop_ro(
          "is_float", [](const Format& self) { return self.is_float(); },
          "Whether codes are spaced by an exponent.")
      .def_prop_ro(
          "minimum", [](const Format& self) { return end_of(self, false); },
          "The least number that has a code.")
      .def_prop_ro(
          "maximum", [](const Format& self) { return end_of(self, true); },
          "The greatest finite number that has a code.")
      .def_prop_ro(
          "dtype", [](const Format& self) { return dtype_of(self); },
          nb::sig("def dtype(self) -> numpy.dtype"), "The numpy.dtype of an array of its codes.")
      .def("encode", &encode, "values"_a, nb::kw_only(), "rounding"_a = "half_even",
           "overflow"_a = "saturate",
           nb::sig("def encode(self, values: numpy.typing.ArrayLike, *, rounding: str = "
                   "'half_even', overflow: str = 'saturate') -> numpy.ndarray"),
           "The codes of an array of reals, in the dtype that the format has.")
      .def("decode", &decode, "codes"_a,
           nb::sig("def decode(self, codes: numpy.typing.ArrayLike) -> numpy.ndarray"),
           "The reals that codes stand for, as float64.")
      .def("codes", &all_codes, nb::sig("def codes(self) -> numpy.ndarray"),
           "All codes of a format of up to 16 bits, in the order of their bits.")
      .def("__eq__",
           [](const Format& self, nb::handle other) {
             return nb::isinstance<Format>(other) && self == nb::cast<Format>(other);
           })
      .def("__hash__", [](const Format& self) { return nb::hash(nb::cast(self.name())); })
      .def("__repr__", [](const Format& self) { return concat("Format('", self.name(), "')"); });

  module.def("quantize", &quantize, "x"_a, "scale"_a, "zero"_a.none() = nb::none(), nb::kw_only(),
             "format"_a, "rounding"_a = "half_even", "overflow"_a = "saturate",
             "zero_added"_a = "before_rounding",
             nb::sig("def quantize(x: numpy.typing.ArrayLike, scale: numpy.typing.ArrayLike, zero: "
                     "numpy.typing.ArrayLike | None = None, *, format: str, rounding: str = "
                     "'half_even', overflow: str = 'saturate', zero_added: str = "
                     "'before_rounding') -> numpy.ndarray"),
             "The codes of x / scale + zero (in f32) in a format: what the operator Quantize of a "
             "network computes. scale and zero broadcast to x.\n\n"
             "rounding: floor, toward_zero, half_up, half_toward_zero, half_down, "
             "half_away_from_zero, half_even, ceiling, away_from_zero; overflow: wrap, saturate, "
             "saturate_zero, saturate_symmetric; zero_added: before_rounding (QONNX) or "
             "after_rounding (ONNX; whole zeros). Raises Error on NaN and on scales that are not "
             "positive.");
  module.def("dequantize", &dequantize, "codes"_a, "scale"_a, "zero"_a.none() = nb::none(),
             nb::kw_only(), "format"_a,
             nb::sig("def dequantize(codes: numpy.typing.ArrayLike, scale: numpy.typing.ArrayLike, "
                     "zero: numpy.typing.ArrayLike | None = None, *, format: str) -> "
                     "numpy.ndarray"),
             "(decoded codes - zero) * scale as float32: the operator Dequantize. Codes are as "
             "quantize() gives them.");
}

}  // namespace tandem::python
