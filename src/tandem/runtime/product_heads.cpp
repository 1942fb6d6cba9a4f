#include <algorithm>
#include <type_traits>

#include "tandem/kernels/integer_gemm.h"
#include "tandem/kernels/integer_lanes.h"
#include "tandem/ops/window.h"
#include "tandem/runtime/step_program.h"

namespace tandem {
namespace {

// A right operand ready to be multiplied with rows of type Element.
template <typename Element>
struct Packed;
template <>
struct Packed<std::int16_t> : PackedB16 {
  void pack(const std::int16_t* b, std::int64_t rows, std::int64_t width, std::int64_t row_stride,
            std::int64_t column_stride) {
    pack_b16(b, rows, width, row_stride, column_stride, *this);
  }
  template <typename Lane>
  void multiply(const std::int16_t* a, std::int64_t rows, std::int64_t a_stride, Scratch& scratch,
                Lane* c, std::int64_t c_stride) const {
    if constexpr (std::is_same_v<Lane, std::int32_t>) {
      gemm_b16(a, rows, a_stride, *this, c, c_stride);
    } else {
      auto* sums = scratch.take<std::int32_t>(kSumsSlot, rows * columns);
      gemm_b16(a, rows, a_stride, *this, sums, columns);
      for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t j = 0; j < columns; ++j) c[r * c_stride + j] = sums[r * columns + j];
    }
  }
};
template <typename Element>
struct Packed {
  std::int64_t depth = 0, columns = 0;
  std::vector<Element> elements;  // [depth, columns]

  std::int64_t padded_depth() const { return depth; }
  void pack(const Element* b, std::int64_t rows, std::int64_t width, std::int64_t row_stride,
            std::int64_t column_stride) {
    depth = rows;
    columns = width;
    elements.clear();
    for (std::int64_t k = 0; k < depth; ++k)
      for (std::int64_t j = 0; j < columns; ++j)
        elements.push_back(b[k * row_stride + j * column_stride]);
  }
  void multiply(const Element* a, std::int64_t rows, std::int64_t a_stride, Scratch&, Element* c,
                std::int64_t c_stride) const {
    gemm_lanes(a, rows, a_stride, elements.data(), depth, columns, c, c_stride);
  }
};

// Elements of a storage as operands of products.
template <typename Element>
void load_elements(Storage storage, const std::byte* from, std::int64_t count, Element* to) {
  if constexpr (std::is_same_v<Element, std::int16_t>) {
    visit_storage(storage, [&]<typename Stored>() {
      if constexpr (std::is_integral_v<Stored>) {
        const auto* stored = reinterpret_cast<const Stored*>(from);
        for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<std::int16_t>(stored[i]);
      }
    });
  } else {
    load_lanes(storage, from, count, to);
  }
}

template <typename Element>
std::vector<Element> constant_elements(const Tensor& tensor) {
  std::vector<Element> elements(static_cast<std::size_t>(tensor.size()));
  load_elements(tensor.format().storage(), tensor.bytes().data(), tensor.size(), elements.data());
  return elements;
}

template <typename Lane, typename Element>
class MatMulHead final : public Head<Lane> {
 public:
  explicit MatMulHead(const NodeView& node)
      : a_(node.node.inputs[0]),
        b_(node.node.inputs[1]),
        a_storage_(node.input(0).format.storage()),
        b_storage_(node.input(1).format.storage()) {
    const Shape a = node.input(0).static_shape(), b = node.input(1).static_shape();
    depth_ = a.back();
    columns_ = b.back();
    rows_ = a[a.size() - 2];
    batches_ = b.size() == 2 ? 1 : element_count(b) / (depth_ * columns_);
    if (node.constant(0) != nullptr) a_constant_ = constant_elements<Element>(*node.constant(0));
    if (const Tensor* constant = node.constant(1)) {
      const auto elements = constant_elements<Element>(*constant);
      pack_all(elements.data(), packed_);
    }
  }
  std::int64_t granularity() const override {
    return columns_ * (batches_ == 1 ? 1 : rows_);  // a block has one right operand
  }
  void start(const Places& places, Scratch& scratch) const override {
    if (!packed_.empty()) return;
    Element* elements = scratch.take<Element>(kRowsSlot, batches_ * depth_ * columns_);
    load_elements(b_storage_, places.read[b_], batches_ * depth_ * columns_, elements);
    pack_all(elements, computed_of(scratch));
  }
  void produce(const Places& places, Scratch& scratch, std::int64_t begin, std::int64_t count,
               Lane* to) const override {
    const auto& packed = packed_.empty() ? computed_of(scratch) : packed_;
    const std::int64_t pitch = depth_ + depth_ % 2;
    std::int64_t row = begin / columns_;
    const std::int64_t end = (begin + count) / columns_;
    while (row < end) {
      const std::int64_t batch = batches_ == 1 ? 0 : row / rows_;
      const std::int64_t now = batches_ == 1 ? end - row : std::min(end, (batch + 1) * rows_) - row;
      Element* a = scratch.take<Element>(kRowsSlot, now * pitch);
      for (std::int64_t r = 0; r < now; ++r) load_row(places, row + r, a + r * pitch);
      packed[static_cast<std::size_t>(batch)].multiply(a, now, pitch, scratch,
                                                       to + row * columns_ - begin, columns_);
      row += now;
    }
  }

