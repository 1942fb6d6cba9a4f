#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/plan/kernel_builder.h"

namespace tandem {
namespace {

// The part [low, high) of an axis of the kernel that meets the input at one output index.
struct Meeting {
  std::int64_t low = 0, high = 0;
};
Meeting meeting(const Window& window, std::size_t d, std::int64_t extent, std::int64_t output) {
  const std::int64_t start = output * window.strides[d] - window.pads_begin[d];
  const std::int64_t dilation = window.dilations[d];
  Meeting result;
  result.low = start < 0 ? (-start + dilation - 1) / dilation : 0;
  const std::int64_t left = extent - start;
  result.high = left <= 0 ? 0 : std::min(window.kernel[d], (left + dilation - 1) / dilation);
  return result;
}

// How often windows are clipped, and how many taps of each axis remain then on average.
struct Clipping {
  double interior_share = 1;
  std::vector<double> mean;
};
Clipping clipping_of(const Window& window, const std::vector<std::int64_t>& input,
                     const std::vector<std::int64_t>& output) {
  const std::size_t rank = window.rank();
  const std::int64_t count = element_count(output);
  Clipping result;
  std::vector<double> taps(rank + 1, 0);  // of the first d axes together, over clipped positions
  double clipped = 0;
  for (std::int64_t position = 0; position < count; ++position) {
    std::vector<double> lengths(rank);
    bool whole = true;
    std::int64_t rest = position;
    for (std::size_t d = rank; d-- > 0;) {
      const Meeting meets = meeting(window, d, input[d], rest % output[d]);
      rest /= output[d];
      lengths[d] = static_cast<double>(std::max<std::int64_t>(meets.high - meets.low, 0));
      whole = whole && meets.low == 0 && meets.high == window.kernel[d];
    }
    if (whole) continue;
    clipped += 1;
    double product = 1;
    taps[0] += 1;
    for (std::size_t d = 0; d < rank; ++d) taps[d + 1] += product *= lengths[d];
  }
  result.interior_share = 1 - clipped / static_cast<double>(count);
  for (std::size_t d = 0; d < rank; ++d)
    result.mean.push_back(taps[d] == 0 ? 0 : taps[d + 1] / taps[d]);
  return result;
}

std::vector<std::int64_t> spatial_of(const Shape& shape) {
  return {shape.begin() + 1, shape.end() - 1};
}

// How many taps a positive distance spans, rounded up.
Expr taps_in(const Expr& distance, std::int64_t dilation) {
  return dilation == 1 ? distance
                       : binary_expr(ExprOp::kDivide, distance + constant_expr(dilation - 1),
                                     constant_expr(dilation));
}

// Of a window that starts at `start`, the first tap that is not before the input,
Expr first_tap(ScalarCode& code, const Expr& start, std::int64_t dilation) {
  return code.local(select_expr(less_expr(start, constant_expr(0)),
                                taps_in(constant_expr(0) - start, dilation), constant_expr(0)),
                    "low");
}

// and the one after the last that is not behind it.
Expr end_of_taps(ScalarCode& code, const Expr& start, std::int64_t extent, std::int64_t kernel,
                 std::int64_t dilation) {
  const std::int64_t reach = dilation * (kernel - 1) + 1;
  const Expr left = code.local(constant_expr(extent) - start, "left");
  return code.local(select_expr(less_expr(left, constant_expr(reach)), taps_in(left, dilation),
                                constant_expr(kernel)),
                    "high");
}

}  // namespace

std::vector<KernelBuilder::Axis> KernelBuilder::merged(const std::vector<Axis>& axes) {
  std::vector<Axis> result;
  for (std::size_t d = axes.size(); d-- > 0;) {
    Axis axis = axes[d];
    axis.clipped = false;
    if (axis.extent == 1) continue;
    if (result.empty() || axis.stride != result.back().extent * result.back().stride ||
        axis.weight_stride != result.back().extent * result.back().weight_stride) {
      result.push_back(std::move(axis));
      continue;
    }
    result.back().extent *= axis.extent;
  }
  if (result.empty()) result.push_back(Axis{});
  std::ranges::reverse(result);
  return result;
}

KernelBuilder::Placement KernelBuilder::place(Statements& to, const Window& window,
                                              const Shape& input, const std::vector<Expr>& position,
                                              const Shape& output) {
  const auto extents = spatial_of(input), outputs = spatial_of(output);
  const Clipping clipping = clipping_of(window, extents, outputs);
  const std::vector<std::int64_t> strides = row_major_strides(input);
  ScalarCode code(to, program_);
  Placement result;
  result.interior_share = clipping.interior_share;
  result.base = position[0] * constant_expr(strides[0]);
  std::int64_t weight_stride = input.back() / group_of_first();
  for (std::size_t d = window.rank(); d-- > 0;) {
    result.axes.insert(result.axes.begin(), Axis{window.kernel[d],
                                                 window.dilations[d] * strides[d + 1],
                                                 weight_stride,
                                                 false,
                                                 {},
                                                 {},
                                                 clipping.mean[d]});
    weight_stride *= window.kernel[d];
  }
  for (std::size_t d = 0; d < window.rank(); ++d) {
    Axis& axis = result.axes[d];
    const std::int64_t reach = window.dilations[d] * (window.kernel[d] - 1) + 1;
    const bool below = window.pads_begin[d] > 0;
    const std::int64_t last = (outputs[d] - 1) * window.strides[d] - window.pads_begin[d];
    const bool above = last + reach > extents[d];
    Expr start =
        position[d + 1] * constant_expr(window.strides[d]) - constant_expr(window.pads_begin[d]);
    if (below || above) start = code.local(std::move(start), "start");
    result.base = result.base + start * constant_expr(strides[d + 1]);
    if (!below && !above) continue;
    axis.clipped = result.ever_clipped = true;
    axis.low = constant_expr(0);
    axis.high = constant_expr(window.kernel[d]);
    if (below) axis.low = first_tap(code, start, window.dilations[d]);
    if (above)
      axis.high = end_of_taps(code, start, extents[d], window.kernel[d], window.dilations[d]);
  }
  result.base = code.local(std::move(result.base), "base");
  return result;
}

void KernelBuilder::for_each_position(
    Statements& to, const Window& window, const Shape& input, const Shape& output,
    const std::function<void(Statements&, std::vector<Expr>, const Placement&)>& body) {
  std::vector<Expr> position(output.size(), constant_expr(0));
  const std::function<void(Statements&, std::size_t)> nested = [&](Statements& inner,
                                                                   std::size_t d) {
    if (d + 1 == output.size())
      return body(inner, position, place(inner, window, input, position, output));
    loop(inner, d == 0 ? "image" : "o", output[d], [&](Statements& next, const Expr& index) {
      position[d] = index;
      nested(next, d + 1);
    });
  };
  nested(to, 0);
}

std::int64_t KernelBuilder::group_of_first() const {
  return first_.op->name() == "IntConv" ? view_.integer("group") : 1;
}

void KernelBuilder::add_patch(const std::string& source, const Window& window,
                              std::int64_t channels) {
  Array patch;
  patch.name = "patch";
  patch.role = ArrayRole::kScratch;
  patch.storage = storage_of_array(source);
  patch.size = element_count(window.kernel) * channels;
  program_.arrays.push_back(std::move(patch));
}

KernelBuilder::Placement KernelBuilder::patch_placement(const Window& window,
                                                        std::int64_t channels) const {
  Placement result;
  result.base = constant_expr(0);
  std::int64_t stride = channels, weight_stride = channels / group_of_first();
  for (std::size_t d = window.rank(); d-- > 0;) {
    result.axes.insert(result.axes.begin(),
                       Axis{window.kernel[d], stride, weight_stride, false, {}, {}, 0});
    stride *= window.kernel[d];
    weight_stride *= window.kernel[d];
  }
  return result;
}

void KernelBuilder::copy_to_patch(Statements& to, const Expr& at, const std::string& source,
                                  const Expr& from, std::int64_t count) {
  if (packed_) return copy_packed(to, at, source, from, count);
  const Storage type = storage_of_array(source);
  loop(to, "c", count, [&](Statements& inner, const Expr& c) {
    inner.push_back(store_statement("patch", type, at + c, load_expr(source, type, from + c)));
  });
}

void KernelBuilder::fill_patch(Statements& to, const Expr& at, Storage type, std::int64_t count) {
  const std::int64_t pad = view_.integer("pad_value");
  if (packed_) return fill_packed(to, at, pad, count);
  loop(to, "c", count, [&](Statements& inner, const Expr& c) {
    inner.push_back(
        store_statement("patch", type, at + c, constant_expr(pad, arithmetic_for({pad, pad}))));
  });
}

std::vector<KernelBuilder::Axis> KernelBuilder::whole_runs(const Placement& place,
                                                           std::int64_t channels) const {
  std::vector<Axis> axes = place.axes;
  for (Axis& axis : axes) axis.weight_stride *= group_of_first();
  axes.push_back(Axis{channels, 1, 1, false, {}, {}, 0});
  return merged(axes);
}

void KernelBuilder::gather_whole_patch(Statements& to, const Placement& place,
                                       std::int64_t channels, const std::string& source,
                                       const Expr& start) {
  const std::vector<Axis> runs = whole_runs(place, channels);
  const std::function<void(Statements&, std::size_t, Expr, Expr)> nested =
      [&](Statements& body, std::size_t d, const Expr& at, const Expr& from) {
        if (d + 1 == runs.size() && runs[d].stride == 1)
          return copy_to_patch(body, at, source, from, runs[d].extent);
        if (d == runs.size()) return copy_to_patch(body, at, source, from, 1);
        loop(body, "k", runs[d].extent, [&](Statements& inner, const Expr& k) {
          nested(inner, d + 1, at + k * constant_expr(runs[d].weight_stride),
                 from + k * constant_expr(runs[d].stride));
        });
      };
  nested(to, 0, start, place.base);
}

Expr KernelBuilder::meets_input(Statements& to, const Axis& axis, const Expr& outer, const Expr& k,
                                bool innermost) {
  if (!axis.clipped) return outer;
  const Expr here = binary_expr(ExprOp::kAnd, binary_expr(ExprOp::kLessEqual, axis.low, k),
                                less_expr(k, axis.high));
  Expr meets = outer.op == ExprOp::kConstant ? here : binary_expr(ExprOp::kAnd, outer, here);
  if (innermost) return meets;
  const std::string name = program_.fresh("meets");
  to.push_back(let_statement(name, std::move(meets)));
  return variable_expr(name);
}

void KernelBuilder::gather_patch(Statements& to, const Window& window, const Shape& input,
                                 const Placement& place, const std::string& source,
                                 const Expr& start) {
  const std::int64_t channels = input.back();
  if (!place.ever_clipped) return gather_whole_patch(to, place, channels, source, start);
  const std::function<void(Statements&, std::size_t, Expr, Expr, Expr, double)> nested =
      [&](Statements& body, std::size_t d, const Expr& at, const Expr& from, const Expr& inside,
          double share) {
        if (d == window.rank()) {
          if (inside.op == ExprOp::kConstant)
            return copy_to_patch(body, at, source, from, channels);
          Statements copied, filled;
          copy_to_patch(copied, at, source, from, channels);
          fill_patch(filled, at, storage_of_array("patch"), channels);
          body.push_back(if_statement(inside, share, std::move(copied), std::move(filled)));
          return;
        }
        const Axis& axis = place.axes[d];
        const std::int64_t row =
            element_count({window.kernel.begin() + static_cast<int>(d) + 1, window.kernel.end()}) *
            channels;
        const double part = axis.clipped
                                ? place.interior_share + (1 - place.interior_share) * axis.mean /
                                                             static_cast<double>(axis.extent)
                                : 1;
        loop(body, "k", window.kernel[d], [&](Statements& inner, const Expr& k) {
          const Expr meets = meets_input(inner, axis, inside, k, d + 1 == window.rank());
          nested(inner, d + 1, at + k * constant_expr(row), from + k * constant_expr(axis.stride),
                 meets, share * part);
        });
      };
  nested(to, 0, start, place.base, constant_expr(1), 1.0);
}

std::string KernelBuilder::add_padded(Window& window, Shape& input, const std::string& source,
                                      std::int64_t pad_value) {
  const std::size_t rank = window.rank();
  const std::vector<std::int64_t> extents = spatial_of(input),
                                  outputs = window.output_extents(extents);
  Shape padded = input;
  std::vector<std::int64_t> kept(rank);  // of the input; what no window reads is not copied
  for (std::size_t d = 0; d < rank; ++d) {
    padded[d + 1] =
        (outputs[d] - 1) * window.strides[d] + window.dilations[d] * (window.kernel[d] - 1) + 1;
    kept[d] = std::clamp(padded[d + 1] - window.pads_begin[d], std::int64_t{0}, extents[d]);
  }
  Array array;
  array.name = "padded";
  array.role = ArrayRole::kScratch;
  array.storage = storage_of_array(source);
  array.size = element_count(padded);
  program_.arrays.push_back(array);
  const Storage type = array.storage;
  const std::vector<std::int64_t> to = row_major_strides(padded), from = row_major_strides(input);
  const auto fill = [&](Statements& body, const Expr& at, std::int64_t count) {
    if (count == 0) return;
    if (storage_bytes(type) == 1) {
      body.push_back(fill_statement("padded", at, type, pad_value, count));
      return;
    }
    const Expr pad = constant_expr(pad_value, arithmetic_for({pad_value, pad_value}));
    loop(body, "c", count, [&](Statements& inner, const Expr& c) {
      inner.push_back(store_statement("padded", type, at + c, pad));
    });
  };
  // From its start to its end, so that it may lie over the input as far as that has been read.
  const std::function<void(Statements&, std::size_t, Expr, Expr)> write =
      [&](Statements& body, std::size_t d, const Expr& at, const Expr& source_at) {
        const std::int64_t before = window.pads_begin[d] * to[d + 1], inside = kept[d] * to[d + 1];
        fill(body, at, std::min(before, padded[d + 1] * to[d + 1]));
        const Expr first = at + constant_expr(before);
        if (d + 1 == rank && inside > 0)
          body.push_back(copy_statement("padded", first, source, source_at, type, inside));
        if (d + 1 < rank)
          loop(body, "i", kept[d], [&](Statements& inner, const Expr& i) {
            write(inner, d + 1, first + i * constant_expr(to[d + 1]),
                  source_at + i * constant_expr(from[d + 1]));
          });
        fill(body, first + constant_expr(inside),
             std::max<std::int64_t>(padded[d + 1] * to[d + 1] - before - inside, 0));
      };
  loop(program_.body, "i", input[0], [&](Statements& body, const Expr& i) {
    write(body, 0, i * constant_expr(to[0]), i * constant_expr(from[0]));
  });
  window.pads_begin.assign(rank, 0);
  window.pads_end.assign(rank, 0);
  input = padded;
  return "padded";
}

void KernelBuilder::build_pool() {
  const bool is_sum = first_.op->name() == "IntSumPool";
  const Shape output = nest_;
  Shape input = shape(first_.inputs[0]);
  Window window = window_of(view_, view_.integers("kernel"));
  std::string source = read(first_.inputs[0]);
  const Storage source_type = storage_of_array(source);
  const std::int64_t least = view_.input(0).format.integer_range().min;
  if (form_.starts_with("padded")) source = add_padded(window, input, source, is_sum ? 0 : least);
  const auto join = [&](Statements& to, const Expr& result, const Expr& at) {
    Expr value = convert_expr(load_expr(source, source_type, at), sum_type_);
    if (is_sum) {
      to.push_back(assign_statement(result.name, result + value));
      return;
    }
    const std::string name = program_.fresh("v");
    to.push_back(let_statement(name, std::move(value)));
    const Expr v = variable_expr(name, sum_type_);
    to.push_back(assign_statement(result.name, select_expr(less_expr(result, v), v, result)));
  };
  const auto over_window = [&](Statements& to, const Placement& place, const Expr& result,
                               const Expr& channel, bool clipped) {
    const std::function<void(Statements&, std::size_t, Expr)> nested =
        [&](Statements& body, std::size_t d, const Expr& at) {
          if (d == place.axes.size()) return join(body, result, at);
          const Axis& axis = place.axes[d];
          const auto step = [&](Statements& inner, const Expr& k) {
            nested(inner, d + 1, at + k * constant_expr(axis.stride));
          };
          if (!clipped || !axis.clipped) return loop(body, "k", axis.extent, step);
          const std::string name = program_.fresh("k");
          Statements inner;
          step(inner, variable_expr(name));
          body.push_back(for_statement(name, axis.low, axis.high, axis.mean, std::move(inner)));
        };
    nested(to, 0, place.base + channel);
  };
  for_each_position(
      program_.body, window, input, output,
      [&](Statements& body, std::vector<Expr> position, const Placement& place) {
        loop(body, "c", input.back(), [&](Statements& to, const Expr& c) {
          const std::string name = program_.fresh(is_sum ? "sum" : "most");
          to.push_back(variable_statement(name, constant_expr(is_sum ? 0 : least, sum_type_)));
          const Expr result = variable_expr(name, sum_type_);
          over_window(to, place, result, c, place.ever_clipped);
          position.back() = c;
          finish(to, result, position);
        });
      });
}

}  // namespace tandem
