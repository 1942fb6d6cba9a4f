#include "tandem/plan/kernel_packed.h"

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/ops/integer.h"
#include "tandem/plan/kernel_builder.h"
#include "tandem/plan/mcu_groups.h"

namespace tandem {
namespace {

// Words of taps in one iteration of the innermost loop.
constexpr std::int64_t kUnrolledWords = 2;
// So many vectors of taps are written out; of more, this many in one iteration.
constexpr std::int64_t kMostVectors = 9, kUnrolledVectors = 4;
// Numbers that a tile of bytes keeps at a time: its sums, and all taps of one iteration, because
// GCC 12 loads them before it multiplies. Three more registers hold the pointers and the end.
constexpr std::int64_t kRegisters = 24;

// The taps of a run of neighbouring bytes in the order in which words become pairs.
void append_run(PackedProduct& product, std::int64_t first, std::int64_t count) {
  constexpr std::int64_t kOrder[] = {0, 2, 1, 3};
  const std::int64_t whole = product.unit == PackedUnit::kPairs ? count / kWordTaps * kWordTaps : 0;
  for (std::int64_t i = 0; i < count; ++i)
    product.tap_of.push_back(first +
                             (i < whole ? i / kWordTaps * kWordTaps + kOrder[i % kWordTaps] : i));
}

void fill_lanes(PackedProduct& product) {
  const std::int64_t together = product.lanes() * product.words_together();
  while (product.slots() % together != 0) product.tap_of.push_back(-1);
}

IntegerRange sum_of_column(const PackedProduct& product, std::int64_t column, IntegerRange x) {
  IntegerRange sum;
  for (std::int64_t k = 0; k < product.taps; ++k) {
    const std::int64_t w = product.weights[static_cast<std::size_t>(column * product.taps + k)];
    sum.min += std::min(w * x.min, w * x.max);
    sum.max += std::max(w * x.min, w * x.max);
  }
  return sum;
}

// Whether every even column's sum survives a shift by a byte, and pairs of weights fit 16 bits.
bool can_be_twin(const PackedProduct& product, IntegerRange x) {
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

// The greatest sum of a column, either way.
std::int64_t greatest_sum(const PackedProduct& product, IntegerRange x) {
  std::int64_t most = 0;
  for (std::int64_t n = 0; n < product.columns; ++n) {
    const IntegerRange sum = sum_of_column(product, n, x);
    most = std::max({most, -sum.min, sum.max});
  }
  return most;
}

bool fit_bits(const std::vector<std::int64_t>& weights, int bits) {
  const auto [low, high] = std::ranges::minmax(weights);
  const IntegerRange held = integer_range(bits, true);
  return low >= held.min && high <= held.max;
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

// What the first operand and its padding may be.
IntegerRange input_range(const NodeView& view) {
  const IntegerRange x = view.input(0).format.integer_range();
  if (view.node.op->name() != "IntConv") return x;
  return cover(x, {view.integer("pad_value"), view.integer("pad_value")});
}

// A convolution whose windows are the pixels of the input, one after the other.
bool is_pointwise(const Window& window, const Shape& input, std::int64_t rows) {
  const auto ones = [](const std::vector<std::int64_t>& values) {
    return std::ranges::all_of(values, [](std::int64_t v) { return v == 1; });
  };
  return ones(window.kernel) && ones(window.strides) && rows == element_count(input) / input.back();
}

// The weights at one place of each byte of a word, shifted to the top of their bytes.
Expr top_bits(const Expr& word, int bits, std::int64_t place) {
  const std::int64_t top = 0xff & (0xff << (8 - bits));
  const auto unsigned_expr = [](std::int64_t value) { return constant_expr(value, Storage::kU32); };
  const Expr shifted = binary_expr(ExprOp::kShiftLeft, convert_expr(word, Storage::kU32),
                                   unsigned_expr(8 - bits * (place + 1)));
  return convert_expr(binary_expr(ExprOp::kAnd, shifted, unsigned_expr(top * 0x01010101)),
                      Storage::kI32);
}

// The slot, of a word of them, whose weight each byte of a word or vector holds. Of words, bytes 0
// and 2 are widened together.
std::vector<std::int64_t> byte_order(const PackedProduct& product) {
  if (product.unit == PackedUnit::kPairs) return {0, 2, 1, 3};
  std::vector<std::int64_t> order(static_cast<std::size_t>(product.lanes()));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  return order;
}

}  // namespace

std::int64_t PackedProduct::unrolled_steps(const PackedBlock& block) const {
  switch (unit) {
    case PackedUnit::kBytes:
      return (kRegisters - block.rows * block.columns) / (block.rows + block.columns);
    case PackedUnit::kPairs: return std::max(kUnrolledWords, words_together());
    case PackedUnit::kVectors:
      return slots() / lanes() <= kMostVectors ? slots() / lanes() : kUnrolledVectors;
  }
  throw InternalError("unknown unit");
}

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

void add_packed_forms(const Module& module, const Graph& graph, const std::vector<ValueId>& base_of,
                      const std::vector<NodeId>& nodes, std::vector<std::string>& forms) {
  const Node& first = graph.nodes[nodes.front()];
  const NodeView view{module, graph, first};
  const Tensor* weights = view.constant(1);
  const bool is_conv = first.op->name() == "IntConv";
  if (weights == nullptr || (is_conv && view.integer("group") != 1)) return;
  if (!is_bytes(view.input(0).format) || !holds_bytes(*weights) || !has_word_sums(view)) return;
  const LoopExtents nest = row_nest(graph, first);
  if (!nodes_fit_nest(module, graph, base_of, nodes, 1, nest)) return;
  PackedProduct product;
  product.weights = weights_by_column(view);
  product.columns = nest[1];
  product.taps = static_cast<std::int64_t>(product.weights.size()) / product.columns;
  const std::int64_t most = greatest_sum(product, input_range(view));
  for (const char* tile : {"4x1", "4x2", "4x3"})
    if (nest[0] >= tile[2] - '0' && nest[1] >= tile[0] - '0')
      forms.push_back(concat("bytes_", tile));
  for (const int bits : {8, 4, 2}) {
    if (bits < 8 && (!fit_bits(product.weights, bits) || (most << (8 - bits)) > INT32_MAX))
      continue;
    const std::string width = bits == 8 ? "" : std::to_string(bits);
    for (const char* tile : {"2x1", "4x1", "2x2", "2x3"})
      if (nest[0] >= tile[2] - '0') forms.push_back(concat("pairs", width, "_", tile));
    if (view.input(0).format.storage() == Storage::kI8)
      forms.push_back(concat("vector", width, "_4x1"));
  }
}

void KernelBuilder::build_packed() {
  const std::size_t end = form_.find('_');
  const std::string tile = form_.substr(end + 1);
  const bool is_conv = first_.op->name() == "IntConv";
  const Shape input = shape(first_.inputs[0]);
  PackedProduct& product = packed_.emplace();
  product.unit = form_.starts_with("bytes")   ? PackedUnit::kBytes
                 : form_.starts_with("pairs") ? PackedUnit::kPairs
                                              : PackedUnit::kVectors;
  const char width = form_[end - 1];
  if (width == '4' || width == '2') product.bits = width - '0';
  product.block_columns = tile[0] - '0';
  product.block_rows = tile[2] - '0';
  product.weights = weights_by_column(view_);
  product.rows = nest_[0];
  product.columns = nest_[1];
  product.taps = static_cast<std::int64_t>(product.weights.size()) / product.columns;
  product.signed_input = view_.input(0).format.integer_range().min < 0;
  product.twin = product.unit == PackedUnit::kPairs && product.bits == 8 &&
                 can_be_twin(product, input_range(view_));

  const std::string source = read(first_.inputs[0]);
  Window window;
  if (is_conv) {
    const Shape weight = shape(first_.inputs[1]);
    window = window_of(view_, {weight.begin() + 1, weight.end() - 1});
  }
  if (!is_conv || is_pointwise(window, input, nest_[0])) return packed_tiles_of_rows(source);
  packed_tiles_of_windows(source, window);
}

void KernelBuilder::add_packed_weights(const std::vector<std::int64_t>& by_column) {
  const PackedProduct& product = *packed_;
  const auto weight = [&](std::int64_t column, std::int64_t tap) {
    return tap < 0 || column >= product.columns
               ? 0
               : by_column[static_cast<std::size_t>(column * product.taps + tap)];
  };
  std::vector<std::int64_t> words;
  const std::int64_t whole = product.columns / product.block_columns * product.block_columns;
  for (std::int64_t n = 0; n < product.columns;) {
    const std::int64_t together = n < whole ? product.block_columns : product.rest_columns();
    for (std::int64_t slot = 0; slot < product.slots(); slot += product.lanes()) {
      const auto tap = [&](std::int64_t i) {
        return product.tap_of[static_cast<std::size_t>(slot + i)];
      };
      if (product.bits < 8) {
        if (slot % (product.lanes() * product.words_together()) != 0) continue;
        for (std::int64_t c = n; c < n + together; ++c)
          for (const std::int64_t i : byte_order(product)) {
            std::int64_t byte = 0;
            for (std::int64_t k = 0; k < product.words_together(); ++k)
              byte |= (weight(c, tap(i + k * product.lanes())) & ((1 << product.bits) - 1))
                      << (k * product.bits);
            words.push_back(byte < 128 ? byte : byte - 256);
          }
      } else if (product.twin) {
        for (std::int64_t c = n; c < n + together; c += 2)
          for (std::int64_t i = 0; i < kWordTaps; ++i)
            words.push_back(256 * weight(c, tap(i)) + weight(c + 1, tap(i)));
      } else {
        for (std::int64_t c = n; c < n + together; ++c)
          for (const std::int64_t i : byte_order(product)) words.push_back(weight(c, tap(i)));
      }
    }
    n += together;
  }
  const std::string name = add_constant("weights", std::move(words));
  ensure(name == "weights", "packed weights are the only ones");
  // Words are read whatever the range of the values.
  program_.arrays.back().storage = product.twin ? Storage::kI16 : Storage::kI8;
}

void KernelBuilder::packed_tiles_of_rows(const std::string& source) {
  PackedProduct& product = *packed_;
  product.direct = (product.unit != PackedUnit::kPairs || product.block_rows == 1) &&
                   product.taps % (product.lanes() * product.words_together()) == 0;
  // Then the innermost loop is the same whatever the number of taps.
  product.interleaved =
      product.unit == PackedUnit::kPairs && !product.direct && product.taps % kWordTaps == 0;
  append_run(product, 0, product.taps);
  fill_lanes(product);
  add_packed_weights(product.weights);
  if (!product.direct) add_packed_patch(storage_of_array(source));
  const auto tile = [&](Statements& to, const Expr& row, std::int64_t rows) {
    const Expr from = row * constant_expr(product.taps);
    if (product.direct) return packed_tile(to, rows, source, from, row);
    for (std::int64_t r = 0; r < rows; ++r)
      copy_packed(to, constant_expr(r * product.row_stride()), source,
                  from + constant_expr(r * product.taps), product.taps);
    packed_tile(to, rows, "patch", constant_expr(0), row);
  };
  const std::int64_t whole = product.rows / product.block_rows * product.block_rows;
  loop(
      program_.body, "row", whole,
      [&](Statements& to, const Expr& row) { tile(to, row, product.block_rows); },
      product.block_rows);
  loop(program_.body, "row", product.rows - whole,
       [&](Statements& to, const Expr& row) { tile(to, row + constant_expr(whole), 1); });
}

void KernelBuilder::packed_tiles_of_windows(const std::string& source, const Window& window) {
  PackedProduct& product = *packed_;
  const Shape input = shape(first_.inputs[0]), output = shape(first_.outputs[0]);
  const std::int64_t run = run_of_windows(window, input, output);
  for (std::int64_t tap = 0; tap < product.taps; tap += run) append_run(product, tap, run);
  fill_lanes(product);
  add_packed_weights(product.weights);
  add_packed_patch(storage_of_array(source));

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
          packed_tile(to, 1, "patch", constant_expr(0), first);
          to.push_back(assign_statement(row, first + constant_expr(1)));
          return;
        }
        to.push_back(assign_statement(gathered, count + constant_expr(1)));
        Statements full;
        packed_tile(full, product.block_rows, "patch", constant_expr(0), first);
        full.push_back(assign_statement(row, first + constant_expr(product.block_rows)));
        full.push_back(assign_statement(gathered, constant_expr(0)));
        to.push_back(
            if_statement(binary_expr(ExprOp::kEqual, count, constant_expr(product.block_rows)),
                         1.0 / static_cast<double>(product.block_rows), std::move(full)));
      });
  loop(program_.body, "r", product.rows % product.block_rows, [&](Statements& to, const Expr& r) {
    packed_tile(to, 1, "patch", r * constant_expr(product.slots()), first + r);
  });
}

