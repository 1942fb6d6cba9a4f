#include <algorithm>
#include <map>
#include <memory>

#include "tandem/base/text.h"
#include "tandem/graph/registry.h"
#include "tandem/ops/body.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

using Labels = std::vector<int>;  // letters, or -1, -2, ... from the right for an ellipsis' axes

bool contains(const Labels& labels, int label) {
  return std::find(labels.begin(), labels.end(), label) != labels.end();
}

// An equation such as "bij,bjk->bik" over inputs of known ranks.
struct Equation {
  std::vector<Labels> terms;
  Labels result;
};

Labels ellipsis_labels(std::size_t count) {
  Labels labels;
  for (std::size_t i = count; i > 0; --i) labels.push_back(-static_cast<int>(i));
  return labels;
}

// The labels of one term over an input of `rank` axes.
Labels term_labels(std::string_view term, std::size_t rank) {
  Labels labels;
  const std::size_t dots = term.find("...");
  const std::size_t letters = term.size() - (dots == std::string_view::npos ? 0 : 3);
  if (letters > rank || (dots == std::string_view::npos && letters != rank))
    throw Error("the term '", term, "' does not fit an input of ", rank, " axes");
  for (std::size_t i = 0; i < term.size(); ++i) {
    if (i == dots) {
      const Labels spanned = ellipsis_labels(rank - letters);
      labels.insert(labels.end(), spanned.begin(), spanned.end());
      i += 2;
      continue;
    }
    const char c = term[i];
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
      throw Error("the equation has the character '", std::string(1, c), "'; labels are letters");
    labels.push_back(c);
  }
  return labels;
}

// Without an arrow: the ellipsis' axes, then the labels that stand once, in alphabetical order.
Labels implied_result(const std::vector<Labels>& terms) {
  std::map<int, int> counts;
  for (const Labels& term : terms)
    for (const int label : term) ++counts[label];
  Labels result;
  for (const auto& [label, count] : counts)
    if (label < 0 || count == 1) result.push_back(label);
  return result;
}

Equation parse_equation(const NodeView& node) {
  std::string text;
  for (const char c : node.string("equation"))
    if (c != ' ') text += c;
  const std::size_t arrow = text.find("->");
  const auto terms = split(text.substr(0, arrow), ',');
  if (terms.size() != node.input_count()) {
    throw Error("the equation '", text, "' has ", terms.size(), " terms for ", node.input_count(),
                " inputs");
  }
  Equation equation;
  std::size_t widest = 0;  // axes of the longest ellipsis
  for (std::size_t i = 0; i < terms.size(); ++i) {
    equation.terms.push_back(term_labels(terms[i], node.input(i).shape.size()));
    for (const int label : equation.terms.back())
      if (label < 0) widest = std::max(widest, static_cast<std::size_t>(-label));
  }
  if (arrow == std::string::npos) {
    equation.result = implied_result(equation.terms);
    return equation;
  }
  const std::string result = text.substr(arrow + 2);
  const bool spans = result.find("...") != std::string::npos;
  equation.result = term_labels(result, spans ? result.size() - 3 + widest : result.size());
  for (const int label : equation.result) {
    const bool known = std::any_of(equation.terms.begin(), equation.terms.end(),
                                   [&](const Labels& term) { return contains(term, label); });
    if (!known || std::count(equation.result.begin(), equation.result.end(), label) != 1)
      throw Error("the result '", result, "' has a label twice or one that no term has");
  }
  return equation;
}

// The extent of every label; 1 gives way to another.
std::map<int, Dim> label_extents(const std::vector<TensorType>& inputs, const Equation& equation) {
  std::map<int, Dim> extents;
  for (std::size_t i = 0; i < equation.terms.size(); ++i) {
    for (std::size_t d = 0; d < equation.terms[i].size(); ++d) {
      const Dim& dim = inputs[i].shape[d];
      const auto [found, is_new] = extents.emplace(equation.terms[i][d], dim);
      if (is_new || found->second == dim || dim == Dim(1)) continue;
      if (found->second != Dim(1))
        throw Error("axis ", d, " of ", inputs[i].to_string(), " differs from the ",
                    found->second.to_string(), " of its label");
      found->second = dim;
    }
  }
  return extents;
}

// A value with a label for each axis.
struct Labelled {
  ValueId value;
  Labels labels;
};

// Builds the contraction of two labelled values after another.
class Contraction {
 public:
  explicit Contraction(Body& body) : body_(body) {}

