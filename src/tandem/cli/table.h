#pragma once

#include <string>
#include <vector>

namespace tandem {

// A table for people: columns as wide as their widest cell, numbers to the right.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header) : rows_{std::move(header)} {}
  void add(std::vector<std::string> row);  // as many cells as the header (InternalError)
  std::string text() const;                // header, a rule, rows; each ends in a newline

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace tandem
