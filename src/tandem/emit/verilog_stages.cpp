#include "tandem/emit/verilog_stages.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/emit/verilog_maps.h"
#include "tandem/emit/verilog_memory.h"
#include "tandem/emit/verilog_text.h"

namespace tandem::verilog {
namespace {

std::string head(const std::string& name) {
  return concat("module ", name, " (\n  input  logic clk,\n  input  logic rst,\n");
}

std::string constant_module(const std::string& name, const ConstantStage& stage,
                            const Stream& output) {
  std::vector<Word> words(static_cast<std::size_t>(output.beats));
  for (std::size_t i = 0; i < stage.integers.size(); ++i) {
    words[i / static_cast<std::size_t>(output.lanes)].append(
        static_cast<Int128>(output.format.code_of(stage.integers[i])), output.format.bits());
  }
  const std::string rom = name + "_words";
  return rom_module(Rom::plain(rom, words)) + head(name) + output_ports("out0", output.bits()) +
         concat("\n);\n  ", rom,
                " words (.clk(clk), .rst(rst), .next(out0_ready), "
                ".word(out0_data));\n  assign out0_valid = 1'b1;\nendmodule\n\n");
}

std::string fork_module(const std::string& name, std::int64_t bits, std::size_t outputs) {
  std::string text = head(name) + input_ports("in0", bits), ready;
  for (std::size_t i = 0; i < outputs; ++i) {
    text += output_ports(concat("out", i), bits) + (i + 1 < outputs ? ",\n" : "\n);\n");
    ready += concat(i == 0 ? "" : " & ", "out", i, "_ready");
  }
  text += concat("  assign in0_ready = ", ready, ";\n");
  for (std::size_t i = 0; i < outputs; ++i)
    text += concat("  assign out", i, "_data = in0_data;\n  assign out", i,
                   "_valid = in0_valid & in0_ready;\n");
  return text + "endmodule\n\n";
}

// Beats shift through `held`, so that the oldest ends in the lowest lanes.
std::string pack_module(const std::string& name, std::int64_t bits, std::int64_t ratio) {
  const int index_bits = counter_bits(ratio - 1);
  const std::int64_t held = bits * (ratio - 1);
  const std::string next =
      ratio == 2 ? "in0_data" : concat("{in0_data, held[", held - 1, ":", bits, "]}");
  return head(name) + input_ports("in0", bits) + output_ports("out0", bits * ratio) +
         concat("\n);\n  logic ", vector_of(held), "held;\n  logic ", vector_of(index_bits),
                "index;\n  wire last = index == ", literal(ratio - 1, index_bits),
                ";\n  assign in0_ready = out0_ready | ~last;\n"
                "  assign out0_valid = in0_valid & last;\n  assign out0_data = {in0_data, held};\n"
                "  wire take = in0_valid & in0_ready;\n  always_ff @(posedge clk) begin\n"
                "    if (rst) index <= ",
                literal(0, index_bits), ";\n    else if (take) index <= last ? ",
                literal(0, index_bits), " : index + ", literal(1, index_bits),
                ";\n    if (take) held <= ", next, ";\n  end\nendmodule\n\n");
}

std::string concat_module(const std::string& name, std::int64_t bits, const ConcatStage& stage) {
  const std::size_t count = stage.run.size();
  const std::int64_t longest = *std::max_element(stage.run.begin(), stage.run.end());
  const int input_bits = counter_bits(static_cast<std::int64_t>(count) - 1);
  const int run_bits = counter_bits(longest - 1);
  std::string text = head(name);
  for (std::size_t i = 0; i < count; ++i) text += input_ports(concat("in", i), bits);
  text +=
      output_ports("out0", bits) + concat("\n);\n  logic ", vector_of(input_bits),
                                          "input_at;\n  logic ", vector_of(run_bits), "run_at;\n");
  std::string data, valid, last;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string chosen =
        i + 1 == count ? std::string()
                       : concat("input_at == ", literal(static_cast<Int128>(i), input_bits), " ? ");
    const std::string separator = i + 1 == count ? "" : " : ";
    data += concat(chosen, "in", i, "_data", separator);
    valid += concat(chosen, "in", i, "_valid", separator);
    last += concat(chosen, literal(stage.run[i] - 1, run_bits), separator);
    text += concat("  assign in", i, "_ready = out0_ready & (input_at == ",
                   literal(static_cast<Int128>(i), input_bits), ");\n");
  }
  return text +
         concat("  assign out0_data = ", data, ";\n  assign out0_valid = ", valid,
                ";\n  wire last = run_at == (", last,
                ");\n  always_ff @(posedge clk)\n    if (rst) begin\n      input_at <= ",
                literal(0, input_bits), ";\n      run_at <= ", literal(0, run_bits),
                ";\n    end else if (out0_valid & out0_ready) begin\n      run_at <= last ? ",
                literal(0, run_bits), " : run_at + ", literal(1, run_bits),
                ";\n      if (last) input_at <= input_at == ",
                literal(static_cast<Int128>(count) - 1, input_bits), " ? ", literal(0, input_bits),
                " : input_at + ", literal(1, input_bits), ";\n    end\nendmodule\n\n");
}

// Whether the quotient's magnitude goes up, for each rounding; wires rest (a remainder is left),
// more and tie (it is more than, or exactly, half the divisor), odd and negative.
std::string magnitude_up(Rounding rounding) {
  switch (rounding) {
    case Rounding::kFloor: return "negative & rest";
    case Rounding::kTowardZero: return "1'b0";
    case Rounding::kHalfUp: return "more | (tie & ~negative)";
    case Rounding::kHalfTowardZero: return "more";
    case Rounding::kHalfDown: return "more | (tie & negative)";
    case Rounding::kHalfAwayFromZero: return "more | tie";
    case Rounding::kHalfEven: return "more | (tie & quotient[0])";
    case Rounding::kCeiling: return "~negative & rest";
    case Rounding::kAwayFromZero: return "rest";
  }
  throw InternalError("unknown rounding");
}

struct StageText {
  const std::string& name;
  const Pipeline& pipeline;
  const Stage& stage;

