#include "tests/support/random_module.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "tandem/base/error.h"
#include "tandem/base/random.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/verifier.h"
#include "tandem/ops/integer.h"

namespace tandem {
namespace {

bool broadcasts(const Shape& a, const Shape& b) {
  for (std::size_t d = 1; d <= std::min(a.size(), b.size()); ++d) {
    const std::int64_t left = a[a.size() - d], right = b[b.size() - d];
    if (left != right && left != 1 && right != 1) return false;
  }
  return true;
}

class Generator {
 public:
  Generator(std::uint64_t seed, const RandomModuleOptions& options)
      : random_(seed, "random module"),
        options_(options),
        builder_(module_, Builder::add_graph(module_, "main")) {}

  Module run() {
    const std::int64_t inputs = pick(1, 2);
    for (std::int64_t i = 0; i < inputs; ++i)
      live_.push_back(builder_.input(concat("x", i), {dims(random_shape()), random_format()}));
    if (options_.max_states > 0) add_states(pick(1, options_.max_states));
    const auto nodes = static_cast<std::size_t>(pick(options_.min_nodes, options_.max_nodes));
    for (int attempt = 0; builder_.graph().nodes.size() < nodes && attempt < 400; ++attempt) step();
    if (!module_.states.empty()) update_states();
    choose_outputs();
    remove_unused(module_);
    verify(module_);
    return std::move(module_);
  }

 private:
  // ---- Random choices --------------------------------------------------------------------------
  std::int64_t pick(std::int64_t low, std::int64_t high) {
    return random_.integer(next_++, low, high);
  }
  bool chance(int percent) { return pick(0, 99) < percent; }

  static std::vector<Dim> dims(const Shape& shape) { return {shape.begin(), shape.end()}; }

  Shape random_shape() {
    switch (pick(0, 3)) {
      case 0: return {1, pick(2, 24)};
      case 1: return {1, pick(3, 10), pick(1, 6)};
      default: return {1, pick(3, 6), pick(3, 6), pick(1, 4)};
    }
  }

  Format random_format() {
    if (chance(8)) return Format::parse("bipolar");
    const int bits = static_cast<int>(chance(60) ? pick(1, 8) : pick(2, 16));
    return Format::integer(bits, chance(65));
  }

  Rounding random_rounding() { return kAllRoundings[static_cast<std::size_t>(pick(0, 8))]; }
  Overflow random_overflow() { return kAllOverflows[static_cast<std::size_t>(pick(0, 3))]; }

  ValueId constant(const Shape& shape, std::int64_t low, std::int64_t high, const char* name) {
    std::vector<std::int64_t> values;
    for (std::int64_t i = 0; i < element_count(shape); ++i) values.push_back(pick(low, high));
    return integers(shape, values, name);
  }

  ValueId integers(const Shape& shape, const std::vector<std::int64_t>& values, const char* name) {
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    return builder_.constant(Tensor::from_integers(Format::holding({*low, *high}), shape, values),
                             name);
  }

  // ones, or a shape that varies along the last axis or everywhere.
  Shape broadcast_shape(const Shape& shape) {
    Shape result(shape.size(), 1);
    const std::int64_t kind = pick(0, 9);
    if (kind < 5) result.back() = shape.back();
    if (kind == 9) result = shape;
    return result;
  }

  // ---- Values ----------------------------------------------------------------------------------
  int bits(ValueId value) { return builder_.type(value).format.bits(); }

  std::vector<ValueId> unread() {
    std::vector<bool> read(builder_.graph().values.size());
    for (const Node& node : builder_.graph().nodes)
      for (const ValueId input : node.inputs) read[input] = true;
    for (const StateUpdate& update : builder_.graph().updates) read[update.value] = true;
    std::vector<ValueId> result;
    for (ValueId id = 0; id < read.size(); ++id)
      if (builder_.graph().values[id].producer != kNone && !read[id]) result.push_back(id);
    return result;
  }