void KernelBuilder::packed_tile(Statements& to, std::int64_t rows, const std::string& source,
                                const Expr& start, const Expr& first_row) {
  const PackedProduct& product = *packed_;
  const std::int64_t whole = product.columns / product.block_columns * product.block_columns;
  const std::int64_t rest = product.rest_columns();
  const auto block = [&](Statements& body, const Expr& n, std::int64_t columns,
                         std::int64_t finished_columns) {
    packed_block(body, {source, start, first_row, n, rows, columns, finished_columns});
  };
  loop(
      to, "n", whole,
      [&](Statements& body, const Expr& n) {
        block(body, n, product.block_columns, product.block_columns);
      },
      product.block_columns);
  loop(
      to, "n", (product.columns - whole) / rest * rest,
      [&](Statements& body, const Expr& n) { block(body, n + constant_expr(whole), rest, rest); },
      rest);
  // An odd column is multiplied together with one of zeros.
  if ((product.columns - whole) % rest != 0) block(to, constant_expr(product.columns - 1), rest, 1);
}

void KernelBuilder::packed_block(Statements& to, const PackedBlock& block) {
  const PackedProduct& product = *packed_;
  const std::vector<Expr> sums = zero_sums(to, block.rows * block.columns);
  const std::string xs = program_.fresh("xs"), ws = program_.fresh("ws");
  const std::int64_t shared = product.shared();
  to.push_back(pointer_statement(xs, block.source, storage_of_array(block.source), block.start));
  to.push_back(pointer_statement(ws, "weights", storage_of_array("weights"),
                                 block.column * constant_expr(product.slots() / shared)));
  std::vector<Expr> packed(static_cast<std::size_t>(block.columns));  // of narrow weights
  const auto steps = [&](Statements& body, std::int64_t count) {
    for (std::int64_t k = 0; k < count; ++k) {
      switch (product.unit) {
        case PackedUnit::kBytes: multiply_bytes(body, block, sums, xs, ws, k); break;
        case PackedUnit::kPairs: multiply_pairs(body, block, sums, xs, ws, k, packed); break;
        case PackedUnit::kVectors: k += multiply_vectors(body, block, sums, xs, ws) - 1; break;
      }
    }
    if (product.unit == PackedUnit::kVectors) return;
    const std::int64_t apart = product.direct ? product.lanes() : product.word_stride();
    body.push_back(advance_statement(xs, count * apart));
    body.push_back(advance_statement(ws, count * product.lanes() * block.columns / shared));
  };
  const std::int64_t all = product.slots() / product.lanes();
  const std::int64_t unrolled = product.unrolled_steps(block);
  const std::int64_t whole = all / unrolled * unrolled;
  loop(
      to, "k", whole, [&](Statements& body, const Expr&) { steps(body, unrolled); }, unrolled);
  if (whole < all) steps(to, all - whole);

  if (product.unit == PackedUnit::kVectors && block.rows == 1 &&
      block.finished_columns == kQuadLanes && elements_.takes_quads())
    return finish_quad(to, unscaled(quad_expr(sums)), {block.first_row, block.column}, 1);

  // All results before any of them is stored: a store of bytes might change what was loaded.
  Statements stores;
  for (std::int64_t c = 0; c < block.finished_columns; ++c) {
    for (std::int64_t row = 0; row < block.rows; ++row) {
      Expr total = unscaled(sums[block.sum(row, c)]);
      if (product.twin && c % 2 == 0) {
        const auto bits = [](const Expr& e) { return convert_expr(e, Storage::kU32); };
        const Expr rest = bits(total) - bits(sums[block.sum(row, c + 1)]);
        total =
            binary_expr(ExprOp::kShiftRight, convert_expr(rest, Storage::kI32), constant_expr(8));
      }
      stores.push_back(finished(
          to, total, {block.first_row + constant_expr(row), block.column + constant_expr(c)}));
    }
  }
  for (Statement& store : stores) to.push_back(std::move(store));
}

