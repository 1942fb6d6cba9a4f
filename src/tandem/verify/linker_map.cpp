#include "tandem/verify/linker_map.h"

#include <sstream>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/emit/c_target.h"

namespace tandem {
namespace {

bool is_hexadecimal(const std::string& word) { return word.starts_with("0x"); }

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream stream(line);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

bool is_kept(std::string_view name) {
  // RISC-V keeps small variables and constants near its global pointer, in sections of their own.
  for (const char* prefix : {".text", ".rodata", ".srodata", ".data", ".sdata", ".bss", ".sbss"})
    if (name.starts_with(prefix)) return true;
  return false;
}

}  // namespace

std::string MapSection::symbol() const {
  const std::size_t dot = name.find('.', 1);
  return dot == std::string::npos ? "" : name.substr(dot + 1);
}

std::vector<MapSection> parse_linker_map(std::string_view text, const std::string& source) {
  const std::size_t start = text.find("Linker script and memory map");
  if (start == std::string_view::npos) throw Error(source, ": no map of GNU ld");
  std::vector<MapSection> sections;
  std::string pending;  // a long name stands alone on its line
  for (const std::string& line : split(text.substr(start), '\n')) {
    std::vector<std::string> words = words_of(line);
    // Input sections are indented by one column, output sections by none.
    const bool names = line.size() > 1 && line[0] == ' ' && line[1] == '.';
    if (names && words.size() == 1) {
      pending = words[0];
      continue;
    }
    if (!pending.empty() && !names) words.insert(words.begin(), pending);
    pending.clear();
    if (words.size() < 4 || words[0][0] != '.' || !is_hexadecimal(words[1]) ||
        !is_hexadecimal(words[2]) || !is_kept(words[0]) || line.empty() || line[0] != ' ')
      continue;
    const auto bytes = static_cast<std::int64_t>(std::stoull(words[2], nullptr, 16));
    if (bytes > 0) sections.push_back({words[0], bytes, words[3]});
  }
  return sections;
}

LinkedSizes linked_sizes(const std::vector<MapSection>& sections, const Plan& plan,
                         const std::string& name) {
  const std::map<std::string, BufferRole> constants = c_constants(plan, name);
  LinkedSizes sizes;
  for (const MapSection& section : sections) {
    const std::string symbol = section.symbol();
    const auto constant = constants.find(symbol);
    if (constant != constants.end()) {
      (constant->second == BufferRole::kWeights ? sizes.weights_bytes : sizes.tables_bytes) +=
          section.bytes;
    } else if (symbol == name + "_arena") {
      sizes.arena_bytes += section.bytes;
    } else if (symbol == name + "_states") {
      sizes.state_bytes += section.bytes;
    } else if (section.object.find(".a(") != std::string::npos) {
      if (section.name.starts_with(".text")) sizes.library_bytes += section.bytes;
    } else if (section.name.starts_with(".text") &&
               section.name.find(concat(".", name, "_")) != std::string::npos) {
      sizes.code_bytes += section.bytes;
    }
  }
  return sizes;
}

}  // namespace tandem
