#include "tandem/emit/verilog_memory.h"

#include "tandem/base/error.h"

namespace tandem::verilog {

Rom Rom::plain(std::string name, std::vector<Word> words) {
  Rom rom;
  rom.name = std::move(name);
  rom.block = static_cast<std::int64_t>(words.size());
  rom.words = std::move(words);
  return rom;
}

std::string memory_lines(const std::string& name, const std::vector<Word>& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i)
    text += concat("    ", name, "[", i, "] = ", words[i].literal(), ";\n");
  return text;
}

namespace {

// The registers that hold the address of the word after the next, and how they advance.
struct RomAddress {
  std::string declarations, reset, advance, address;
};

RomAddress plain_address(std::int64_t count) {
  const int bits = counter_bits(count - 1);
  RomAddress text;
  text.declarations = concat("  logic ", vector_of(bits), "ahead;\n");
  text.reset = concat("      ahead <= ", literal(1, bits), ";\n");
  text.advance = concat("      ahead <= ahead == ", literal(count - 1, bits), " ? ",
                        literal(0, bits), " : ahead + ", literal(1, bits), ";\n");
  text.address = "ahead";
  return text;
}

RomAddress repeating_address(const Rom& rom) {
  const std::int64_t count = rom.block * rom.blocks;
  const int inner_bits = counter_bits(rom.block - 1), base_bits = counter_bits(count - 1);
  const int repeat_bits = counter_bits(rom.repeats - 1);
  // Where the second word lies.
  const bool same_block = rom.block > 1, same_base = same_block || rom.repeats > 1;
  const std::int64_t base = same_base || rom.blocks == 1 ? 0 : rom.block;
  RomAddress text;
  text.declarations =
      concat("  logic ", vector_of(inner_bits), "inner;\n  logic ", vector_of(base_bits),
             "base;\n  logic ", vector_of(repeat_bits),
             "pass;\n  wire last = inner == ", literal(rom.block - 1, inner_bits),
             ";\n  wire last_pass = pass == ", literal(rom.repeats - 1, repeat_bits), ";\n");
  text.reset =
      concat("      inner <= ", literal(same_block ? 1 : 0, inner_bits),
             ";\n      pass <= ", literal(!same_block && rom.repeats > 1 ? 1 : 0, repeat_bits),
             ";\n      base <= ", literal(base, base_bits), ";\n");
  text.advance =
      concat("      inner <= last ? ", literal(0, inner_bits), " : inner + ",
             literal(1, inner_bits), ";\n      if (last) begin\n        pass <= last_pass ? ",
             literal(0, repeat_bits), " : pass + ", literal(1, repeat_bits),
             ";\n        if (last_pass)\n          base <= base == ",
             literal(count - rom.block, base_bits), " ? ", literal(0, base_bits), " : base + ",
             literal(rom.block, base_bits), ";\n      end\n");
  text.address = "base + inner";
  return text;
}

}  // namespace

std::string rom_module(const Rom& rom) {
  const auto count = static_cast<std::int64_t>(rom.words.size());
  ensure(count == rom.block * rom.blocks && count > 0, "a ROM of the wrong size");
  const std::int64_t bits = rom.words.front().bits();
  std::string text = concat("module ", rom.name,
                            " (\n  input  logic clk,\n  input  logic rst,\n  input  logic next,\n"
                            "  output logic ",
                            vector_of(bits), "word\n);\n");
  if (count == 1) {
    return text + concat("  assign word = ", rom.words.front().literal(), ";\nendmodule\n\n");
  }
  const RomAddress at = rom.repeats == 1 ? plain_address(count) : repeating_address(rom);
  text +=
      concat("  (* rom_style = \"", rom.block_ram ? "block" : "logic", "\" *)\n  logic ",
             vector_of(bits), "words [0:", count - 1, "];\n", at.declarations, "  initial begin\n",
             memory_lines("words", rom.words), "  end\n",
             "  always_ff @(posedge clk) begin\n    if (rst) begin\n", at.reset,
             "      word <= ", rom.words.front().literal(), ";\n    end else if (next) begin\n",
             at.advance, "      word <= words[", at.address, "];\n    end\n  end\nendmodule\n\n");
  return text;
}

