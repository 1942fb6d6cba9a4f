#include <algorithm>
#include <bit>
#include <functional>

#include "tandem/base/error.h"
#include "tandem/emit/verilog_stages.h"
#include "tandem/emit/verilog_text.h"

namespace tandem::verilog {
namespace {

// Something that every loop of a nest adds to as it goes: an address or a coordinate.
struct Track {
  std::string name;
  std::int64_t start = 0;
  std::vector<NestLoop> loops;
};

class MoveWriter {
 public:
  MoveWriter(const std::string& name, const MoveStage& stage, Format stored, const Stream& output)
      : name_(name),
        stage_(stage),
        nest_(stage.nest),
        release_(release_rule(stage.nest)),
        stored_(stored),
        output_(output) {}

  std::string text() {
    const std::int64_t word = output_.lanes * stored_.bits();
    std::string head =
        concat("module ", name_, " (\n  input  logic clk,\n  input  logic rst,\n",
               input_ports("in0", word), output_ports("out0", output_.bits()), "\n);\n");
    declare_store(word);
    write_loops();
    write_track({"address", nest_.base, nest_.loops}, address_range(), 0);
    write_physical_address();
    write_bounds();
    write_release();
    write_lead();
    write_output(word);
    return head + body_ + "endmodule\n\n";
  }

 private:
  std::size_t loop_count() const { return nest_.loops.size(); }

  Bounds address_range() const {
    Bounds range{nest_.base, nest_.base};
    for (const NestLoop& loop : nest_.loops) {
      std::int64_t most = 0;
      for (std::int64_t i = 0; i < loop.count;
           i += loop.table.empty() ? std::max<std::int64_t>(1, loop.count - 1) : 1)
        most = std::max(most, loop.at(i));
      range = range + Bounds{loop.least(), most};
    }
    return range;
  }

  void declare_store(std::int64_t word) {
    const char* style = stage_.block_ram ? "block" : "distributed";
    if (stage_.depth > 1)
      body_ += concat("  (* ram_style = \"", style, "\" *)\n  logic ", vector_of(word),
                      "store [0:", stage_.depth - 1, "];\n");
    else
      body_ += concat("  logic ", vector_of(word), "store;\n");
    body_ += "  wire read, write;\n";
  }

  // Loop l advances or restarts when carry_<l + 1> is high; carry_0 ends the frame.
  void write_loops() {
    body_ += concat("  wire carry_", loop_count(), " = read;\n");
    for (std::size_t l = loop_count(); l-- > 0;) {
      const std::int64_t last = nest_.loops[l].count - 1;
      const int bits = counter_bits(last);
      body_ += concat("  logic ", vector_of(bits), "index_", l, ";\n  wire end_", l, " = index_", l,
                      " == ", literal(last, bits), ";\n  wire carry_", l, " = carry_", l + 1,
                      " & end_", l, ";\n  always_ff @(posedge clk)\n    if (rst) index_", l,
                      " <= ", literal(0, bits), ";\n    else if (carry_", l + 1, ") index_", l,
                      " <= end_", l, " ? ", literal(0, bits), " : index_", l, " + ",
                      literal(1, bits), ";\n");
    }
  }

  // What the sum of the first `loops` contributions changes by when loop l advances: a constant, or
  // a table by its index. `adjust` is applied to every change.
  std::string step_text(const std::vector<NestLoop>& loops, std::size_t l, std::size_t count,
                        int bits, const std::function<std::int64_t(std::int64_t)>& adjust,
                        const std::string& label) {
    std::int64_t back = 0;
    for (std::size_t inner = l + 1; inner < count; ++inner) back += loops[inner].last();
    if (loops[l].table.empty()) return literal(adjust(loops[l].stride - back), bits);
    std::string function = concat("step_", label, "_", l);
    const int index_bits = counter_bits(loops[l].count - 1);
    body_ += concat("  function automatic ", vector_of(bits), function, "(input ",
                    vector_of(index_bits), "at);\n    case (at)\n");
    for (std::int64_t i = 0; i + 1 < loops[l].count; ++i) {
      body_ += concat("      ", literal(i, index_bits), ": ", function, " = ",
                      literal(adjust(loops[l].at(i + 1) - loops[l].at(i) - back), bits), ";\n");
    }
    body_ += concat("      default: ", function, " = ", literal(0, bits),
                    ";\n    endcase\n  endfunction\n");
    return concat(function, "(index_", l, ")");
  }

