#include <memory>

#include "tandem/base/text.h"
#include "tandem/graph/registry.h"
#include "tandem/graph/symbolic.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/support.h"

namespace tandem {
namespace {

// "f32[{N},3]": symbols are in braces, so that they are bound with those of other attributes.
TensorType parse_type(const std::string& text) {
  const std::size_t open = text.rfind('[');
  if (open == std::string::npos || !text.ends_with(']'))
    throw Error("types has the entry '", text, "', no type such as f32[{N},3]");
  TensorType type{{}, Format::parse(text.substr(0, open))};
  const std::string dims = text.substr(open + 1, text.size() - open - 2);
  if (trim(dims).empty()) return type;
  for (const std::string& raw : split(dims, ',')) {
    const std::string entry(trim(raw));
    const auto expression = braced_dim(entry);
    type.shape.push_back(expression ? *expression : Dim(parse_integer(entry, "a dimension")));
  }
  return type;
}

class Opaque final : public Operator {
 public:
  std::string_view name() const override { return "Opaque"; }
  std::string_view description() const override {
    return "An operator of a file that is not known here, with results of the declared types: it "
           "can be shown and its bytes counted, but not run.";
  }
  std::vector<AttributeSpec> attributes() const override {
    const std::vector<Attribute> none = {std::vector<std::string>{}};
    return {{"op", AttributeKind::kString, "its name in the file", {}, {}},
            {"types",
             AttributeKind::kStrings,
             "the type of each result, such as \"f32[{N},3]\"",
             {},
             {}},
            {"settings", AttributeKind::kStrings, "its attributes in the file, as text", none, {}}};
  }
  std::size_t min_inputs() const override { return 0; }
  std::size_t max_inputs() const override { return kNone; }

  std::vector<TensorType> infer(const NodeView& node) const override {
    std::vector<TensorType> types;
    for (const auto& text : std::get<std::vector<std::string>>(node.node.attributes.at("types")))
      types.push_back(parse_type(text));
    if (types.empty()) throw Error("types is empty; name the type of each result");
    return types;
  }
  std::vector<Tensor> evaluate(const NodeView& node, std::span<const Tensor>) const override {
    throw Error("there is no operator ", node.string("op"),
                " here, so it cannot be run; replace it by operators that there are (tandem list "
                "operators)");
  }
  Work work(const NodeView& node) const override { return work_of(node, {}); }

  std::vector<SampleCase> samples() const override {
    const auto text = [](std::string_view y, std::string_view attributes) {
      return sample_text("symbol N in [1,8]", "%x : f32[N,2]",
                         concat("%y : ", y, " = Opaque(%x) ", attributes));
    };
    return {{text("f32[N,3]", R"({op = "my:Op", types = ["f32[{N},3]"], settings = ["k=3"]})"), ""},
            {text("int8[]", R"({op = "Op", types = ["int8[]"]})"), ""},
            {text("f32[N]", R"({op = "Op", types = ["f32"]})"), "no type such as"},
            {text("f32[N]", R"({op = "Op", types = []})"), "types is empty"}};
  }
};

}  // namespace

void register_opaque_operators() { operators().add(std::make_unique<Opaque>()); }

}  // namespace tandem
