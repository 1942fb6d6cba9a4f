#include "bench/cost/mcu_sweep.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/random.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/verifier.h"
#include "tandem/ops/integer.h"
#include "tandem/plan/kernel.h"

namespace tandem {
namespace {

class Sweep {
 public:
  Sweep(std::uint64_t seed, std::uint64_t number, const CoreInstructions& core)
      : random_(CounterRandom(seed, "bench/mcu sweep").substream(number)), core_(core) {}

  SweepCase make(std::size_t index) {
    SweepCase result;
    Builder builder(result.module, Builder::add_graph(result.module, "main"));
    builder_ = &builder;
    constexpr const char* kFamilies[] = {
        "dense",   "int8 dense",     "convolution", "int8 convolution", "depthwise",
        "pool",    "int8 depthwise", "elements",    "reduce",           "movement",
        "network", "int8 pointwise", "int8 blocks", "blocks",           "int8 sum"};
    result.family = kFamilies[index % std::size(kFamilies)];
    int8_ = result.family.starts_with("int8");
    ValueId value = layer(result.family);
    if (result.family == "network") {
      for (std::int64_t more = pick(1, 3); more > 0; --more) value = following(value);
    }
    builder.output(value);
    verify(result.module);
    result.form = chosen_form(result.module);
    return result;
  }

 private:
  std::int64_t pick(std::int64_t low, std::int64_t high) { return random_.integer(low, high); }
  bool chance(double probability) { return random_.chance(probability); }
  template <typename T>
  T one_of(std::initializer_list<T> choices) {
    return *(choices.begin() + pick(0, static_cast<std::int64_t>(choices.size()) - 1));
  }

  Format activation_format() {
    if (int8_) return Format::integer(8, true);
    return Format::parse(
        one_of<const char*>({"uint8", "int8", "uint4", "int4", "uint2", "bipolar"}));
  }

  ValueId input(const Shape& shape) {
    return builder_->input("x", {{shape.begin(), shape.end()}, activation_format()});
  }

  ValueId weights(const Shape& shape) {
    const auto bits = int8_ ? 8 : weight_bits_ > 0 ? weight_bits_ : one_of<int>({1, 2, 4, 8});
    const Format format = bits == 1 ? Format::parse("bipolar") : Format::integer(bits, true);
    std::vector<std::int64_t> values;
    for (std::int64_t i = 0; i < element_count(shape); ++i)
      values.push_back(int8_
                           ? pick(-127, 127)
                           : format.integer_of(random_.bits() & ((std::uint64_t{1} << bits) - 1)));
    return builder_->constant(Tensor::from_integers(format, shape, values), "w");
  }

  // Layers as TensorFlow Lite quantizes them.
  ValueId int8_layer(const std::string& family) {
    if (family == "int8 dense") return scaled(dense(input({1, pick(1, 3), 4 * pick(1, 100)})));
    if (family == "int8 convolution") return scaled(convolution(input(image(24)), false));
    if (family == "int8 pointwise") return scaled(pointwise(input(image(64)), pick(4, 64)));
    if (family == "int8 sum") {
      const ValueId x = input(image(24)), sum = scaled(convolution(x, true));
      const ValueId other = builder_->input("x", builder_->type(sum));
      return scaled(add_exact(*builder_, "IntAdd", {scaled(sum), scaled(other)}));
    }
    if (family == "int8 depthwise") return scaled(convolution(input(image(64)), true));
    // Blocks that are alike but for some sizes.
    ValueId value = input(image(32));
    const std::int64_t growth = pick(0, 8);
    for (std::int64_t block = pick(2, 4); block > 0; --block)
      value = scaled(pointwise(value, builder_->shape(value).back() + 4 * growth));
    return value;
  }

  // Products and thresholds that are alike but for some sizes.
  ValueId blocks() {
    weight_bits_ = one_of<int>({2, 4, 8});
    const auto count = one_of<std::int64_t>({3, 7, 15});
    ValueId value = input({1, pick(1, 2), 8 * pick(3, 30)});
    for (std::int64_t block = pick(2, 4); block > 0; --block) {
      const std::int64_t depth = builder_->shape(value).back();
      value = thresholds_of(
          add_exact(*builder_, "IntMatMul", {value, weights({depth, 8 * pick(3, 12)})}), count,
          true);
    }
    return value;
  }

  ValueId pointwise(ValueId x, std::int64_t columns) {
    return add_exact(*builder_, "IntConv",
                     {x, weights({columns, 1, 1, builder_->shape(x).back()})});
  }

