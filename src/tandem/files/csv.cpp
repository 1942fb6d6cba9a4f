#include <algorithm>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/files/datafiles.h"

namespace tandem {
namespace {

bool is_number(const std::string& field) {
  try {
    parse_real(trim(field), "field");
    return true;
  } catch (const Error&) {
    return false;
  }
}

// Long fields are shortened in messages.
std::string shown(std::string_view field) {
  constexpr std::size_t kShown = 40;
  return field.size() <= kShown ? std::string(field) : concat(field.substr(0, kShown), "...");
}

class CsvReader {
 public:
  explicit CsvReader(std::string_view text) : text_(text) {
    if (text_.starts_with("\xef\xbb\xbf")) text_.remove_prefix(3);
  }

  CsvTable run() {
    CsvTable table;
    bool first = true;
    while (at_ < text_.size()) {
      const std::size_t line = line_;
      auto record = read_record();
      if (record.size() == 1 && trim(record.front()).empty()) continue;
      const bool is_header = first && !std::all_of(record.begin(), record.end(), is_number);
      const std::size_t columns = first ? record.size() : table.columns();
      first = false;
      if (record.size() != columns)
        throw Error("line ", line, " has ", record.size(), " fields where the first has ", columns);
      if (is_header) {
        table.header = std::move(record);
      } else {
        table.rows.push_back(std::move(record));
        table.lines.push_back(line);
      }
    }
    if (table.rows.empty()) throw Error("holds no records");
    return table;
  }

 private:
  std::vector<std::string> read_record() {
    std::vector<std::string> fields;
    for (;;) {
      fields.push_back(at_ < text_.size() && text_[at_] == '"' ? quoted() : plain());
      if (at_ >= text_.size()) return fields;
      const char end = text_[at_++];
      if (end == ',') continue;
      ++line_;
      return fields;
    }
  }

  std::string plain() {
    const std::size_t end = std::min(text_.find_first_of(",\n", at_), text_.size());
    std::string_view field = text_.substr(at_, end - at_);
    at_ = end;
    if (field.ends_with('\r')) field.remove_suffix(1);
    if (field.find('"') != std::string_view::npos || field.find('\0') != std::string_view::npos)
      throw Error("line ", line_, ": field '", shown(field), "' holds a stray quote or zero byte");
    return std::string(field);
  }

  std::string quoted() {
    const std::size_t opened = line_;
    std::string field;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\n') ++line_;
      if (text_[at_] != '"') {
        field += text_[at_];
      } else if (at_ + 1 < text_.size() && text_[at_ + 1] == '"') {
        field += text_[++at_];
      } else {
        ++at_;
        if (text_.substr(at_).starts_with("\r\n")) ++at_;
        if (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\n')
          throw Error("line ", line_, ": text follows a closing quote");
        return field;
      }
    }
    throw Error("line ", opened, ": a quote is never closed");
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
};

}  // namespace

std::vector<double> CsvTable::numbers(std::size_t column, std::string_view source) const {
  std::vector<double> values;
  values.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    try {
      values.push_back(parse_real(trim(rows[i].at(column)), "field"));
    } catch (const Error&) {
      const std::string name =
          header.empty() ? std::to_string(column + 1) : concat("'", shown(header[column]), "'");
      throw Error(source, ": line ", lines[i], ", column ", name, ": '", shown(rows[i][column]),
                  "' is no number");
    }
  }
  return values;
}

CsvTable read_csv(std::string_view text, std::string_view source) {
  try {
    return CsvReader(text).run();
  } catch (const Error& error) {
    throw error.at(source);
  }
}

CsvTable read_csv(const std::filesystem::path& path) {
  const auto bytes = read_file_bytes(path);
  return read_csv(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
                  path.string());
}

}  // namespace tandem