  // Recent values are read more often, so that modules are deep.
  ValueId some_value() {
    if (chance(70)) return live_.back();
    return live_[static_cast<std::size_t>(pick(0, static_cast<std::int64_t>(live_.size()) - 1))];
  }

  // Outputs are the values that nothing reads. Most of those that are the same for every input
  // would test little and go, with what only they need.
  void choose_outputs() {
    const std::vector<ValueId> last = unread();
    for (const ValueId value : last) builder_.output(value);
    std::vector<std::vector<Tensor>> results;
    std::vector<Tensor> states = initial_states(module_);
    for (const auto& inputs : random_inputs(module_, static_cast<std::uint64_t>(pick(0, 999)), 5))
      results.push_back(evaluate(module_, module_.main(), inputs, &states));
    std::vector<ValueId> kept;
    if (!module_.states.empty() && chance(30))
      kept.push_back(live_[builder_.graph().inputs.size()]);
    for (std::size_t i = 0; i < last.size(); ++i) {
      const bool varies = std::any_of(results.begin(), results.end(), [&](const auto& result) {
        return !(result[i] == results[0][i]);
      });
      if (varies || chance(25)) kept.push_back(last[i]);
    }
    if (kept.empty() && last.empty()) kept.push_back(live_.back());
    builder_.graph().outputs = kept.empty() ? last : kept;
  }

  // Some states are of the type of an input or of another state, so that they can be updated with
  // it.
  void add_states(std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
      TensorType type{dims(random_shape()),
                      Format::integer(static_cast<int>(pick(1, 16)), chance(65))};
      if (chance(60)) type = builder_.type(some_value());
      const IntegerRange range = type.format.integer_range();
      const Shape shape = type.static_shape();
      const std::int64_t first = pick(range.min, range.max);
      std::vector<std::int64_t> values(static_cast<std::size_t>(element_count(shape)), first);
      if (chance(60))
        for (auto& value : values) value = pick(range.min, range.max);
      if (type.format == Format::parse("bipolar"))
        for (auto& value : values) value = value < 0 ? -1 : 1;
      const Tensor initial = Tensor::from_integers(type.format, shape, values);
      const std::string name = concat("state", i);
      module_.states.push_back(
          {name, type, module_.add_constant(initial, name + ".initial"), Lifetime::kStream});
      live_.push_back(builder_.read_state(module_.states.size() - 1));
    }
  }

  // Some with an input or another state, most with what is computed in their shape, brought into
  // their format; a few stay as they are.
  void update_states() {
    for (StateId state = 0; state < module_.states.size(); ++state) {
      const ValueId read = live_[builder_.graph().inputs.size() + state];
      const TensorType type = builder_.type(read);
      std::vector<ValueId> alike, computed;
      for (const ValueId value : live_) {
        const Value& known = builder_.graph().values[value];
        if (known.type == type && value != read) alike.push_back(value);
        if (known.producer != kNone && known.type.shape == type.shape) computed.push_back(value);
      }
      if (chance(5)) continue;
      if (!alike.empty() && chance(40)) {
        builder_.graph().updates.push_back({state, any_of(alike)});
      } else if (type.format != Format::parse("bipolar")) {
        const ValueId next = computed.empty() ? moved_on(read) : any_of(computed);
        builder_.graph().updates.push_back({state, in_format(next, type.format)});
      }
    }
  }

  ValueId moved_on(ValueId read) {
    const ValueId step = constant(broadcast_shape(builder_.shape(read)), -9, 9, "step");
    return add_exact(builder_, "IntAdd", {read, step}, {}, "moved_on");
  }

  ValueId any_of(const std::vector<ValueId>& values) {
    return values[static_cast<std::size_t>(pick(0, static_cast<std::int64_t>(values.size()) - 1))];
  }

  ValueId in_format(ValueId value, Format format) {
    if (builder_.type(value).format == format) return value;
    const IntegerRange range = format.integer_range();
    return builder_.add("Clamp", {value},
                        {{"format", format}, {"min", range.min}, {"max", range.max}}, "next");
  }

