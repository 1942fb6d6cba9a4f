#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace CLI {  // NOLINT(readability-identifier-naming): the library's name
class App;
}

namespace tandem {

// The options of one verb. Each is bound to a variable that holds the default until the command
// line is read; the help shows it. `names` is "--data" or "-o,--output"; a positional has none of
// the dashes ("MODEL"). Values of the wrong kind are refused with the option's name.
class OptionTable {
 public:
  explicit OptionTable(CLI::App& app) : app_(app) {}

  void positional(const std::string& name, std::string& value, const std::string& help);
  void optional_positional(const std::string& name, std::string& value, const std::string& help);
  // Any number of them.
  void positional_list(const std::string& name, std::vector<std::string>& values,
                       const std::string& help);
  // `kind` stands for the value in the help: "SET", "DIR".
  void text(const std::string& names, const std::string& kind, std::string& value,
            const std::string& help);
  void required_text(const std::string& names, const std::string& kind, std::string& value,
                     const std::string& help);
  void integer(const std::string& names, std::int64_t& value, const std::string& help);
  void integer(const std::string& names, std::optional<std::int64_t>& value,
               const std::string& help);
  void number(const std::string& names, std::optional<double>& value, const std::string& help);
  void flag(const std::string& names, bool& value, const std::string& help);
  // May be given several times, one value each.
  void list(const std::string& names, const std::string& kind, std::vector<std::string>& values,
            const std::string& help);

 private:
  CLI::App& app_;
};

}  // namespace tandem
