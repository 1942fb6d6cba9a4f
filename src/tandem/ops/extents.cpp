// Sizes as data: what exporters compute from the shapes of inputs (positions, masks).
#include <algorithm>
#include <memory>

#include "tandem/graph/registry.h"
#include "tandem/graph/symbolic.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

using Integers = std::vector<std::int64_t>;

std::vector<Dim> expressions(const NodeView& node, const std::string& attribute) {
  std::vector<Dim> dims;
  for (const auto& text : std::get<std::vector<std::string>>(node.node.attributes.at(attribute))) {
    const auto dim = braced_dim(text);
    if (!dim)
      throw Error(attribute, " has the entry '", text,
                  "', which is no expression in braces such as {L+1} or {3}");
    dims.push_back(*dim);
  }
  return dims;
}

Format integer_format(const NodeView& node) {
  const Format format = node.format("to");
  if (!format.is_integer() && !format.is_boolean())
    throw Error("to is ", format.name(), ", no integer format");
  return format;
}

AttributeSpec format_attribute() {
  return {"to", AttributeKind::kFormat, "format of the integers", {index_format()}, {}};
}

class Extents final : public Operator {
 public:
  std::string_view name() const override { return "Extents"; }
  std::string_view description() const override {
    return "Integers that are expressions in the sizes of the network, [elements]. Inputs are "
           "values "
           "whose sizes data decide, so that these are known then.";
  }
  Traits traits() const override { return {.domain = Domain::kIndex}; }
  std::vector<AttributeSpec> attributes() const override {
    return {{"elements", AttributeKind::kStrings, "expressions such as \"{L+1}\"", {}, {}},
            format_attribute()};
  }
  std::size_t min_inputs() const override { return 0; }
  std::size_t max_inputs() const override { return kNone; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const auto count = static_cast<std::int64_t>(expressions(node, "elements").size());
    return {{{Dim(count)}, integer_format(node)}};
  }
  std::vector<Tensor> evaluate(const NodeView& node, std::span<const Tensor>) const override {
    Integers elements;
    for (const Dim& dim : expressions(node, "elements")) elements.push_back(dim.constant());
    return {Tensor::from_integers(integer_format(node),
                                  {static_cast<std::int64_t>(elements.size())}, elements)};
  }
  Work work(const NodeView& node) const override { return work_of(node, {}); }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view y, std::string_view attributes) {
      return sample_text("symbol N in [1,8]", "%x : f32[N,2]",
                         concat("%y : ", y, " = Extents() ", attributes));
    };
    return {{text("int64[2]", R"({elements = ["{N}","{2*N-1}"]})"), ""},
            {text("int32[1]", R"({elements = ["{7}"], to = int32})"), ""},
            {text("int64[1]", R"({elements = ["N"]})"), "no expression in braces"},
            {text("f32[1]", R"({elements = ["{N}"], to = f32})"), "no integer format"},
            {text("int64[1]", R"({elements = ["{M}"]})"), "undeclared symbol M"}};
  }
};

class Range final : public Operator {
 public:
  std::string_view name() const override { return "Range"; }
  std::string_view description() const override {
    return "start, start + step, ... before limit, [elements]: integers between expressions in the "
           "sizes of the network. Inputs are values whose sizes data decide, so that these are "
           "known then.";
  }
  Traits traits() const override { return {.domain = Domain::kIndex}; }
  std::vector<AttributeSpec> attributes() const override {
    return {
        {"bounds", AttributeKind::kStrings, "start and limit, such as [\"{0}\",\"{L}\"]", {}, {}},
        integer_attribute("step", "what is added each time, not 0", 1),
        format_attribute()};
  }
  std::size_t min_inputs() const override { return 0; }
  std::size_t max_inputs() const override { return kNone; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    const std::int64_t step = node.integer("step");
    if (step == 0) throw Error("step is 0");
    const auto [start, limit] = bounds(node);
    const Dim distance = step > 0 ? limit - start : start - limit;
    const std::int64_t by = step > 0 ? step : -step;
    if (distance.is_constant()) {
      const std::int64_t whole = std::max<std::int64_t>(distance.constant(), 0);
      return {{{Dim(whole / by + (whole % by != 0 ? 1 : 0))}, integer_format(node)}};
    }
    const auto count = distance.divided_by(Dim(by));
    if (!count)
      throw Error(distance.to_string(), " / ", by, " is no whole number of elements; bind ",
                  distance.symbols().front());
    return {{{*count}, integer_format(node)}};
  }
  std::vector<Tensor> evaluate(const NodeView& node, std::span<const Tensor>) const override {
    const std::int64_t count = infer(node)[0].shape[0].constant();
    const auto step = static_cast<std::uint64_t>(node.integer("step"));
    auto value = static_cast<std::uint64_t>(bounds(node).first.constant());
    Integers elements;
    elements.reserve(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i, value += step)
      elements.push_back(static_cast<std::int64_t>(value));
    return {Tensor::from_integers(integer_format(node), {count}, elements)};
  }
  Work work(const NodeView& node) const override {
    return work_of(node, {{OperationKind::kMove, index_format(), index_format(), index_format(),
                           output_elements(node)}});
  }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view y, std::string_view attributes) {
      return sample_text("symbol N in [1,8]", "%x : f32[N,2]",
                         concat("%y : ", y, " = Range() ", attributes));
    };
    return {{text("int64[N]", R"({bounds = ["{0}","{N}"]})"), ""},
            {text("int32[N]", R"({bounds = ["{2*N}","{0}"], step = -2, to = int32})"), ""},
            {text("int64[3]", R"({bounds = ["{1}","{6}"], step = 2})"), ""},
            {text("int64[0]", R"({bounds = ["{1}","{0}"]})"), ""},
            {text("int64[N]", R"({bounds = ["{0}","{N}"], step = 2})"), "no whole number"},
            {text("int64[N]", R"({bounds = ["{N}"]})"), "not a start and a limit"},
            {text("int64[N]", R"({bounds = ["{0}","{N}"], step = 0})"), "step is 0"}};
  }

 private:
  static std::pair<Dim, Dim> bounds(const NodeView& node) {
    const auto given = expressions(node, "bounds");
    if (given.size() != 2)
      throw Error("bounds has ", given.size(), " entries, not a start and a limit");
    return {given[0], given[1]};
  }
};

}  // namespace

void register_extent_operators() {
  operators().add(std::make_unique<Extents>());
  operators().add(std::make_unique<Range>());
}

}  // namespace tandem