 private:
  // What is packed anew in every run lives with the thread that runs.
  std::vector<Packed<Element>>& computed_of(Scratch& scratch) const {
    return scratch.object<std::vector<Packed<Element>>>(this);
  }
  void pack_all(const Element* elements, std::vector<Packed<Element>>& packed) const {
    packed.resize(static_cast<std::size_t>(batches_));
    for (std::size_t batch = 0; batch < packed.size(); ++batch) {
      packed[batch].pack(elements + static_cast<std::int64_t>(batch) * depth_ * columns_, depth_,
                         columns_, columns_, 1);
    }
  }
  void load_row(const Places& places, std::int64_t row, Element* to) const {
    if (depth_ % 2 != 0) to[depth_] = 0;
    if (!a_constant_.empty()) {
      std::copy_n(a_constant_.data() + row * depth_, depth_, to);
      return;
    }
    const auto bytes = static_cast<std::int64_t>(storage_bytes(a_storage_));
    load_elements(a_storage_, places.read[a_] + row * depth_ * bytes, depth_, to);
  }

  ValueId a_, b_;
  Storage a_storage_, b_storage_;
  std::int64_t depth_ = 1, columns_ = 1, rows_ = 1, batches_ = 1;
  std::vector<Element> a_constant_;
  std::vector<Packed<Element>> packed_;  // of a constant b
};

// The input of a convolution with its padding written out, and where its windows lie in it.
struct PaddedImage {
  std::int64_t images = 1, channels = 1, size = 1;    // size: elements of one image
  std::vector<std::int64_t> extents, padded, begins;  // spatial
  std::vector<std::int64_t> pixels;  // element at which the window of each pixel starts
  std::vector<std::int64_t> taps;    // element of each kernel position relative to that

  PaddedImage(const Shape& x, const Window& window) : images(x[0]), channels(x.back()) {
    extents.assign(x.begin() + 1, x.end() - 1);
    const auto output = window.output_extents(extents);
    for (std::size_t d = 0; d < extents.size(); ++d) {
      padded.push_back(extents[d] + window.pads_begin[d] + window.pads_end[d]);
      size *= padded[d];
    }
    size *= channels;
    begins = window.pads_begin;
    pixels = grid(output, window.strides);
    taps = grid(window.kernel, window.dilations);
  }

  template <typename Element>
  void fill(Storage storage, const std::byte* from, Element pad, Element* to) const {
    std::fill_n(to, images * size, pad);
    const std::int64_t row = extents.back() * channels;
    std::int64_t rows = images;
    for (std::size_t d = 0; d + 1 < extents.size(); ++d) rows *= extents[d];
    const auto bytes = static_cast<std::int64_t>(storage_bytes(storage));
    for (std::int64_t r = 0; r < rows; ++r) {
      std::int64_t rest = r, at = begins.back(), pitch = padded.back();
      for (std::size_t d = extents.size() - 1; d-- > 0;) {
        at += (rest % extents[d] + begins[d]) * pitch;
        rest /= extents[d];
        pitch *= padded[d];
      }
      load_elements(storage, from + r * row * bytes, row, to + (rest * pitch + at) * channels);
    }
  }