  const Stream& in(std::size_t i) const { return pipeline.streams[stage.inputs[i]]; }
  const Stream& out(std::size_t i) const { return pipeline.streams[stage.outputs[i]]; }
  std::int64_t in_bits(std::size_t i) const { return in(i).read_lanes() * in(i).format.bits(); }

  std::string operator()(const SourceStage&) const { return ""; }
  std::string operator()(const SinkStage&) const { return ""; }
  std::string operator()(const DropStage&) const {
    std::string ports = input_ports("in0", in_bits(0));
    ports.resize(ports.size() - 2);
    return head(name) + ports + "\n);\n  assign in0_ready = 1'b1;\nendmodule\n\n";
  }
  std::string operator()(const ConstantStage& s) const { return constant_module(name, s, out(0)); }
  std::string operator()(const ForkStage&) const {
    return fork_module(name, in_bits(0), stage.outputs.size());
  }
  std::string operator()(const PackStage& s) const {
    return pack_module(name, in_bits(0), s.ratio);
  }
  std::string operator()(const ConcatStage& s) const {
    return concat_module(name, out(0).bits(), s);
  }
  std::string operator()(const MoveStage& s) const {
    return move_module(name, s, in(0).format, out(0));
  }
  std::string operator()(const ComputeStage& s) const {
    return compute_module(name, pipeline, stage, s);
  }
  std::string operator()(const DivideStage& s) const { return divide_module(name, s); }
  std::string operator()(const SquareRootStage& s) const { return square_root_module(name, s); }
};

}  // namespace

namespace {

// Takes a beat when idle, works on one digit in each of `digits` cycles, then offers the result.
std::string digit_counter(int digits, std::size_t inputs) {
  const int bits = counter_bits(digits + 1);
  std::string valid, ready;
  for (std::size_t i = 0; i < inputs; ++i) {
    valid += concat(" & in", i, "_valid");
    ready += concat("  assign in", i, "_ready = take;\n");
  }
  return concat(
      "  logic ", vector_of(bits), "count;\n  wire idle = count == ", literal(0, bits),
      ";\n  wire done = count == ", literal(1, bits), ";\n  wire take = idle", valid, ";\n", ready,
      "  assign out0_valid = done;\n  always_ff @(posedge clk)\n    if (rst) count <= ",
      literal(0, bits), ";\n    else if (take) count <= ", literal(digits + 1, bits),
      ";\n    else if (~idle & (~done | out0_ready)) count <= count - ", literal(1, bits), ";\n");
}

}  // namespace

