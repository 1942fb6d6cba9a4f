#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/plan/kernel_builder.h"

namespace tandem {
namespace {

// The axis of a nest of images, positions and channels along which quads of positions compute
// fewest results twice; the last one of those.
std::size_t quad_axis(const LoopExtents& nest) {
  const auto waste = [&](std::size_t axis) {
    const std::int64_t quads = (nest[axis] + kQuadLanes - 1) / kQuadLanes;
    return static_cast<double>(quads * kQuadLanes) / static_cast<double>(nest[axis]);
  };
  std::size_t best = nest.size() - 2;
  for (std::size_t axis = best; axis-- > 1;)
    if (waste(axis) < waste(best)) best = axis;
  return best;
}

}  // namespace

void add_quad_forms(const Module& module, const Graph& graph, const std::vector<ValueId>& base_of,
                    const std::vector<NodeId>& nodes, std::vector<std::string>& forms) {
  const NodeView view{module, graph, graph.nodes[nodes.front()]};
  const LoopExtents nest = group_nest(module, graph, base_of, nodes);
  if (!is_depthwise_of_bytes(view) || !takes_quads(module, graph, base_of, nodes, nest)) return;
  if (nest[quad_axis(nest)] >= kQuadLanes) forms.push_back("plane_quads");
  if (nest.back() % kQuadLanes == 0) forms.push_back("channel_quads");
}

void KernelBuilder::over_quads(Statements& to, std::int64_t extent, const Body& body) {
  const std::int64_t whole = extent / kQuadLanes * kQuadLanes;
  loop(to, "q", whole, body, kQuadLanes);
  if (whole < extent) body(to, constant_expr(extent - kQuadLanes));
}

void KernelBuilder::finish_quad(Statements& to, const Expr& sum, const std::vector<Expr>& position,
                                std::size_t axis) {
  to.push_back(finished(to, sum, position, axis));
}

void KernelBuilder::build_plane_quads() {
  const std::size_t axis = quad_axis(nest_);
  const PlaneLayout plane = plane_of(view_, axis - 1);
  const std::string source = read(first_.inputs[0]);
  const std::string weights = add_constant("weights", view_.constant(1)->to_integers());
  ensure(weights == "weights", "the weights of planes are the only ones");
  const Storage type = storage_of_array(source);
  add_plane(plane, type, view_.integer("pad_value"));
  const std::int64_t pixels = element_count(plane.input);
  loop(program_.body, "image", plane.images, [&](Statements& image_body, const Expr& image) {
    loop(image_body, "c", plane.channels, [&](Statements& to, const Expr& channel) {
      copy_plane(to, plane, source, image * constant_expr(pixels * plane.channels) + channel, true);
      const std::vector<Expr> loaded = load_weights(to, plane, channel);
      std::vector<Expr> position(nest_.size(), image);
      position.back() = channel;
      const std::function<void(Statements&, std::size_t, Expr)> nested = [&](Statements& body,
                                                                             std::size_t i,
                                                                             const Expr& start) {
        if (i == plane.order.size())
          return finish_quad(body, plane_quad(body, plane, loaded, type, start), position, axis);
        const std::size_t d = plane.order[i];
        const auto step = [&](Statements& inner, const Expr& o) {
          position[d + 1] = o;
          nested(inner, i + 1,
                 start + o * constant_expr(plane.window.strides[d] * plane.strides[d]));
        };
        if (d + 1 == axis) return over_quads(body, plane.output[d], step);
        loop(body, "o", plane.output[d], step);
      };
      nested(to, 0, constant_expr(0));
    });
  });
}

std::vector<Expr> KernelBuilder::load_weights(Statements& to, const PlaneLayout& plane,
                                              const Expr& channel) {
  const Storage type = storage_of_array("weights");
  const std::string ws = program_.fresh("ws");
  to.push_back(pointer_statement(ws, "weights", type, channel * constant_expr(plane.taps())));
  std::vector<Expr> weights;
  for (std::int64_t tap = 0; tap < plane.taps(); ++tap)
    weights.push_back(
        named(to, "w", convert_expr(load_expr(ws, type, constant_expr(tap)), Storage::kI32)));
  return weights;
}

Expr KernelBuilder::plane_quad(Statements& to, const PlaneLayout& plane,
                               const std::vector<Expr>& weights, Storage type, const Expr& start) {
  const std::string xs = program_.fresh("xs"), name = program_.fresh("sum");
  to.push_back(pointer_statement(xs, "plane", type, start));
  const Expr sum = variable_expr(name, Storage::kI32, kQuadLanes);
  for (std::int64_t tap = 0; tap < plane.taps(); ++tap) {
    std::int64_t offset = 0, rest = tap;
    for (std::size_t d = plane.window.rank(); d-- > 0;) {
      offset += rest % plane.window.kernel[d] * plane.window.dilations[d] * plane.strides[d];
      rest /= plane.window.kernel[d];
    }
    const Expr x = convert_expr(
        load_quad_expr(xs, type, constant_expr(offset), plane.window.strides[plane.order.back()]),
        Storage::kI32);
    const Expr product = binary_expr(ExprOp::kMultiply, x, weights[static_cast<std::size_t>(tap)]);
    to.push_back(tap == 0 ? variable_statement(name, product)
                          : assign_statement(name, sum + product));
  }
  return sum;
}

void KernelBuilder::build_channel_quads() {
  const Shape weight = shape(first_.inputs[1]), output = nest_;
  Shape input = shape(first_.inputs[0]);
  const std::int64_t channels = input.back(), taps = element_count(weight) / channels;
  Window window = window_of(view_, {weight.begin() + 1, weight.end() - 1});
  const std::vector<std::int64_t> by_channel = view_.constant(1)->to_integers();
  std::vector<std::int64_t> by_tap;
  for (std::int64_t tap = 0; tap < taps; ++tap)
    for (std::int64_t c = 0; c < channels; ++c)
      by_tap.push_back(by_channel[static_cast<std::size_t>(c * taps + tap)]);
  const std::string weights = add_constant("weights", std::move(by_tap));
  std::string source = read(first_.inputs[0]);
  if (is_padded(view_, window))
    source = add_padded(window, input, source, view_.integer("pad_value"));
  const Storage type = storage_of_array(source), weight_type = storage_of_array(weights);
  const auto multiply = [&](Statements& to, const Expr& sum, const Expr& from, const Expr& tap) {
    const auto quad = [&](const std::string& array, Storage storage, const Expr& index) {
      return convert_expr(load_quad_expr(array, storage, index, 1), Storage::kI32);
    };
    to.push_back(assign_statement(
        sum.name, sum + quad(source, type, from) * quad(weights, weight_type, tap)));
  };
  for_each_position(
      program_.body, window, input, output,
      [&](Statements& body, std::vector<Expr> position, const Placement& place) {
        loop(
            body, "c", channels,
            [&](Statements& to, const Expr& c) {
              const std::string name = program_.fresh("sum");
              to.push_back(variable_statement(
                  name, quad_expr(std::vector<Expr>(kQuadLanes, constant_expr(0)))));
              const Expr sum = variable_expr(name, Storage::kI32, kQuadLanes);
              const std::function<void(Statements&, std::size_t, Expr, Expr)> nested =
                  [&](Statements& inner, std::size_t d, const Expr& from, const Expr& tap) {
                    if (d == place.axes.size()) return multiply(inner, sum, from, tap);
                    const Axis& axis = place.axes[d];
                    loop(inner, "k", axis.extent, [&](Statements& next, const Expr& k) {
                      nested(next, d + 1, from + k * constant_expr(axis.stride),
                             tap + k * constant_expr(axis.weight_stride * channels));
                    });
                  };
              nested(to, 0, place.base + c, c);
              position.back() = c;
              finish_quad(to, sum, position, position.size() - 1);
            },
            kQuadLanes);
      });
}

}  // namespace tandem
