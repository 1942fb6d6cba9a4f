#include "tandem/plan/kernel_pairs.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/ops/integer.h"
#include "tandem/plan/kernel_builder.h"

namespace tandem {
namespace {

constexpr std::int64_t kWordTaps = 4;
// Words of taps in one iteration of the innermost loop.
constexpr std::int64_t kUnrolledWords = 2;

// The taps of a run of neighbouring bytes in the order in which words become pairs.
void append_run(std::vector<std::int64_t>& tap_of, std::int64_t first, std::int64_t count) {
  constexpr std::int64_t kOrder[] = {0, 2, 1, 3};
  const std::int64_t whole = count / kWordTaps * kWordTaps;
  for (std::int64_t i = 0; i < count; ++i)
    tap_of.push_back(first + (i < whole ? i / kWordTaps * kWordTaps + kOrder[i % kWordTaps] : i));
}

IntegerRange sum_of_column(const PairProduct& product, std::int64_t column, IntegerRange x) {
  IntegerRange sum;
  for (std::int64_t k = 0; k < product.taps; ++k) {
    const std::int64_t w = product.weights[static_cast<std::size_t>(column * product.taps + k)];
    sum.min += std::min(w * x.min, w * x.max);
    sum.max += std::max(w * x.min, w * x.max);
  }
  return sum;
}

// Whether every even column's sum survives a shift by a byte, and pairs of weights fit 16 bits.
bool can_be_twin(const PairProduct& product, IntegerRange x) {
  const IntegerRange kept = integer_range(24, true), half = integer_range(16, true);
  for (std::int64_t n = 0; n < product.columns; n += 2) {
    const IntegerRange sum = sum_of_column(product, n, x);
    if (sum.min < kept.min || sum.max > kept.max) return false;
    for (std::int64_t k = 0; k < product.taps && n + 1 < product.columns; ++k) {
      const auto at = static_cast<std::size_t>(n * product.taps + k);
      const std::int64_t both =
          256 * product.weights[at] + product.weights[at + static_cast<std::size_t>(product.taps)];
      if (both < half.min || both > half.max) return false;
    }
  }
  return true;
}

// The weights of a product or convolution by column.
std::vector<std::int64_t> weights_by_column(const NodeView& view) {
  const Tensor& b = *view.constant(1);
  if (view.node.op->name() == "IntConv") return b.to_integers();
  const std::int64_t depth = b.shape()[0], columns = b.shape()[1];
  std::vector<std::int64_t> result;
  for (std::int64_t n = 0; n < columns; ++n)
    for (std::int64_t k = 0; k < depth; ++k) result.push_back(b.integer(k * columns + n));
  return result;
}

// A convolution whose windows are the pixels of the input, one after the other.
bool is_pointwise(const Window& window, const Shape& input, std::int64_t rows) {
  const auto ones = [](const std::vector<std::int64_t>& values) {
    return std::ranges::all_of(values, [](std::int64_t v) { return v == 1; });
  };
  return ones(window.kernel) && ones(window.strides) && rows == element_count(input) / input.back();
}

}  // namespace

bool is_bytes(const Format& format) {
  const Storage storage = format.storage();
  return storage == Storage::kI8 || storage == Storage::kU8;
}

bool holds_bytes(const Tensor& weights) {
  const auto [low, high] = std::ranges::minmax(weights.to_integers());
  const IntegerRange byte = integer_range(8, true);
  return low >= byte.min && high <= byte.max;
}

bool has_word_sums(const NodeView& view) {
  const auto& op = dynamic_cast<const IntegerOperator&>(*view.node.op);
  return arithmetic_for(op.range(view)) == Storage::kI32;
}

LoopExtents row_nest(const Graph& graph, const Node& first) {
  const Shape output = graph.values[first.outputs[0]].type.static_shape();
  return {element_count(output) / output.back(), output.back()};
}

void add_pair_forms(const Module& module, const Graph& graph, const std::vector<ValueId>& base_of,
                    const std::vector<NodeId>& nodes, std::vector<std::string>& forms) {
  const Node& first = graph.nodes[nodes.front()];
  const NodeView view{module, graph, first};
  const Tensor* weights = view.constant(1);
  const bool is_conv = first.op->name() == "IntConv";
  if (weights == nullptr || (is_conv && view.integer("group") != 1)) return;
  if (!is_bytes(view.input(0).format) || !holds_bytes(*weights) || !has_word_sums(view)) return;
  const LoopExtents nest = row_nest(graph, first);
  for (std::size_t i = 1; i < nodes.size(); ++i) {
    const Node& node = graph.nodes[nodes[i]];
    const std::size_t running = running_input(graph, base_of, graph.nodes[nodes[i - 1]], node);
    if (!fits_nest(module, graph, node, running, nest)) return;
  }
  for (const char* tile : {"2x1", "4x1", "2x2", "2x3"})
    if (nest[0] >= tile[2] - '0') forms.push_back(concat("pairs_", tile));
}

void KernelBuilder::build_pairs() {
  const std::string tile = form_.substr(std::string("pairs_").size());
  const bool is_conv = first_.op->name() == "IntConv";
  const Shape input = shape(first_.inputs[0]);
  PairProduct& product = pairs_.emplace();
  product.block_columns = tile[0] - '0';
  product.block_rows = tile[2] - '0';
  product.weights = weights_by_column(view_);
  product.rows = nest_[0];
  product.columns = nest_[1];
  product.taps = static_cast<std::int64_t>(product.weights.size()) / product.columns;
  IntegerRange x = view_.input(0).format.integer_range();
  product.signed_input = x.min < 0;
  if (is_conv) x = cover(x, {view_.integer("pad_value"), view_.integer("pad_value")});
  product.twin = can_be_twin(product, x);

  const std::string source = read(first_.inputs[0]);
  Window window;
  if (is_conv) {
    const Shape weight = shape(first_.inputs[1]);
    window = window_of(view_, {weight.begin() + 1, weight.end() - 1});
  }
  if (!is_conv || is_pointwise(window, input, nest_[0])) return pair_tiles_of_rows(source);
  pair_tiles_of_windows(source, window);
}

void KernelBuilder::add_pair_weights(const std::vector<std::int64_t>& by_column) {
  const PairProduct& product = *pairs_;
  const auto weight = [&](std::int64_t column, std::int64_t tap) {
    return tap < 0 || column >= product.columns
               ? 0
               : by_column[static_cast<std::size_t>(column * product.taps + tap)];
  };
  std::vector<std::int64_t> words;
  const std::int64_t whole = product.columns / product.block_columns * product.block_columns;
  for (std::int64_t n = 0; n < product.columns;) {
    const std::int64_t together = n < whole ? product.block_columns : 2;
    for (std::int64_t slot = 0; slot < product.slots(); slot += kWordTaps) {
      const auto tap = [&](std::int64_t i) {
        return product.tap_of[static_cast<std::size_t>(slot + i)];
      };
      if (product.twin) {
        for (std::int64_t c = n; c < n + together; c += 2)
          for (std::int64_t i = 0; i < kWordTaps; ++i)
            words.push_back(256 * weight(c, tap(i)) + weight(c + 1, tap(i)));
      } else {
        // Bytes 0 and 2 are widened together.
        for (std::int64_t c = n; c < n + together; ++c)
          for (const std::int64_t i : {0, 2, 1, 3}) words.push_back(weight(c, tap(i)));
      }
    }
    n += together;
  }
  const std::string name = add_constant("weights", std::move(words));
  ensure(name == "weights", "the weights of pairs are the only ones");
  // Words are read whatever the range of the values.
  program_.arrays.back().storage = product.twin ? Storage::kI16 : Storage::kI8;
}

void KernelBuilder::pair_tiles_of_rows(const std::string& source) {
  PairProduct& product = *pairs_;
  product.direct = product.block_rows == 1 && product.taps % kWordTaps == 0;
  append_run(product.tap_of, 0, product.taps);
  while (product.slots() % kWordTaps != 0) product.tap_of.push_back(-1);
  add_pair_weights(product.weights);
  if (!product.direct) add_pair_patch();
  const auto tile = [&](Statements& to, const Expr& row, std::int64_t rows) {
    const Expr from = row * constant_expr(product.taps);
    if (product.direct) return pair_tile(to, rows, source, from, row);
    for (std::int64_t r = 0; r < rows; ++r)
      copy_pairs(to, constant_expr(r * product.slots()), source,
                 from + constant_expr(r * product.taps), product.taps);
    pair_tile(to, rows, "patch", constant_expr(0), row);
  };
  const std::int64_t whole = product.rows / product.block_rows * product.block_rows;
  loop(
      program_.body, "row", whole,
      [&](Statements& to, const Expr& row) { tile(to, row, product.block_rows); },
      product.block_rows);
  loop(program_.body, "row", product.rows - whole,
       [&](Statements& to, const Expr& row) { tile(to, row + constant_expr(whole), 1); });
}

void KernelBuilder::add_pair_patch() {
  Array patch;
  patch.name = "patch";
  patch.role = ArrayRole::kScratch;
  patch.storage = Storage::kI16;
  patch.size = pairs_->block_rows * pairs_->slots();
  program_.arrays.push_back(std::move(patch));
}

void KernelBuilder::pair_tiles_of_windows(const std::string& source, const Window& window) {
  PairProduct& product = *pairs_;
  const Shape input = shape(first_.inputs[0]), output = shape(first_.outputs[0]);
  const std::int64_t run = run_of_windows(window, input, output);
  for (std::int64_t tap = 0; tap < product.taps; tap += run) append_run(product.tap_of, tap, run);
  while (product.slots() % kWordTaps != 0) product.tap_of.push_back(-1);
  add_pair_weights(product.weights);
  add_pair_patch();

  // Windows are gathered until there are enough for a tile.
  const std::string gathered = program_.fresh("gathered"), row = program_.fresh("row");
  const Expr count = variable_expr(gathered), first = variable_expr(row);
  const bool several = product.block_rows > 1;
  if (several) program_.body.push_back(variable_statement(gathered, constant_expr(0)));
  program_.body.push_back(variable_statement(row, constant_expr(0)));
  for_each_position(
      program_.body, window, input, output,
      [&](Statements& to, const std::vector<Expr>&, const Placement& place) {
        const Expr start = several ? count * constant_expr(product.slots()) : constant_expr(0);
        gather_window(to, window, input, place, source, start);
        if (!several) {
          pair_tile(to, 1, "patch", constant_expr(0), first);
          to.push_back(assign_statement(row, first + constant_expr(1)));
          return;
        }
        to.push_back(assign_statement(gathered, count + constant_expr(1)));
        Statements full;
        pair_tile(full, product.block_rows, "patch", constant_expr(0), first);
        full.push_back(assign_statement(row, first + constant_expr(product.block_rows)));
        full.push_back(assign_statement(gathered, constant_expr(0)));
        to.push_back(
            if_statement(binary_expr(ExprOp::kEqual, count, constant_expr(product.block_rows)),
                         1.0 / static_cast<double>(product.block_rows), std::move(full)));
      });
  loop(program_.body, "r", product.rows % product.block_rows, [&](Statements& to, const Expr& r) {
    pair_tile(to, 1, "patch", r * constant_expr(product.slots()), first + r);
  });
}

std::int64_t KernelBuilder::run_of_windows(const Window& window, const Shape& input,
                                           const Shape& output) {
  const auto names = program_.names;
  Statements unused;
  const std::vector<Expr> first(output.size(), constant_expr(0));
  const Placement where = place(unused, window, input, first, output);
  program_.names = names;
  if (where.ever_clipped) return input.back();
  const Axis inner = whole_runs(where, input.back()).back();
  return inner.stride == 1 ? inner.extent : 1;
}

void KernelBuilder::gather_window(Statements& to, const Window& window, const Shape& input,
                                  const Placement& place, const std::string& source,
                                  const Expr& start) {
  const std::int64_t channels = input.back();
  // Windows inside the input are copied in longer runs, where both orders of taps are the same.
  if (!place.ever_clipped || channels % kWordTaps != 0 || place.interior_share == 0)
    return gather_patch(to, window, input, place, source, start);
  Expr inside = constant_expr(1);
  for (const Axis& axis : place.axes) {
    if (!axis.clipped) continue;
    const auto also = [&](const Expr& end, std::int64_t whole) {
      if (end.op == ExprOp::kConstant) return;
      const Expr here = binary_expr(ExprOp::kEqual, end, constant_expr(whole));
      inside = inside.op == ExprOp::kConstant ? here : binary_expr(ExprOp::kAnd, inside, here);
    };
    also(axis.low, 0);
    also(axis.high, axis.extent);
  }
  Statements whole, clipped;
  gather_whole_patch(whole, place, channels, source, start);
  Placement at_border = place;
  at_border.interior_share = 0;
  gather_patch(clipped, window, input, at_border, source, start);
  to.push_back(
      if_statement(std::move(inside), place.interior_share, std::move(whole), std::move(clipped)));
}

void KernelBuilder::fill_pairs(Statements& to, const Expr& at, std::int64_t pad,
                               std::int64_t count) {
  const std::int64_t whole = count / 2 * 2;
  loop(
      to, "c", whole,
      [&](Statements& body, const Expr& c) {
        const auto both = static_cast<std::int32_t>((pad & 0xffff) | pad * 65536);
        body.push_back(store_word_statement("patch", at + c, constant_expr(both)));
      },
      2);
  if (whole < count)
    to.push_back(
        store_statement("patch", Storage::kI16, at + constant_expr(whole), constant_expr(pad)));
}

void KernelBuilder::copy_pairs(Statements& to, const Expr& at, const std::string& source,
                               const Expr& from, std::int64_t count) {
  const Storage type = storage_of_array(source);
  const std::int64_t whole = count / kWordTaps * kWordTaps;
  const auto word = [&](Statements& body, const Expr& c) {
    const std::string name = program_.fresh("word");
    body.push_back(let_statement(name, load_word_expr(source, from + c)));
    for (int half = 0; half < 2; ++half)
      body.push_back(
          store_word_statement("patch", at + c + constant_expr(2 * half),
                               pair_expr(variable_expr(name), half, pairs_->signed_input)));
  };
  loop(to, "c", whole, word, kWordTaps);
  for (std::int64_t c = whole; c < count; ++c)
    to.push_back(store_statement("patch", Storage::kI16, at + constant_expr(c),
                                 load_expr(source, type, from + constant_expr(c))));
}

void KernelBuilder::pair_tile(Statements& to, std::int64_t rows, const std::string& source,
                              const Expr& start, const Expr& first_row) {
  const PairProduct& product = *pairs_;
  const std::int64_t whole = product.columns / product.block_columns * product.block_columns;
  loop(
      to, "n", whole,
      [&](Statements& body, const Expr& n) {
        pair_block(body, rows, product.block_columns, product.block_columns, source, start,
                   first_row, n);
      },
      product.block_columns);
  for (std::int64_t n = whole; n < product.columns; n += 2)
    pair_block(to, rows, 2, std::min<std::int64_t>(2, product.columns - n), source, start,
               first_row, constant_expr(n));
}

void KernelBuilder::pair_block(Statements& to, std::int64_t rows, std::int64_t columns,
                               std::int64_t finished_columns, const std::string& source,
                               const Expr& start, const Expr& first_row, const Expr& column) {
  const PairProduct& product = *pairs_;
  const std::vector<Expr> sums = zero_sums(to, rows * columns);
  const auto sum = [&](std::int64_t row, std::int64_t c) {
    return sums[static_cast<std::size_t>(c * rows + row)];
  };
  const std::string xs = program_.fresh("xs"), ws = program_.fresh("ws");
  to.push_back(pointer_statement(xs, source, storage_of_array(source), start));
  to.push_back(pointer_statement(
      ws, "weights", storage_of_array("weights"),
      column * constant_expr(product.twin ? product.slots() / 2 : product.slots())));
  const auto named = [&](Statements& body, const std::string& stem, Expr value) {
    const std::string name = program_.fresh(stem);
    body.push_back(let_statement(name, std::move(value)));
    return variable_expr(name);
  };
  const auto add = [&](Statements& body, const Expr& to_sum, const Expr& x, const Expr& w) {
    body.push_back(assign_statement(to_sum.name, dot2_expr(to_sum, x, w)));
  };
  // The products of one word of taps, a pair at a time.
  const auto word = [&](Statements& body, std::int64_t k) {
    std::vector<Expr> bytes;  // of x, where they are not widened yet; of columns that are not twin
    if (product.direct)
      bytes.push_back(named(body, "x", load_word_expr(xs, constant_expr(k * kWordTaps))));
    std::vector<Expr> of_column;
    if (!product.twin)
      for (std::int64_t c = 0; c < columns; ++c)
        of_column.push_back(
            named(body, "w", load_word_expr(ws, constant_expr((k * columns + c) * kWordTaps))));
    for (int half = 0; half < 2; ++half) {
      std::vector<Expr> x(static_cast<std::size_t>(rows));
      const auto load_x = [&](std::int64_t row) {
        x[static_cast<std::size_t>(row)] =
            named(body, "x",
                  product.direct ? pair_expr(bytes[0], half, product.signed_input)
                                 : load_word_expr(xs, constant_expr(row * product.slots() +
                                                                    k * kWordTaps + 2 * half)));
      };
      for (std::int64_t c = 0; c < columns; c += product.twin ? 2 : 1) {
        Expr both, low;
        if (product.twin) {
          both = named(body, "w",
                       load_word_expr(ws, constant_expr(k * kWordTaps * columns / 2 +
                                                        c / 2 * kWordTaps + 2 * half)));
          low = named(body, "low", pair_expr(both, 0, true));
        } else {
          low = named(body, "low", pair_expr(of_column[static_cast<std::size_t>(c)], half, true));
        }
        for (std::int64_t row = 0; row < rows; ++row) {
          if (c == 0) load_x(row);
          const Expr& taps = x[static_cast<std::size_t>(row)];
          if (product.twin) add(body, sum(row, c), taps, both);
          add(body, sum(row, product.twin ? c + 1 : c), taps, low);
        }
      }
    }
  };
  const std::int64_t words = product.slots() / kWordTaps;
  const std::int64_t weights_per_word = kWordTaps * columns / (product.twin ? 2 : 1);
  const auto several = [&](Statements& body, std::int64_t count) {
    for (std::int64_t k = 0; k < count; ++k) word(body, k);
    body.push_back(advance_statement(xs, count * kWordTaps));
    body.push_back(advance_statement(ws, count * weights_per_word));
  };
  const std::int64_t whole = words / kUnrolledWords * kUnrolledWords;
  loop(
      to, "k", whole, [&](Statements& body, const Expr&) { several(body, kUnrolledWords); },
      kUnrolledWords);
  if (whole < words) several(to, words - whole);

  // All results before any of them is stored: a store of bytes might change what was loaded.
  Statements stores;
  for (std::int64_t c = 0; c < finished_columns; ++c) {
    for (std::int64_t row = 0; row < rows; ++row) {
      Expr total = sum(row, c);
      if (product.twin && c % 2 == 0) {
        const auto bits = [](const Expr& e) { return convert_expr(e, Storage::kU32); };
        total = binary_expr(ExprOp::kShiftRight,
                            convert_expr(bits(total) - bits(sum(row, c + 1)), Storage::kI32),
                            constant_expr(8));
      }
      stores.push_back(
          finished(to, total, {first_row + constant_expr(row), column + constant_expr(c)}));
    }
  }
  for (Statement& store : stores) to.push_back(std::move(store));
}

}  // namespace tandem