  // One axis for each label: diagonals of those that stand twice; axes that broadcast go.
  Labelled simplified(Labelled x, const std::map<int, bool>& wider) {
    for (std::size_t d = 0; d < x.labels.size(); ++d) {
      const auto twin = std::find(x.labels.begin() + static_cast<std::ptrdiff_t>(d) + 1,
                                  x.labels.end(), x.labels[d]);
      if (twin != x.labels.end()) {
        const int label = x.labels[d];
        x = diagonal(x, d, static_cast<std::size_t>(twin - x.labels.begin()));
        return simplified(std::move(x), {{label, false}});
      }
    }
    std::vector<Dim> shape;
    Labels kept;
    for (std::size_t d = 0; d < x.labels.size(); ++d) {
      const Dim dim = body_.type(x.value).shape[d];
      const auto found = wider.find(x.labels[d]);
      if (dim == Dim(1) && found != wider.end() && found->second) continue;
      shape.push_back(dim);
      kept.push_back(x.labels[d]);
    }
    return {body_.reshape(x.value, shape), kept};
  }

  // Labels outside `needed` summed away.
  Labelled summed(Labelled x, const Labels& needed) {
    std::vector<std::int64_t> axes;
    std::vector<Dim> shape;
    Labels kept;
    for (std::size_t d = 0; d < x.labels.size(); ++d) {
      if (!contains(needed, x.labels[d])) {
        axes.push_back(static_cast<std::int64_t>(d));
        continue;
      }
      shape.push_back(body_.type(x.value).shape[d]);
      kept.push_back(x.labels[d]);
    }
    if (axes.empty()) return x;
    return {body_.reshape(body_.sum(x.value, axes), shape), kept};
  }

  // The sum over labels of both that are not `needed` of the products.
  Labelled product(Labelled a, Labelled b, const Labels& needed) {
    Labels wanted_a = needed, wanted_b = needed;
    wanted_a.insert(wanted_a.end(), b.labels.begin(), b.labels.end());
    wanted_b.insert(wanted_b.end(), a.labels.begin(), a.labels.end());
    a = summed(std::move(a), wanted_a);
    b = summed(std::move(b), wanted_b);
    Labels batch, inner, rows, columns;
    for (const int label : a.labels) {
      if (!contains(b.labels, label))
        rows.push_back(label);
      else
        (contains(needed, label) ? batch : inner).push_back(label);
    }
    for (const int label : b.labels)
      if (!contains(a.labels, label)) columns.push_back(label);
    const ValueId left = matrix(a, batch, rows, inner), right = matrix(b, batch, inner, columns);
    std::vector<Dim> shape;
    for (const int label : batch) shape.push_back(extent(a, label));
    for (const int label : rows) shape.push_back(extent(a, label));
    for (const int label : columns) shape.push_back(extent(b, label));
    Labels labels = batch;
    labels.insert(labels.end(), rows.begin(), rows.end());
    labels.insert(labels.end(), columns.begin(), columns.end());
    return {body_.reshape(body_.matmul(left, right), shape), labels};
  }

  ValueId ordered(const Labelled& x, const Labels& labels) {
    std::vector<std::int64_t> perm;
    for (const int label : labels)
      perm.push_back(std::find(x.labels.begin(), x.labels.end(), label) - x.labels.begin());
    return body_.transpose(x.value, perm);
  }

 private:
  // Axes d and twin as one, at the end.
  Labelled diagonal(const Labelled& x, std::size_t d, std::size_t twin) {
    const std::vector<Dim> shape = body_.type(x.value).shape;
    const std::int64_t extent = shape[d].constant();
    if (shape[twin] != shape[d])
      throw Error("a label that stands twice in a term has the extents ", extent, " and ",
                  shape[twin].to_string());
    std::vector<std::int64_t> perm;
    std::vector<Dim> rest;
    Labels labels;
    for (std::size_t i = 0; i < shape.size(); ++i) {
      if (i == d || i == twin) continue;
      perm.push_back(static_cast<std::int64_t>(i));
      rest.push_back(shape[i]);
      labels.push_back(x.labels[i]);
    }
    perm.push_back(static_cast<std::int64_t>(d));
    perm.push_back(static_cast<std::int64_t>(twin));
    labels.push_back(x.labels[d]);
    rest.emplace_back(extent * extent);
    const ValueId flat = body_.reshape(body_.transpose(x.value, perm), rest);
    const ValueId picked =
        body_.builder().add("Slice", {flat},
                            {{"starts", Integers{0}},
                             {"ends", Integers{extent * extent}},
                             {"axes", Integers{static_cast<std::int64_t>(rest.size()) - 1}},
                             {"steps", Integers{extent + 1}}});
    return {picked, labels};
  }

  Dim extent(const Labelled& x, int label) {
    const auto at = std::find(x.labels.begin(), x.labels.end(), label) - x.labels.begin();
    return body_.type(x.value).shape[static_cast<std::size_t>(at)];
  }