  // The scale of a trained layer: for each channel a bias, a multiplier and a shift, one zero
  // point.
  ValueId scaled(ValueId x) {
    const int bits = builder_->type(x).format.bits();
    const std::int64_t zero = pick(-128, 20);
    const bool channels = chance(0.8);
    std::vector<std::int64_t> multipliers, addends, shifts;
    for (std::int64_t i = channels ? builder_->shape(x).back() : 1; i > 0; --i) {
      multipliers.push_back(pick(1 << 30, INT32_MAX));
      shifts.push_back(std::clamp<std::int64_t>(bits + 20 + pick(-1, 1), 33, 46));
      const std::int64_t bias = pick(-1000, 1000);
      addends.push_back(bias * multipliers.back() + (1 << 30) +
                        (2 * zero + 1) * (std::int64_t{1} << (shifts.back() - 1)));
    }
    const auto row = [&](const std::vector<std::int64_t>& values, const std::string& name) {
      const auto [low, high] = std::ranges::minmax(values);
      const Shape shape{static_cast<std::int64_t>(values.size())};
      return builder_->constant(
          Tensor::from_integers(Format::holding({std::min<std::int64_t>(low, 0), high}), shape,
                                values),
          name);
    };
    return builder_->add("Rescale", {x, row(multipliers, "m"), row(addends, "a"), row(shifts, "s")},
                         {{"format", Format::integer(8, true)},
                          {"rounding", std::string("floor")},
                          {"overflow", std::string("saturate")}});
  }

  ValueId layer(const std::string& family) {
    if (int8_) return int8_layer(family);
    if (family == "blocks") return blocks();
    if (family == "dense") return activated(dense(input({1, pick(1, 3), pick(4, 400)})));
    if (family == "convolution" || family == "network")
      return activated(convolution(input(image(16)), false));
    if (family == "depthwise") return activated(convolution(input(image(24)), true));
    if (family == "pool") return activated_maybe(pool(input(image(24))));
    if (family == "elements")
      return elements(input(chance(0.5) ? image(24) : Shape{1, pick(8, 600)}));
    if (family == "reduce") return reduce(input(image(24)));
    return movement(input(image(16)));
  }

  // Another layer after one that was made.
  ValueId following(ValueId value) {
    const Shape shape = builder_->shape(value);
    if (shape.size() == 4 && chance(0.4)) return activated_maybe(pool(value));
    if (shape.size() == 4 && chance(0.5)) return activated(convolution(value, false));
    if (shape.size() == 4) {
      const std::int64_t elements = element_count(shape);
      value = builder_->add("Reshape", {value},
                            {{"shape", std::vector<std::string>{"1", std::to_string(elements)}}});
    }
    return activated(dense(value));
  }

  Shape image(std::int64_t most_channels) {
    const std::int64_t extent = pick(3, 12);
    return {1, extent, chance(0.7) ? extent : pick(3, 12), pick(1, most_channels)};
  }

  ValueId dense(ValueId x) {
    const std::int64_t depth = builder_->shape(x).back();
    return add_exact(*builder_, "IntMatMul", {x, weights({depth, pick(1, 40)})});
  }

  ValueId convolution(ValueId x, bool depthwise) {
    const Shape shape = builder_->shape(x);
    const std::int64_t kernel = std::min({one_of<std::int64_t>({1, 3, 3, 5}), shape[1], shape[2]});
    const std::int64_t stride = chance(0.7) ? 1 : 2, pad = chance(0.5) ? kernel / 2 : 0;
    const std::int64_t channels = shape[3];
    const Shape weight = depthwise ? Shape{channels, kernel, kernel, 1}
                                   : Shape{pick(1, 24), kernel, kernel, channels};
    Attributes attributes = {{"strides", std::vector<std::int64_t>{stride, stride}},
                             {"pads", std::vector<std::int64_t>{pad, pad, pad, pad}}};
    if (depthwise) attributes["group"] = channels;
    const IntegerRange held = builder_->type(x).format.integer_range();
    if (pad > 0 && chance(0.3)) attributes["pad_value"] = std::max<std::int64_t>(held.min, -1);
    return add_exact(*builder_, "IntConv", {x, weights(weight)}, attributes);
  }

  ValueId pool(ValueId x) {
    const Shape shape = builder_->shape(x);
    const std::int64_t kernel = std::min({pick(2, 3), shape[1], shape[2]});
    const std::int64_t stride = chance(0.7) ? kernel : 1, pad = kernel > 1 && chance(0.25) ? 1 : 0;
    return add_exact(*builder_, chance(0.6) ? "IntMaxPool" : "IntSumPool", {x},
                     {{"kernel", std::vector<std::int64_t>{kernel, kernel}},
                      {"strides", std::vector<std::int64_t>{stride, stride}},
                      {"pads", std::vector<std::int64_t>{pad, pad, pad, pad}}});
  }

