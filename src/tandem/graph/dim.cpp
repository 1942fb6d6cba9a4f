#include "tandem/graph/dim.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

#include "tandem/base/error.h"
#include "tandem/base/text.h"

namespace tandem {

Dim::Dim(std::int64_t constant) {
  if (constant != 0) terms_[{}] = constant;
}

Dim Dim::symbol(std::string name) {
  Dim dim;
  dim.terms_[{std::move(name)}] = 1;
  return dim;
}

void Dim::drop_zeros() {
  std::erase_if(terms_, [](const auto& term) { return term.second == 0; });
}

bool Dim::is_constant() const {
  return terms_.empty() || (terms_.size() == 1 && terms_.begin()->first.empty());
}

std::int64_t Dim::constant() const {
  if (!is_constant()) {
    throw Error("dimension ", to_string(), " is symbolic; bind ", join(symbols(), ", "),
                " to a number first (--bind NAME=VALUE)");
  }
  return terms_.empty() ? 0 : terms_.begin()->second;
}

std::vector<std::string> Dim::symbols() const {
  std::vector<std::string> names;
  for (const auto& [monomial, coefficient] : terms_)
    names.insert(names.end(), monomial.begin(), monomial.end());
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

std::string Dim::to_string() const {
  if (terms_.empty()) return "0";
  std::string text;
  // Longest monomials first, the constant last.
  for (auto term = terms_.rbegin(); term != terms_.rend(); ++term) {
    const auto& [monomial, coefficient] = *term;
    if (!text.empty() && coefficient > 0) text += "+";
    if (monomial.empty()) {
      text += std::to_string(coefficient);
    } else {
      if (coefficient == -1)
        text += "-";
      else if (coefficient != 1)
        text += std::to_string(coefficient) + "*";
      text += join(monomial, "*");
    }
  }
  return text;
}

Dim Dim::parse(std::string_view text) {
  Dim sum;
  std::size_t begin = 0;
  text = trim(text);
  if (text.empty()) throw Error("empty dimension");
  while (begin < text.size()) {
    std::size_t end = begin + 1;
    while (end < text.size() && text[end] != '+' && text[end] != '-') ++end;
    std::string_view term = text.substr(begin, end - begin);
    std::int64_t sign = 1;
    if (term.front() == '+' || term.front() == '-') {
      sign = term.front() == '-' ? -1 : 1;
      term.remove_prefix(1);
    }
    Dim product = sign;
    for (const std::string& raw : split(term, '*')) {
      const std::string factor(trim(raw));
      if (factor.empty()) throw Error("malformed dimension '", text, "'");
      if (factor.find_first_not_of("0123456789") == std::string::npos) {
        product = product * Dim(parse_integer(factor, "dimension"));
      } else {
        product = product * Dim::symbol(factor);
      }
    }
    sum = sum + product;
    begin = end;
  }
  return sum;
}

Dim Dim::bind(const std::map<std::string, std::int64_t>& values) const {
  Dim sum;
  for (const auto& [monomial, coefficient] : terms_) {
    Dim product = coefficient;
    for (const std::string& symbol : monomial) {
      const auto found = values.find(symbol);
      product = product * (found == values.end() ? Dim::symbol(symbol) : Dim(found->second));
    }
    sum = sum + product;
  }
  return sum;
}

Dim operator+(const Dim& a, const Dim& b) {
  Dim sum = a;
  for (const auto& [monomial, coefficient] : b.terms_) {
    if (__builtin_add_overflow(sum.terms_[monomial], coefficient, &sum.terms_[monomial]))
      throw Error("dimension ", a.to_string(), " + ", b.to_string(), " is beyond 64 bits");
  }
  sum.drop_zeros();
  return sum;
}

Dim operator-(const Dim& a, const Dim& b) { return a + Dim(-1) * b; }

Dim operator*(const Dim& a, const Dim& b) {
  Dim product;
  for (const auto& [left, left_coefficient] : a.terms_) {
    for (const auto& [right, right_coefficient] : b.terms_) {
      Dim::Monomial monomial = left;
      monomial.insert(monomial.end(), right.begin(), right.end());
      std::sort(monomial.begin(), monomial.end());
      std::int64_t term = 0;
      if (__builtin_mul_overflow(left_coefficient, right_coefficient, &term) ||
          __builtin_add_overflow(product.terms_[monomial], term, &product.terms_[monomial])) {
        throw Error("dimension ", a.to_string(), " * ", b.to_string(), " is beyond 64 bits");
      }
    }
  }
  product.drop_zeros();
  return product;
}

std::optional<Dim> Dim::divided_by(const Dim& divisor) const {
  if (divisor.terms_.empty()) return std::nullopt;
  // Long division by the leading terms, of greatest degree and then last: an order that products
  // keep, so each step takes the leading term off what is left.
  const auto precedes = [](const auto& a, const auto& b) {
    return std::pair(a.first.size(), a.first) < std::pair(b.first.size(), b.first);
  };
  constexpr int kMostTerms = 1000;
  const auto& [monomial, coefficient] = *std::ranges::max_element(divisor.terms_, precedes);
  Dim quotient, left = *this;
  for (int i = 0; !left.terms_.empty(); ++i) {
    const auto& [term, term_coefficient] = *std::ranges::max_element(left.terms_, precedes);
    const bool overflows =
        coefficient == -1 && term_coefficient == std::numeric_limits<std::int64_t>::min();
    if (i == kMostTerms || !std::ranges::includes(term, monomial) || overflows ||
        term_coefficient % coefficient != 0) {
      return std::nullopt;
    }
    Dim part;
    Monomial rest;
    std::ranges::set_difference(term, monomial, std::back_inserter(rest));
    part.terms_[rest] = term_coefficient / coefficient;
    quotient = quotient + part;
    left = left - part * divisor;
  }
  return quotient;
}

}  // namespace tandem