  void step() {
    const ValueId x = some_value();
    try {
      const std::optional<ValueId> result = bits(x) > 20 ? std::optional(rescale(x)) : primitive(x);
      if (!result) return;
      const TensorType& type = builder_.type(*result);
      if (element_count(type.static_shape()) <= options_.max_elements &&
          type.format.bits() <= options_.max_sum_bits) {
        live_.push_back(*result);
      }
    } catch (const Error&) {
      return;  // it does not fit this value (a window too large, a sum too wide): try another
    }
  }

  std::optional<ValueId> primitive(ValueId x) {
    switch (pick(0, 20)) {
      case 0:
      case 1:
      case 2:
      case 3: return rescale(x);
      case 4:
      case 5: return matrix_product(x);
      case 6:
      case 7: return convolution(x);
      case 8:
      case 9: return pair(x);
      case 10: return quotient(x);
      case 11: return clamp(x);
      case 12: return table(x);
      case 13: return thresholds(x);
      case 14: return reduction(x);
      case 15: return pool(x);
      case 16: return arg_max(x);
      case 17: return square_root(x);
      default: return movement(x);
    }
  }

  // Shifts are chosen such that results vary over the format and sometimes overflow it.
  ValueId rescale(ValueId x) {
    const Shape shape = builder_.shape(x);
    const Format from = builder_.type(x).format;
    Format to = random_format();
    while (to == Format::parse("bipolar")) to = random_format();
    const std::int64_t multiplier_bits = pick(1, 14);
    const std::int64_t top = std::int64_t{1} << multiplier_bits;
    const std::int64_t shift =
        std::clamp<std::int64_t>(from.bits() + multiplier_bits - to.bits() + pick(-3, 1), 0, 40);
    const ValueId m = chance(15) ? constant(Shape(shape.size(), 1), 1, 1, "multiplier")
                                 : constant(broadcast_shape(shape), -top, top, "multiplier");
    const std::int64_t reach = (std::int64_t{1} << shift) * 4;
    const ValueId b = constant(broadcast_shape(shape), -reach, reach, "addend");
    const ValueId s = chance(70) ? constant(Shape(shape.size(), 1), shift, shift, "shift")
                                 : constant(broadcast_shape(shape),
                                            std::max<std::int64_t>(0, shift - 2), shift, "shift");
    return builder_.add("Rescale", {x, m, b, s},
                        {{"format", to},
                         {"rounding", std::string(name(random_rounding()))},
                         {"overflow", std::string(name(random_overflow()))}},
                        "rescale");
  }

  ValueId weights(const Shape& shape) {
    if (chance(15)) {
      std::vector<std::int64_t> signs;
      for (std::int64_t i = 0; i < element_count(shape); ++i) signs.push_back(chance(50) ? 1 : -1);
      return builder_.constant(Tensor::from_integers(Format::parse("bipolar"), shape, signs), "w");
    }
    const std::int64_t top = std::int64_t{1} << pick(0, 7);
    return constant(shape, -top, top, "w");
  }

  std::optional<ValueId> matrix_product(ValueId x) {
    const Shape shape = builder_.shape(x);
    if (chance(20)) {
      for (const ValueId other : live_) {
        const Shape b = builder_.shape(other);
        if (b.size() == shape.size() && b[b.size() - 2] == shape.back() && bits(other) <= 12)
          return add_exact(builder_, "IntMatMul", {x, other}, {}, "product");
      }
    }
    return add_exact(builder_, "IntMatMul", {x, weights({shape.back(), pick(1, 8)})}, {}, "matmul");
  }

