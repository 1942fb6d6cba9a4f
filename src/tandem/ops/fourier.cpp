#include <algorithm>
#include <complex>
#include <memory>
#include <numbers>

#include "tandem/graph/registry.h"
#include "tandem/ops/broadcast.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

using Complex = std::complex<double>;
using Signal = std::vector<Complex>;

// e^(sign 2 pi i k / n) for k = 0 to n - 1.
Signal roots_of_unity(std::int64_t n, double sign) {
  Signal roots(static_cast<std::size_t>(n));
  for (std::int64_t k = 0; k < n; ++k)
    roots[static_cast<std::size_t>(k)] = std::polar(
        1.0, sign * 2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(n));
  return roots;
}

// X[k] = sum of x[t] e^(sign 2 pi i k t / n), by halves while n is even, straight otherwise.
// `roots` are those of a multiple `step` of n.
Signal transformed(const Signal& x, const Signal& roots, std::size_t step) {
  const std::size_t n = x.size();
  Signal result(n);
  if (n % 2 != 0) {
    for (std::size_t k = 0; k < n; ++k)
      for (std::size_t t = 0; t < n; ++t) result[k] += x[t] * roots[k * t % n * step];
    return result;
  }
  Signal even(n / 2), odd(n / 2);
  for (std::size_t t = 0; t < n; ++t) (t % 2 == 0 ? even : odd)[t / 2] = x[t];
  even = transformed(even, roots, 2 * step);
  odd = transformed(odd, roots, 2 * step);
  for (std::size_t k = 0; k < n / 2; ++k) {
    const Complex turned = roots[k * step] * odd[k];
    result[k] = even[k] + turned;
    result[k + n / 2] = even[k] - turned;
  }
  return result;
}

// Terms of such transforms, for the counts of work.
std::int64_t terms(std::int64_t n) {
  return n % 2 == 0 && n > 0 ? 2 * terms(n / 2) + n / 2 : n * n;
}

constexpr std::int64_t kLongest = std::int64_t{1} << 24;

void check_length(std::string_view what, std::int64_t length) {
  if (length < 1 || length > kLongest)
    throw Error(what, " is ", length, "; it must lie between 1 and ", kLongest);
}

