#include "bench/cost/dataflow_sweep.h"

#include <algorithm>
#include <cmath>

#include "tandem/base/random.h"
#include "tandem/base/text.h"
#include "tandem/graph/builder.h"
#include "tandem/mapping/dataflow_buffers.h"
#include "tandem/ops/integer.h"
#include "tandem/plan/dataflow.h"

namespace tandem {
namespace {

// One random network of one operator, with what stands around it.
class Sample {
 public:
  explicit Sample(std::uint64_t seed)
      : random_(seed, "area sweep"), builder_(module_, Builder::add_graph(module_, "main")) {}

  Module build() {
    switch (pick(0, 11)) {
      case 0:
      case 1:
      case 2: matmul(); break;
      case 3:
      case 4: convolution(); break;
      case 5: rescale(); break;
      case 6: thresholds(); break;
      case 7: table(); break;
      case 8: pair(); break;
      case 9: pool_or_sum(); break;
      case 10: movement(); break;
      default: quotient_or_clamp(); break;
    }
    return std::move(module_);
  }

  // The small parts of circuits, which the other networks hold too rarely.
  Module build_small() {
    switch (pick(0, 11)) {
      case 0:
      case 1: rescale(); break;
      case 2:
      case 3: thresholds(); break;
      case 4: table(); break;
      case 5:
      case 6: with_constant(); break;
      case 7: pair(); break;
      case 8: pool_or_sum(); break;
      case 9: small_matmul(); break;
      case 10: movement(); break;
      default: quotient_or_clamp(); break;
    }
    return std::move(module_);
  }

  DataflowChoices choices(const Module& module) {
    DataflowChoices choices;
    for (const NodeId node : dataflow_nodes(module)) {
      const FoldingSpace space = folding_space(module, node);
      Folding folding;
      folding.pe = choose(space.pe, 16);
      folding.simd = choose(space.simd, 32);
      folding.dsp = chance(20);
      folding.block_weights = chance(25);
      choices.foldings[node] = folding;
    }
    return choices;
  }

 private:
  std::int64_t pick(std::int64_t low, std::int64_t high) { return random_.integer(low, high); }
  bool chance(int percent) { return pick(0, 99) < percent; }
  std::int64_t choose(const std::vector<std::int64_t>& values, std::int64_t most) {
    std::vector<std::int64_t> legal;
    for (const std::int64_t value : values)
      if (value <= most) legal.push_back(value);
    return legal[static_cast<std::size_t>(pick(0, static_cast<std::int64_t>(legal.size()) - 1))];
  }
  template <typename T, std::size_t N>
  T one_of(const T (&values)[N]) {
    return values[static_cast<std::size_t>(pick(0, static_cast<std::int64_t>(N) - 1))];
  }

  Format activation() {
    return Format::parse(one_of<const char*>(
        {"bipolar", "uint2", "int2", "uint3", "uint4", "int4", "int6", "uint8", "int8"}));
  }
  Format weight() {
    return Format::parse(
        one_of<const char*>({"bipolar", "int2", "int2", "int3", "int4", "int6", "int8"}));
  }
  ValueId input(Shape shape, Format format) {
    return builder_.input("x", {std::vector<Dim>(shape.begin(), shape.end()), format});
  }
  // Values spread like trained weights: more small ones.
  ValueId constant(const Shape& shape, Format format, const char* name) {
    const IntegerRange range = format.integer_range();
    std::vector<std::int64_t> values;
    for (std::int64_t i = 0; i < element_count(shape); ++i) {
      if (format == Format::parse("bipolar")) {
        values.push_back(chance(50) ? 1 : -1);
        continue;
      }
      const double spread = static_cast<double>(range.max - range.min + 1) / 5;
      values.push_back(std::clamp(std::llround(random_.normal() * spread),
                                  static_cast<long long>(range.min),
                                  static_cast<long long>(range.max)));
    }
    return builder_.constant(Tensor::from_integers(format, shape, values), name);
  }
  ValueId integers(const Shape& shape, std::int64_t low, std::int64_t high, const char* name) {
    std::vector<std::int64_t> values;
    for (std::int64_t i = 0; i < element_count(shape); ++i) values.push_back(pick(low, high));
    return builder_.constant(Tensor::from_integers(Format::holding({low, high}), shape, values),
                             name);
  }
  void finish(ValueId value) { builder_.output(value); }

