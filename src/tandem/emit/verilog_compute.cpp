#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/emit/verilog_lane.h"
#include "tandem/emit/verilog_maps.h"
#include "tandem/emit/verilog_memory.h"
#include "tandem/emit/verilog_stages.h"
#include "tandem/emit/verilog_text.h"

namespace tandem::verilog {
namespace {

// ------------------------------------------------------------------------------------

class ComputeWriter {
 public:
  ComputeWriter(const std::string& name, const Pipeline& pipeline, const Stage& stage,
                const ComputeStage& compute)
      : name_(name),
        pipeline_(pipeline),
        stage_(stage),
        compute_(compute),
        depth_(pipeline_depth(compute)) {}

  std::string text() {
    write_control();
    if (reduces(compute_.head))
      write_reduction();
    else if (compute_.head != HeadKind::kMaps)
      write_pairs();
    else
      lanes_ = "in0_data";
    int at = head_depth(compute_);
    for (std::size_t i = 0; i < compute_.maps.size(); ++i) {
      write_map(i, at);
      at += map_depth(compute_.maps[i]);
    }
    body_ += concat("  assign out0_data = ", lanes_, ";\n");
    return modules_ + ports() + body_ + "endmodule\n\n";
  }

 private:
  std::string ports() const {
    std::string text = concat("module ", name_, " (\n  input  logic clk,\n  input  logic rst,\n");
    for (std::size_t i = 0; i < stage_.inputs.size(); ++i) {
      const Stream& in = pipeline_.streams[stage_.inputs[i]];
      text += input_ports(concat("in", i), in.read_lanes() * in.format.bits());
    }
    return text + output_ports("out0", pipeline_.streams[stage_.outputs[0]].bits()) + "\n);\n";
  }

  // valid[i] says that register i holds a result; all registers move together.
  void write_control() {
    const bool two = stage_.inputs.size() == 2;
    body_ += concat("  wire ", vector_of(depth_ + 1), "valid;\n");
    body_ += depth_ == 0 ? std::string("  wire enable = out0_ready;\n")
                         : concat("  wire enable = out0_ready | ~valid[", depth_, "];\n");
    body_ += concat("  wire present = in0_valid", two ? " & in1_valid" : "",
                    ";\n  assign in0_ready = enable", two ? " & in1_valid" : "", ";\n");
    if (two) body_ += "  assign in1_ready = enable & in0_valid;\n";
    body_ += concat("  assign out0_valid = valid[", depth_, "];\n");
    if (!reduces(compute_.head)) write_valid(0, "present");
  }

  // Registers valid[from + 1 .. depth], fed by `first`, which is valid[from].
  void write_valid(int from, const std::string& first) {
    body_ += concat("  assign valid[", from, "] = ", first, ";\n");
    if (from == depth_) return;
    const int count = depth_ - from;
    body_ +=
        concat("  logic ", vector_of(count), "held;\n  assign valid[", depth_, ":", from + 1,
               "] = held;\n  always_ff @(posedge clk)\n    if (rst) held <= ", literal(0, count),
               ";\n    else if (enable) held <= ",
               count == 1 ? concat("valid[", from, "]")
                          : concat("{held[", count - 2, ":0], valid[", from, "]}"),
               ";\n");
  }

  void write_pairs() {
    const Format left = compute_.left, right = compute_.right, result = compute_.result;
    const int bits = std::max({value_bits(left), value_bits(right), value_bits(result)});
    std::string operation;
    switch (compute_.head) {
      case HeadKind::kAdd: operation = "left + right"; break;
      case HeadKind::kSubtract: operation = "left - right"; break;
      case HeadKind::kMax: operation = "left > right ? left : right"; break;
      case HeadKind::kMin: operation = "left < right ? left : right"; break;
      case HeadKind::kMultiply: operation = "product"; break;
      default: throw InternalError("no head of two streams");
    }
    const std::int64_t out_bits = compute_.pe * result.bits();
    body_ += concat("  logic ", vector_of(out_bits), "head;\n  for (genvar i = 0; i < ",
                    compute_.pe, "; i = i + 1) begin : pair\n    wire ", signed_of(bits),
                    "left = ", value_of(left, part("in0_data", "i", left.bits())), ";\n    wire ",
                    signed_of(bits),
                    "right = ", value_of(right, part("in1_data", "i", right.bits())), ";\n");
    if (compute_.head == HeadKind::kMultiply) write_product(bits);
    body_ +=
        concat("    wire ", signed_of(bits), "result = ", operation,
               ";\n    always_ff @(posedge clk) if (enable) ", part("head", "i", result.bits()),
               " <= ", code_of(result, "result"), ";\n  end\n");
    lanes_ = "head";
  }