 private:
  // Elements of the positions index * step of a grid with these counts.
  std::vector<std::int64_t> grid(const std::vector<std::int64_t>& counts,
                                 const std::vector<std::int64_t>& steps) const {
    std::vector<std::int64_t> result;
    for (std::int64_t i = 0; i < element_count(counts); ++i) {
      std::int64_t rest = i, at = 0, pitch = channels;
      for (std::size_t d = counts.size(); d-- > 0;) {
        at += rest % counts[d] * steps[d] * pitch;
        rest /= counts[d];
        pitch *= padded[d];
      }
      result.push_back(at);
    }
    return result;
  }
};

Window window_of_weights(const NodeView& node) {
  const Shape w = node.input(1).static_shape();
  return window_of(node, {w.begin() + 1, w.end() - 1});
}

template <typename Lane, typename Element>
class ConvHead final : public Head<Lane> {
 public:
  explicit ConvHead(const NodeView& node)
      : image_(node.input(0).static_shape(), window_of_weights(node)),
        x_(node.node.inputs[0]),
        w_(node.node.inputs[1]),
        x_storage_(node.input(0).format.storage()),
        w_storage_(node.input(1).format.storage()),
        pad_(static_cast<Element>(node.integer("pad_value"))) {
    const Shape w = node.input(1).static_shape();
    outputs_ = w[0];
    groups_ = node.integer("group");
    per_group_ = w.back();
    depth_ = element_count(w) / outputs_;
    weight_count_ = element_count(w);
    if (node.constant(0) != nullptr) x_constant_ = *node.constant(0);
    if (const Tensor* constant = node.constant(1)) {
      const auto elements = constant_elements<Element>(*constant);
      pack_all(elements.data(), packed_);
    }
    find_runs();
  }
  std::int64_t granularity() const override { return outputs_; }
  void start(const Places& places, Scratch& scratch) const override {
    Element* image = scratch.take<Element>(kImageSlot, image_.images * image_.size);
    image_.fill(x_storage_, x_constant_.size() > 0 ? x_constant_.bytes().data() : places.read[x_],
                pad_, image);
    if (!packed_.empty()) return;
    Element* elements = scratch.take<Element>(kRowsSlot, weight_count_);
    load_elements(w_storage_, places.read[w_], weight_count_, elements);
    pack_all(elements, computed_of(scratch));
  }
  void produce(const Places&, Scratch& scratch, std::int64_t begin, std::int64_t count,
               Lane* to) const override {
    const auto& packed = packed_.empty() ? computed_of(scratch) : packed_;
    const Element* image = scratch.take<Element>(kImageSlot, image_.images * image_.size);
    const std::int64_t first = begin / outputs_, pixels = count / outputs_;
    const std::int64_t pitch = depth_ + depth_ % 2, columns = outputs_ / groups_;
    Element* rows = scratch.take<Element>(kRowsSlot, pixels * pitch);
    for (std::int64_t group = 0; group < groups_; ++group) {
      for (std::int64_t p = 0; p < pixels; ++p)
        load_window(image, first + p, group, rows + p * pitch);
      packed[static_cast<std::size_t>(group)].multiply(rows, pixels, pitch, scratch,
                                                       to + group * columns, outputs_);
    }
  }

 private:
  std::vector<Packed<Element>>& computed_of(Scratch& scratch) const {
    return scratch.object<std::vector<Packed<Element>>>(this);
  }
  void pack_all(const Element* weights, std::vector<Packed<Element>>& packed) const {
    const std::int64_t columns = outputs_ / groups_;
    packed.resize(static_cast<std::size_t>(groups_));
    for (std::int64_t group = 0; group < groups_; ++group) {
      packed[static_cast<std::size_t>(group)].pack(weights + group * columns * depth_, depth_,
                                                   columns, 1, depth_);
    }
  }
  // Neighbouring taps whose channels lie side by side are copied as one.
  void find_runs() {
    for (const std::int64_t tap : image_.taps) {
      if (!runs_.empty() && groups_ == 1 && runs_.back().first + runs_.back().second == tap) {
        runs_.back().second += per_group_;
      } else {
        runs_.emplace_back(tap, per_group_);
      }
    }
  }
  void load_window(const Element* image, std::int64_t pixel, std::int64_t group,
                   Element* to) const {
    const auto per_image = static_cast<std::int64_t>(image_.pixels.size());
    const Element* from = image + pixel / per_image * image_.size +
                          image_.pixels[static_cast<std::size_t>(pixel % per_image)] +
                          group * per_group_;
    for (const auto& [offset, length] : runs_) to = std::copy_n(from + offset, length, to);
    if (depth_ % 2 != 0) *to = 0;
  }

