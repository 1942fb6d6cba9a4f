#include <algorithm>
#include <cmath>
#include <numbers>

#include "tandem/files/onnx_import.h"
#include "tandem/files/onnx_tensor.h"

namespace tandem {
namespace {

std::int64_t whole(OnnxNode& node, std::size_t input, std::string_view what) {
  const double value = node.scalar(input, what);
  constexpr double kLargest = 1 << 24;
  if (!(value >= 0 && value <= kLargest) || value != std::floor(value))
    OnnxNode::refuse(concat(what, " is ", value), "give it a whole number that is not negative");
  return static_cast<std::int64_t>(value);
}

Format output_format(OnnxNode& node) {
  return required_format(node.integer("output_datatype", 1), "it makes elements of type ");
}

// a0 - a1 cos(2 pi n / N) + a2 cos(4 pi n / N)
struct Window {
  double a0, a1, a2;
};

Window window_of(std::string_view op) {
  if (op == "HannWindow") return {0.5, 0.5, 0};
  if (op == "HammingWindow") return {25.0 / 46, 21.0 / 46, 0};
  return {0.42, 0.5, 0.08};  // BlackmanWindow
}

void window(OnnxNode& node) {
  const std::int64_t size = whole(node, 0, "its size");
  const bool periodic = node.integer("periodic", 1) != 0;
  const Window shape = window_of(node.op());
  const auto period = static_cast<double>(periodic ? size : std::max<std::int64_t>(size - 1, 1));
  node.charge(size);
  std::vector<double> values;
  for (std::int64_t n = 0; n < size; ++n) {
    const double angle = 2 * std::numbers::pi * static_cast<double>(n) / period;
    values.push_back(shape.a0 - shape.a1 * std::cos(angle) + shape.a2 * std::cos(2 * angle));
  }
  node.set(0, node.add_constant(Tensor::from_reals(output_format(node), {size}, values)));
}

double mel_of(double hertz) { return 2595 * std::log1p(hertz / 700) / std::numbers::ln10; }

double hertz_of(double mel) { return 700 * std::expm1(mel / 2595 * std::numbers::ln10); }

// Triangles over the spectrum's bins: rows are bins, columns bands.
void mel_weights(OnnxNode& node) {
  const std::int64_t bands = whole(node, 0, "its number of bands");
  const std::int64_t length = whole(node, 1, "its dft_length");
  const std::int64_t rate = whole(node, 2, "its sample rate");
  const double low = mel_of(node.scalar(3, "its lower edge"));
  const double high = mel_of(node.scalar(4, "its upper edge"));
  if (rate == 0 || bands == 0) OnnxNode::refuse("it has no bands or rate", "correct the inputs");
  const std::int64_t bins = length / 2 + 1;
  node.charge(bins * bands);
  const double step = (high - low) / static_cast<double>(bands + 2);
  std::vector<std::int64_t> edges;
  for (std::int64_t i = 0; i < bands + 2; ++i) {
    const double hertz = hertz_of(low + step * static_cast<double>(i));
    const double bin =
        std::floor(static_cast<double>(length + 1) * hertz / static_cast<double>(rate));
    if (!(bin >= 0 && bin < static_cast<double>(bins)))
      OnnxNode::refuse(concat("band edge ", i, " lies outside of the spectrum"),
                       "keep the edges between 0 and half the sample rate");
    edges.push_back(static_cast<std::int64_t>(bin));
  }
  std::vector<double> weights(static_cast<std::size_t>(bins * bands), 0);
  const auto at = [&](std::int64_t bin, std::int64_t band) -> double& {
    return weights[static_cast<std::size_t>(bin * bands + band)];
  };
  for (std::int64_t band = 0; band < bands; ++band) {
    const auto* edge = edges.data() + band;
    at(edge[1], band) = 1;
    for (std::int64_t bin = edge[0]; bin < edge[1]; ++bin)
      at(bin, band) = static_cast<double>(bin - edge[0]) / static_cast<double>(edge[1] - edge[0]);
    for (std::int64_t bin = edge[1]; bin < edge[2]; ++bin)
      at(bin, band) = static_cast<double>(edge[2] - bin) / static_cast<double>(edge[2] - edge[1]);
  }
  node.set(0, node.add_constant(Tensor::from_reals(output_format(node), {bins, bands}, weights)));
}

// The axis is an attribute before operator set 20 and an input since.
void dft(OnnxNode& node) {
  std::int64_t axis = -2;
  if (node.opset() < 20) {
    axis = node.integer("axis", 1);
  } else if (node.has(2)) {
    const auto& given = node.required_constant(2, "its axis");
    if (given.size() != 1 || !given.format().is_integer())
      OnnxNode::refuse("its axis is no single integer", "correct the input");
    axis = given.to_integers()[0];
  }
  const std::int64_t length = node.has(1) ? whole(node, 1, "its dft_length") : 0;
  if (node.has(1) && length == 0) OnnxNode::refuse("its dft_length is 0", "correct the input");
  node.set(0, node.add("DFT", {node.value(0)},
                       {{"axis", axis},
                        {"length", length},
                        {"inverse", node.integer("inverse", 0)},
                        {"onesided", node.integer("onesided", 0)}}));
}

void stft(OnnxNode& node) {
  const std::int64_t step = whole(node, 1, "its frame_step");
  ValueId x = node.value(0);
  std::vector<Dim> shape = node.type(0).shape;
  if (shape.size() == 2) {
    shape.emplace_back(1);
    x = node.reshape(x, shape);
  }
  if (shape.size() != 3)
    OnnxNode::refuse(concat("its signal is ", node.type(0).to_string()), "give it [N,length,1]");
  std::int64_t frame = 0;
  if (node.has(3)) {
    frame = whole(node, 3, "its frame_length");
  } else {
    const std::vector<Dim> window = node.has(2) ? node.type(2).shape : std::vector<Dim>{shape[1]};
    if (window.size() != 1) OnnxNode::refuse("its window is no list", "give it [frame_length]");
    frame = window[0].constant();
  }
  const std::int64_t onesided = node.integer("onesided", 1);
  node.set(0, node.add("STFT", {x, node.value(2)},
                       {{"frame_length", frame}, {"frame_step", step}, {"onesided", onesided}}));
}

}  // namespace

void add_signal_handlers(OnnxHandlers& handlers) {
  for (const char* name : {"HannWindow", "HammingWindow", "BlackmanWindow"})
    handlers[name] = window;
  handlers["MelWeightMatrix"] = mel_weights;
  handlers["DFT"] = dft;
  handlers["STFT"] = stft;
}

}  // namespace tandem
