#include "tandem/codesign/measurements.h"

#include <cstdint>

#include <nlohmann/json.hpp>

#include "tandem/base/error.h"

namespace tandem {
namespace {

constexpr const char* kSchema = "tandem-measurements/1";

}  // namespace

double Measurements::get(const std::string& key, const std::function<double()>& measure) {
  if (const auto found = numbers_.find(key); found != numbers_.end()) {
    ++reused_;
    return found->second;
  }
  const double number = measure();
  numbers_[key] = number;
  return number;
}

std::string Measurements::text(const std::string& subject) const {
  const nlohmann::ordered_json json{
      {"schema", kSchema}, {"subject", subject}, {"numbers", numbers_}};
  return json.dump(1) + "\n";
}

Measurements Measurements::read(const std::string& text, const std::string& subject,
                                const std::string& source) {
  Measurements measurements;
  try {
    const auto json = nlohmann::json::parse(text);
    if (json.at("schema") != kSchema)
      throw Error(source, ": the schema is not ", kSchema, "; delete the file to begin anew");
    if (json.at("subject") == subject)
      measurements.numbers_ = json.at("numbers").get<std::map<std::string, double>>();
  } catch (const nlohmann::json::exception& error) {
    throw Error(source, ": ", error.what(), "; delete the file to begin anew");
  }
  return measurements;
}

std::string content_hash(std::string_view content) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char byte : content) {
    hash ^= static_cast<unsigned char>(byte);
    hash *= 0x100000001b3;
  }
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (int shift = 60; shift >= 0; shift -= 4) text += kDigits[(hash >> shift) & 15];
  return text;
}

}  // namespace tandem
