// Any bytes, read as a TOML file, give a table or an Error; so does a device file. The mutator
// works on statements and values, so that most inputs get past the grammar; at the end the target
// fails when fewer than half of them did.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

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

// Asks for a key in one of the ways there are.
void ask(const TomlTable& table, const std::string& key, std::size_t way) {
  switch (way % 10) {
    case 0: table.string(key); break;
    case 1: table.boolean(key, false); break;
    case 2: table.integer(key, {.min = -9, .max = 9, .unit = "bytes"}); break;
    case 3: table.choice(key, {"mcu", "fpga"}); break;
    case 4: table.strings(key); break;
    case 5: table.numbers(key, {.min = 0}); break;
    case 6: table.integers(key); break;
    case 7: table.number(key + "x"); break;
    case 8: table.integer(key); break;
    default: table.number(key); break;
  }
}

// Asks for every key: as a table, as tables, and in two of the other ways, which differ from key to
// key and from input to input (exceptions are what these runs spend their time on).
void visit(const TomlTable& table, std::size_t way) {
  for (const std::string& key : table.keys()) {
    ensure(table.has(key), "keys() gives keys that are there");
    ensure(table.place(key).starts_with("fuzz.toml:"), "every key has a line");
    succeeds([&] { ask(table, key, way++); });
    succeeds([&] { ask(table, key, way++); });
    if (succeeds([&] { table.integer(key); }))
      ensure(succeeds([&] { table.number(key); }), "an integer is a number");
    if (succeeds([&] { table.table(key); })) visit(table.table(key), way++);
    if (succeeds([&] { table.tables(key); }))
      for (const TomlTable& item : table.tables(key)) visit(item, way++);
  }
}

// Texts, by their hashes, that are no TOML.
std::unordered_set<std::size_t> unsound;

void check(const std::string& text) {
  ++count.inputs;
  const std::size_t hash = std::hash<std::string>()(text);
  succeeds([&] { parse_device(text, "fuzz.toml"); });
  std::optional<TomlTable> table;
  if (!succeeds([&] { table = TomlTable::parse(text, "fuzz.toml"); })) {
    unsound.insert(hash);
    return;
  }
  ++count.parsed;
  ensure(succeeds([&] { table->done(); }) == table->keys().empty(),
         "done() refuses what nobody asked for");
  visit(*table, hash);
  // Inline tables may lie in mixed arrays, where no getter reaches them.
  if (text.find('{') == std::string::npos) table->done();
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
  const bool sound = !tandem::unsound.contains(std::hash<std::string>()(given));
  const std::string text = tandem::test::mutate_toml(sound ? given : "", seed / 16);
  // Short texts are fast ones; cut behind a line, so that they stay sound.
  constexpr std::size_t kLongest = 512;
  const std::size_t most = std::min(max_size, kLongest);
  const std::size_t kept = text.size() <= most ? text.size() : text.rfind('\n', most - 1) + 1;
  std::copy_n(text.begin(), kept, data);
  return kept;
}