  void write_product(int bits) {
    const int left_bits = value_bits(compute_.left), right_bits = value_bits(compute_.right);
    const bool by_right = right_bits <= left_bits;
    body_ += concat("    logic ", signed_of(bits),
                    "product;\n    always_ff @(posedge clk) if (enable) "
                    "product <= ",
                    compute_.dsp
                        ? concat("$signed(left[", left_bits - 1, ":0]) * $signed(right[",
                                 right_bits - 1, ":0])")
                        : shifted_product(by_right ? "left" : "right", by_right ? "right" : "left",
                                          std::min(left_bits, right_bits), bits),
                    ";\n");
  }

  void write_reduction() {
    modules_ += lane_module(lane_name(), compute_);
    const int tree = head_depth(compute_) - 1;
    write_steps(tree);
    if (compute_.weights) write_weights();
    if (has_start(compute_)) write_starts(accumulator_bits(compute_));
    write_lanes(accumulator_bits(compute_));
    write_valid(tree + 1, "done");
    body_ += concat("  assign valid[", tree, ":0] = ", literal(0, tree + 1), ";\n");
  }

  std::string lane_name() const { return name_ + "_lane"; }

  // take, first and last accompany the operands to the accumulator; `done` says that it holds a
  // result.
  void write_steps(int tree) {
    const std::int64_t steps = compute_.steps;
    if (steps > 1) {
      const int bits = counter_bits(steps - 1);
      body_ +=
          concat("  logic ", vector_of(bits), "step;\n  wire first_0 = step == ", literal(0, bits),
                 ";\n  wire last_0 = step == ", literal(steps - 1, bits),
                 ";\n  always_ff @(posedge clk)\n    if (rst) step <= ", literal(0, bits),
                 ";\n    else if (enable & present) step <= last_0 ? ", literal(0, bits),
                 " : step + ", literal(1, bits), ";\n");
      if (compute_.head == HeadKind::kArgMax) {
        body_ += concat("  wire ", vector_of(compute_.result.bits()), "position = ");
        body_ += bits >= compute_.result.bits()
                     ? concat("step[", compute_.result.bits() - 1, ":0];\n")
                     : concat("{{", compute_.result.bits() - bits, "{1'b0}}, step};\n");
      }
    } else if (compute_.head == HeadKind::kArgMax) {
      body_ += concat("  wire ", vector_of(compute_.result.bits()),
                      "position = ", literal(0, compute_.result.bits()), ";\n");
    }
    body_ += "  wire take_0 = present;\n";
    for (int i = 1; i <= tree; ++i) {
      const auto delay = [&](const std::string& flag) {
        body_ += concat("  logic ", flag, "_", i, ";\n  always_ff @(posedge clk)\n    if (rst) ",
                        flag, "_", i, " <= 1'b0;\n    else if (enable) ", flag, "_", i,
                        " <= ", flag, "_", i - 1, ";\n");
      };
      delay("take");
      if (steps > 1) {
        delay("first");
        delay("last");
      }
    }
    body_ += concat("  wire finishes = take_", tree,
                    steps > 1 ? concat(" & last_", tree) : std::string(),
                    ";\n  logic done;\n  always_ff @(posedge clk)\n    if (rst) done <= 1'b0;\n"
                    "    else if (enable) done <= finishes;\n");
  }

  std::int64_t weights_per_word() const {
    return compute_.shared_weights ? compute_.simd : compute_.pe * compute_.simd;
  }

  void write_weights() {
    const Weights& weights = *compute_.weights;
    const auto per_word = static_cast<std::size_t>(weights_per_word());
    Rom rom;
    rom.name = name_ + "_weights";
    rom.block = weights.block;
    rom.blocks = weights.blocks;
    rom.repeats = weights.repeats;
    rom.block_ram = weights.block_ram;
    for (std::size_t at = 0; at < weights.integers.size(); at += per_word) {
      Word word;
      for (std::size_t i = at; i < at + per_word; ++i)
        word.append(static_cast<Int128>(weights.format.code_of(weights.integers[i])),
                    weights.format.bits());
      rom.words.push_back(std::move(word));
    }
    if (rom.words.size() == 1) rom.block = rom.blocks = rom.repeats = 1;
    add_rom(rom, "weights", "enable & present");
  }

  void add_rom(const Rom& rom, const std::string& instance, const std::string& next) {
    modules_ += rom_module(rom);
    body_ += concat("  wire ", vector_of(rom.words.front().bits()), instance, "_word;\n  ",
                    rom.name, " ", instance, " (.clk(clk), .rst(rst), .next(", next, "), .word(",
                    instance, "_word));\n");
  }