  std::optional<ValueId> convolution(ValueId x) {
    const Shape shape = builder_.shape(x);
    if (shape.size() < 3) return std::nullopt;
    const std::size_t rank = shape.size() - 2;
    const std::int64_t channels = shape.back();
    std::int64_t group = chance(60) ? 1 : channels;
    const std::int64_t outputs = group * pick(1, group == 1 ? 4 : 2);
    Shape kernel{outputs};
    std::vector<std::int64_t> strides, dilations, pads;
    for (std::size_t d = 0; d < rank; ++d) {
      kernel.push_back(pick(1, 3));
      strides.push_back(pick(1, 2));
      dilations.push_back(chance(80) ? 1 : 2);
    }
    for (std::size_t d = 0; d < 2 * rank; ++d) pads.push_back(pick(0, 1));
    kernel.push_back(channels / group);
    const IntegerRange range = builder_.type(x).format.integer_range();
    const std::int64_t pad = builder_.type(x).format == Format::parse("bipolar")
                                 ? (chance(50) ? 1 : -1)
                                 : std::clamp<std::int64_t>(pick(-3, 3), range.min, range.max);
    return add_exact(builder_, "IntConv", {x, weights(kernel)},
                     {{"strides", strides},
                      {"dilations", dilations},
                      {"pads", pads},
                      {"group", group},
                      {"pad_value", pad}},
                     "conv");
  }

  // A constant, or another value that broadcasts.
  ValueId partner(ValueId x, std::int64_t low, std::int64_t high) {
    const Shape shape = builder_.shape(x);
    if (chance(55)) {
      for (std::size_t i = live_.size(); i-- > 0;) {
        if (live_[i] == x || bits(live_[i]) > 20) continue;
        if (broadcasts(shape, builder_.shape(live_[i]))) return live_[i];
      }
    }
    return constant(broadcast_shape(shape), low, high, "c");
  }

  std::optional<ValueId> pair(ValueId x) {
    static constexpr const char* kOps[] = {"IntAdd", "IntSub", "IntMul", "IntMax", "IntMin"};
    const std::int64_t top = std::int64_t{1} << std::min(bits(x), 10);
    const ValueId y = partner(x, -top, top);
    const bool swap = chance(30);
    return add_exact(builder_, kOps[pick(0, 4)], swap ? std::vector{y, x} : std::vector{x, y}, {},
                     "pair");
  }

  std::optional<ValueId> quotient(ValueId x) {
    const ValueId y = partner(x, -6, 9);
    return add_exact(builder_, "IntDiv", chance(30) ? std::vector{y, x} : std::vector{x, y},
                     {{"rounding", std::string(name(random_rounding()))}}, "quotient");
  }

  std::optional<ValueId> square_root(ValueId x) {
    const IntegerRange range = builder_.type(x).format.integer_range();
    if (range.min < 0) {
      x = add_exact(builder_, "Clamp", {x},
                    {{"min", std::int64_t{0}}, {"max", std::max<std::int64_t>(range.max, 1)}},
                    "magnitude");
    }
    return add_exact(builder_, "IntSqrt", {x}, {}, "root");
  }

  std::optional<ValueId> clamp(ValueId x) {
    const IntegerRange range = builder_.type(x).format.integer_range();
    const std::int64_t a = pick(range.min, range.max), b = pick(range.min, range.max);
    return add_exact(builder_, "Clamp", {x}, {{"min", std::min(a, b)}, {"max", std::max(a, b)}},
                     "clamp");
  }

  std::optional<ValueId> table(ValueId x) {
    const Format format = builder_.type(x).format;
    if (format.bits() > 7) return std::nullopt;
    const IntegerRange range = format.integer_range();
    const std::int64_t entries = range.max - range.min + 1;
    Shape shape = chance(70) ? Shape{} : broadcast_shape(builder_.shape(x));
    shape.push_back(entries);
    const std::int64_t top = std::int64_t{1} << pick(1, 9);
    return add_exact(builder_, "Table", {x, constant(shape, -top, top, "table")}, {}, "table");
  }

