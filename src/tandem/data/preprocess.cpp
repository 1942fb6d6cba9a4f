#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/data/sources.h"

namespace tandem {
namespace {

std::vector<double> parse_list(const std::string& text, const std::string& key,
                               std::int64_t channels) {
  std::vector<double> values;
  for (const std::string& part : split(text, ',')) {
    values.push_back(parse_real(trim(part), concat("preprocessing: ", key)));
    if (!std::isfinite(values.back())) throw Error("preprocessing: ", key, " must be finite");
  }
  if (values.size() != 1 && static_cast<std::int64_t>(values.size()) != channels) {
    throw Error("preprocessing: ", key, " has ", values.size(), " entries; give one, or ", channels,
                " (one for each channel)");
  }
  return values;
}

double entry(const std::vector<double>& values, std::size_t channel) {
  return values.size() == 1 ? values.front() : values.at(channel);
}

std::map<std::string, std::string> parse_settings(std::string text) {
  for (char& c : text)
    if (c == ';' || c == '\t') c = ' ';
  static const std::vector<std::string> kKeys = {"mean", "std", "scale", "offset"};
  std::map<std::string, std::string> settings;
  for (const std::string& part : split(text, ' ')) {
    if (part.empty()) continue;
    const std::size_t equals = part.find('=');
    const std::string key = part.substr(0, equals);
    if (equals == std::string::npos || suggestion(key, kKeys).empty() ||
        std::find(kKeys.begin(), kKeys.end(), key) == kKeys.end()) {
      throw Error("preprocessing: '", part, "' is no setting such as mean=0.5 std=0.25",
                  suggestion(key, kKeys));
    }
    if (!settings.emplace(key, part.substr(equals + 1)).second)
      throw Error("preprocessing: ", key, " is given twice");
  }
  const bool standardises = settings.contains("mean") || settings.contains("std");
  const bool recodes = settings.contains("scale") || settings.contains("offset");
  if (standardises && recodes)
    throw Error("preprocessing: give mean and std, or scale and offset, not both kinds");
  return settings;
}

std::string list_text(const std::vector<double>& values) {
  std::vector<std::string> parts;
  for (const double value : values) parts.push_back(shortest(value));
  return values.size() == 1 ? parts.front() : "[" + join(parts, ",") + "]";
}

}  // namespace

void apply_preprocessing(DataSet& data, const std::string& text) {
  const auto settings = parse_settings(text);
  if (settings.empty()) return;
  const std::int64_t channels = data.sample_shape().front();
  const auto list = [&](const std::string& key, double otherwise) {
    const auto found = settings.find(key);
    return found == settings.end() ? std::vector<double>{otherwise}
                                   : parse_list(found->second, key, channels);
  };
  const bool recodes = settings.contains("scale") || settings.contains("offset");
  const auto mean = list("mean", 0), std = list("std", 1);
  const auto scale = list("scale", 1), offset = list("offset", 0);
  const bool per_channel = mean.size() > 1 || std.size() > 1 || scale.size() > 1 ||
                           offset.size() > 1 || data.coding.scale.size() > 1;
  SampleCoding coding{{}, {}};
  for (std::size_t c = 0; c < (per_channel ? static_cast<std::size_t>(channels) : 1); ++c) {
    const double divisor = entry(std, c);
    if (!(divisor > 0)) throw Error("preprocessing: std must be positive");
    if (!(entry(scale, c) > 0)) throw Error("preprocessing: scale must be positive");
    coding.scale.push_back(recodes ? entry(scale, c) : entry(data.coding.scale, c) / divisor);
    coding.offset.push_back(recodes ? entry(offset, c)
                                    : (entry(data.coding.offset, c) - entry(mean, c)) / divisor);
  }
  data.coding = std::move(coding);
}

std::string describe(const DataSet& data) {
  return concat(data.samples.format().name(), " codes; real = code * ",
                list_text(data.coding.scale), " + ", list_text(data.coding.offset));
}

}  // namespace tandem