class Dft final : public Operator {
 public:
  std::string_view name() const override { return "DFT"; }
  std::string_view description() const override {
    return "The discrete Fourier transform of x [...,1] (real) or [...,2] (complex) along an axis "
           "of it, cut or filled with zeros to a length; [...,2], or [...,1] where it goes from "
           "one "
           "half of a spectrum back to reals.";
  }
  std::vector<AttributeSpec> attributes() const override {
    return {
        integer_attribute("axis", "axis transformed, not the last"),
        integer_attribute("length", "number of elements; 0: those of the axis", 0),
        flag_attribute("inverse", "the inverse transform", false),
        flag_attribute("onesided", "of a real signal only the first half of the spectrum", false)};
  }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = require_reals(node);
    const auto& x = node.input(0).shape;
    const std::size_t axis = transformed_axis(node, x.size());
    const bool is_real = x.back() == Dim(1);
    if (!is_real && x.back() != Dim(2))
      throw Error("x is ", node.input(0).to_string(), "; its last axis must be 1 or 2");
    const bool onesided = flag(node, "onesided"), inverse = flag(node, "inverse");
    if (onesided && is_real == inverse)
      throw Error("onesided takes a real signal, or one half of a spectrum where it is inverse");
    TensorType y{x, format};
    const std::int64_t length = length_of(node, axis);
    check_length("length", length);
    y.shape[axis] = onesided && !inverse ? length / 2 + 1 : length;
    y.shape.back() = onesided && inverse ? 1 : 2;
    return {y};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    return compute_reals(inputs[0].format(), inputs,
                         [&]<typename T>(std::span<const Tensor> reals) {
                           return std::vector{run<T>(node, reals[0])};
                         });
  }

  Work work(const NodeView& node) const override {
    const Shape y = infer(node)[0].static_shape();
    const std::size_t axis = transformed_axis(node, y.size());
    const std::int64_t signals = element_count(y) / y.back() / std::max<std::int64_t>(y[axis], 1);
    return work_of(node, {operations(node, OperationKind::kMultiplyAccumulate,
                                     4 * signals * terms(length_of(node, axis)))});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view y, std::string_view attributes) {
      return sample_text("symbol N in [1,8]", concat("%x : ", x),
                         concat("%y : ", y, " = DFT(%x) ", attributes));
    };
    return {{text("f32[N,10,1]", "f32[N,10,2]", "{axis = 1}"), ""},
            {text("f64[7,N,2]", "f64[7,N,2]", "{axis = 0, inverse = 1}"), ""},
            {text("f32[N,6,1]", "f32[N,5,2]", "{axis = -2, onesided = 1, length = 8}"), ""},
            {text("f32[N,5,2]", "f32[N,8,1]", "{axis = 1, onesided = 1, inverse = 1}"), ""},
            {text("f32[N,10,3]", "f32[N,10,2]", "{axis = 1}"), "must be 1 or 2"},
            {text("f32[N,10,1]", "f32[N,10,2]", "{axis = 2}"), "axis 2"}};
  }

 private:
  static std::size_t transformed_axis(const NodeView& node, std::size_t rank) {
    const std::int64_t axis = node.integer("axis");
    const std::size_t found = normalized_axis(axis, rank);
    if (found + 1 == rank) throw Error("axis ", axis, " is that of real and imaginary parts");
    return found;
  }

  static std::int64_t length_of(const NodeView& node, std::size_t axis) {
    if (node.integer("length") != 0) return node.integer("length");
    const std::int64_t extent = node.input(0).shape[axis].constant();
    return flag(node, "onesided") && flag(node, "inverse") ? 2 * (extent - 1) : extent;
  }

  template <typename T>
  static Tensor run(const NodeView& node, const Tensor& x) {
    const Shape& from = x.shape();
    const std::size_t axis = transformed_axis(node, from.size());
    const bool onesided = flag(node, "onesided"), inverse = flag(node, "inverse");
    const std::int64_t length = length_of(node, axis), parts = from.back();
    Shape shape = from;
    shape[axis] = onesided && !inverse ? length / 2 + 1 : length;
    shape.back() = onesided && inverse ? 1 : 2;
    Tensor y(x.format(), shape);
    const Signal roots = roots_of_unity(length, inverse ? 1 : -1);
    const double scale = inverse ? 1.0 / static_cast<double>(length) : 1.0;
    const AxisSplit in = split_at(from, axis), out = split_at(shape, axis);
    const std::int64_t steps = in.inner / parts;
    Signal signal(static_cast<std::size_t>(length));
    for (std::int64_t o = 0; o < in.outer; ++o) {
      for (std::int64_t n = 0; n < steps; ++n) {
        const T* source = x.data<T>().data() + (o * in.extent * steps + n) * parts;
        read(source, steps * parts, parts, std::min(in.extent, length), signal);
        if (onesided && inverse) mirror(signal);
        const Signal spectrum = transformed(signal, roots, 1);
        T* to = y.mutable_data<T>().data() + (o * out.extent * steps + n) * shape.back();
        for (std::int64_t k = 0; k < out.extent; ++k, to += steps * shape.back()) {
          const Complex value = spectrum[static_cast<std::size_t>(k)] * scale;
          to[0] = static_cast<T>(value.real());
          if (shape.back() == 2) to[1] = static_cast<T>(value.imag());
        }
      }
    }
    return y;
  }

  template <typename T>
  static void read(const T* from, std::int64_t stride, std::int64_t parts, std::int64_t count,
                   Signal& signal) {
    std::fill(signal.begin(), signal.end(), Complex{});
    for (std::int64_t i = 0; i < count; ++i, from += stride)
      signal[static_cast<std::size_t>(i)] = {static_cast<double>(from[0]),
                                             parts == 2 ? static_cast<double>(from[1]) : 0.0};
  }

  // The second half of the spectrum of a real signal.
  static void mirror(Signal& spectrum) {
    for (std::size_t k = spectrum.size() / 2 + 1; k < spectrum.size(); ++k)
      spectrum[k] = std::conj(spectrum[spectrum.size() - k]);
  }
};