  // [batch..., product of `first`, product of `second`].
  ValueId matrix(const Labelled& x, const Labels& batch, const Labels& first,
                 const Labels& second) {
    Labels order = batch;
    order.insert(order.end(), first.begin(), first.end());
    order.insert(order.end(), second.begin(), second.end());
    std::vector<Dim> shape;
    for (const int label : batch) shape.push_back(extent(x, label));
    for (const Labels* side : {&first, &second}) {
      Dim product = 1;
      for (const int label : *side) product = product * extent(x, label);
      shape.push_back(product);
    }
    return body_.reshape(ordered(x, order), shape);
  }

  Body& body_;
};

class Einsum final : public Operator {
 public:
  std::string_view name() const override { return "Einsum"; }
  std::string_view description() const override {
    return "Sum of products in Einstein's notation: \"ij,jk->ik\" is a matrix product; \"...\" "
           "stands for axes that broadcast; without an arrow labels that stand once remain, in "
           "alphabetical order.";
  }
  std::vector<AttributeSpec> attributes() const override {
    return {{"equation",
             AttributeKind::kString,
             "labels of the axes of each input, and of the "
             "result",
             {},
             {}}};
  }
  std::size_t max_inputs() const override { return kNone; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const Format format = require_reals(node);
    const Equation equation = parse_equation(node);
    std::vector<TensorType> inputs;
    for (std::size_t i = 0; i < node.input_count(); ++i) inputs.push_back(node.input(i));
    const auto extents = label_extents(inputs, equation);
    TensorType y{{}, format};
    for (const int label : equation.result) y.shape.push_back(extents.at(label));
    return {y};
  }

  std::vector<Form> forms(const NodeView&) const override { return {{"matrix_products"}}; }

  // From the first input to the last, each with what the ones before it gave.
  std::vector<ValueId> body(Builder& builder, const NodeView& node, const Form&,
                            std::span<const ValueId> inputs) const override {
    Body body(builder);
    const Equation equation = parse_equation(node);
    std::vector<TensorType> types;
    for (const ValueId input : inputs) types.push_back(body.type(input));
    std::map<int, bool> wider;  // than 1
    for (const auto& [label, dim] : label_extents(types, equation)) wider[label] = dim != Dim(1);
    Contraction contraction(body);
    Labelled result;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      Labels needed = equation.result;
      for (std::size_t j = i + 1; j < inputs.size(); ++j)
        needed.insert(needed.end(), equation.terms[j].begin(), equation.terms[j].end());
      const Labelled next = contraction.simplified({inputs[i], equation.terms[i]}, wider);
      result = i == 0 ? contraction.summed(next, needed)
                      : contraction.product(std::move(result), next, needed);
    }
    return {body.call("Identity", contraction.ordered(result, equation.result))};
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view inputs, std::string_view names, std::string_view y,
                         std::string_view equation) {
      return sample_text(
          "symbol N in [1,4]", inputs,
          concat("%y : ", y, " = Einsum(", names, ") {equation = \"", equation, "\"}"));
    };
    return {
        {text("%a : f32[N,3,4], %b : f32[N,4,5]", "%a, %b", "f32[N,3,5]", "bij,bjk->bik"), ""},
        {text("%a : f32[2,3,4], %b : f32[4,3]", "%a, %b", "f32[2]", "nij, ji -> n"), ""},
        {text("%a : f64[3,2,4,4]", "%a", "f64[3,2]", "...ii->..."), ""},
        {text("%a : f32[3,3]", "%a", "f32[3]", "ii->i"), ""},
        {text("%a : f32[2,3], %b : f32[3,4], %c : f32[4]", "%a, %b, %c", "f32[2]", "ij,jk,k"), ""},
        {text("%a : f32[2,1,3], %b : f32[5,3]", "%a, %b", "f32[2,5]", "...i,...i"), ""},
        {text("%a : f32[2], %b : f32[3]", "%a, %b", "f32[3,2]", "i,j->ji"), ""},
        {text("%a : f32[2], %b : f32[3]", "%a, %b", "f32[3,2]", "i,i->i"), "differs from"},
        {text("%a : f32[2,2]", "%a", "f32[2]", "i->i"), "does not fit"},
        {text("%a : f32[2]", "%a", "f32[2]", "i->j"), "no term has"},
        {text("%a : f32[2]", "%a", "f32[2]", "i,j"), "2 terms for 1 inputs"}};
  }
};

}  // namespace

void register_einsum_operators() { operators().add(std::make_unique<Einsum>()); }

}  // namespace tandem