  ValueId rescaled(ValueId x) {
    const Shape shape = builder_.shape(x);
    Shape per_channel(shape.size(), 1);
    if (chance(60)) per_channel.back() = shape.back();
    const int bits = static_cast<int>(pick(4, 24));
    const ValueId m = integers(per_channel, 1, (std::int64_t{1} << bits) - 1, "m");
    const ValueId b = chance(30) ? integers(Shape(shape.size(), 1), 0, 0, "b")
                                 : integers(per_channel, -(std::int64_t{1} << bits),
                                            std::int64_t{1} << bits, "b");
    const std::int64_t shift = pick(2, bits + 6);
    const ValueId s = integers(Shape(shape.size(), 1), shift, shift, "s");
    static const char* const kFormats[] = {"uint2", "uint4", "int4", "uint8", "int8"};
    return builder_.add(
        "Rescale", {x, m, b, s},
        {{"format", Format::parse(one_of(kFormats))},
         {"rounding", std::string(name(kAllRoundings[static_cast<std::size_t>(pick(0, 8))]))},
         {"overflow", std::string(chance(80) ? "saturate" : "wrap")}});
  }

  ValueId thresholded(ValueId x) {
    const Shape shape = builder_.shape(x);
    Shape per_channel(shape.size(), 1);
    if (chance(80)) per_channel.back() = shape.back();
    const std::int64_t count = one_of<std::int64_t>({1, 1, 2, 3, 7, 15});
    const IntegerRange range = builder_.type(x).format.integer_range();
    std::vector<std::int64_t> values;
    for (std::int64_t row = 0; row < element_count(per_channel); ++row) {
      std::vector<std::int64_t> limits;
      for (std::int64_t i = 0; i < count; ++i) limits.push_back(pick(range.min / 2, range.max / 2));
      std::sort(limits.begin(), limits.end());
      values.insert(values.end(), limits.begin(), limits.end());
    }
    per_channel.push_back(count);
    const ValueId limits = builder_.constant(
        Tensor::from_integers(Format::holding({range.min, range.max}), per_channel, values), "t");
    return add_exact(builder_, "Threshold", {x, limits},
                     {{"base", std::int64_t{0}}, {"step", std::int64_t{1}}});
  }

  void matmul() {
    const std::int64_t k = one_of<std::int64_t>({12, 16, 32, 48, 64, 128});
    const std::int64_t n = one_of<std::int64_t>({4, 6, 8, 16, 32, 64});
    const ValueId x = input({1, k}, activation());
    const ValueId y = add_exact(builder_, "IntMatMul", {x, constant({k, n}, weight(), "w")});
    finish(chance(40) ? thresholded(y) : chance(30) ? rescaled(y) : y);
  }

  void convolution() {
    const std::int64_t size = pick(5, 12), channels = one_of<std::int64_t>({1, 2, 4, 8, 16});
    const bool depthwise = channels > 1 && chance(35);
    const std::int64_t outputs = depthwise ? channels : one_of<std::int64_t>({4, 8, 16});
    const std::int64_t kernel = one_of<std::int64_t>({1, 3, 3}), pad = kernel / 2 * pick(0, 1);
    const ValueId x = input({1, size, size, channels}, activation());
    const ValueId w = constant({outputs, kernel, kernel, depthwise ? 1 : channels}, weight(), "w");
    const std::int64_t stride = chance(25) ? 2 : 1;
    const Format format = builder_.type(x).format;
    const std::int64_t fill = format == Format::parse("bipolar") ? 1 : 0;
    finish(add_exact(builder_, "IntConv", {x, w},
                     {{"pads", std::vector<std::int64_t>{pad, pad, pad, pad}},
                      {"strides", std::vector<std::int64_t>{stride, stride}},
                      {"pad_value", fill},
                      {"group", depthwise ? channels : std::int64_t{1}}}));
  }

