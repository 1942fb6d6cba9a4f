#include "tandem/emit/verilog_lane.h"

#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/emit/verilog_maps.h"
#include "tandem/emit/verilog_text.h"

namespace tandem::verilog {
namespace {

bool is_bipolar(Format format) { return format == Format::parse("bipolar"); }

// A wire among those that a lane adds up (or takes the greatest of).
struct Operand {
  std::string name;
  Bounds bounds;
};

// -------------------------------------------------------------------

// Products are made so that nothing but a constant per result is missing from their sum: where a
// negated factor -v stands as ~v, and where bipolar inputs select weights w as 2 w [x > 0], of
// which w is missing. The accumulator starts at that constant.
class LaneWriter {
 public:
  LaneWriter(std::string name, const ComputeStage& stage) : name_(std::move(name)), stage_(stage) {}

  std::string text() {
    add_operands();
    const int bits = accumulator_bits(stage_);
    const bool constant = has_start(stage_);
    std::string head =
        concat("module ", name_, " (\n  input  logic clk,\n  input  logic enable,\n");
    if (stage_.steps > 1) head += "  input  logic take,\n  input  logic first,\n";
    head += concat("  input  logic ", vector_of(stage_.simd * stage_.left.bits()), "x,\n");
    if (stage_.head == HeadKind::kDot)
      head += concat("  input  logic ", vector_of(stage_.simd * stage_.right.bits()), "w,\n");
    if (constant) head += concat("  input  logic ", vector_of(bits), "start,\n");
    if (stage_.head == HeadKind::kArgMax)
      head += concat("  input  logic ", vector_of(bits), "position,\n");
    head += concat("  output logic ", vector_of(stage_.result.bits()), "y\n);\n");
    const Operand sum = reduce_tree();
    return head + body_ + accumulate(sum, bits) + "endmodule\n\n";
  }

 private:
  // Every `lane` gives one or more operands.
  void add_operands() {
    for (std::int64_t lane = 0; lane < stage_.simd; ++lane) {
      const std::string x = part("x", lane, stage_.left.bits());
      const std::string w = part("w", lane, stage_.right.bits());
      if (stage_.head != HeadKind::kDot)
        add_value(concat("v", lane), value_of(stage_.left, x), stage_.left);
      else if (stage_.dsp || !stage_.weights)
        add_multiplied(lane, x, w);
      else
        add_product(lane, x, w);
    }
  }

  void declare(const std::string& name, Bounds bounds, const std::string& value) {
    body_ += concat("  wire ", signed_of(bounds.bits()), name, " = ", value, ";\n");
    operands_.push_back({name, bounds});
  }

  void add_value(const std::string& name, const std::string& value, Format format) {
    Bounds bounds = Bounds::of(format.integer_range());
    declare(name, bounds, value);
  }

  // A multiplier, of a DSP block where it is wide enough, with a register behind it.
  void add_multiplied(std::int64_t lane, const std::string& x, const std::string& w) {
    const Bounds bounds = join(
        Bounds::of(stage_.left.integer_range()) * Bounds::of(stage_.right.integer_range()), {0, 0});
    const std::string name = concat("p", lane);
    body_ += concat("  wire ", signed_of(value_bits(stage_.left)), "x", lane, " = ",
                    value_of(stage_.left, x), ";\n  wire ", signed_of(value_bits(stage_.right)),
                    "w", lane, " = ", value_of(stage_.right, w), ";\n  logic ",
                    signed_of(bounds.bits()), name, ";\n");
    std::string value = concat("x", lane, " * w", lane);
    if (!stage_.dsp) {
      // As logic: the wider factor is extended first so that it can be shifted in place.
      const bool by_right = value_bits(stage_.right) <= value_bits(stage_.left);
      body_ += concat("  wire ", signed_of(bounds.bits()), "m", lane, " = ", by_right ? "x" : "w",
                      lane, ";\n");
      value = shifted_product(concat("m", lane), concat(by_right ? "w" : "x", lane),
                              value_bits(by_right ? stage_.right : stage_.left), bounds.bits());
    }
    body_ += concat("  always_ff @(posedge clk) if (enable) ", name, " <= ", value, ";\n");
    operands_.push_back({name, bounds});
  }

