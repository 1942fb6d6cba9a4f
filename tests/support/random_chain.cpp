#include "tests/support/random_chain.h"

#include <string>
#include <vector>

#include "tandem/base/random.h"
#include "tandem/base/text.h"
#include "tandem/graph/printer.h"
#include "tandem/ops/register.h"

namespace tandem {
namespace {

std::string list(const std::vector<std::int64_t>& numbers) {
  std::vector<std::string> texts;
  for (const std::int64_t number : numbers) texts.push_back(concat(number));
  return concat("[", join(texts, ","), "]");
}

class ChainWriter {
 public:
  explicit ChainWriter(std::uint64_t seed) : random_(seed, "tests/chain") {
    const std::int64_t axes = random_.chance(0.2) ? 1 : 2;
    for (std::int64_t d = 0; d < axes; ++d) shape_.push_back(random_.integer(5, 16));
    shape_.push_back(random_.integer(1, 4));
  }

  std::string run() {
    const std::string head = concat("graph @main(%v0 : ", type("int8"), ") -> (%y) {\n");
    earlier_ = {{"v0", shape_}};
    const std::int64_t layers = random_.integer(2, 6);
    for (std::int64_t i = 0; i < layers; ++i) add_layer();
    nodes_ +=
        concat("  %y : ", type("int9"), " = IntAdd(%", name_, ", %", name_, ") {format = int9}\n");
    return concat("tandem-module 1\n", constants_,
                  "constant @one : uint4[1] = [1]\nconstant @none : uint4[1] = [0]\n", head,
                  references_, "  %one = constant @one\n  %none = constant @none\n", nodes_, "}\n");
  }

 private:
  std::string type(const std::string& format) const {
    std::vector<std::int64_t> all = {1};
    all.insert(all.end(), shape_.begin(), shape_.end());
    return concat(format, list(all));
  }

  void add_layer() {
    const double kind = random_.uniform();
    if (kind < 0.65)
      add_window("IntConv");
    else if (kind < 0.75)
      add_window("IntMaxPool");
    else if (kind < 0.85)
      add_window("IntSumPool");
    add_sum();
  }

  // Kernel, strides, dilations and pads for which a window fits and is never all padding.
  void add_window(const std::string& op) {
    const std::size_t axes = shape_.size() - 1;
    std::vector<std::int64_t> kernel, strides, dilations, begins, ends, extents;
    for (std::size_t d = 0; d < axes; ++d) {
      const bool pool = op != "IntConv";
      dilations.push_back(pool ? 1 : random_.integer(1, 2));
      kernel.push_back(random_.integer(1, std::min<std::int64_t>(3, (shape_[d] + 1) / 2)));
      strides.push_back(random_.integer(1, shape_[d] > 5 ? 2 : 1));
      const std::int64_t reach = dilations[d] * (kernel[d] - 1) + 1;
      begins.push_back(random_.integer(0, reach - 1));
      ends.push_back(random_.integer(0, reach - 1));
      extents.push_back((shape_[d] + begins[d] + ends[d] - reach) / strides[d] + 1);
      if (shape_[d] + begins[d] + ends[d] < reach || (pool && shape_[d] < reach)) return;
    }
    std::vector<std::int64_t> pads = begins;
    pads.insert(pads.end(), ends.begin(), ends.end());
    std::string operands = concat("%", name_), more;
    const std::int64_t channels = shape_.back();
    if (op == "IntConv") {
      const std::int64_t group = random_.chance(0.4) ? channels : 1;
      const std::int64_t outputs = group > 1 ? channels : random_.integer(1, 6);
      operands += concat(", %", add_weights(outputs, kernel, channels / group));
      more = concat(", dilations = ", list(dilations), ", group = ", group,
                    ", pad_value = ", random_.integer(-3, 3));
      shape_.back() = outputs;
    } else {
      more = concat(", kernel = ", list(kernel));
    }
    for (std::size_t d = 0; d < axes; ++d) shape_[d] = extents[d];
    const std::string sum = fresh();
    nodes_ += concat("  %", sum, " : ", type("int24"), " = ", op, "(", operands,
                     ") {format = int24, strides = ", list(strides), ", pads = ", list(pads), more,
                     "}\n");
    narrow(sum, random_.integer(0, 4));
  }

  std::string add_weights(std::int64_t outputs, const std::vector<std::int64_t>& kernel,
                          std::int64_t depth) {
    std::vector<std::int64_t> shape = {outputs}, values;
    shape.insert(shape.end(), kernel.begin(), kernel.end());
    shape.push_back(depth);
    std::int64_t count = 1;
    for (const std::int64_t extent : shape) count *= extent;
    for (std::int64_t i = 0; i < count; ++i) values.push_back(random_.integer(-8, 7));
    const std::string name = concat("w", weights_++);
    constants_ += concat("constant @", name, " : int4", list(shape), " = ", list(values), "\n");
    references_ += concat("  %", name, " = constant @", name, "\n");
    return name;
  }

  // A sum with the value itself or an earlier one of its shape.
  void add_sum() {
    if (!random_.chance(0.3)) return;
    std::string other = name_;
    for (const auto& [name, shape] : earlier_)
      if (shape == shape_ && random_.chance(0.6)) other = name;
    const std::string sum = fresh();
    nodes_ += concat("  %", sum, " : ", type("int9"), " = IntAdd(%", name_, ", %", other,
                     ") {format = int9}\n");
    narrow(sum, 1);
  }

  void narrow(const std::string& wide, std::int64_t shift) {
    const std::string constant = concat("s", weights_++);
    constants_ += concat("constant @", constant, " : uint4[1] = [", shift, "]\n");
    references_ += concat("  %", constant, " = constant @", constant, "\n");
    name_ = fresh();
    nodes_ += concat("  %", name_, " : ", type("int8"), " = Rescale(%", wide, ", %one, %none, %",
                     constant, ") {format = int8}\n");
    earlier_.emplace_back(name_, shape_);
  }

  std::string fresh() { return concat("v", ++values_); }

  RandomSequence random_;
  std::vector<std::int64_t> shape_;  // of the last value, without the axis of one sample
  std::string name_ = "v0";
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> earlier_;
  std::string constants_, references_, nodes_;
  int values_ = 0, weights_ = 0;
};

}  // namespace

Module random_chain(std::uint64_t seed) {
  register_operators();
  return parse_module(ChainWriter(seed).run());
}

}  // namespace tandem