  // One constant per result and lane, in the order of the results.
  void write_starts(int bits) {
    const Weights& weights = *compute_.weights;
    const std::int64_t words = weights.block * weights.blocks;
    const std::int64_t results = words / compute_.steps, simd = compute_.simd;
    const std::int64_t lanes = compute_.shared_weights ? 1 : compute_.pe;
    std::vector<Word> starts(static_cast<std::size_t>(results));
    bool all_equal = true;
    for (std::int64_t result = 0; result < results; ++result) {
      for (std::int64_t lane = 0; lane < compute_.pe; ++lane) {
        std::vector<std::int64_t> used;
        for (std::int64_t step = 0; step < compute_.steps; ++step) {
          for (std::int64_t i = 0; i < simd; ++i) {
            const std::int64_t at =
                ((result * compute_.steps + step) * lanes + (lanes == 1 ? 0 : lane)) * simd + i;
            used.push_back(weights.integers[static_cast<std::size_t>(at)]);
          }
        }
        starts[static_cast<std::size_t>(result)].append(start_of(compute_, used), bits);
      }
      all_equal =
          all_equal && starts[static_cast<std::size_t>(result)].literal() == starts[0].literal();
    }
    Rom rom = Rom::plain(name_ + "_starts", all_equal ? std::vector<Word>{starts[0]} : starts);
    if (!all_equal && weights.repeats > 1) {
      rom.block = weights.block / compute_.steps;
      rom.blocks = weights.blocks;
      rom.repeats = weights.repeats;
    }
    add_rom(rom, "starts", "enable & finishes");
  }

  void write_lanes(int bits) {
    const std::int64_t x_bits = compute_.simd * compute_.left.bits();
    const std::int64_t w_bits = compute_.simd * compute_.right.bits();
    const int tree = head_depth(compute_) - 1;
    std::string ports = ".clk(clk), .enable(enable)";
    if (compute_.steps > 1) ports += concat(", .take(take_", tree, "), .first(first_", tree, ")");
    ports +=
        concat(", .x(", compute_.shared_operands ? "in0_data" : part("in0_data", "i", x_bits), ")");
    if (compute_.head == HeadKind::kDot) {
      const std::string source = compute_.weights ? "weights_word" : "in1_data";
      ports += concat(", .w(", compute_.shared_weights ? source : part(source, "i", w_bits), ")");
    }
    if (has_start(compute_)) ports += concat(", .start(", part("starts_word", "i", bits), ")");
    if (compute_.head == HeadKind::kArgMax) ports += ", .position(position)";
    ports += concat(", .y(", part("head", "i", compute_.result.bits()), ")");
    body_ +=
        concat("  wire ", vector_of(compute_.pe * compute_.result.bits()),
               "head;\n  for (genvar i = 0; i < ", compute_.pe, "; i = i + 1) begin : lane\n    ",
               lane_name(), " unit (", ports, ");\n  end\n");
    lanes_ = "head";
  }

  void write_map(std::size_t index, int at) {
    const MapOp& map = compute_.maps[index];
    const std::string module = concat(name_, "_map", index), result = concat("mapped", index);
    modules_ += map_module(module, map);
    const std::int64_t constants = constant_bits(map);
    std::string constant_port;
    if (constants > 0) {
      const std::string instance = concat("constants", index);
      add_rom(Rom::plain(concat(module, "_constants"), constant_words(map, compute_.pe)), instance,
              concat("enable & valid[", at, "]"));
      constant_port = concat(", .c(", part(instance + "_word", "i", constants), ")");
    }
    body_ += concat("  wire ", vector_of(compute_.pe * map.out.bits()), result,
                    ";\n  for (genvar i = 0; i < ", compute_.pe, "; i = i + 1) begin : map", index,
                    "\n    ", module, " unit (.clk(clk), .enable(enable), .x(",
                    part(lanes_, "i", map.in.bits()), ")", constant_port, ", .y(",
                    part(result, "i", map.out.bits()), "));\n  end\n");
    lanes_ = result;
  }

  const std::string& name_;
  const Pipeline& pipeline_;
  const Stage& stage_;
  const ComputeStage& compute_;
  int depth_;
  std::string modules_, body_, lanes_;
};

}  // namespace

std::string compute_module(const std::string& name, const Pipeline& pipeline, const Stage& stage,
                           const ComputeStage& compute) {
  return ComputeWriter(name, pipeline, stage, compute).text();
}

}  // namespace tandem::verilog
