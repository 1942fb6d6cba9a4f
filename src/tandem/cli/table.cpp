#include "tandem/cli/table.h"

#include <algorithm>
#include <cctype>

#include "tandem/base/error.h"

namespace tandem {
namespace {

// What a terminal shows: bytes that continue a UTF-8 character take no column.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char byte) {
    return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;
  }));
}

bool is_numeric(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789.,+-%e") == std::string::npos &&
         std::any_of(text.begin(), text.end(),
                     [](unsigned char c) { return std::isdigit(c) != 0; });
}

}  // namespace

void TextTable::add(std::vector<std::string> row) {
  ensure(row.size() == rows_.front().size(), "a table's row has another number of cells");
  rows_.push_back(std::move(row));
}

std::string TextTable::text() const {
  const std::size_t columns = rows_.front().size();
  std::vector<std::size_t> widths(columns);
  std::vector<bool> right(columns, rows_.size() > 1);
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    for (std::size_t c = 0; c < columns; ++c) {
      widths[c] = std::max(widths[c], width_of(rows_[r][c]));
      if (r > 0 && !rows_[r][c].empty() && !is_numeric(rows_[r][c])) right[c] = false;
    }
  }
  std::string text;
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    std::string line;
    for (std::size_t c = 0; c < columns; ++c) {
      if (c > 0) line.append(2, ' ');
      const std::size_t fill = widths[c] - width_of(rows_[r][c]);
      if (right[c]) line.append(fill, ' ');
      line += rows_[r][c];
      if (!right[c]) line.append(fill, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
    if (r > 0) continue;
    for (std::size_t c = 0; c < columns; ++c) {
      text.append(widths[c], '-');
      text += c + 1 < columns ? "  " : "\n";
    }
  }
  return text;
}

}  // namespace tandem
