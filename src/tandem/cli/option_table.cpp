#include "tandem/cli/option_table.h"

#include <CLI/CLI.hpp>

#include "tandem/base/error.h"
#include "tandem/base/text.h"

namespace tandem {
namespace {

// The last of several names is the long one, for messages: "--output".
std::string long_name(const std::string& names) { return split(names, ',').back(); }

template <typename Read>
CLI::Option* add(CLI::App& app, const std::string& names, const std::string& kind,
                 const std::string& help, const Read& read) {
  const auto take = [read](const CLI::results_t& texts) {
    read(texts.front());
    return true;
  };
  return app.add_option(names, take, help)->type_name(kind)->expected(1);
}

}  // namespace

void OptionTable::positional(const std::string& name, std::string& value, const std::string& help) {
  app_.add_option(name, value, help)->required()->type_name("");
}

void OptionTable::optional_positional(const std::string& name, std::string& value,
                                      const std::string& help) {
  app_.add_option(name, value, help)->type_name("");
}

void OptionTable::positional_list(const std::string& name, std::vector<std::string>& values,
                                  const std::string& help) {
  app_.add_option(name, values, help)->type_name("");
}

void OptionTable::text(const std::string& names, const std::string& kind, std::string& value,
                       const std::string& help) {
  const std::string shown = value.empty() ? help : concat(help, " [", value, "]");
  app_.add_option(names, value, shown)->type_name(kind)->expected(1);
}

void OptionTable::required_text(const std::string& names, const std::string& kind,
                                std::string& value, const std::string& help) {
  app_.add_option(names, value, help)->type_name(kind)->expected(1)->required();
}

void OptionTable::integer(const std::string& names, std::int64_t& value, const std::string& help) {
  add(app_, names, "INT", concat(help, " [", value, "]"),
      [&value, names](const std::string& text) { value = parse_integer(text, long_name(names)); });
}

void OptionTable::integer(const std::string& names, std::optional<std::int64_t>& value,
                          const std::string& help) {
  add(app_, names, "INT", help,
      [&value, names](const std::string& text) { value = parse_integer(text, long_name(names)); });
}

void OptionTable::number(const std::string& names, std::optional<double>& value,
                         const std::string& help) {
  add(app_, names, "NUMBER", help,
      [&value, names](const std::string& text) { value = parse_real(text, long_name(names)); });
}

void OptionTable::flag(const std::string& names, bool& value, const std::string& help) {
  app_.add_flag(names, value, help);
}

void OptionTable::list(const std::string& names, const std::string& kind,
                       std::vector<std::string>& values, const std::string& help) {
  app_.add_option(names, values, help)
      ->type_name(kind)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

}  // namespace tandem
