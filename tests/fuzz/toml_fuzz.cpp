// Any bytes, read as a TOML file, give a table or an Error; so does a device file. The mutator
// works on statements and values, so that most inputs get past the grammar; at the end the target
// fails when fewer than half of them did.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/base/error.h"
#include "tandem/base/toml.h"
#include "tandem/device/device.h"

#include "tests/fuzz/toml_text.h"

namespace tandem {
namespace {

struct Count {
  std::int64_t inputs = 0;
  std::int64_t parsed = 0;
  ~Count() {
    std::cerr << "toml: " << parsed << " of " << inputs << " inputs are valid TOML\n";
    if (inputs > 1000 && 2 * parsed < inputs) std::abort();
  }
} count;

// Runs a getter that may refuse.
template <typename Getter>
bool succeeds(Getter getter) {
  try {
    getter();
    return true;
  } catch (const Error& error) {
    ensure(std::string_view(error.what()).starts_with("fuzz.toml"), "an error names its file");
    return false;
  }
}

// Asks for every key in every way.
void visit(const TomlTable& table) {
  for (const std::string& key : table.keys()) {
    ensure(table.has(key), "keys() gives keys that are there");
    ensure(table.place(key).starts_with("fuzz.toml:"), "every key has a line");
    succeeds([&] { table.string(key); });
    succeeds([&] { table.boolean(key, false); });
    succeeds([&] { table.integer(key, {.min = -9, .max = 9, .unit = "bytes"}); });
    const bool is_number = succeeds([&] { table.number(key); });
    ensure(!succeeds([&] { table.integer(key); }) || is_number, "an integer is a number");
    succeeds([&] { table.choice(key, {"mcu", "fpga"}); });
    succeeds([&] { table.strings(key); });
    succeeds([&] { table.numbers(key, {.min = 0}); });
    succeeds([&] { table.integers(key); });
    succeeds([&] { table.number(key + "x"); });
    if (succeeds([&] { table.table(key); })) visit(table.table(key));
    if (succeeds([&] { table.tables(key); }))
      for (const TomlTable& item : table.tables(key)) visit(item);
  }
}

void check(const std::string& text) {
  ++count.inputs;
  const bool is_toml = succeeds([&] { TomlTable::parse(text, "fuzz.toml"); });
  succeeds([&] { parse_device(text, "fuzz.toml"); });
  if (!is_toml) return;
  ++count.parsed;
  const TomlTable untouched = TomlTable::parse(text, "fuzz.toml");
  ensure(succeeds([&] { untouched.done(); }) == untouched.keys().empty(),
         "done() refuses what nobody asked for");
  const TomlTable table = TomlTable::parse(text, "fuzz.toml");
  visit(table);
  // Inline tables may lie in mixed arrays, where no getter reaches them.
  if (text.find('{') == std::string::npos) table.done();
}

}  // namespace
}  // namespace tandem

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tandem::check(std::string(reinterpret_cast<const char*>(data), size));
  return 0;
}

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  // One in sixteen is broken byte by byte, for what the grammar forbids.
  if (seed % 16 == 0) return LLVMFuzzerMutate(data, size, max_size);
  // What was broken stays broken under changes by token, so these start from sound text only.
  const std::string given(reinterpret_cast<const char*>(data), size);
  const bool sound = tandem::succeeds([&] { tandem::TomlTable::parse(given, "fuzz.toml"); });
  const std::string text = tandem::testing::mutate_toml(sound ? given : "", seed / 16);
  const std::size_t kept = std::min(text.size(), max_size);
  std::copy_n(text.begin(), kept, data);
  return kept;
}