namespace {

constexpr const char* kFifoPorts =
    "  input  logic clk,\n"
    "  input  logic rst,\n"
    "  input  logic [BITS-1:0] in_data,\n"
    "  input  logic in_valid,\n"
    "  output logic in_ready,\n"
    "  output logic [BITS-1:0] out_data,\n"
    "  output logic out_valid,\n"
    "  input  logic out_ready\n"
    ");\n";

constexpr const char* kFifoOne =
    "  assign in_ready = ~out_valid;\n"
    "  always_ff @(posedge clk) begin\n"
    "    if (in_valid & in_ready) out_data <= in_data;\n"
    "    if (rst) out_valid <= 1'b0;\n"
    "    else out_valid <= out_valid ? ~out_ready : in_valid;\n"
    "  end\n"
    "endmodule\n\n";

constexpr const char* kFifoTwo =
    "  logic [BITS-1:0] spare;\n"
    "  logic spare_valid;\n"
    "  wire load = out_ready | ~out_valid;\n"
    "  assign in_ready = ~spare_valid;\n"
    "  always_ff @(posedge clk) begin\n"
    "    if (in_ready) spare <= in_data;\n"
    "    if (load) out_data <= spare_valid ? spare : in_data;\n"
    "    if (rst) begin\n"
    "      out_valid <= 1'b0;\n"
    "      spare_valid <= 1'b0;\n"
    "    end else begin\n"
    "      if (load) out_valid <= spare_valid | in_valid;\n"
    "      spare_valid <= ~load & (spare_valid | in_valid);\n"
    "    end\n"
    "  end\n"
    "endmodule\n\n";

constexpr const char* kFifoDeep =
    "  localparam ADDRESS_BITS = $clog2(DEPTH);\n"
    "  (* ram_style = \"distributed\" *)\n"
    "  logic [BITS-1:0] beats [0:DEPTH-1];\n"
    "  logic [ADDRESS_BITS-1:0] head, tail;\n"
    "  logic [ADDRESS_BITS:0] count;\n"
    "  wire push = in_valid & in_ready;\n"
    "  wire take = out_valid & out_ready;\n"
    "  assign in_ready = count != DEPTH[ADDRESS_BITS:0];\n"
    "  assign out_valid = count != 0;\n"
    "  assign out_data = beats[head];\n"
    "  always_ff @(posedge clk) begin\n"
    "    if (push) beats[tail] <= in_data;\n"
    "    if (rst) begin\n"
    "      head <= 0;\n"
    "      tail <= 0;\n"
    "      count <= 0;\n"
    "    end else begin\n"
    "      if (push) tail <= tail == DEPTH[ADDRESS_BITS:0] - 1 ? 0 : tail + 1'b1;\n"
    "      if (take) head <= head == DEPTH[ADDRESS_BITS:0] - 1 ? 0 : head + 1'b1;\n"
    "      if (push & ~take) count <= count + 1'b1;\n"
    "      if (take & ~push) count <= count - 1'b1;\n"
    "    end\n"
    "  end\n"
    "endmodule\n\n";

}  // namespace

std::string fifo_modules(const std::string& prefix) {
  return concat("module ", prefix, "_fifo_one #(parameter BITS = 8) (\n", kFifoPorts, kFifoOne,
                "module ", prefix, "_fifo_two #(parameter BITS = 8) (\n", kFifoPorts, kFifoTwo,
                "module ", prefix, "_fifo #(parameter BITS = 8, parameter DEPTH = 4) (\n",
                kFifoPorts, kFifoDeep);
}

std::string narrow_module(const std::string& prefix) {
  return concat("module ", prefix,
                "_narrow #(parameter BITS = 8, parameter RATIO = 2) (\n"
                "  input  logic clk,\n"
                "  input  logic rst,\n"
                "  input  logic [BITS*RATIO-1:0] in_data,\n"
                "  input  logic in_valid,\n"
                "  output logic in_ready,\n"
                "  output logic [BITS-1:0] out_data,\n"
                "  output logic out_valid,\n"
                "  input  logic out_ready\n"
                ");\n"
                "  localparam LEVELS = $clog2(RATIO);\n"
                "  localparam LEAVES = 1 << LEVELS;\n"
                "  logic [LEVELS-1:0] index;\n"
                "  wire last = index == RATIO - 1;\n"
                "  // A heap of multiplexers: node n chooses between 2 n + 1 and 2 n + 2.\n"
                "  wire [BITS*(2*LEAVES-1)-1:0] nodes;\n"
                "  assign nodes[BITS*(LEAVES-1) +: BITS*RATIO] = in_data;\n"
                "  if (LEAVES > RATIO) begin : unused\n"
                "    assign nodes[BITS*(LEAVES-1+RATIO) +: BITS*(LEAVES-RATIO)] = 0;\n"
                "  end\n"
                "  for (genvar d = 0; d < LEVELS; d = d + 1) begin : level\n"
                "    for (genvar i = 0; i < (1 << d); i = i + 1) begin : node\n"
                "      localparam N = (1 << d) - 1 + i;\n"
                "      assign nodes[BITS*N +: BITS] = index[LEVELS-1-d] ?\n"
                "          nodes[BITS*(2*N+2) +: BITS] : nodes[BITS*(2*N+1) +: BITS];\n"
                "    end\n"
                "  end\n"
                "  assign out_valid = in_valid;\n"
                "  assign out_data = nodes[BITS-1:0];\n"
                "  assign in_ready = out_ready & last;\n"
                "  always_ff @(posedge clk) begin\n"
                "    if (rst) index <= 0;\n"
                "    else if (out_valid & out_ready) index <= last ? 0 : index + 1'b1;\n"
                "  end\n"
                "endmodule\n\n");
}

}  // namespace tandem::verilog