  void add_product(std::int64_t lane, const std::string& x, const std::string& w) {
    const Format left = stage_.left, right = stage_.right;
    if (is_bipolar(left) && is_bipolar(right)) {
      // 2 [x = w] - 1.
      declare(concat("p", lane), {0, 1}, concat("$signed({1'b0, ~(", x, " ^ ", w, ")})"));
    } else if (is_bipolar(right)) {
      // v for +1; ~v = -v - 1 for -1.
      const int bits = value_bits(left);
      const Bounds range = Bounds::of(left.integer_range());
      declare(concat("p", lane), join(range, {-range.high - 1, -range.low - 1}),
              concat(value_of(left, x), " ^ $signed({", bits, "{~", w, "}})"));
    } else if (is_bipolar(left)) {
      // 2 w [x = +1] - w.
      const int bits = value_bits(right);
      const Bounds range = join(Bounds::of(right.integer_range()), {0, 0});
      declare(concat("p", lane), range,
              concat("$signed({", bits, "{", x, "}}) & ", value_of(right, w)));
    } else if (left.bits() + right.bits() <= kProductTableBits) {
      add_small_product(lane, x, w);
    } else {
      add_bit_products(lane, x, w);
    }
  }

  // A function of so few bits that each bit of the product is one look-up table.
  void add_small_product(std::int64_t lane, const std::string& x, const std::string& w) {
    const Bounds bounds = join(
        Bounds::of(stage_.left.integer_range()) * Bounds::of(stage_.right.integer_range()), {0, 0});
    if (body_.find("function") == std::string::npos) {
      const int bits = bounds.bits();
      body_ += concat("  function automatic ", vector_of(bits), "product(input ",
                      vector_of(stage_.left.bits()), "a, input ", vector_of(stage_.right.bits()),
                      "b);\n    case ({a, b})\n");
      for (std::uint64_t a = 0; a < std::uint64_t{1} << stage_.left.bits(); ++a) {
        for (std::uint64_t b = 0; b < std::uint64_t{1} << stage_.right.bits(); ++b) {
          const Int128 value = Int128{stage_.left.integer_of(a)} * stage_.right.integer_of(b);
          body_ += concat("      ",
                          literal(static_cast<Int128>(a << stage_.right.bits() | b),
                                  stage_.left.bits() + stage_.right.bits()),
                          ": product = ", literal(value, bits), ";\n");
        }
      }
      body_ +=
          concat("      default: product = ", literal(0, bits), ";\n    endcase\n  endfunction\n");
    }
    declare(concat("p", lane), bounds, concat("$signed(product(", x, ", ", w, "))"));
  }

  // One operand per bit of the narrower factor: the other one where the bit is set. The sign bit of
  // a signed factor takes away: ~v = -v - 1 stands for -v.
  void add_bit_products(std::int64_t lane, const std::string& x, const std::string& w) {
    const bool by_right = stage_.right.bits() <= stage_.left.bits();
    const Format bits_of = by_right ? stage_.right : stage_.left;
    const Format wide_of = by_right ? stage_.left : stage_.right;
    const std::string& wide = by_right ? x : w;
    const std::string factor = concat("f", lane), value = concat("v", lane);
    body_ +=
        concat("  wire ", vector_of(bits_of.bits()), factor, " = ", by_right ? w : x, ";\n  wire ",
               signed_of(value_bits(wide_of)), value, " = ", value_of(wide_of, wide), ";\n");
    const Bounds range = join(Bounds::of(wide_of.integer_range()), {0, 0});
    const int bits = value_bits(wide_of);
    for (int i = 0; i < bits_of.bits(); ++i) {
      const std::string name = concat("p", lane, "_", i);
      const bool takes_away = bits_of.is_signed() && i + 1 == bits_of.bits();
      const Bounds bounds = takes_away ? Bounds{-range.high - 1, -range.low - 1} : range;
      const std::string masked = concat("({", bits, "{", factor, "[", i, "]}} & ", value, ")");
      body_ += concat("  wire ", signed_of(bits), name, "_bits = ", takes_away ? "~" : "", masked,
                      ";\n");
      const Bounds scaled = bounds * Bounds{Int128{1} << i, Int128{1} << i};
      declare(name, scaled,
              i == 0 ? concat(name, "_bits") : concat("{", name, "_bits, ", i, "'d0}"));
    }
  }

