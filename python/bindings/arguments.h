#pragma once

#include <nanobind/nanobind.h>

namespace tandem::python {

// A Python object as an argument whose type the signature (and so the stub) names; the function
// converts it, so that what is wrong with it is an Error with a text of ours.
template <typename Kind>
struct Argument {
  nanobind::object object;
  operator nanobind::handle() const { return object; }  // NOLINT(google-explicit-constructor)
};

// A file .onnx, .tflite or .tandem; its bytes; an onnx.ModelProto.
struct SourceKind {
  static constexpr auto kName =
      nanobind::detail::const_name("str | os.PathLike | bytes | onnx.ModelProto");
};
using SourceArgument = Argument<SourceKind>;

struct ModelKind {
  static constexpr auto kName =
      nanobind::detail::const_name("Module | str | os.PathLike | bytes | onnx.ModelProto");
};
using ModelArgument = Argument<ModelKind>;

struct PathKind {
  static constexpr auto kName = nanobind::detail::const_name("str | os.PathLike | None");
};
using PathArgument = Argument<PathKind>;

struct TextsKind {
  static constexpr auto kName = nanobind::detail::const_name("str | collections.abc.Sequence[str]");
};
using TextsArgument = Argument<TextsKind>;

// By the input's name: (format, scale) or (format, scale, offset).
struct CodingsKind {
  static constexpr auto kName = nanobind::detail::const_name("collections.abc.Mapping[str, tuple]");
};
using CodingsArgument = Argument<CodingsKind>;

struct ArraysKind {
  static constexpr auto kName =
      nanobind::detail::const_name("collections.abc.Mapping[str, numpy.typing.ArrayLike]");
};
using ArraysArgument = Argument<ArraysKind>;

struct ArrayKind {
  static constexpr auto kName = nanobind::detail::const_name("numpy.typing.ArrayLike");
};
using ArrayArgument = Argument<ArrayKind>;

}  // namespace tandem::python

namespace nanobind::detail {

template <typename Kind>
struct type_caster<tandem::python::Argument<Kind>> {
  NB_TYPE_CASTER(tandem::python::Argument<Kind>, Kind::kName)
  bool from_python(handle source, uint32_t, cleanup_list*) noexcept {
    value.object = borrow(source);
    return true;
  }
};

}  // namespace nanobind::detail
