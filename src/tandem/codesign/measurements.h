#pragma once

#include <functional>
#include <map>
#include <string>

namespace tandem {

// Numbers that were measured, by what they were measured on: a search that is interrupted and begun
// again looks here first. Texts round-trip exactly.
class Measurements {
 public:
  // The number of that key; measured, and kept, where there is none.
  double get(const std::string& key, const std::function<double()>& measure);
  std::size_t size() const { return numbers_.size(); }
  std::size_t reused() const { return reused_; }

  // JSON (schema "tandem-measurements/1"). `subject` identifies network, data and device; reading
  // text of another subject gives nothing. Throws Error on text that is no such file.
  std::string text(const std::string& subject) const;
  static Measurements read(const std::string& text, const std::string& subject,
                           const std::string& source);

 private:
  std::map<std::string, double> numbers_;
  std::size_t reused_ = 0;
};

// 64 bits of FNV-1a as hexadecimal digits: tells contents apart, no more.
std::string content_hash(std::string_view content);

}  // namespace tandem