class Stft final : public Operator {
 public:
  std::string_view name() const override { return "STFT"; }
  std::string_view description() const override {
    return "The Fourier transforms of the frames of signals [N,length,1 or 2], each times the "
           "optional window [frame], as [N,frames,bins,2].";
  }
  std::vector<AttributeSpec> attributes() const override {
    return {integer_attribute("frame_length", "elements of a frame"),
            integer_attribute("frame_step", "elements from one frame to the next"),
            flag_attribute("onesided", "only the first half of the spectra", true)};
  }
  std::size_t max_inputs() const override { return 2; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = require_reals(node);
    const auto& x = node.input(0).shape;
    if (x.size() != 3 || (x[2] != Dim(1) && x[2] != Dim(2)))
      throw Error("the signal is ", node.input(0).to_string(), ", not [N,length,1 or 2]");
    const std::int64_t frame = node.integer("frame_length"), step = node.integer("frame_step");
    check_length("frame_length", frame);
    check_length("frame_step", step);
    if (frame > x[1].constant())
      throw Error("frame_length is ", frame, ", more than the signal ", node.input(0).to_string());
    if (node.has_input(1) && node.input(1).shape != std::vector<Dim>{frame})
      throw Error("the window is ", node.input(1).to_string(), " for frames of ", frame);
    if (flag(node, "onesided") && x[2] == Dim(2))
      throw Error("onesided takes a real signal, not ", node.input(0).to_string());
    const std::int64_t frames = (x[1].constant() - frame) / step + 1;
    return {{{x[0], Dim(frames), Dim(bins(node)), Dim(2)}, format}};
  }

  std::vector<Tensor> evaluate(const NodeView& node,
                               std::span<const Tensor> inputs) const override {
    return compute_reals(inputs[0].format(), inputs,
                         [&]<typename T>(std::span<const Tensor> reals) {
                           return std::vector{run<T>(node, reals)};
                         });
  }

  Work work(const NodeView& node) const override {
    const Shape y = infer(node)[0].static_shape();
    return work_of(node, {operations(node, OperationKind::kMultiplyAccumulate,
                                     4 * y[0] * y[1] * terms(node.integer("frame_length")))});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view x, std::string_view window, std::string_view y,
                         std::string_view attributes) {
      return sample_text("symbol N in [1,8]", concat("%x : ", x, ", %w : ", window),
                         concat("%y : ", y, " = STFT(%x, %w) ", attributes));
    };
    return {
        {text("f32[N,20,1]", "f32[8]", "f32[N,5,5,2]", "{frame_length = 8, frame_step = 3}"), ""},
        {text("f64[N,9,2]", "f64[3]", "f64[N,3,3,2]",
              "{frame_length = 3, frame_step = 3, onesided = 0}"),
         ""},
        {text("f32[N,9,1]", "f32[4]", "f32[N,3,2,2]", "{frame_length = 3, frame_step = 3}"),
         "for frames of 3"},
        {text("f32[N,9,2]", "f32[3]", "f32[N,3,2,2]", "{frame_length = 3, frame_step = 3}"),
         "takes a real signal"}};
  }

 private:
  static std::int64_t bins(const NodeView& node) {
    const std::int64_t frame = node.integer("frame_length");
    return flag(node, "onesided") ? frame / 2 + 1 : frame;
  }

  template <typename T>
  static Tensor run(const NodeView& node, std::span<const Tensor> inputs) {
    const Shape& x = inputs[0].shape();
    const std::int64_t frame = node.integer("frame_length"), step = node.integer("frame_step");
    const Shape shape = {x[0], (x[1] - frame) / step + 1, bins(node), 2};
    Tensor y(inputs[0].format(), shape);
    const Signal roots = roots_of_unity(frame, -1);
    const T* from = inputs[0].data<T>().data();
    T* to = y.mutable_data<T>().data();
    Signal signal(static_cast<std::size_t>(frame));
    for (std::int64_t n = 0; n < shape[0]; ++n) {
      for (std::int64_t f = 0; f < shape[1]; ++f) {
        const T* element = from + (n * x[1] + f * step) * x[2];
        for (std::size_t t = 0; t < signal.size(); ++t, element += x[2]) {
          const double weight = node.has_input(1) ? inputs[1].data<T>()[t] : 1;
          signal[t] = weight * Complex(element[0], x[2] == 2 ? element[1] : 0);
        }
        const Signal spectrum = transformed(signal, roots, 1);
        for (std::int64_t k = 0; k < shape[2]; ++k) {
          *to++ = static_cast<T>(spectrum[static_cast<std::size_t>(k)].real());
          *to++ = static_cast<T>(spectrum[static_cast<std::size_t>(k)].imag());
        }
      }
    }
    return y;
  }
};

}  // namespace

void register_fourier_operators() {
  operators().add(std::make_unique<Dft>());
  operators().add(std::make_unique<Stft>());
}

}  // namespace tandem
