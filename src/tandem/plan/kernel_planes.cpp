#include "tandem/plan/kernel_planes.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/ops/integer.h"
#include "tandem/plan/kernel_builder.h"

namespace tandem {

namespace {

std::size_t last_axis(const NodeView& view) { return view.input(0).shape.size() - 3; }

}  // namespace

PlaneLayout plane_of(const NodeView& view, std::size_t innermost) {
  const Shape weight = view.input(1).static_shape(), input = view.input(0).static_shape();
  PlaneLayout plane;
  plane.window = window_of(view, {weight.begin() + 1, weight.end() - 1});
  plane.input.assign(input.begin() + 1, input.end() - 1);
  plane.output = plane.window.output_extents(plane.input);
  plane.channels = input.back();
  plane.images = input.front();
  for (std::size_t d = 0; d < plane.window.rank(); ++d) {
    const std::int64_t reach = plane.window.dilations[d] * (plane.window.kernel[d] - 1) + 1;
    plane.padded.push_back((plane.output[d] - 1) * plane.window.strides[d] + reach);
    plane.kept.push_back(
        std::clamp(plane.padded[d] - plane.window.pads_begin[d], std::int64_t{0}, plane.input[d]));
  }
  for (std::size_t d = 0; d < plane.window.rank(); ++d)
    if (d != innermost) plane.order.push_back(d);
  plane.order.push_back(innermost);
  plane.strides.resize(plane.window.rank());
  std::int64_t stride = 1;
  for (auto d = plane.order.rbegin(); d != plane.order.rend(); ++d) {
    plane.strides[*d] = stride;
    stride *= plane.padded[*d];
  }
  return plane;
}

std::int64_t PlaneLayout::taps() const { return element_count(window.kernel); }

bool is_depthwise_of_bytes(const NodeView& view) {
  const Tensor* weights = view.constant(1);
  const Shape input = view.input(0).static_shape();
  if (weights == nullptr || view.integer("group") != input.back()) return false;
  if (weights->shape()[0] != input.back() || !is_bytes(view.input(0).format)) return false;
  return holds_bytes(*weights) && has_word_sums(view);
}

void add_plane_form(const NodeView& view, std::vector<std::string>& forms) {
  if (!is_depthwise_of_bytes(view)) return;
  forms.push_back("plane_bytes");
  if (plane_of(view, last_axis(view)).window.dilations.back() == 1) forms.push_back("plane");
}

void KernelBuilder::build_planes() {
  const PlaneLayout plane = plane_of(view_, last_axis(view_));
  const std::string source = read(first_.inputs[0]);
  const std::string weights = add_constant("weights", view_.constant(1)->to_integers());
  ensure(weights == "weights", "the weights of planes are the only ones");
  const bool in_pairs = form_ == "plane";
  add_plane(plane, in_pairs ? Storage::kI16 : storage_of_array(source), view_.integer("pad_value"));
  const std::int64_t pixels = element_count(plane.input);
  loop(program_.body, "image", plane.images, [&](Statements& image_body, const Expr& image) {
    loop(image_body, "c", plane.channels, [&](Statements& to, const Expr& channel) {
      copy_plane(to, plane, source, image * constant_expr(pixels * plane.channels) + channel,
                 false);
      const PlaneWeights loaded = load_plane_weights(to, plane, channel, in_pairs);
      std::vector<Expr> position = {image};
      const std::function<void(Statements&, std::size_t, Expr)> nested =
          [&](Statements& body, std::size_t d, const Expr& start) {
            if (d == plane.output.size()) {
              position.push_back(channel);
              finish(body, plane_sum(body, loaded, start), position);
              position.pop_back();
              return;
            }
            loop(body, "o", plane.output[d], [&](Statements& inner, const Expr& o) {
              position.push_back(o);
              nested(inner, d + 1,
                     start + o * constant_expr(plane.window.strides[d] * plane.strides[d]));
              position.pop_back();
            });
          };
      nested(to, 0, constant_expr(0));
    });
  });
}

void KernelBuilder::add_plane(const PlaneLayout& plane, Storage type, std::int64_t pad) {
  Array array;
  array.name = "plane";
  array.role = ArrayRole::kScratch;
  array.storage = type;
  array.size = element_count(plane.padded);
  program_.arrays.push_back(array);
  if (plane.kept == plane.padded) return;
  if (storage_bytes(type) == 1)
    return program_.body.push_back(
        fill_statement("plane", constant_expr(0), type, pad, array.size));
  loop(program_.body, "i", array.size, [&](Statements& body, const Expr& i) {
    body.push_back(store_statement("plane", type, i, constant_expr(pad)));
  });
}

void KernelBuilder::copy_plane(Statements& to, const PlaneLayout& plane, const std::string& source,
                               const Expr& first, bool by_quads) {
  const Storage type = storage_of_array(source), plane_type = storage_of_array("plane");
  const std::vector<std::int64_t> strides = row_major_strides(plane.input);
  const std::function<void(Statements&, std::size_t, Expr, Expr)> nested =
      [&](Statements& body, std::size_t i, const Expr& at, const Expr& from) {
        const std::size_t d = plane.order[i];
        const bool innermost = i + 1 == plane.order.size();
        const bool quads = by_quads && innermost && plane.kept[d] >= kQuadLanes;
        const Expr begin = at + constant_expr(plane.window.pads_begin[d] * plane.strides[d]);
        const std::int64_t stride = strides[d] * plane.channels;
        const auto step = [&](Statements& inner, const Expr& k) {
          const Expr to_index = begin + k * constant_expr(plane.strides[d]),
                     from_index = from + k * constant_expr(stride);
          if (!innermost) return nested(inner, i + 1, to_index, from_index);
          if (quads)
            inner.push_back(store_quad_statement("plane", plane_type, to_index,
                                                 load_quad_expr(source, type, from_index, stride),
                                                 1));
          else
            inner.push_back(store_statement("plane", plane_type, to_index,
                                            load_expr(source, type, from_index)));
        };
        if (quads) return over_quads(body, plane.kept[d], step);
        loop(body, "i", plane.kept[d], step);
      };
  nested(to, 0, constant_expr(0), first);
}

PlaneWeights KernelBuilder::load_plane_weights(Statements& to, const PlaneLayout& plane,
                                               const Expr& channel, bool in_pairs) {
  const Storage type = storage_of_array("weights");
  const std::string ws = program_.fresh("ws");
  to.push_back(pointer_statement(ws, "weights", type, channel * constant_expr(plane.taps())));
  const auto weight = [&](std::int64_t tap) {
    return convert_expr(load_expr(ws, type, constant_expr(tap)), Storage::kI32);
  };
  const std::int64_t row = plane.window.kernel.back(), rows = plane.taps() / row;
  PlaneWeights result;
  for (std::int64_t r = 0; r < rows; ++r) {
    std::int64_t offset = 0, rest = r;
    for (std::size_t d = plane.window.rank() - 1; d-- > 0;) {
      offset += rest % plane.window.kernel[d] * plane.window.dilations[d] * plane.strides[d];
      rest /= plane.window.kernel[d];
    }
    for (std::int64_t k = 0; k < row; k += in_pairs ? 2 : 1) {
      const std::int64_t tap = r * row + k;
      const bool pair = in_pairs && k + 1 < row;
      // The first weight in the lower half of a word.
      Expr value = pair ? binary_expr(ExprOp::kAnd, weight(tap), constant_expr(0xffff)) +
                              weight(tap + 1) * constant_expr(65536)
                        : weight(tap);
      const std::string name = program_.fresh("w");
      to.push_back(let_statement(name, std::move(value)));
      result.terms.push_back({offset + k * plane.window.dilations.back(), name, pair});
    }
  }
  return result;
}

Expr KernelBuilder::plane_sum(Statements& to, const PlaneWeights& weights, const Expr& start) {
  const std::string xs = program_.fresh("xs");
  const Storage type = storage_of_array("plane");
  to.push_back(pointer_statement(xs, "plane", type, start));
  const std::vector<Expr> sums = zero_sums(to, 1);
  for (const PlaneWeights::Term& term : weights.terms) {
    const Expr at = constant_expr(term.offset), weight = variable_expr(term.weight);
    Expr sum = term.pair ? dot2_expr(sums[0], load_word_expr(xs, at), weight)
                         : sums[0] + convert_expr(load_expr(xs, type, at), Storage::kI32) * weight;
    to.push_back(assign_statement(sums[0].name, std::move(sum)));
  }
  return sums[0];
}

}  // namespace tandem