std::string square_root_module(const std::string& name, const SquareRootStage& stage) {
  const int bits = stage.bits, given = stage.operand.bits();
  const int result_bits = std::max(bits + 1, value_bits(stage.result));
  std::string text = head(name) + input_ports("in0", stage.lanes * given) +
                     output_ports("out0", stage.lanes * stage.result.bits()) + "\n);\n" +
                     digit_counter(bits, 1);
  text +=
      concat("  for (genvar i = 0; i < ", stage.lanes, "; i = i + 1) begin : lane\n    logic ",
             vector_of(2 * bits), "digits;\n    logic ", vector_of(bits + 2), "rest;\n    logic ",
             vector_of(bits), "root;\n    wire ", vector_of(bits + 4), "shifted = {rest, digits[",
             2 * bits - 1, ":", 2 * bits - 2, "]};\n    wire ", vector_of(bits + 4), "trial = {",
             literal(0, 2), ", root, 2'b01};\n    wire fits = shifted >= trial;\n    wire ",
             vector_of(bits + 4), "left_over = fits ? shifted - trial : shifted;\n");
  text +=
      concat("    always_ff @(posedge clk)\n      if (take) begin\n        digits <= {",
             given < 2 * bits ? "1'b0, " : "", part("in0_data", "i", given),
             "};\n        rest <= ", literal(0, bits + 2), ";\n        root <= ", literal(0, bits),
             ";\n      end else if (~idle & ~done) begin\n"
             "        digits <= digits << 2;\n        rest <= left_over[",
             bits + 1, ":0];\n        root <= {",
             bits > 1 ? concat("root[", bits - 2, ":0], ") : std::string(), "fits};\n      end\n");
  return text + concat("    wire ", signed_of(result_bits), "result = {",
                       literal(0, result_bits - bits), ", root};\n    assign ",
                       part("out0_data", "i", stage.result.bits()), " = ",
                       code_of(stage.result, "result"), ";\n  end\nendmodule\n\n");
}

std::string divide_module(const std::string& name, const DivideStage& stage) {
  const int a_bits = value_bits(stage.left), b_bits = value_bits(stage.right);
  const int bits = stage.bits;
  const int result_bits = std::max(bits + 2, value_bits(stage.result));
  std::string text = head(name) + input_ports("in0", stage.lanes * stage.left.bits()) +
                     input_ports("in1", stage.lanes * stage.right.bits()) +
                     output_ports("out0", stage.lanes * stage.result.bits()) + "\n);\n" +
                     digit_counter(bits, 2);
  text += concat(
      "  for (genvar i = 0; i < ", stage.lanes, "; i = i + 1) begin : lane\n    wire ",
      signed_of(a_bits), "a = ", value_of(stage.left, part("in0_data", "i", stage.left.bits())),
      ";\n    wire ", signed_of(b_bits),
      "b = ", value_of(stage.right, part("in1_data", "i", stage.right.bits())), ";\n    logic ",
      vector_of(bits), "quotient;\n    logic ", vector_of(b_bits),
      "divisor, left_over;\n    logic negative, by_zero;\n    wire ", vector_of(b_bits + 1),
      "shifted = {left_over, quotient[", bits - 1,
      "]};\n    wire fits = shifted >= {1'b0, divisor};\n"
      "    wire ",
      vector_of(b_bits + 1),
      "less = shifted - {1'b0, divisor};\n"
      "    wire ",
      vector_of(a_bits), "a_size = a[", a_bits - 1,
      "] ? -a : a;\n"
      "    always_ff @(posedge clk)\n      if (take) begin\n        quotient <= a_size[",
      bits - 1, ":0];\n        divisor <= b[", b_bits - 1,
      "] ? -b : b;\n        left_over <= ", literal(0, b_bits), ";\n        negative <= a[",
      a_bits - 1, "] ^ b[", b_bits - 1, "];\n        by_zero <= b == ", literal(0, b_bits),
      ";\n      end else if (~idle & ~done) begin\n        quotient <= {quotient[", bits - 1,
      ":0], fits};\n        left_over <= fits ? less[", b_bits - 1, ":0] : shifted[", b_bits - 1,
      ":0];\n      end\n");
  text += concat("    wire rest = left_over != ", literal(0, b_bits),
                 ";\n    wire more = {left_over, 1'b0} > {1'b0, divisor};\n"
                 "    wire tie = {left_over, 1'b0} == {1'b0, divisor};\n    wire up = ",
                 magnitude_up(stage.rounding), ";\n    wire ", vector_of(result_bits), "size = {",
                 literal(0, result_bits - bits), ", quotient} + {", literal(0, result_bits - 1),
                 ", up};\n    wire ", signed_of(result_bits), "result = by_zero ? ",
                 literal(0, result_bits), " : negative ? -size : size;\n    assign ",
                 part("out0_data", "i", stage.result.bits()), " = ",
                 code_of(stage.result, "result"), ";\n  end\nendmodule\n\n");
  return text;
}

std::string stage_module(const std::string& name, const Pipeline& pipeline, const Stage& stage) {
  return std::visit(StageText{name, pipeline, stage}, stage.body);
}

}  // namespace tandem::verilog