  std::optional<ValueId> thresholds(ValueId x) {
    const IntegerRange range = builder_.type(x).format.integer_range();
    Shape shape = broadcast_shape(builder_.shape(x));
    const std::int64_t count = pick(1, 7), rows = element_count(shape);
    std::vector<std::int64_t> values;
    for (std::int64_t row = 0; row < rows; ++row) {
      std::vector<std::int64_t> ascending;
      for (std::int64_t i = 0; i < count; ++i)
        ascending.push_back(pick(range.min - 1, range.max + 1));
      std::sort(ascending.begin(), ascending.end());
      values.insert(values.end(), ascending.begin(), ascending.end());
    }
    shape.push_back(count);
    const ValueId constants = integers(shape, values, "thresholds");
    if (count == 1 && chance(40)) {
      return builder_.add("Threshold", {x, constants},
                          {{"format", Format::parse("bipolar")},
                           {"base", std::int64_t{-1}},
                           {"step", std::int64_t{2}}},
                          "sign");
    }
    return add_exact(builder_, "Threshold", {x, constants}, {{"base", pick(-4, 2)}}, "threshold");
  }

  std::optional<ValueId> reduction(ValueId x) {
    const Shape shape = builder_.shape(x);
    std::vector<std::int64_t> axes;
    for (std::size_t d = 1; d < shape.size(); ++d)
      if (chance(50)) axes.push_back(static_cast<std::int64_t>(d));
    if (axes.empty()) axes.push_back(static_cast<std::int64_t>(shape.size()) - 1);
    return add_exact(builder_, chance(50) ? "IntSum" : "IntReduceMax", {x}, {{"axes", axes}},
                     "reduce");
  }

  std::optional<ValueId> pool(ValueId x) {
    const Shape shape = builder_.shape(x);
    if (shape.size() < 3) return std::nullopt;
    std::vector<std::int64_t> kernel, strides, pads;
    for (std::size_t d = 1; d + 1 < shape.size(); ++d) {
      kernel.push_back(pick(1, 3));
      strides.push_back(pick(1, 2));
    }
    for (std::size_t d = 0; d < 2 * kernel.size(); ++d)
      pads.push_back(kernel[d % kernel.size()] > 1 ? pick(0, 1) : 0);
    return add_exact(builder_, chance(50) ? "IntSumPool" : "IntMaxPool", {x},
                     {{"kernel", kernel}, {"strides", strides}, {"pads", pads}}, "pool");
  }

  std::optional<ValueId> arg_max(ValueId x) {
    const Shape shape = builder_.shape(x);
    return add_exact(builder_, "IntArgMax", {x},
                     {{"axis", pick(1, static_cast<std::int64_t>(shape.size()) - 1)},
                      {"select_last", pick(0, 1)}},
                     "arg_max");
  }

