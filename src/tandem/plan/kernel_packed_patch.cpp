#include "tandem/plan/kernel_builder.h"
#include "tandem/plan/kernel_packed.h"

namespace tandem {

void KernelBuilder::add_packed_patch(Storage source) {
  Array patch;
  patch.name = "patch";
  patch.role = ArrayRole::kScratch;
  patch.storage = packed_->unit == PackedUnit::kPairs ? Storage::kI16 : source;
  patch.size = packed_->block_rows * packed_->slots();
  program_.arrays.push_back(std::move(patch));
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
  if (!place.ever_clipped || (packed_->unit == PackedUnit::kPairs && channels % kWordTaps != 0) ||
      place.interior_share == 0)
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

void KernelBuilder::fill_packed(Statements& to, const Expr& at, std::int64_t pad,
                                std::int64_t count) {
  if (packed_->unit != PackedUnit::kPairs)
    return to.push_back(fill_statement("patch", at, storage_of_array("patch"), pad, count));
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

void KernelBuilder::widen(Statements& to, const Expr& at, const Expr& word) {
  for (int half = 0; half < 2; ++half)
    to.push_back(store_word_statement("patch", at + constant_expr(2 * half),
                                      pair_expr(word, half, packed_->signed_input)));
}

void KernelBuilder::copy_packed(Statements& to, const Expr& at, const std::string& source,
                                const Expr& from, std::int64_t count) {
  const Storage type = storage_of_array(source);
  if (packed_->unit == PackedUnit::kVectors) return copy_vectors(to, at, source, from, count);
  if (packed_->unit == PackedUnit::kBytes)
    return to.push_back(copy_statement("patch", at, source, from, type, count));
  const std::int64_t whole = count / kWordTaps * kWordTaps;
  const std::int64_t apart = packed_->word_stride() / kWordTaps;
  const auto word = [&](Statements& body, const Expr& c) {
    const std::string name = program_.fresh("word");
    body.push_back(let_statement(name, load_word_expr(source, from + c)));
    widen(body, at + c, variable_expr(name));
  };
  if (packed_->interleaved) {
    // A loop and a pointer even where few words are copied: the same for all numbers of taps.
    const std::string words = program_.fresh("words"), name = program_.fresh("word"),
                      c = program_.fresh("c");
    to.push_back(pointer_statement(words, source, type, from));
    Statements body;
    body.push_back(let_statement(name, load_word_expr(words, variable_expr(c))));
    widen(body, at + variable_expr(c) * constant_expr(apart), variable_expr(name));
    return to.push_back(for_statement(c, whole, std::move(body), kWordTaps));
  }
  loop(to, "c", whole, word, kWordTaps);
  for (std::int64_t c = whole; c < count; ++c)
    to.push_back(store_statement("patch", Storage::kI16, at + constant_expr(c),
                                 load_expr(source, type, from + constant_expr(c))));
}

void KernelBuilder::copy_vectors(Statements& to, const Expr& at, const std::string& source,
                                 const Expr& from, std::int64_t count) {
  const std::int64_t lanes = packed_->lanes(), whole = count / lanes * lanes;
  const auto vector = [&](Statements& body, const Expr& c) {
    const Expr bytes = named(body, "vector", load_vector_expr(source, from + c));
    body.push_back(store_vector_statement("patch", at + c, bytes));
  };
  loop(to, "c", whole, vector, lanes);
  if (count > whole)
    to.push_back(copy_statement("patch", at + constant_expr(whole), source,
                                from + constant_expr(whole), storage_of_array(source),
                                count - whole));
}

}  // namespace tandem
