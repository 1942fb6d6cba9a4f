#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tandem/graph/attributes.h"
#include "tandem/graph/dim.h"

namespace tandem {

// Lists of strings among the attributes may hold expressions in the symbols of the module, in
// braces: "{L+1}". specialize() binds them with the types; Operator::evaluate() is only called on
// nodes whose expressions are bound.
std::string braced(const Dim& dim);
// The expression of a text that is nothing else; nullopt without braces.
std::optional<Dim> braced_dim(std::string_view text);

// The symbols in the expressions of attributes, each once.
std::vector<std::string> symbols_in(const Attributes& attributes);

// Replaces each expression of attributes by change(expression).
void change_expressions(Attributes& attributes, const std::function<Dim(const Dim&)>& change);

// Replaces symbols in the expressions of attributes.
void bind_symbols(Attributes& attributes, const std::map<std::string, std::int64_t>& symbols);

}  // namespace tandem