  std::string combine(const std::string& a, const std::string& b) const {
    if (stage_.head == HeadKind::kGreatest) return concat(a, " > ", b, " ? ", a, " : ", b);
    return concat(a, " + ", b);
  }

  // Counts single bits six at a time before the adders: three look-up tables for six of them.
  void count_bits() {
    std::vector<Operand> bits, others;
    for (const Operand& operand : operands_)
      (operand.bounds.low == 0 && operand.bounds.high == 1 ? bits : others).push_back(operand);
    if (stage_.head == HeadKind::kGreatest || bits.size() < 3) return;
    operands_ = others;
    for (std::size_t at = 0; at < bits.size(); at += 6) {
      const std::size_t count = std::min<std::size_t>(6, bits.size() - at);
      std::string list;
      for (std::size_t i = 0; i < 6; ++i)
        list = concat(i < count ? bits[at + i].name + "[0]" : std::string("1'b0"),
                      i == 0 ? "" : ", ", list);
      const std::string name = concat("count", at / 6);
      body_ += concat("  wire [5:0] ", name, "_b = {", list, "};\n", "  wire ", name, "_s0 = ^",
                      name, "_b[2:0];\n  wire ", name, "_s1 = ^", name, "_b[5:3];\n  wire ", name,
                      "_c0 = (", name, "_b[0] & ", name, "_b[1]) | (", name, "_b[2] & (", name,
                      "_b[0] | ", name, "_b[1]));\n  wire ", name, "_c1 = (", name, "_b[3] & ",
                      name, "_b[4]) | (", name, "_b[5] & (", name, "_b[3] | ", name,
                      "_b[4]));\n  wire ", name, "_c2 = ", name, "_s0 & ", name, "_s1;\n");
      declare(name, {0, static_cast<Int128>(count)},
              concat("$signed({1'b0, (", name, "_c0 & ", name, "_c1) | (", name, "_c2 & (", name,
                     "_c0 | ", name, "_c1)), ", name, "_c0 ^ ", name, "_c1 ^ ", name, "_c2, ", name,
                     "_s0 ^ ", name, "_s1})"));
      // The count of few bits has fewer than three; the literal above is truncated to them.
    }
  }

  // Pairs of operands, level by level; after every kTreeLevelsPerRegister levels a register.
  Operand reduce_tree() {
    const std::int64_t expected =
        stage_.simd * (stage_.head == HeadKind::kDot ? product_operands(stage_) : 1);
    const int registers = tree_levels(expected) / kTreeLevelsPerRegister;
    count_bits();
    int level = 0, placed = 0;
    while (operands_.size() > 1 || placed < registers) {
      std::vector<Operand> next;
      for (std::size_t i = 0; i < operands_.size(); i += 2) {
        if (i + 1 == operands_.size()) {
          next.push_back(operands_[i]);
          continue;
        }
        const Operand &a = operands_[i], &b = operands_[i + 1];
        Operand sum{concat("t", level, "_", i / 2), a.bounds + b.bounds};
        if (stage_.head == HeadKind::kGreatest)
          sum.bounds = {std::max(a.bounds.low, b.bounds.low),
                        std::max(a.bounds.high, b.bounds.high)};
        body_ += concat("  wire ", signed_of(sum.bounds.bits()), sum.name, " = ",
                        combine(a.name, b.name), ";\n");
        next.push_back(sum);
      }
      operands_ = std::move(next);
      ++level;
      if (placed < registers && (level % kTreeLevelsPerRegister == 0 || operands_.size() == 1)) {
        add_registers(level);
        ++placed;
      }
    }
    return operands_.front();
  }