  PaddedImage image_;
  ValueId x_, w_;
  Storage x_storage_, w_storage_;
  Element pad_;
  std::int64_t outputs_ = 1, groups_ = 1, per_group_ = 1, depth_ = 1, weight_count_ = 1;
  Tensor x_constant_;
  std::vector<Packed<Element>> packed_;                      // of constant weights
  std::vector<std::pair<std::int64_t, std::int64_t>> runs_;  // offset and length
};

// One filter per channel: the channels are the lanes.
template <typename Lane>
class DepthwiseHead final : public Head<Lane> {
 public:
  explicit DepthwiseHead(const NodeView& node)
      : image_(node.input(0).static_shape(), window_of_weights(node)),
        x_(node.node.inputs[0]),
        storage_(node.input(0).format.storage()),
        pad_(static_cast<Lane>(node.integer("pad_value"))) {
    const auto weights = constant_elements<Lane>(*node.constant(1));
    const std::int64_t taps = static_cast<std::int64_t>(image_.taps.size());
    weights_.resize(weights.size());
    for (std::int64_t c = 0; c < image_.channels; ++c) {
      for (std::int64_t k = 0; k < taps; ++k) {
        weights_[static_cast<std::size_t>(k * image_.channels + c)] =
            weights[static_cast<std::size_t>(c * taps + k)];
      }
    }
  }
  std::int64_t granularity() const override { return image_.channels; }
  void start(const Places& places, Scratch& scratch) const override {
    image_.fill(storage_, places.read[x_], pad_,
                scratch.take<Lane>(kImageSlot, image_.images * image_.size));
  }
  void produce(const Places&, Scratch& scratch, std::int64_t begin, std::int64_t count,
               Lane* to) const override {
    const Lane* image = scratch.take<Lane>(kImageSlot, image_.images * image_.size);
    const std::int64_t channels = image_.channels;
    const auto per_image = static_cast<std::int64_t>(image_.pixels.size());
    std::fill_n(to, count, Lane{0});
    for (std::int64_t p = begin / channels; p < (begin + count) / channels; ++p, to += channels) {
      const Lane* from = image + p / per_image * image_.size +
                         image_.pixels[static_cast<std::size_t>(p % per_image)];
      for (std::size_t k = 0; k < image_.taps.size(); ++k) {
        multiply_add_lanes(from + image_.taps[k],
                           weights_.data() + static_cast<std::int64_t>(k) * channels, channels, to);
      }
    }
  }

 private:
  PaddedImage image_;
  ValueId x_;
  Storage storage_;
  Lane pad_;
  std::vector<Lane> weights_;  // [taps, channels]
};

template <typename Lane, typename Element>
std::unique_ptr<Head<Lane>> product_head(const NodeView& node) {
  if (node.node.op->name() == "IntMatMul") return std::make_unique<MatMulHead<Lane, Element>>(node);
  return std::make_unique<ConvHead<Lane, Element>>(node);
}

}  // namespace

template <typename Lane>
std::unique_ptr<Head<Lane>> make_product_head(const NodeView& node, std::string_view form) {
  if (form == "depthwise") return std::make_unique<DepthwiseHead<Lane>>(node);
  if (form == "product16") return product_head<Lane, std::int16_t>(node);
  ensure(form == "product", concat("no kernel of form ", form));
  return product_head<Lane, Lane>(node);
}

template std::unique_ptr<Head<std::int32_t>> make_product_head(const NodeView&, std::string_view);
template std::unique_ptr<Head<std::int64_t>> make_product_head(const NodeView&, std::string_view);

}  // namespace tandem