Expr KernelBuilder::named(Statements& to, const std::string& stem, Expr value) {
  const std::string name = program_.fresh(stem);
  const Storage type = value.type;
  to.push_back(let_statement(name, std::move(value)));
  return variable_expr(name, type);
}

void KernelBuilder::multiply_pairs(Statements& to, const PackedBlock& block,
                                   const std::vector<Expr>& sums, const std::string& xs,
                                   const std::string& ws, std::int64_t step,
                                   std::vector<Expr>& packed) {
  const PackedProduct& product = *packed_;
  const auto add = [&](std::int64_t row, std::int64_t c, const Expr& x, const Expr& w) {
    const Expr& sum = sums[block.sum(row, c)];
    to.push_back(assign_statement(sum.name, dot2_expr(sum, x, w)));
  };
  const std::int64_t shared = product.twin ? 2 : 1;
  const auto weight_at = [&](std::int64_t c, std::int64_t half) {
    return constant_expr((step * block.columns + c) * kWordTaps / shared + 2 * half);
  };
  const auto word_of = [&](std::int64_t c) {
    if (product.bits == 8) return load_word_expr(ws, weight_at(c, 0));
    const std::int64_t place = step % product.words_together();
    Expr& loaded = packed[static_cast<std::size_t>(c)];
    if (place == 0) {
      const std::int64_t word = step / product.words_together() * block.columns + c;
      loaded = named(to, "packed", load_word_expr(ws, constant_expr(word * kWordTaps)));
    }
    return top_bits(loaded, product.bits, place);
  };
  Expr bytes;  // of the input, where it is not widened yet
  if (product.direct) bytes = named(to, "x", load_word_expr(xs, constant_expr(step * kWordTaps)));
  std::vector<Expr> of_column;  // bytes of weights that are not twin
  if (!product.twin)
    for (std::int64_t c = 0; c < block.columns; ++c)
      of_column.push_back(named(to, "w", word_of(c)));
  for (int half = 0; half < 2; ++half) {
    std::vector<Expr> x(static_cast<std::size_t>(block.rows));
    for (std::int64_t c = 0; c < block.columns; c += shared) {
      Expr both, low;
      if (product.twin) {
        both = named(to, "w", load_word_expr(ws, weight_at(c, half)));
        low = named(to, "low", pair_expr(both, 0, true));
      } else {
        low = named(to, "low", pair_expr(of_column[static_cast<std::size_t>(c)], half, true));
      }
      for (std::int64_t row = 0; row < block.rows; ++row) {
        Expr& taps = x[static_cast<std::size_t>(row)];
        const std::int64_t at =
            row * product.row_stride() + step * product.word_stride() + 2 * half;
        if (c == 0)
          taps = named(to, "x",
                       product.direct ? pair_expr(bytes, half, product.signed_input)
                                      : load_word_expr(xs, constant_expr(at)));
        if (product.twin) add(row, c, taps, both);
        add(row, c + shared - 1, taps, low);
      }
    }
  }
}