  // ---- Movement --------------------------------------------------------------------------------
  std::optional<ValueId> movement(ValueId x) {
    const Shape shape = builder_.shape(x);
    const auto rank = static_cast<std::int64_t>(shape.size());
    switch (pick(0, 5)) {
      case 0: {
        std::vector<std::int64_t> perm(shape.size());
        for (std::size_t d = 0; d < perm.size(); ++d) perm[d] = static_cast<std::int64_t>(d);
        for (std::size_t d = perm.size() - 1; d > 1; --d)
          std::swap(perm[d], perm[static_cast<std::size_t>(pick(1, static_cast<std::int64_t>(d)))]);
        return builder_.add("Transpose", {x}, {{"perm", perm}}, "transpose");
      }
      case 1: return reshape(x, shape);
      case 2: {
        for (const ValueId other : live_) {
          const TensorType &a = builder_.type(x), &b = builder_.type(other);
          if (a.format != b.format || a.shape.size() != b.shape.size()) continue;
          if (!std::equal(a.shape.begin(), a.shape.end() - 1, b.shape.begin())) continue;
          return builder_.add("Concat", {x, other}, {{"axis", rank - 1}}, "concat");
        }
        return std::nullopt;
      }
      case 3: {
        const std::int64_t axis = pick(1, rank - 1);
        const std::int64_t extent = shape[static_cast<std::size_t>(axis)];
        if (extent < 2) return std::nullopt;
        const std::int64_t begin = pick(0, extent - 2), end = pick(begin + 1, extent);
        return builder_.add("Slice", {x},
                            {{"starts", std::vector{begin}},
                             {"ends", std::vector{end}},
                             {"axes", std::vector{axis}},
                             {"steps", std::vector{pick(1, 2)}}},
                            "slice");
      }
      case 4: {
        std::vector<std::int64_t> pads(shape.size() * 2, 0);
        for (std::size_t d = 1; d < shape.size(); ++d) {
          pads[d] = pick(0, 1);
          pads[d + shape.size()] = pick(0, 1);
        }
        const bool bipolar = builder_.type(x).format == Format::parse("bipolar");
        const double value = bipolar ? 1.0 : static_cast<double>(pick(0, 1));
        return builder_.add("Pad", {x}, {{"pads", pads}, {"value", value}}, "pad");
      }
      default: {
        const std::int64_t axis = pick(1, rank - 1);
        const std::int64_t extent = shape[static_cast<std::size_t>(axis)];
        std::vector<std::int64_t> indices;
        const std::int64_t count = pick(1, extent);
        for (std::int64_t i = 0; i < count; ++i) indices.push_back(pick(0, extent - 1));
        const ValueId order = builder_.constant(
            Tensor::from_integers(Format::parse("int64"), {count}, indices), "indices");
        return builder_.add("Gather", {x, order}, {{"axis", axis}}, "gather");
      }
    }
  }

  std::optional<ValueId> reshape(ValueId x, const Shape& shape) {
    if (shape.size() > 2) {
      return builder_.add("Reshape", {x}, {{"shape", std::vector<std::string>{"1", "-1"}}}, "flat");
    }
    for (const std::int64_t factor : {3, 2, 4}) {
      if (shape[1] % factor != 0) continue;
      return builder_.add("Reshape", {x},
                          {{"shape", std::vector<std::string>{"1", std::to_string(factor), "-1"}}},
                          "folded");
    }
    return std::nullopt;
  }

  CounterRandom random_;
  std::uint64_t next_ = 0;
  RandomModuleOptions options_;
  Module module_;
  Builder builder_;
  std::vector<ValueId> live_;  // values that further nodes may read
};

}  // namespace

Module random_lowered_module(std::uint64_t seed, const RandomModuleOptions& options) {
  return Generator(seed, options).run();
}

std::vector<std::vector<Tensor>> random_inputs(const Module& module, std::uint64_t seed,
                                               std::size_t sets) {
  const CounterRandom random(seed, "random inputs");
  std::uint64_t next = 0;
  std::vector<std::vector<Tensor>> result;
  for (std::size_t set = 0; set < sets; ++set) {
    std::vector<Tensor> inputs;
    for (const ValueId input : module.main().inputs) {
      const TensorType& type = module.main().values[input].type;
      const IntegerRange range = type.format.integer_range();
      const Shape shape = type.static_shape();
      std::vector<std::int64_t> values;
      for (std::int64_t i = 0; i < element_count(shape); ++i) {
        std::int64_t value = random.integer(next++, range.min, range.max);
        if (set == 0) value = range.min;
        if (set == 1) value = range.max;
        if (type.format == Format::parse("bipolar") && value == 0) value = 1;
        values.push_back(value);
      }
      inputs.push_back(Tensor::from_integers(type.format, shape, values));
    }
    result.push_back(std::move(inputs));
  }
  return result;
}

std::map<std::string, int> primitive_census(const std::vector<Module>& modules) {
  std::map<std::string, int> census;
  for (const Module& module : modules) {
    for (const Node& node : module.main().nodes) {
      std::string key(node.op->name());
      for (const char* attribute : {"rounding", "overflow"}) {
        const auto found = node.attributes.find(attribute);
        if (found != node.attributes.end()) key += " " + std::get<std::string>(found->second);
      }
      ++census[key];
    }
  }
  return census;
}

}  // namespace tandem
