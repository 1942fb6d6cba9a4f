#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tandem/emit/verilog_text.h"

namespace tandem::verilog {

// Constant words in the order of their use: each of `blocks` blocks of `block` words `repeats`
// times, then again from the start.
struct Rom {
  std::string name;  // of the module
  std::vector<Word> words;
  std::int64_t block = 1, blocks = 1, repeats = 1;
  bool block_ram = false;

  static Rom plain(std::string name, std::vector<Word> words);
};

// A module with ports clk, rst, next, word: `word` is the first one after reset, and the following
// one after every cycle in which `next` is high.
std::string rom_module(const Rom& rom);

// Lines "    name[i] = ...;" of an initial block.
std::string memory_lines(const std::string& name, const std::vector<Word>& words);

// The FIFOs <prefix>_fifo_one (one beat), <prefix>_fifo_two and <prefix>_fifo (deeper), with
// parameters BITS and DEPTH.
std::string fifo_modules(const std::string& prefix);
// The module <prefix>_narrow with parameters BITS (of a narrow beat) and RATIO.
std::string narrow_module(const std::string& prefix);

}  // namespace tandem::verilog
