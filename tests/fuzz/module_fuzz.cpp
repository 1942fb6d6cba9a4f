// The reader of module text on arbitrary text: it accepts a module or throws Error, and what it
// accepts prints to text that prints the same again. Mutations move whole tokens and lines.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/graph/printer.h"
#include "tandem/ops/register.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed);
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace {

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == '%' || c == '@';
}

// Words and single other characters; together they are the text.
std::vector<std::string> tokens_of(std::string_view text) {
  std::vector<std::string> tokens;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    while (end < text.size() && is_word(text[end])) ++end;
    if (end == at) ++end;
    tokens.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return tokens;
}

constexpr std::string_view kTokens[] = {
    "0",       "1",     "-1",      "2",       "7",        "4096",     "9223372036854775807",
    "1e300",   "nan",   "inf",     "int8",    "uint1",    "f32",      "f64",
    "bipolar", "fixed", "<",       ">",       "N",        "%x",       "%y",
    "@c",      "_",     "{",       "}",       "[",        "]",        "(",
    ")",       "=",     ",",       "\"",      "constant", "state",    "symbol",
    "Relu",    "Add",   "Rescale", "IntConv", "Reshape",  "Quantize", "Threshold"};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tandem::register_operators();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  tandem::Module module;
  try {
    module = tandem::parse_module(text);
  } catch (const tandem::Error&) {
    return 0;
  }
  const std::string printed = tandem::print_module(module);
  if (tandem::print_module(tandem::parse_module(printed)) != printed) {
    std::fprintf(stderr, "printed otherwise the second time:\n%s", printed.c_str());
    std::abort();
  }
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  std::mt19937 random(seed);
  constexpr unsigned kBlind = 10;
  if (seed % kBlind == 0 || size == 0) return LLVMFuzzerMutate(data, size, max_size);
  auto tokens = tokens_of({reinterpret_cast<const char*>(data), size});
  const auto place = [&] { return random() % tokens.size(); };
  for (auto changes = 1 + random() % 3; changes > 0 && !tokens.empty(); --changes) {
    const auto at = tokens.begin() + static_cast<std::ptrdiff_t>(place());
    switch (random() % 6) {
      case 0: *at = kTokens[random() % std::size(kTokens)]; break;
      case 1: tokens.insert(at, std::string(kTokens[random() % std::size(kTokens)])); break;
      case 2: tokens.erase(at); break;
      case 3: *at = tokens[place()]; break;
      case 4: std::swap(*at, tokens[place()]); break;
      default: {  // the rest of a line once more, elsewhere
        const auto end = std::find(at, tokens.end(), "\n");
        const std::vector<std::string> line(at, end == tokens.end() ? end : end + 1);
        tokens.insert(tokens.begin() + static_cast<std::ptrdiff_t>(place()), line.begin(),
                      line.end());
        break;
      }
    }
  }
  std::string text;
  for (const std::string& token : tokens) text += token;
  constexpr std::size_t kLargest = 4096;
  if (text.size() > max_size || text.size() > kLargest) return size;
  std::copy(text.begin(), text.end(), data);
  return text.size();
}