  void add_registers(int level) {
    for (Operand& operand : operands_) {
      const std::string name = concat("r", level, "_", operand.name);
      body_ +=
          concat("  logic ", signed_of(operand.bounds.bits()), name,
                 ";\n  always_ff @(posedge clk) if (enable) ", name, " <= ", operand.name, ";\n");
      operand.name = name;
    }
  }

  std::string accumulate(const Operand& sum, int bits) {
    switch (stage_.head) {
      case HeadKind::kArgMax: return accumulate_position(sum, bits);
      case HeadKind::kGreatest: return accumulate_greatest(sum);
      default: return accumulate_sum(sum, bits);
    }
  }

  // The factor that the sum of operands still lacks: 2 where operands are halves.
  bool doubled() const { return has_start(stage_) && is_bipolar(stage_.left); }

  std::string accumulate_sum(const Operand& sum, int bits) {
    const std::string start = has_start(stage_) ? "start" : literal(0, bits);
    std::string text =
        concat("  logic signed ", vector_of(bits), "sum;\n  wire signed ", vector_of(bits),
               "term = ", doubled() ? concat(sum.name, " <<< 1") : sum.name, ";\n");
    if (stage_.steps > 1) {
      text +=
          concat("  wire signed ", vector_of(bits), "so_far = first ? ", start,
                 " : sum;\n  always_ff @(posedge clk) if (enable & take) sum <= term + so_far;\n");
    } else {
      text +=
          concat("  always_ff @(posedge clk) if (enable) sum <= $signed(", start, ") + term;\n");
    }
    return text + concat("  assign y = ", code_of(stage_.result, "sum"), ";\n");
  }

  std::string accumulate_greatest(const Operand& sum) {
    const int bits = std::max(sum.bounds.bits(), value_bits(stage_.result));
    std::string text = concat("  logic ", signed_of(bits), "best;\n  wire ", signed_of(bits),
                              "candidate = ", sum.name, ";\n  always_ff @(posedge clk) if (enable");
    text += stage_.steps > 1 ? " & take & (first | candidate > best)" : "";
    return text +
           concat(") best <= candidate;\n  assign y = ", code_of(stage_.result, "best"), ";\n");
  }

  std::string accumulate_position(const Operand& sum, int bits) {
    if (stage_.steps == 1)
      return concat("  always_ff @(posedge clk) if (enable) y <= ", literal(0, bits), ";\n");
    return concat("  logic ", signed_of(sum.bounds.bits()), "best;\n  wire better = first | ",
                  sum.name, stage_.select_last ? " >= " : " > ", "best;\n",
                  "  always_ff @(posedge clk) if (enable & take & better) begin\n    best <= ",
                  sum.name, ";\n    y <= position;\n  end\n");
  }

  std::string name_;
  const ComputeStage& stage_;
  std::string body_;
  std::vector<Operand> operands_;
};

}  // namespace

bool has_start(const ComputeStage& stage) {
  return stage.head == HeadKind::kDot && stage.weights.has_value() && !stage.dsp;
}

int accumulator_bits(const ComputeStage& stage) {
  return is_bipolar(stage.result) ? 2 : stage.result.bits();
}

// The constant that the operands of one result lack, for the weights of that result.
Int128 start_of(const ComputeStage& stage, const std::vector<std::int64_t>& weights) {
  const Format left = stage.left, right = stage.right;
  Int128 start = 0;
  for (const std::int64_t weight : weights) {
    if (is_bipolar(left)) {
      start += is_bipolar(right) ? -1 : -weight;
    } else if (is_bipolar(right)) {
      start += weight < 0 ? 1 : 0;
    } else if (left.bits() + right.bits() > kProductTableBits) {
      const Format bits_of = right.bits() <= left.bits() ? right : left;
      if (bits_of.is_signed()) start += Int128{1} << (bits_of.bits() - 1);
    }
  }
  return start;
}

std::string lane_module(const std::string& name, const ComputeStage& stage) {
  return LaneWriter(name, stage).text();
}

}  // namespace tandem::verilog
