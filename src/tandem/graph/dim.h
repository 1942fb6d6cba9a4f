#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tandem {

// A dimension: an integer or a polynomial with integer coefficients in bounded symbols
// ("N", "49*N", "H*W+1"). Symbols are named; their bounds stand in the module.
class Dim {
 public:
  Dim(std::int64_t constant = 0);  // NOLINT: an integer is a dimension
  static Dim symbol(std::string name);
  static Dim parse(std::string_view text);  // inverse of to_string; throws Error

  bool is_constant() const;
  std::int64_t constant() const;  // throws Error naming the symbols when not constant
  std::vector<std::string> symbols() const;
  std::string to_string() const;

  Dim bind(const std::map<std::string, std::int64_t>& values) const;

  friend Dim operator+(const Dim& a, const Dim& b);
  friend Dim operator-(const Dim& a, const Dim& b);
  friend Dim operator*(const Dim& a, const Dim& b);
  // The polynomial that times the divisor gives this one, where its coefficients are integers.
  std::optional<Dim> divided_by(const Dim& divisor) const;
  friend bool operator==(const Dim&, const Dim&) = default;

 private:
  using Monomial = std::vector<std::string>;  // sorted symbols, repeated for powers
  void drop_zeros();
  std::map<Monomial, std::int64_t> terms_;
};

}  // namespace tandem