  void rescale() {
    finish(rescaled(input({1, 16}, Format::integer(static_cast<int>(pick(6, 20)), true))));
  }

  void thresholds() {
    finish(thresholded(input({1, 32}, Format::integer(static_cast<int>(pick(4, 16)), true))));
  }

  void table() {
    const Format format = Format::integer(static_cast<int>(pick(2, 9)), chance(50));
    const std::int64_t codes = format.integer_range().max - format.integer_range().min + 1;
    std::vector<std::int64_t> values;
    const double slope = 0.2 + random_.uniform() * 2;
    const std::int64_t most = (std::int64_t{1} << pick(2, 12)) - 1;
    for (std::int64_t i = 0; i < codes; ++i) {
      const double at = (static_cast<double>(i) / static_cast<double>(codes) - 0.5) * 6 * slope;
      values.push_back(
          std::llround(static_cast<double>(most) * 0.5 * (1 + at / (1 + std::abs(at)))));
    }
    const ValueId entries =
        builder_.constant(Tensor::from_integers(Format::holding({0, most}), {codes}, values), "t");
    finish(add_exact(builder_, "Table", {input({1, 16}, format), entries}));
  }

  void pair() {
    const Format left = Format::integer(static_cast<int>(pick(2, 12)), true);
    const Format right = Format::integer(static_cast<int>(pick(2, 12)), true);
    const ValueId a = input({1, 4, 8}, left);
    const ValueId b = builder_.input("y", {{1, 4, 8}, right});
    const char* op =
        one_of<const char*>({"IntAdd", "IntSub", "IntMul", "IntMax", "IntMin", "IntMatMul"});
    if (std::string_view(op) == "IntMatMul") {
      const ValueId t =
          builder_.add("Transpose", {b}, {{"perm", std::vector<std::int64_t>{0, 2, 1}}});
      finish(add_exact(builder_, op, {a, t}));
    } else if (chance(60)) {
      finish(add_exact(builder_, op, {a, b}));
    } else {
      const ValueId c = integers({1, 1, 8}, -20, 20, "c");
      finish(add_exact(builder_, op, {a, c}));
      finish(add_exact(builder_, "IntAdd", {a, b}));
    }
  }

  void with_constant() {
    const ValueId x = input({1, 4, 8}, Format::integer(static_cast<int>(pick(2, 12)), true));
    Shape shape{1, 1, chance(50) ? std::int64_t{8} : std::int64_t{1}};
    const ValueId c = integers(shape, pick(-60, -1), pick(1, 60), "c");
    const char* op =
        one_of<const char*>({"IntAdd", "IntSub", "IntMul", "IntMul", "IntMax", "IntMin"});
    finish(add_exact(builder_, op, {x, c}));
  }

  void small_matmul() {
    const std::int64_t k = one_of<std::int64_t>({4, 8, 12}), n = one_of<std::int64_t>({2, 4, 6});
    const ValueId x = input({1, k}, activation());
    finish(add_exact(builder_, "IntMatMul", {x, constant({k, n}, weight(), "w")}));
  }