void KernelBuilder::multiply_bytes(Statements& to, const PackedBlock& block,
                                   const std::vector<Expr>& sums, const std::string& xs,
                                   const std::string& ws, std::int64_t step) {
  const auto byte = [&](const std::string& stem, const std::string& array, Storage type,
                        std::int64_t at) {
    return named(to, stem, convert_expr(load_expr(array, type, constant_expr(at)), Storage::kI32));
  };
  std::vector<Expr> x;
  for (std::int64_t row = 0; row < block.rows; ++row)
    x.push_back(byte("x", xs, storage_of_array(block.source), row * packed_->row_stride() + step));
  for (std::int64_t c = 0; c < block.columns; ++c) {
    const Expr w = byte("w", ws, storage_of_array("weights"), step * block.columns + c);
    for (std::int64_t row = 0; row < block.rows; ++row) {
      const Expr& sum = sums[block.sum(row, c)];
      to.push_back(assign_statement(sum.name, sum + x[static_cast<std::size_t>(row)] * w));
    }
  }
}

std::int64_t KernelBuilder::multiply_vectors(Statements& to, const PackedBlock& block,
                                             const std::vector<Expr>& sums, const std::string& xs,
                                             const std::string& ws) {
  const PackedProduct& product = *packed_;
  const auto next = [&](const std::string& stem, const std::string& pointer) {
    const Expr vector = named(to, stem, load_vector_expr(pointer, constant_expr(0)));
    to.push_back(advance_statement(pointer, product.lanes()));
    return vector;
  };
  std::vector<Expr> x;
  for (std::int64_t k = 0; k < product.words_together(); ++k) x.push_back(next("x", xs));
  for (std::int64_t c = 0; c < block.columns; ++c) {
    const Expr& sum = sums[block.sum(0, c)];
    const Expr w = next("w", ws);
    for (std::int64_t k = 0; k < product.words_together(); ++k)
      to.push_back(assign_statement(
          sum.name, dot16_expr(sum, x[static_cast<std::size_t>(k)],
                               product.bits == 8 ? w : vector_bits_expr(w, product.bits, k))));
  }
  return product.words_together();
}

Expr KernelBuilder::unscaled(Expr sum) const {
  return binary_expr(ExprOp::kShiftRight, std::move(sum), constant_expr(8 - packed_->bits));
}

}  // namespace tandem