  // The change of a track in this cycle, among the loops before `count`; `at_end` at the frame's
  // end.
  std::string change_text(const std::vector<NestLoop>& loops, std::size_t count, int bits,
                          const std::function<std::int64_t(std::int64_t)>& adjust,
                          const std::string& label, std::int64_t at_end) {
    std::string text;
    for (std::size_t l = count; l-- > 0;)
      text += concat("~end_", l, " ? ", step_text(loops, l, count, bits, adjust, label), " : ");
    return text + literal(at_end, bits);
  }

  // A signed register that follows the first `count` loops (all where 0).
  void write_track(const Track& track, Bounds range, std::size_t count) {
    const bool all = count == 0;
    if (all) count = loop_count();
    const int bits = (range + Bounds{-1, 1}).bits();
    std::int64_t total = 0;
    for (std::size_t l = 0; l < count; ++l) total += track.loops[l].last();
    const auto same = [](std::int64_t change) { return change; };
    const std::string change = change_text(track.loops, count, bits, same, track.name, -total);
    body_ += concat("  logic ", signed_of(bits), track.name, ";\n  always_ff @(posedge clk)\n",
                    "    if (rst) ", track.name, " <= ", literal(track.start, bits),
                    ";\n    else if (carry_", count, ") ", track.name, " <= ", track.name, " + (",
                    change, ");\n");
  }

  std::int64_t modulo(std::int64_t value) const {
    return ((value % stage_.depth) + stage_.depth) % stage_.depth;
  }

  // Where in the circular store the address of this frame lies, and where the next word goes.
  void write_physical_address() {
    if (stage_.depth == 1) return;
    const std::int64_t depth = stage_.depth;
    const int bits = counter_bits(depth - 1);
    const bool wraps = !std::has_single_bit(static_cast<std::uint64_t>(depth));
    std::int64_t total = 0;
    for (const NestLoop& loop : nest_.loops) total += loop.last();
    const auto adjust = [this](std::int64_t change) { return modulo(change); };
    const std::string change =
        change_text(nest_.loops, loop_count(), bits, adjust, "read", modulo(stage_.frame - total));
    body_ += concat("  logic ", vector_of(bits), "read_at, write_at;\n  wire ", vector_of(bits),
                    "read_step = ", change, ";\n");
    std::string next = "read_at + read_step";
    if (wraps) {
      body_ += concat("  wire ", vector_of(bits + 1),
                      "read_sum = {1'b0, read_at} + {1'b0, read_step};\n", "  wire ",
                      vector_of(bits + 1), "read_wrapped = read_sum - ", literal(depth, bits + 1),
                      ";\n");
      next = concat("read_wrapped[", bits, "] ? read_sum[", bits - 1, ":0] : read_wrapped[",
                    bits - 1, ":0]");
    }
    body_ += concat("  always_ff @(posedge clk)\n    if (rst) begin\n      read_at <= ",
                    literal(modulo(nest_.base), bits), ";\n      write_at <= ", literal(0, bits),
                    ";\n    end else begin\n      if (read) read_at <= ", next,
                    ";\n      if (write) write_at <= write_at == ", literal(depth - 1, bits), " ? ",
                    literal(0, bits), " : write_at + ", literal(1, bits), ";\n    end\n");
  }

  void write_bounds() {
    std::string inside;
    for (std::size_t b = 0; b < nest_.bounds.size(); ++b) {
      const NestBound& bound = nest_.bounds[b];
      Track track{concat("coordinate_", b), bound.base, {}};
      Bounds range{bound.base, bound.base};
      for (std::size_t l = 0; l < loop_count(); ++l) {
        track.loops.push_back({nest_.loops[l].count, bound.strides[l], {}});
        const std::int64_t reach = track.loops.back().last();
        range = range + Bounds{std::min<std::int64_t>(0, reach), std::max<std::int64_t>(0, reach)};
      }
      write_track(track, range, 0);
      const int bits = (range + Bounds{-1, 1}).bits();
      const std::string sign = concat(track.name, "[", bits - 1, "]");
      std::string test;
      if (range.low < 0) test = "~" + sign;
      if (range.high >= bound.extent)
        test += concat(test.empty() ? "" : " & ", "(", track.name, " < ",
                       signed_literal(bound.extent, std::max(bits, Bounds{0, bound.extent}.bits())),
                       ")");
      inside += concat(inside.empty() ? "" : " & ", test);
    }
    body_ += concat("  wire in_bounds = ", inside.empty() ? "1'b1" : inside, ";\n");
  }