  ValueId reduce(ValueId x) {
    const auto rank = static_cast<std::int64_t>(builder_->shape(x).size());
    if (chance(0.3)) return add_exact(*builder_, "IntArgMax", {x}, {{"axis", pick(1, rank - 1)}});
    const std::vector<std::int64_t> axes =
        chance(0.6) ? std::vector<std::int64_t>{1, 2} : std::vector<std::int64_t>{rank - 1};
    return add_exact(*builder_, chance(0.7) ? "IntSum" : "IntReduceMax", {x}, {{"axes", axes}});
  }

  ValueId elements(ValueId x) {
    if (chance(0.4)) {
      const ValueId other = input(builder_->shape(x));
      x = add_exact(*builder_, one_of<const char*>({"IntAdd", "IntSub", "IntMax", "IntMul"}),
                    {x, other});
    }
    if (chance(0.15)) {
      const ValueId divisor = input(builder_->shape(x));
      x = add_exact(*builder_, "IntDiv", {x, divisor}, {{"rounding", rounding()}});
    }
    return activated(x);
  }

  ValueId movement(ValueId x) {
    const Shape shape = builder_->shape(x);
    switch (pick(0, 3)) {
      case 0:
        return builder_->add("Transpose", {x}, {{"perm", std::vector<std::int64_t>{0, 3, 1, 2}}});
      case 1: {
        const ValueId other = builder_->input("x", builder_->type(x));
        return builder_->add("Concat", {x, other}, {{"axis", pick(1, 3)}});
      }
      case 2:
        return builder_->add(
            "Pad", {x},
            {{"pads", std::vector<std::int64_t>{0, 1, 1, 0, 0, 1, 1, 0}}, {"value", 1.0}});
      default:
        return builder_->add("Slice", {x},
                             {{"starts", std::vector<std::int64_t>{1}},
                              {"ends", std::vector<std::int64_t>{shape[1]}},
                              {"axes", std::vector<std::int64_t>{1}}});
    }
  }

  std::string rounding() {
    // Half to even and half up are what networks are lowered with.
    const double choice = random_.uniform();
    if (choice < 0.3) return "half_even";
    if (choice < 0.5) return "half_up";
    return std::string(name(kAllRoundings[static_cast<std::size_t>(pick(0, 8))]));
  }

  ValueId activated_maybe(ValueId x) { return chance(0.4) ? activated(x) : x; }

  ValueId activated(ValueId x) {
    const double choice = random_.uniform();
    if (choice < 0.1) return x;
    if (choice < 0.25) x = add_exact(*builder_, "IntAdd", {x, per_channel(x, -100, 100)});
    if (choice < 0.7) return rescaled(x);
    if (choice < 0.9) return thresholded(x);
    x = rescaled(x);
    return builder_->type(x).format.bits() <= 8 ? looked_up(x) : x;
  }

  Shape channel_shape(ValueId x) { return {builder_->shape(x).back()}; }

  ValueId per_channel(ValueId x, std::int64_t low, std::int64_t high) {
    std::vector<std::int64_t> values;
    for (std::int64_t i = 0; i < builder_->shape(x).back(); ++i) values.push_back(pick(low, high));
    return builder_->constant(
        Tensor::from_integers(Format::holding({low, high}), channel_shape(x), values), "b");
  }

  ValueId one_number(std::int64_t value) {
    const std::int64_t values[] = {value};
    return builder_->constant(
        Tensor::from_integers(
            Format::holding({std::min<std::int64_t>(value, 0), std::max<std::int64_t>(value, 0)}),
            {1}, values),
        "s");
  }