  void pool_or_sum() {
    const std::int64_t channels = one_of<std::int64_t>({2, 4, 8, 16});
    const ValueId x =
        input({1, 8, 8, channels}, Format::integer(static_cast<int>(pick(2, 10)), true));
    switch (pick(0, 4)) {
      case 0:
        finish(add_exact(builder_, "IntSumPool", {x},
                         {{"kernel", std::vector<std::int64_t>{2, 2}},
                          {"strides", std::vector<std::int64_t>{2, 2}}}));
        break;
      case 1:
        finish(add_exact(builder_, "IntMaxPool", {x},
                         {{"kernel", std::vector<std::int64_t>{2, 2}},
                          {"strides", std::vector<std::int64_t>{2, 2}}}));
        break;
      case 2:
        finish(add_exact(builder_, "IntSum", {x}, {{"axes", std::vector<std::int64_t>{1, 2}}}));
        break;
      case 3:
        finish(add_exact(builder_, "IntReduceMax", {x}, {{"axes", std::vector<std::int64_t>{3}}}));
        break;
      default: finish(add_exact(builder_, "IntArgMax", {x}, {{"axis", std::int64_t{3}}}));
    }
  }

  void movement() {
    const std::int64_t channels = one_of<std::int64_t>({2, 4, 8});
    const ValueId x = input({1, 6, 8, channels}, activation());
    if (chance(50)) {
      finish(builder_.add("Transpose", {x}, {{"perm", std::vector<std::int64_t>{0, 3, 1, 2}}}));
      return;
    }
    const ValueId y = builder_.input("y", {{1, 6, 8, channels}, builder_.type(x).format});
    finish(builder_.add("Concat", {x, y}, {{"axis", std::int64_t{3}}}));
  }

  void quotient_or_clamp() {
    const ValueId x = input({1, 8}, Format::integer(static_cast<int>(pick(4, 16)), chance(50)));
    if (chance(40)) {
      const std::int64_t high = builder_.type(x).format.integer_range().max / 2;
      finish(add_exact(builder_, "Clamp", {x}, {{"min", std::int64_t{0}}, {"max", high}}));
      return;
    }
    const ValueId y =
        builder_.input("y", {{1, 8}, Format::integer(static_cast<int>(pick(2, 12)), chance(50))});
    finish(add_exact(
        builder_, "IntDiv", {x, y},
        {{"rounding", std::string(name(kAllRoundings[static_cast<std::size_t>(pick(0, 8))]))}}));
  }

  Module module_;
  RandomSequence random_;
  Builder builder_;
};
// Seeds from here on give the small parts.
constexpr std::uint64_t kSmallParts = 100'000;

Pipeline network_pipeline(std::uint64_t seed) {
  Sample sample(seed);
  const Module module = seed < kSmallParts ? sample.build() : sample.build_small();
  Plan plan = plan_dataflow(module, "sweep", sample.choices(module));
  size_buffers(module, plan);
  return build_pipeline(module, plan);
}

// A pipeline of a source and a sink around one FIFO, in a random size.
Pipeline fifo_pipeline(std::uint64_t seed) {
  RandomSequence random(seed, "fifo sweep");
  Pipeline pipeline;
  pipeline.streams.resize(1);
  Stream& stream = pipeline.streams[0];
  stream.format = Format::integer(static_cast<int>(random.integer(1, 12)), true);
  stream.narrow = random.chance(0.5) ? random.integer(2, 40) : 1;
  stream.lanes = stream.narrow * random.integer(1, 4);
  stream.capacity = random.chance(0.3) ? 1 : random.chance(0.4) ? 2 : random.integer(3, 200);
  stream.beats = 4;
  stream.from = 0;
  stream.to = 1;
  pipeline.stages.resize(2);
  pipeline.stages[0].name = "in";
  pipeline.stages[0].body = SourceStage{0};
  pipeline.stages[0].outputs = {0};
  pipeline.stages[1].name = "out";
  pipeline.stages[1].body = SinkStage{0};
  pipeline.stages[1].inputs = {0};
  return pipeline;
}
}  // namespace

Pipeline dataflow_sweep(std::uint64_t seed) {
  return seed % 4 == 3 && seed < kSmallParts ? fifo_pipeline(seed) : network_pipeline(seed);
}

}  // namespace tandem
