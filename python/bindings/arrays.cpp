#include "python/bindings/arrays.h"

#include <algorithm>
#include <memory>
#include <nanobind/ndarray.h>
#include <optional>
#include <span>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/base/text.h"

namespace nb = nanobind;

namespace tandem::python {
namespace {

struct DtypeName {
  std::string_view dtype, format;
  bool of_ml_dtypes;  // NumPy itself does not have it
};

// Formats of dtypes that bear another name.
constexpr DtypeName kDtypes[] = {{"float64", "f64", false},
                                 {"float32", "f32", false},
                                 {"float16", "f16", false},
                                 {"bfloat16", "bf16", true},
                                 {"float8_e5m2", "e5m2", true},
                                 {"uint64", "uint63", false},
                                 {"float8_e4m3fn", "e4m3", true},
                                 {"float8_e4m3fnuz", "e4m3fnuz", true},
                                 {"float8_e5m2fnuz", "e5m2fnuz", true},
                                 {"float4_e2m1fn", "e2m1", true}};

// The dtypes that are Tandem's formats of the same name.
bool is_shared_name(std::string_view name) {
  return name == "bool" || name == "int8" || name == "int16" || name == "int32" ||
         name == "int64" || name == "uint8" || name == "uint16" || name == "uint32";
}

std::string_view storage_dtype(Storage storage) {
  switch (storage) {
    case Storage::kU8: return "uint8";
    case Storage::kU16: return "uint16";
    case Storage::kU32: return "uint32";
    case Storage::kU64: return "uint64";
    case Storage::kI8: return "int8";
    case Storage::kI16: return "int16";
    case Storage::kI32: return "int32";
    case Storage::kI64: return "int64";
    case Storage::kF32: return "float32";
    case Storage::kF64: return "float64";
  }
  throw InternalError("unknown storage");
}

nb::object numpy() { return nb::module_::import_("numpy"); }

nb::str text(std::string_view value) { return nb::str(value.data(), value.size()); }

nb::object numpy_dtype(std::string_view name) { return numpy().attr("dtype")(text(name)); }

nb::object ml_dtype(std::string_view name) {
  return numpy().attr("dtype")(nb::module_::import_("ml_dtypes").attr(text(name)));
}

std::string name_of_dtype(nb::handle array) {
  return nb::cast<std::string>(nb::str(array.attr("dtype").attr("name")));
}

// The format of a dtype; nullopt where it is no number.
std::optional<Format> format_of_dtype(std::string_view name) {
  for (const DtypeName& entry : kDtypes)
    if (entry.dtype == name) return Format::parse(entry.format);
  if (is_shared_name(name)) return Format::parse(name);
  // ml_dtypes' int4 and its like, one byte each.
  for (const std::string_view narrow : {"int2", "int4", "uint2", "uint4"})
    if (name == narrow) return Format::parse(name);
  return std::nullopt;
}

nb::object as_array(nb::handle values, const Format& wanted) {
  const nb::object np = numpy();
  if (nb::isinstance(values, np.attr("ndarray")) || nb::isinstance(values, np.attr("generic")))
    return np.attr("asarray")(values, nb::arg("order") = "C");
  if (nb::hasattr(values, "__dlpack__"))
    return np.attr("asarray")(np.attr("from_dlpack")(values), nb::arg("order") = "C");
  if (nb::hasattr(values, "dtype")) return np.attr("asarray")(values, nb::arg("order") = "C");
  return np.attr("asarray")(values, nb::arg("dtype") = dtype_of(wanted), nb::arg("order") = "C");
}

// The array's elements as bytes, in the machine's order.
nb::object bytes_of(const nb::object& array, const Format& format) {
  nb::object plain = array;
  if (format.is_integer() && format.bits() < 8) {  // ml_dtypes leaves the upper bits undefined
    plain = array.attr("astype")(numpy_dtype(storage_dtype(format.storage())));
  } else if (!nb::cast<bool>(array.attr("dtype").attr("isnative"))) {
    plain = array.attr("astype")(array.attr("dtype").attr("newbyteorder")("="));
  }
  return plain.attr("reshape")(-1).attr("view")(numpy_dtype("uint8"));
}

Shape shape_of(const nb::object& array) {
  Shape shape;
  for (const nb::handle extent : array.attr("shape"))
    shape.push_back(nb::cast<std::int64_t>(extent));
  return shape;
}

// The tensor over an array of bytes, which it keeps alive.
Tensor borrowed(const nb::object& flat, const Format& format, Shape shape) {
  const auto bytes =
      nb::cast<nb::ndarray<nb::ro, const std::uint8_t, nb::ndim<1>, nb::device::cpu>>(flat);
  const auto view = std::as_bytes(std::span(bytes.data(), bytes.size()));
  const auto alignment = static_cast<std::size_t>(storage_bytes(format.storage()));
  if (reinterpret_cast<std::uintptr_t>(view.data()) % alignment != 0) {
    Tensor copy(format, std::move(shape));
    std::ranges::copy(view, copy.mutable_bytes().begin());
    return copy;
  }
  // Released wherever the last tensor ends, with or without the GIL.
  const std::shared_ptr<const void> owner(nb::object(flat).release().ptr(), [](void* object) {
    const nb::gil_scoped_acquire acquired;
    Py_DECREF(static_cast<PyObject*>(object));
  });
  return Tensor::borrowing(format, std::move(shape), view, owner);
}

// The stored integers in a format of the same storage that may have fewer of them.
Tensor narrowed(const Tensor& stored, const Format& wanted) {
  std::vector<std::int64_t> integers(static_cast<std::size_t>(stored.size()));
  visit_storage(stored.format().storage(), [&]<typename T>() {
    const auto from = stored.data<T>();
    for (std::size_t i = 0; i < from.size(); ++i) integers[i] = static_cast<std::int64_t>(from[i]);
  });
  return Tensor::from_integers(wanted, stored.shape(), integers);
}

// The format of NumPy's elements that lie in memory as this machine reads them, by the letter and
// size that the buffer protocol gives; null for all others.
const Format* format_of_elements(std::string_view letters, Py_ssize_t size) {
  static const Format kBool = Format::parse("bool"),
                      kReals[] = {Format::parse("f16"), Format::parse("f32"), Format::parse("f64")};
  static const Format kSigned[] = {Format::parse("int8"), Format::parse("int16"),
                                   Format::parse("int32"), Format::parse("int64")};
  static const Format kUnsigned[] = {Format::parse("uint8"), Format::parse("uint16"),
                                     Format::parse("uint32")};
  const auto of_size = [&](std::span<const Format> formats, Py_ssize_t least) -> const Format* {
    for (const Format& format : formats) {
      if (size == least) return &format;
      least *= 2;
    }
    return nullptr;
  };
  if (letters == "?") return &kBool;
  if (letters == "e" || letters == "f" || letters == "d") return of_size(kReals, 2);
  const auto is_one_of = [&](std::string_view some) {
    return letters.size() == 1 && some.find(letters[0]) != std::string_view::npos;
  };
  if (is_one_of("bhilq")) return of_size(kSigned, 1);
  if (is_one_of("BHI")) return of_size(kUnsigned, 1);
  return nullptr;
}

// A buffer that Python lends, given back wherever the last tensor over it ends, with or without the
// GIL.
class LentBuffer {
 public:
  // Empty where the object does not lend its elements in row-major order.
  explicit LentBuffer(nb::handle object) {
    is_lent_ = PyObject_GetBuffer(object.ptr(), &view_, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) == 0;
    if (!is_lent_) PyErr_Clear();
  }
  LentBuffer(const LentBuffer&) = delete;
  LentBuffer& operator=(const LentBuffer&) = delete;
  ~LentBuffer() {
    if (!is_lent_) return;
    const nb::gil_scoped_acquire acquired;
    PyBuffer_Release(&view_);
  }
  const Py_buffer* view() const { return is_lent_ ? &view_ : nullptr; }