  // `limit`: so many words of this frame may be written before more are released.
  void write_release() {
    Bounds range{release_.start, release_.start};
    for (std::size_t l = 0; l < release_.loops; ++l)
      range = range + Bounds{0, std::max<std::int64_t>(0, nest_.loops[l].last())};
    // Fills at the end walk on behind the frame, but release no words of the next one.
    const bool beyond = range.high > stage_.frame;
    const Bounds limit{stage_.depth,
                       stage_.depth + std::clamp<Int128>(range.high, 0, stage_.frame)};
    limit_bits_ = (limit + Bounds{0, 1}).bits();
    if (release_.loops == 0) {
      body_ += concat(
          "  wire ", signed_of(limit_bits_), "limit = ",
          literal(stage_.depth + std::max<std::int64_t>(0, release_.start), limit_bits_), ";\n");
      return;
    }
    std::vector<NestLoop> outer(nest_.loops.begin(),
                                nest_.loops.begin() + static_cast<std::ptrdiff_t>(release_.loops));
    write_track({"released", release_.start, outer}, range, release_.loops);
    const int bits = (range + Bounds{-1, 1}).bits();
    const std::string depth = signed_literal(stage_.depth, limit_bits_);
    body_ +=
        concat("  wire ", signed_of(limit_bits_), "limit = ",
               range.low < 0 ? concat("released[", bits - 1, "] ? ", depth, " : ") : std::string(),
               beyond ? concat("released > ", signed_literal(stage_.frame, bits), " ? ",
                               signed_literal(stage_.frame + stage_.depth, limit_bits_), " : ")
                      : std::string(),
               "released + ", depth, ";\n");
  }

  // `lead`: words written since the start of the frame that is read; negative while words of that
  // frame that nothing reads are still to come.
  void write_lead() {
    const int bits = std::max(limit_bits_, Bounds{-stage_.frame, 0}.bits());
    body_ += concat("  logic ", signed_of(bits),
                    "lead;\n  wire ready = ", nest_.bounds.empty() ? "" : "~in_bounds | ",
                    "(address < lead);\n  assign in0_ready = lead < limit;\n"
                    "  assign write = in0_valid & in0_ready;\n  wire ",
                    signed_of(bits), "lead_step = carry_0 ? ", signed_literal(-stage_.frame, bits),
                    " : ", signed_literal(0, bits),
                    ";\n  always_ff @(posedge clk)\n    if (rst) lead <= ", literal(0, bits),
                    ";\n    else lead <= lead + lead_step + $signed({1'b0, write});\n");
  }

  void write_output(std::int64_t word) {
    const bool fills = !nest_.bounds.empty(), converts = output_.format != stored_;
    body_ += concat(
        "  logic valid;\n  wire enable = out0_ready | ~valid;\n"
        "  assign read = enable & ready;\n  assign out0_valid = valid;\n"
        "  always_ff @(posedge clk)\n    if (rst) valid <= 1'b0;\n"
        "    else if (enable) valid <= ready;\n  logic ",
        vector_of(word), "word;\n  always_ff @(posedge clk) begin\n    if (write) store",
        stage_.depth > 1 ? "[write_at]" : "", " <= in0_data;\n    if (enable) word <= store",
        stage_.depth > 1 ? "[read_at]" : "", ";\n  end\n");
    if (!fills && !converts) {
      body_ += "  assign out0_data = word;\n";
      return;
    }
    if (fills)
      body_ += "  logic outside;\n  always_ff @(posedge clk) if (enable) outside <= ~in_bounds;\n";
    const std::string stored = part("word", "i", stored_.bits());
    const std::string element = converts ? concat("{~", stored, ", 1'b1}") : stored;
    const std::string fill =
        literal(static_cast<Int128>(output_.format.code_of(stage_.fill)), output_.format.bits());
    body_ +=
        concat("  for (genvar i = 0; i < ", output_.lanes, "; i = i + 1) begin : lane\n    assign ",
               part("out0_data", "i", output_.format.bits()), " = ",
               fills ? concat("outside ? ", fill, " : ") : std::string(), element, ";\n  end\n");
  }

  const std::string& name_;
  const MoveStage& stage_;
  const Nest& nest_;
  Release release_;
  Format stored_;
  const Stream& output_;
  int limit_bits_ = 0;
  std::string body_;
};

}  // namespace

std::string move_module(const std::string& name, const MoveStage& stage, Format stored,
                        const Stream& output) {
  return MoveWriter(name, stage, stored, output).text();
}

}  // namespace tandem::verilog
