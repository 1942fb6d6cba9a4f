#include "tests/fuzz/toml_text.h"

#include <algorithm>
#include <string>
#include <vector>

#include "tandem/base/random.h"
#include "tandem/base/text.h"

namespace tandem::test {
namespace {

// Keys of device files, and keys that TOML treats in a special way.
const std::vector<std::string> kKeys = {"schema",
                                        "title",
                                        "clock",
                                        "hertz",
                                        "memory",
                                        "name",
                                        "bytes",
                                        "address",
                                        "unit",
                                        "kind",
                                        "core",
                                        "source",
                                        "cost",
                                        "costs",
                                        "form",
                                        "feature",
                                        "cycles",
                                        "instructions",
                                        "code_bytes",
                                        "active_milliwatts",
                                        "flash_wait_cycles",
                                        "a",
                                        "b-c",
                                        "_9",
                                        "\"q \\u00e9\"",
                                        "'lit.eral'",
                                        "\"\"",
                                        "3",
                                        "1e5",
                                        "inf",
                                        "true",
                                        "\"new\\nline\"",
                                        "\xc3\xa4"};

const std::vector<std::string> kScalars = {"0",
                                           "-1",
                                           "+7",
                                           "1_000",
                                           "0xff",
                                           "0o17",
                                           "0b101",
                                           "9223372036854775807",
                                           "-9223372036854775808",
                                           "1.5",
                                           "-2e10",
                                           "1e400",
                                           "inf",
                                           "-nan",
                                           "true",
                                           "false",
                                           "1979-05-27",
                                           "07:32:00",
                                           "1979-05-27T07:32:00.999Z",
                                           "\"\"",
                                           "\"a\\tb\\\"c\\u00e9\"",
                                           "'C:\\x'",
                                           "\"\"\"a\n \"b\" \\\n  c\"\"\"",
                                           "'''\nx'y'''",
                                           "\"tandem-device/1\"",
                                           "\"mcu\"",
                                           "\"cortex-m4\"",
                                           "\"assumed: a guess\"",
                                           "\"exact: a data sheet\"",
                                           "\"flash\"",
                                           "\"sram\"",
                                           "1e6",
                                           "65536",
                                           "[]",
                                           "{}"};

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed, "toml") {}

  std::string mutate(std::string_view text) {
    lines_ = statements(text);
    for (std::int64_t i = random_.integer(1, 4); i > 0; --i) change();
    return join(lines_, "\n");
  }

 private:
  // Lines, where those of one long string or one array stay together.
  static std::vector<std::string> statements(std::string_view text) {
    std::vector<std::string> result;
    bool is_open = false;
    for (std::string& line : split(text, '\n')) {
      const bool toggles =
          line.find("\"\"\"") != std::string::npos || line.find("'''") != std::string::npos;
      if (is_open)
        result.back() += "\n" + line;
      else
        result.push_back(std::move(line));
      if (toggles) is_open = !is_open;
    }
    return result;
  }

  void change() {
    const std::size_t at = below(lines_.size());
    switch (random_.integer(0, 7)) {
      case 0:
      case 1: insert(below(lines_.size() + 1), statement()); break;
      case 2: replace_value(lines_[at]); break;
      case 3: replace_key(lines_[at]); break;
      case 4: lines_.erase(lines_.begin() + static_cast<std::ptrdiff_t>(at)); break;
      case 5: insert(lines_.size(), table()); break;
      case 6: std::swap(lines_[at], lines_[below(lines_.size())]); break;
      default: lines_[at] += random_.chance(0.5) ? " # " + fresh_key() : ""; break;
    }
    if (lines_.empty()) lines_.push_back(statement());
  }

  std::size_t below(std::size_t bound) {
    return bound == 0
               ? 0
               : static_cast<std::size_t>(random_.integer(0, static_cast<std::int64_t>(bound) - 1));
  }
  const std::string& pick(const std::vector<std::string>& choices) {
    return choices[below(choices.size())];
  }
  void insert(std::size_t at, std::string line) {
    lines_.insert(lines_.begin() + static_cast<std::ptrdiff_t>(at), std::move(line));
  }

  std::string fresh_key() { return "k" + std::to_string(random_.integer(0, 1'000'000)); }

  // Mostly one that the file does not have, since a key may stand only once.
  std::string key() {
    std::string text = random_.chance(0.75) ? fresh_key() : pick(kKeys);
    while (random_.chance(0.2)) text += "." + (random_.chance(0.5) ? fresh_key() : pick(kKeys));
    return text;
  }

  std::string value(int depth = 0) {
    if (depth > 4 || random_.chance(0.7)) return pick(kScalars);
    std::vector<std::string> parts;
    const bool is_array = random_.chance(0.6);
    for (std::int64_t i = random_.integer(0, 3); i > 0; --i)
      parts.push_back(is_array ? value(depth + 1) : fresh_key() + " = " + value(depth + 1));
    return is_array ? "[" + join(parts, ", ") + "]" : "{ " + join(parts, ", ") + " }";
  }

  std::string statement() { return key() + " = " + value(); }

  std::string table() {
    const bool is_array = random_.chance(0.5);
    std::string text =
        is_array ? "[[" + pick({"memory", "unit", "unit.cost", "cost"}) + "]]" : "[" + key() + "]";
    for (std::int64_t i = random_.integer(0, 3); i > 0; --i) text += "\n" + statement();
    return text;
  }

  void replace_value(std::string& line) {
    const std::size_t at = line.find('=');
    if (at != std::string::npos) line = line.substr(0, at) + "= " + value();
  }

  void replace_key(std::string& line) {
    const std::size_t at = line.find('=');
    if (at != std::string::npos) line = key() + " " + line.substr(at);
  }

  RandomSequence random_;
  std::vector<std::string> lines_;
};

}  // namespace

std::string mutate_toml(std::string_view text, std::uint64_t seed) {
  return Mutator(seed).mutate(text);
}

}  // namespace tandem::test
