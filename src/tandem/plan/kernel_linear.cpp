#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/plan/kernel_builder.h"

namespace tandem {
namespace {

// Taps of one window that are written one after the other instead of in loops.
constexpr std::int64_t kStraightTaps = 16;

// Taps in one iteration of the innermost loop, by the sums that share them.
std::int64_t unrolled_taps(std::size_t sums) { return sums >= 4 ? 2 : 4; }

}  // namespace

std::vector<std::int64_t> interleave(const std::vector<std::int64_t>& weights, std::int64_t columns,
                                     std::int64_t taps, std::int64_t block) {
  std::vector<std::int64_t> result;
  result.reserve(weights.size());
  for (std::int64_t n = 0; n < columns;) {
    const std::int64_t together = n + block <= columns ? block : 1;
    for (std::int64_t k = 0; k < taps; ++k)
      for (std::int64_t r = 0; r < together; ++r)
        result.push_back(weights[static_cast<std::size_t>((n + r) * taps + k)]);
    n += together;
  }
  return result;
}

void KernelBuilder::multiply_add(Statements& to, const std::vector<Expr>& sums, const Expr& source,
                                 const std::string& weights, Storage weight_type,
                                 const Expr& weight_index) {
  Expr value = convert_expr(source, sum_type_);
  if (sums.size() > 1) {
    const std::string name = program_.fresh("v");
    to.push_back(let_statement(name, std::move(value)));
    value = variable_expr(name, sum_type_);
  }
  for (std::size_t r = 0; r < sums.size(); ++r) {
    const Expr weight =
        load_expr(weights, weight_type, weight_index + constant_expr(static_cast<int>(r)));
    to.push_back(assign_statement(sums[r].name, sums[r] + value * convert_expr(weight, sum_type_)));
  }
}

void KernelBuilder::accumulate_taps(Statements& to, const std::vector<Expr>& sums,
                                    const std::vector<Axis>& axes, const std::string& source,
                                    const Expr& start, Storage source_type,
                                    const std::string& weights, Storage weight_type) {
  std::int64_t taps = 1;
  for (const Axis& axis : axes) taps *= axis.extent;
  for (std::int64_t tap = 0; tap < taps; ++tap) {
    std::int64_t offset = 0, rest = tap;
    for (std::size_t d = axes.size(); d-- > 0;) {
      offset += rest % axes[d].extent * axes[d].stride;
      rest /= axes[d].extent;
    }
    multiply_add(to, sums, load_expr(source, source_type, start + constant_expr(offset)), weights,
                 weight_type, constant_expr(tap * static_cast<std::int64_t>(sums.size())));
  }
}

void KernelBuilder::accumulate(Statements& to, const std::vector<Expr>& sums,
                               std::vector<Axis> axes, const std::string& source,
                               Storage source_type, const std::string& weights,
                               Storage weight_type) {
  std::int64_t taps = 1;
  for (const Axis& axis : axes) taps *= axis.extent;
  if (taps <= kStraightTaps)
    return accumulate_taps(to, sums, axes, source, constant_expr(0), source_type, weights,
                           weight_type);
  const Axis inner = axes.back();
  axes.pop_back();
  // Each row of the source gets a pointer of its own: one that walked from row to row would leave
  // its array at the end. The weights lie without gaps, so theirs walks.
  const std::function<void(Statements&, std::size_t, const std::string&)> nested =
      [&](Statements& body, std::size_t d, const std::string& from) {
        if (d == axes.size())
          return accumulate_segment(body, sums, inner, from, source_type, weights, weight_type);
        loop(body, "k", axes[d].extent, [&](Statements& row, const Expr& k) {
          const std::string next = program_.fresh("xs");
          row.push_back(
              pointer_statement(next, from, source_type, k * constant_expr(axes[d].stride)));
          nested(row, d + 1, next);
        });
      };
  nested(to, 0, source);
}

void KernelBuilder::accumulate_segment(Statements& to, const std::vector<Expr>& sums,
                                       const Axis& axis, const std::string& source,
                                       Storage source_type, const std::string& weights,
                                       Storage weight_type) {
  const auto block = static_cast<std::int64_t>(sums.size());
  const bool walks = axis.stride == 1;
  const auto run = [&](Statements& segment, const Expr& start, std::int64_t length) {
    accumulate_taps(segment, sums, {Axis{length, axis.stride, 1, false, {}, {}, 0}}, source,
                    walks ? constant_expr(0) : start * constant_expr(axis.stride), source_type,
                    weights, weight_type);
    if (walks) segment.push_back(advance_statement(source, length));
    segment.push_back(advance_statement(weights, length * block));
  };
  if (axis.extent <= kStraightTaps / 2) return run(to, constant_expr(0), axis.extent);
  const std::int64_t unroll = unrolled_taps(sums.size());
  const std::int64_t whole = axis.extent / unroll * unroll;
  loop(
      to, "k", whole, [&](Statements& segment, const Expr& k) { run(segment, k, unroll); }, unroll);
  if (whole < axis.extent) run(to, constant_expr(whole), axis.extent - whole);
}

void KernelBuilder::build_matmul() {
  const Tensor& b = *view_.constant(1);
  const std::int64_t depth = b.shape()[0], columns = b.shape()[1], rows = nest_[0];
  std::vector<std::int64_t> by_column;
  for (std::int64_t n = 0; n < columns; ++n)
    for (std::int64_t k = 0; k < depth; ++k) by_column.push_back(b.integer(k * columns + n));
  const std::string source = read(first_.inputs[0]);
  const std::string weights =
      add_constant("weights", interleave(by_column, columns, depth, block()));
  const Storage source_type = storage_of_array(source), weight_type = storage_of_array(weights);
  const auto column_block = [&](Statements& to, const Expr& row, const Expr& column,
                                std::int64_t count) {
    const std::string xs = program_.fresh("xs"), ws = program_.fresh("ws");
    to.push_back(pointer_statement(xs, source, source_type, row * constant_expr(depth)));
    to.push_back(pointer_statement(ws, weights, weight_type, column * constant_expr(depth)));
    const std::vector<Expr> sums = zero_sums(to, count);
    accumulate(to, sums, {Axis{depth, 1, 1, false, {}, {}, 0}}, xs, source_type, ws, weight_type);
    for (std::int64_t r = 0; r < count; ++r)
      finish(to, sums[static_cast<std::size_t>(r)], {row, column + constant_expr(r)});
  };
  loop(program_.body, "row", rows, [&](Statements& body, const Expr& row) {
    const std::int64_t whole = columns / block() * block();
    loop(
        body, "n", whole, [&](Statements& to, const Expr& n) { column_block(to, row, n, block()); },
        block());
    loop(body, "n", columns - whole, [&](Statements& to, const Expr& n) {
      column_block(to, row, n + constant_expr(whole), 1);
    });
  });
}

void KernelBuilder::build_plain_matmul() {
  const Shape a = shape(first_.inputs[0]), b = shape(first_.inputs[1]);
  const std::int64_t depth = a.back(), columns = b.back(), rows = a[a.size() - 2];
  const std::int64_t matrices = nest_[0] / rows;
  const std::int64_t b_stride = b.size() == 2 ? 0 : depth * columns;
  const std::string left = read(first_.inputs[0]), right = read(first_.inputs[1]);
  const Storage left_type = storage_of_array(left), right_type = storage_of_array(right);
  loop(program_.body, "matrix", matrices, [&](Statements& all, const Expr& matrix) {
    loop(all, "row", rows, [&](Statements& body, const Expr& in_matrix) {
      const Expr row = matrix * constant_expr(rows) + in_matrix;
      loop(body, "n", columns, [&](Statements& to, const Expr& n) {
        const std::string xs = program_.fresh("xs");
        to.push_back(pointer_statement(xs, left, left_type, row * constant_expr(depth)));
        const std::vector<Expr> sums = zero_sums(to, 1);
        // An index, because a pointer would end beyond the matrix.
        loop(to, "k", depth, [&](Statements& tap, const Expr& k) {
          multiply_add(tap, sums, load_expr(xs, left_type, k), right, right_type,
                       matrix * constant_expr(b_stride) + k * constant_expr(columns) + n);
        });
        finish(to, sums[0], {row, n});
      });
    });
  });
}

void KernelBuilder::build_conv() {
  const Shape weight = shape(first_.inputs[1]), output = nest_;
  Shape input = shape(first_.inputs[0]);
  Window window = window_of(view_, {weight.begin() + 1, weight.end() - 1});
  const std::int64_t channels = input.back(), group = view_.integer("group");
  const std::int64_t per_group = channels / group, columns = weight[0] / group;
  const std::int64_t taps = element_count(weight) / weight[0];
  const std::string weights = conv_weights(columns, taps);
  std::string source = read(first_.inputs[0]);
  if (form_.starts_with("padded"))
    source = add_padded(window, input, source, view_.integer("pad_value"));
  const bool patches = form_.starts_with("patch");
  if (patches) add_patch(source, window, channels);

  const auto column_block = [&](Statements& to, std::vector<Expr> position, const Placement& place,
                                const Expr& g, const Expr& column, std::int64_t count) {
    const std::vector<Expr> sums = zero_sums(to, count);
    const Expr first = (g * constant_expr(columns) + column) * constant_expr(taps);
    convolve(to, sums, patches ? patch_placement(window, channels) : place,
             patches ? "patch" : source, g * constant_expr(per_group), per_group, weights, first);
    for (std::int64_t r = 0; r < count; ++r) {
      position.back() = g * constant_expr(columns) + column + constant_expr(r);
      finish(to, sums[static_cast<std::size_t>(r)], position);
    }
  };
  for_each_position(
      program_.body, window, input, output,
      [&](Statements& body, const std::vector<Expr>& position, const Placement& place) {
        if (patches) gather_patch(body, window, input, place, source);
        loop(body, "g", group, [&](Statements& grouped, const Expr& g) {
          const std::int64_t whole = columns / block() * block();
          loop(
              grouped, "n", whole,
              [&](Statements& to, const Expr& n) {
                column_block(to, position, place, g, n, block());
              },
              block());
          loop(grouped, "n", columns - whole, [&](Statements& to, const Expr& n) {
            column_block(to, position, place, g, n + constant_expr(whole), 1);
          });
        });
      });
}

std::string KernelBuilder::conv_weights(std::int64_t columns, std::int64_t taps) {
  const Tensor* fixed = view_.constant(1);
  if (fixed == nullptr) return read(first_.inputs[1]);
  const std::vector<std::int64_t> all = fixed->to_integers();
  std::vector<std::int64_t> interleaved;
  for (auto begin = all.begin(); begin != all.end(); begin += columns * taps) {
    const auto part = interleave({begin, begin + columns * taps}, columns, taps, block());
    interleaved.insert(interleaved.end(), part.begin(), part.end());
  }
  return add_constant("weights", std::move(interleaved));
}

void KernelBuilder::convolve(Statements& to, const std::vector<Expr>& sums, const Placement& place,
                             const std::string& source, const Expr& channel, std::int64_t channels,
                             const std::string& weights, const Expr& first_weight) {
  const Storage source_type = storage_of_array(source), weight_type = storage_of_array(weights);
  std::vector<Axis> axes = place.axes;
  axes.push_back(Axis{channels, 1, 1, false, {}, {}, 0});
  const std::string xs = program_.fresh("xs"), ws = program_.fresh("ws");
  to.push_back(pointer_statement(xs, source, source_type, place.base + channel));
  to.push_back(pointer_statement(ws, weights, weight_type, first_weight));
  accumulate(to, sums, merged(axes), xs, source_type, ws, weight_type);
}

}  // namespace tandem
