#include "tandem/graph/symbolic.h"

#include <algorithm>

#include "tandem/base/error.h"

namespace tandem {
namespace {

// Calls change(expression) for what stands in braces, and puts its result there.
void for_each_expression(std::string& text, const std::function<Dim(const Dim&)>& change) {
  for (std::size_t begin = text.find('{'); begin != std::string::npos;
       begin = text.find('{', begin)) {
    const std::size_t end = text.find('}', begin);
    if (end == std::string::npos) return;
    const std::string now = braced(change(Dim::parse(text.substr(begin + 1, end - begin - 1))));
    text.replace(begin, end - begin + 1, now);
    begin += now.size();
  }
}

}  // namespace

std::string braced(const Dim& dim) { return concat("{", dim.to_string(), "}"); }

std::optional<Dim> braced_dim(std::string_view text) {
  if (!text.starts_with('{') || !text.ends_with('}')) return std::nullopt;
  return Dim::parse(text.substr(1, text.size() - 2));
}

std::vector<std::string> symbols_in(const Attributes& attributes) {
  std::vector<std::string> all;
  for (const auto& [name, value] : attributes) {
    const auto* texts = std::get_if<std::vector<std::string>>(&value);
    if (texts == nullptr) continue;
    for (std::string text : *texts) {
      for_each_expression(text, [&](const Dim& dim) {
        const auto names = dim.symbols();
        all.insert(all.end(), names.begin(), names.end());
        return dim;
      });
    }
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

void change_expressions(Attributes& attributes, const std::function<Dim(const Dim&)>& change) {
  for (auto& [name, value] : attributes)
    if (auto* texts = std::get_if<std::vector<std::string>>(&value))
      for (std::string& text : *texts) for_each_expression(text, change);
}

void bind_symbols(Attributes& attributes, const std::map<std::string, std::int64_t>& symbols) {
  change_expressions(attributes, [&](const Dim& dim) { return dim.bind(symbols); });
}

}  // namespace tandem
