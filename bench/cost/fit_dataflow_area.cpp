// Fits the costs of the parts of dataflow circuits to what Yosys makes of them.
//
//   tandem_fit_dataflow_area measure ROWS.csv [COUNT [SEED]]   generate, synthesise, append rows
//   tandem_fit_dataflow_area fit ROWS.csv COSTS.toml           least squares without negative costs
//
// The sweep consists of generated networks of one or two operators with random shapes, formats,
// foldings and weights, and of the FIFO modules in many sizes. Every emitted module is one row:
// its form, its features (cost/dataflow_area.h), its look-up tables and flip-flops.

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iostream>
#include <sstream>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/base/random.h"
#include "tandem/base/text.h"
#include "tandem/cost/dataflow_area.h"
#include "tandem/emit/verilog.h"
#include "tandem/graph/builder.h"
#include "tandem/mapping/dataflow_buffers.h"
#include "tandem/ops/integer.h"
#include "tandem/ops/register.h"
#include "tandem/plan/dataflow.h"
#include "tandem/verify/yosys.h"

namespace tandem {
namespace {

struct Row {
  std::string form;
  std::map<std::string, double> features;
  double registers = 0, luts = 0, flip_flops = 0;
};

std::string text_of(const Row& row) {
  std::string text = concat(row.form, ",", row.luts, ",", row.flip_flops, ",", row.registers);
  for (const auto& [feature, amount] : row.features) text += concat(",", feature, "=", amount);
  return text + "\n";
}

Row row_of(const std::string& line) {
  const auto fields = split(line, ',');
  if (fields.size() < 4) throw Error("a row has ", fields.size(), " fields: ", line);
  Row row;
  row.form = fields[0];
  row.luts = parse_real(fields[1], "look-up tables");
  row.flip_flops = parse_real(fields[2], "flip-flops");
  row.registers = parse_real(fields[3], "registers");
  for (std::size_t i = 4; i < fields.size(); ++i) {
    const auto pair = split(fields[i], '=');
    row.features[pair.at(0)] = parse_real(pair.at(1), "an amount");
  }
  return row;
}

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

Row measured(const AreaPart& part, const std::map<std::string, std::int64_t>& cells) {
  Row row{part.form, part.features, part.registers, 0, 0};
  for (const auto& [cell, count] : cells) {
    row.luts += static_cast<double>(count * luts_of_cell(cell));
    if (cell.starts_with("FD")) row.flip_flops += static_cast<double>(count);
  }
  return row;
}

Pipeline network_pipeline(std::uint64_t seed) {
  Sample sample(seed);
  const Module module = sample.build();
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

// The rows of one pipeline, whose modules carry the prefix. Modules with parameters (FIFOs) are
// found by their name inside the one that Yosys makes of it; they count only where the pipeline has
// one of the kind.
void add_rows(std::vector<Row>& rows, const Pipeline& pipeline, const std::string& prefix,
              const Synthesis& synthesis) {
  const auto parts = area_parts(pipeline);
  for (const AreaPart& part : parts) {
    const bool shared = part.form.starts_with("fifo") || part.form == "narrow";
    const std::string name = part.module.empty() ? prefix : prefix + "_" + part.module;
    if (!shared) {
      const auto found = synthesis.modules.find(name);
      if (found != synthesis.modules.end()) rows.push_back(measured(part, found->second));
      continue;
    }
    if (std::count_if(parts.begin(), parts.end(),
                      [&](const AreaPart& other) { return other.form == part.form; }) != 1)
      continue;
    for (const auto& [module, cells] : synthesis.modules) {
      const std::size_t at = module.find("\\" + name);
      if (at == std::string::npos) continue;
      const std::string after = module.substr(at + 1 + name.size());
      if (after.empty() || after[0] == '\\') rows.push_back(measured(part, cells));
    }
  }
}

// Several pipelines in one run of Yosys, which takes seconds to start.
std::vector<Row> measure_batch(std::uint64_t seed, int count) {
  std::vector<Pipeline> pipelines;
  std::string text, top = "module sweep (input wire aclk, input wire aresetn);\n";
  for (int i = 0; i < count; ++i) {
    const std::uint64_t here = seed + static_cast<std::uint64_t>(i);
    pipelines.push_back(here % 4 == 3 ? fifo_pipeline(here) : network_pipeline(here));
    const std::string name = concat("n", i);
    text += verilog_of(pipelines.back(), name);
    top += concat("  (* keep *) ", name, " u", i, " (.aclk(aclk), .aresetn(aresetn));\n");
  }
  const Synthesis synthesis = synthesize(text + top + "endmodule\n", "sweep");
  std::vector<Row> rows;
  for (int i = 0; i < count; ++i)
    add_rows(rows, pipelines[static_cast<std::size_t>(i)], concat("n", i), synthesis);
  return rows;
}

void measure(const std::string& path, int count, std::uint64_t seed) {
  constexpr int kBatch = 10;
  std::ofstream out(path, std::ios::app);
  for (int i = 0; i < count; i += kBatch) {
    const std::uint64_t here = seed + static_cast<std::uint64_t>(i);
    try {
      for (const Row& row : measure_batch(here, std::min(kBatch, count - i))) out << text_of(row);
      out.flush();
    } catch (const Error& error) {
      std::cerr << "samples from " << here << ": " << error.what() << "\n";
    }
  }
}

// min sum of ((A c - y) / (y + 4))^2 with c >= 0, by coordinate descent: relative errors of large
// parts and absolute ones of small parts count alike.
std::vector<double> fit(const std::vector<std::vector<double>>& rows,
                        const std::vector<double>& y) {
  const std::size_t count = rows.front().size();
  std::vector<double> weights, c(count, 0), residual = y;
  for (const double value : y) weights.push_back(1 / ((value + 4) * (value + 4)));
  for (int round = 0; round < 4000; ++round) {
    for (std::size_t j = 0; j < count; ++j) {
      double gradient = 0, curvature = 1e-12;
      for (std::size_t i = 0; i < rows.size(); ++i) {
        gradient += weights[i] * rows[i][j] * residual[i];
        curvature += weights[i] * rows[i][j] * rows[i][j];
      }
      const double next = std::max(0.0, c[j] + gradient / curvature);
      for (std::size_t i = 0; i < rows.size(); ++i) residual[i] -= (next - c[j]) * rows[i][j];
      c[j] = next;
    }
  }
  return c;
}

double rounded(double value) { return std::round(value * 1000) / 1000; }

std::string fit_form(const std::string& form, const std::vector<Row>& rows) {
  std::map<std::string, std::size_t> names;
  for (const Row& row : rows)
    for (const auto& [feature, amount] : row.features) names.emplace(feature, 0);
  std::size_t next = 0;
  for (auto& [feature, index] : names) index = next++;
  std::vector<std::vector<double>> matrix;
  std::vector<double> luts;
  double registers = 0, flip_flops = 0;
  for (const Row& row : rows) {
    std::vector<double> line(names.size(), 0);
    for (const auto& [feature, amount] : row.features) line[names[feature]] = amount;
    matrix.push_back(line);
    luts.push_back(row.luts);
    registers += row.registers;
    flip_flops += row.flip_flops;
  }
  const auto c = fit(matrix, luts);
  double total = 0, difference = 0, signed_difference = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    double predicted = 0;
    for (std::size_t j = 0; j < c.size(); ++j) predicted += c[j] * matrix[i][j];
    total += luts[i];
    difference += std::abs(predicted - luts[i]);
    signed_difference += predicted - luts[i];
  }
  std::cerr << form << ": " << rows.size() << " rows, mean "
            << total / static_cast<double>(rows.size()) << " LUTs, mean absolute error "
            << 100 * difference / std::max(1.0, total) << " %, bias "
            << 100 * signed_difference / std::max(1.0, total) << " %; flip-flops per register "
            << (registers > 0 ? flip_flops / registers : 1) << "\n";
  std::string text =
      concat("\n# ", rows.size(), " modules, mean absolute error ",
             std::round(1000 * difference / std::max(1.0, total)) / 10, " % of LUTs\n");
  for (const auto& [feature, index] : names)
    text += concat("[[cost]]\nform = \"", form, "\"\nfeature = \"", feature,
                   "\"\nluts = ", shortest(rounded(c[index])), "\n");
  return text + concat("[[cost]]\nform = \"", form, "\"\nfeature = \"registers\"\nflip_flops = ",
                       shortest(registers > 0 ? rounded(flip_flops / registers) : 1), "\n");
}

void fit_all(const std::string& path, const std::string& costs) {
  std::map<std::string, std::vector<Row>> by_form;
  std::size_t count = 0;
  for (const std::string& line : split(read_file(path), '\n')) {
    if (trim(line).empty()) continue;
    const Row row = row_of(line);
    by_form[row.form].push_back(row);
    ++count;
  }
  std::string text = concat(
      "# Look-up tables and flip-flops of the parts of dataflow circuits, by what they are made "
      "of.\n"
      "# Made by bench/fit_dataflow_area.cpp from ",
      count,
      " modules of generated networks.\n"
      "schema = \"tandem-costs/1\"\n"
      "source = \"learned: least squares over Yosys 0.23 synth_xilinx of generated modules\"\n");
  for (const auto& [form, rows] : by_form) text += fit_form(form, rows);
  write_file_atomic(costs, text);
}

int run(const std::vector<std::string>& arguments) {
  if (arguments.size() >= 2 && arguments[0] == "measure") {
    measure(arguments[1], arguments.size() > 2 ? std::stoi(arguments[2]) : 400,
            arguments.size() > 3 ? std::stoull(arguments[3]) : 1);
    return 0;
  }
  if (arguments.size() == 3 && arguments[0] == "fit") {
    fit_all(arguments[1], arguments[2]);
    return 0;
  }
  std::cerr << "usage: tandem_fit_dataflow_area measure ROWS.csv [COUNT [SEED]]\n"
               "       tandem_fit_dataflow_area fit ROWS.csv COSTS.toml\n";
  return 2;
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  try {
    tandem::register_operators();
    return tandem::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