 private:
  Py_buffer view_;
  bool is_lent_ = false;
};

// The tensor over a NumPy array whose elements lie as ours do; what else there is goes the long way
// through NumPy. The short way takes a tenth of the time, which tells on small networks.
std::optional<Tensor> plain_tensor(nb::handle values) {
  // As long as the process.
  static const nb::handle kArray = nb::object(numpy().attr("ndarray")).release();
  if (Py_TYPE(values.ptr()) != reinterpret_cast<PyTypeObject*>(kArray.ptr())) return std::nullopt;
  auto lent = std::make_shared<LentBuffer>(values);
  const Py_buffer* view = lent->view();
  if (view == nullptr) return std::nullopt;
  const Format* format = format_of_elements(view->format, view->itemsize);
  const auto size = static_cast<std::uintptr_t>(view->itemsize);
  if (format == nullptr || reinterpret_cast<std::uintptr_t>(view->buf) % size != 0)
    return std::nullopt;
  const std::span bytes(static_cast<const std::byte*>(view->buf),
                        static_cast<std::size_t>(view->len));
  return Tensor::borrowing(*format, Shape(view->shape, view->shape + view->ndim), bytes,
                           std::move(lent));
}

}  // namespace

nb::object dtype_of(const Format& format) {
  const std::string name = format.name();
  for (const DtypeName& entry : kDtypes) {
    if (entry.format == name)
      return entry.of_ml_dtypes ? ml_dtype(entry.dtype) : numpy_dtype(entry.dtype);
  }
  return numpy_dtype(format.is_boolean() ? "bool" : storage_dtype(format.storage()));
}

Tensor tensor_of(nb::handle values, const Format& wanted) {
  if (auto plain = plain_tensor(values); plain && plain->format() == wanted)
    return *std::move(plain);
  const nb::object array = as_array(values, wanted);
  const std::string dtype = name_of_dtype(array);
  const auto format = format_of_dtype(dtype);
  if (!format) {
    throw Error("elements of dtype ", dtype, " are no numbers that are read; convert them to ",
                nb::cast<std::string>(nb::str(dtype_of(wanted).attr("name"))));
  }
  const Tensor tensor = borrowed(bytes_of(array, *format), *format, shape_of(array));
  const bool checked = *format == Format::parse("uint63");
  if (wanted.is_uniform() && wanted.storage() == format->storage() && format->is_uniform() &&
      !format->is_boolean() && !wanted.is_boolean() && (checked || wanted != *format))
    return narrowed(tensor, wanted);
  return tensor;
}

namespace {

// What nanobind calls the elements of a format; nullopt where NumPy has them from ml_dtypes.
std::optional<nb::dlpack::dtype> element_dtype(const Format& format) {
  using Code = nb::dlpack::dtype_code;
  const std::string name = format.name();
  std::string_view dtype = storage_dtype(format.storage());
  for (const DtypeName& entry : kDtypes) {
    if (entry.format != name) continue;
    if (entry.of_ml_dtypes) return std::nullopt;
    dtype = entry.dtype;
  }
  const Code code = format.is_boolean()          ? Code::Bool
                    : dtype.starts_with("float") ? Code::Float
                    : dtype.starts_with("uint")  ? Code::UInt
                                                 : Code::Int;
  const auto bits = static_cast<std::uint8_t>(8 * storage_bytes(format.storage()));
  return nb::dlpack::dtype{static_cast<std::uint8_t>(code), bits, 1};
}

}  // namespace

nb::object array_of(Tensor tensor) {
  auto kept = std::make_unique<Tensor>(std::move(tensor));
  std::byte* data = kept->mutable_bytes().data();
  std::vector<std::size_t> shape;
  for (const std::int64_t extent : kept->shape()) shape.push_back(static_cast<std::size_t>(extent));
  const Format format = kept->format();
  const std::size_t bytes = kept->bytes().size();
  const nb::capsule owner(kept.release(),
                          [](void* pointer) noexcept { delete static_cast<Tensor*>(pointer); });
  if (const auto dtype = element_dtype(format)) {
    return nb::cast(
        nb::ndarray<nb::numpy>(data, shape.size(), shape.data(), owner, nullptr, *dtype));
  }
  const nb::object flat =
      nb::cast(nb::ndarray<nb::numpy, std::uint8_t, nb::ndim<1>>(data, {bytes}, owner));
  nb::list extents;
  for (const std::size_t extent : shape) extents.append(extent);
  return flat.attr("view")(dtype_of(format)).attr("reshape")(nb::tuple(extents));
}

}  // namespace tandem::python