  // A multiplier of many bits, as calibration gives, that brings x into the result's format.
  ValueId rescaled(ValueId x) {
    const Format format = activation_format();
    const Format result = format.name() == "bipolar" ? Format::parse("int8") : format;
    const int x_bits = builder_->type(x).format.bits();
    const int multiplier_bits = static_cast<int>(one_of<std::int64_t>({8, 16, 31, 31}));
    // The largest sums leave the result's range, as they do behind a trained layer; otherwise a
    // narrow result could be known to be 0.
    const int shift = std::clamp(x_bits + multiplier_bits - result.bits() - 3, 0, 40);
    const std::int64_t most = (std::int64_t{1} << (multiplier_bits - 1)) - 1;
    const bool channels = chance(0.5);
    const ValueId multiplier =
        channels ? per_channel(x, most / 2 + 1, most) : one_number(pick(most / 2 + 1, most));
    const std::int64_t half = std::int64_t{1} << std::max(shift - 2, 0);
    const ValueId addend =
        chance(0.5) ? per_channel(x, -half, half) : one_number(pick(-half, half));
    const std::string overflow =
        chance(0.8) ? "saturate"
                    : std::string(name(kAllOverflows[static_cast<std::size_t>(pick(0, 3))]));
    return builder_->add("Rescale", {x, multiplier, addend, one_number(shift)},
                         {{"format", result}, {"rounding", rounding()}, {"overflow", overflow}});
  }

  ValueId thresholded(ValueId x) {
    const IntegerRange range = builder_->type(x).format.integer_range();
    const std::int64_t codes = range.max - range.min;
    const std::int64_t count = std::min(one_of<std::int64_t>({1, 1, 3, 3, 7, 15, 63, 255}), codes);
    return thresholds_of(x, count, chance(0.7));
  }

  ValueId thresholds_of(ValueId x, std::int64_t count, bool channels) {
    const IntegerRange range = builder_->type(x).format.integer_range();
    const std::int64_t codes = range.max - range.min;
    // Distinct ones where there is little room.
    const bool few = codes < 8 * count;
    const std::int64_t rows = channels ? builder_->shape(x).back() : 1;
    std::vector<std::int64_t> values;
    for (std::int64_t row = 0; row < rows; ++row) {
      std::vector<std::int64_t> sorted;
      for (std::int64_t i = 0; i < count; ++i)
        sorted.push_back(few ? range.min + 1 + i * codes / count
                             : pick(range.min / 4, range.max / 4));
      std::ranges::sort(sorted);
      values.insert(values.end(), sorted.begin(), sorted.end());
    }
    const Shape shape = channels ? Shape{rows, count} : Shape{count};
    const ValueId thresholds =
        builder_->constant(Tensor::from_integers(Format::holding(range), shape, values), "t");
    return add_exact(*builder_, "Threshold", {x, thresholds});
  }

  ValueId looked_up(ValueId x) {
    const IntegerRange range = builder_->type(x).format.integer_range();
    std::vector<std::int64_t> values;
    for (std::int64_t i = range.min; i <= range.max; ++i) values.push_back(pick(-128, 127));
    const Shape shape{range.max - range.min + 1};
    const ValueId table =
        builder_->constant(Tensor::from_integers(Format::integer(8, true), shape, values), "table");
    return add_exact(*builder_, "Table", {x, table});
  }

  static void leave_out(std::vector<std::string>& forms, FormNeeds needs) {
    std::erase_if(forms, [&](const std::string& form) { return needs_of(form) == needs; });
  }

  std::string chosen_form(const Module& module) {
    const McuGroups groups = group_nodes(module, module.main());
    if (groups.groups.empty()) return "";  // a transpose that moves nothing
    std::vector<std::string> forms =
        kernel_forms(module, module.main(), groups.base_of, groups.groups.front());
    const auto is_vector = [](const std::string& form) {
      return needs_of(form) == FormNeeds::kVectors;
    };
    if (!core_.vectors) leave_out(forms, FormNeeds::kVectors);
    if (!core_.packed_products) leave_out(forms, FormNeeds::kPackedProducts);
    if (!core_.many_registers) leave_out(forms, FormNeeds::kRegisters);
    const auto vector = std::ranges::partition(forms, is_vector).begin();
    // As often as all others.
    if (vector != forms.begin() && chance(0.5)) forms.erase(vector, forms.end());
    return forms[static_cast<std::size_t>(pick(0, static_cast<std::int64_t>(forms.size()) - 1))];
  }

  RandomSequence random_;
  CoreInstructions core_;
  bool int8_ = false;
  int weight_bits_ = 0;  // of all weights; 0: drawn for each layer
  Builder* builder_ = nullptr;
};

}  // namespace

std::vector<SweepCase> mcu_sweep(std::uint64_t seed, std::size_t cases,
                                 const CoreInstructions& core) {
  std::vector<SweepCase> result;
  for (std::size_t i = 0; i < cases; ++i) {
    try {
      result.push_back(Sweep(seed, i, core).make(i));
    } catch (const Error& error) {
      throw error.at(concat("case ", i, " of the sweep"));
    }
  }
  return result;
}

}  // namespace tandem
