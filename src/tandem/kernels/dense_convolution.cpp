#include <algorithm>
#include <utility>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/kernels/dense_call.h"
#include "tandem/kernels/dense_parts.h"

namespace tandem {
namespace {

using Memory = dnnl::memory;
using Description = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;

// A call on panels of filters.
std::unique_ptr<DenseCall::Parts> panels_of(const Convolution& c, const float* w,
                                            const WeightOrder& order, const float* bias,
                                            const Epilogue& epilogue, PackedConstants& packed) {
  auto parts = std::make_unique<DenseCall::Parts>();
  parts->panel_product.emplace(
      c, packed.kept->in_filter_panels(w, order),
      PanelProduct::Options{
          .bias = bias, .adds = epilogue.adds, .activation = lane_call_of(epilogue)});
  return parts;
}

// The filters and output rows that one tile computes, and the input rows that they read.
struct ConvolutionTile {
  std::int64_t filters, in_begin, in_rows, pad_before, pad_after, out_rows;
};

ConvolutionTile tile_of(const Convolution& c, DenseRange filters, DenseRange out) {
  const std::int64_t reach = (c.kernel_height - 1) * c.dilation_height + 1;
  const std::int64_t first = out.begin * c.stride_height - c.pad_top;
  const std::int64_t last = (out.end - 1) * c.stride_height - c.pad_top + reach;
  const std::int64_t begin = std::clamp<std::int64_t>(first, 0, c.height - 1);
  const std::int64_t end = std::clamp<std::int64_t>(last, begin + 1, c.height);
  return {filters.size(), begin, end - begin, begin - first, last - end, out.size()};
}

// One primitive serves all tiles that differ in where they begin alone.
bool same_primitive(const ConvolutionTile& a, const ConvolutionTile& b) {
  return a.filters == b.filters && a.in_rows == b.in_rows && a.pad_before == b.pad_before &&
         a.pad_after == b.pad_after && a.out_rows == b.out_rows;
}

// Weights of `filters` filters, as they are given or as the primitive wants them.
Memory::dims weight_shape(const Convolution& c, std::int64_t filters) {
  const std::int64_t channels = c.channels / c.group;
  if (c.group == 1) return {filters, channels, c.kernel_height, c.kernel_width};
  return {c.group, filters / c.group, channels, c.kernel_height, c.kernel_width};
}

// `filters` filters as they are given: those of a group in the order of its channels, or in any.
Description weights_given(const Convolution& c, std::int64_t filters, const WeightOrder& order) {
  if (c.group > 1) return {weight_shape(c, filters), kDnnlFloat, Tag::goihw};
  return {weight_shape(c, filters), kDnnlFloat,
          Memory::dims{order.by_filter, order.by_channel, order.by_position * c.kernel_width,
                       order.by_position}};
}

DenseCall::Parts::Variant convolution_variant(const Convolution& c, const ConvolutionTile& tile,
                                              bool has_bias, const Epilogue& epilogue) {
  const Description x({1, c.channels, tile.in_rows, c.width}, kDnnlFloat, Tag::nhwc);
  const Description y({1, tile.filters, tile.out_rows, c.out_width}, kDnnlFloat, Tag::nhwc);
  const Description w(weight_shape(c, tile.filters), kDnnlFloat, Tag::any);
  const std::int64_t reach = (c.kernel_width - 1) * c.dilation_width + 1;
  const std::int64_t pad_right = (c.out_width - 1) * c.stride_width + reach - c.width - c.pad_left;
  const Memory::dims strides = {c.stride_height, c.stride_width};
  const Memory::dims dilations = {c.dilation_height - 1, c.dilation_width - 1};
  const Memory::dims before = {tile.pad_before, c.pad_left}, after = {tile.pad_after, pad_right};
  const auto kind = dnnl::prop_kind::forward_inference;
  const auto algorithm = dnnl::algorithm::convolution_direct;
  using Call = dnnl::convolution_forward;
  const auto description =
      has_bias ? Call::desc(kind, algorithm, x, w, {{tile.filters}, kDnnlFloat, Tag::a}, y, strides,
                            dilations, before, after)
               : Call::desc(kind, algorithm, x, w, y, strides, dilations, before, after);
  const Call::primitive_desc made(description, dense_attributes(epilogue), dnnl_engine());
  return {Call(made), x, made.weights_desc(), y, made.scratchpad_desc()};
}

// Whether tiles are ranges of filters, not of rows: where the weights are what has to be read.
bool cuts_filters(const Convolution& c) {
  constexpr std::int64_t kLeastFilters = 128;
  if (c.group > 1 || c.filters < kLeastFilters) return false;
  const std::int64_t weights = c.filters * c.channels * c.kernel_height * c.kernel_width;
  return weights > c.height * c.width * c.channels + c.out_height * c.out_width * c.filters;
}

}  // namespace

std::unique_ptr<DenseCall::Parts> convolution_by_primitives(const Convolution& c, const float* w,
                                                            const WeightOrder& order,
                                                            const float* bias,
                                                            const Epilogue& epilogue,
                                                            PackedConstants& packed_constants) {
  dnnl_stream();  // one thread, before primitives are made for a number of them
  auto parts = std::make_unique<DenseCall::Parts>();
  parts->has_weights = true;
  parts->has_bias = bias != nullptr;
  parts->adds = epilogue.adds;
  parts->own_activation = own_activation_of(epilogue);
  const std::int64_t x_row = c.width * c.channels, y_row = c.out_width * c.filters;
  const std::int64_t filter_size = c.channels / c.group * c.kernel_height * c.kernel_width;
  // Weights that are read and elements that are written count too where little is computed of them.
  constexpr double kOperationsPerElement = 16;
  const double operations =
      2.0 * static_cast<double>(c.out_height * y_row) * static_cast<double>(filter_size) +
      kOperationsPerElement * static_cast<double>(c.out_height * y_row + c.filters * filter_size);
  // Fewer filters are cut finer, so that parts are alike.
  constexpr std::int64_t kManyFilters = 512;
  const std::int64_t unit = c.filters >= kManyFilters ? 64 : 16;
  const bool by_filters = cuts_filters(c);
  const std::int64_t wanted = part_count(operations, by_filters ? c.filters : c.out_height);
  std::vector<ConvolutionTile> known;  // by variant
  for (const DenseRange filters : dense_spans(c.filters, by_filters ? wanted : 1, unit)) {
    std::size_t bias_at = 0;
    if (bias != nullptr) {
      const Description plain({filters.size()}, kDnnlFloat, Tag::a);
      bias_at = parts->constant(packed_constants, plain, plain, bias + filters.begin);
    }
    const Description given = weights_given(c, filters.size(), order);
    std::vector<std::pair<Description, std::size_t>> packed;  // the weights of these filters
    for (const DenseRange out : dense_spans(c.out_height, by_filters ? 1 : wanted)) {
      const ConvolutionTile tile = tile_of(c, filters, out);
      const auto same = std::ranges::find_if(
          known, [&](const ConvolutionTile& other) { return same_primitive(tile, other); });
      const auto variant = static_cast<std::size_t>(same - known.begin());
      if (same == known.end()) {
        known.push_back(tile);
        parts->variants.push_back(convolution_variant(c, tile, bias != nullptr, epilogue));
      }
      const Description& wanted_order = parts->variants[variant].right;
      auto weights = std::ranges::find_if(
          packed, [&](const auto& entry) { return entry.first == wanted_order; });
      if (weights == packed.end()) {
        packed.emplace_back(wanted_order, parts->constant(packed_constants, given, wanted_order,
                                                          w + filters.begin * order.by_filter));
        weights = packed.end() - 1;
      }
      for (std::int64_t image = 0; image < c.batch; ++image) {
        DenseCall::Parts::Tile part;
        part.variant = variant;
        part.x = image * c.height * x_row + tile.in_begin * x_row;
        part.y = (image * c.out_height + out.begin) * y_row + filters.begin;
        part.weights = weights->second;
        part.bias = bias_at;
        part.apart = filters.size() < c.filters;
        part.y_rows = part.apart ? out.size() * c.out_width : 1;
        part.y_columns = part.apart ? filters.size() : out.size() * y_row;
        part.y_stride = c.filters;
        parts->tiles.push_back(part);
      }
    }
  }
  return parts;
}

std::unique_ptr<DenseCall> dense_convolution(const Convolution& c, const float* w,
                                             const float* bias, const Epilogue& epilogue,
                                             PackedConstants& packed_constants) {
  const std::int64_t positions = c.kernel_height * c.kernel_width;
  if (TileProduct::suits(c, true) && all_finite(w, c.filters * c.channels * positions)) {
    auto tiled = std::make_unique<DenseCall::Parts>();
    tiled->tile_right = packed_constants.kept->in_panels(w, c.filters, c.channels, positions);
    tiled->tile_product.emplace(c, TileProduct::Options{.right_is_finite = true,
                                                        .right_in_panels = true,
                                                        .bias = bias,
                                                        .adds = epilogue.adds,
                                                        .activation = lane_call_of(epilogue)});
    return std::unique_ptr<DenseCall>(new DenseCall(std::move(tiled)));
  }
  if (PanelProduct::suits(c)) {
    const WeightOrder order{c.filters, c.channels, positions, c.channels * positions, positions, 1};
    return std::unique_ptr<DenseCall>(
        new DenseCall(panels_of(c, w, order, bias, epilogue, packed_constants)));
  }
  const std::int64_t channels = c.channels / c.group;
  return std::unique_ptr<DenseCall>(new DenseCall(convolution_by_primitives(
      c, w, {c.filters, channels, positions, channels * positions, positions, 1}, bias, epilogue,
      packed_constants)));
}

}  // namespace tandem
