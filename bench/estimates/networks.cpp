#include "bench/estimates/networks.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include <nlohmann/json.hpp>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/compress/recoder.h"
#include "tandem/data/dataset.h"
#include "tandem/files/model_file.h"
#include "tandem/verify/network.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;

// A network of the shared data. Inputs that no quantizer reads arrive as codes: `format` of
// `scale`.
struct SharedNetwork {
  std::string name, format;
  double scale = 1;
};

const std::vector<SharedNetwork>& shared_networks() {
  static const std::vector<SharedNetwork> networks = {
      {"TFC_1W1A", "uint8", 1.0 / 255},          {"TFC_1W2A", "uint8", 1.0 / 255},
      {"TFC_2W2A", "uint8", 1.0 / 255},          {"unsw_nb15-mlp-w2a2", "", 1},
      {"qkeras_jettagging", "int8", 1.0 / 16.0}, {"kwsmlp_w3a3", "", 1}};
  return networks;
}

fs::path data_folder() {
  const char* given = std::getenv("TANDEM_DATA");
  return given == nullptr ? fs::path(TANDEM_SOURCE_DIR) / ".." / "shared" / "data"
                          : fs::path(given);
}

Module lower_shared(const SharedNetwork& shared, const fs::path& file) {
  const Module network = read_model(file);
  InputCodings codings;
  if (!shared.format.empty()) {
    const Graph& graph = network.main();
    codings[graph.values[graph.inputs.front()].name] = {
        Format::parse(shared.format), Tensor::scalar(shared.scale, Format::parse("f64"))};
  }
  return lowered_network(network, codings);
}

Module lower_digits() {
  const fs::path folder = fs::path(TANDEM_SOURCE_DIR) / "examples" / "digits";
  DataOptions options;
  options.source = "npz:" + (folder / "digits.npz").string();
  options.split = "train";
  options.limit = 256;
  const DataSet calibration = open_data(options);
  Module network = read_model(folder / "digits.onnx");
  prepare_for_quantization(network);
  return lowered_network(Recoder(network, calibration).recoded({}));
}

}  // namespace

std::vector<JudgedNetwork> judged_networks(const std::vector<std::string>& only) {
  std::vector<std::string> known = {"digits"};
  for (const SharedNetwork& shared : shared_networks()) known.push_back(shared.name);
  for (const std::string& name : only)
    if (std::ranges::find(known, name) == known.end())
      throw Error("no network '", name, "'", suggestion(name, known));
  const auto wanted = [&](const std::string& name) {
    return only.empty() || std::ranges::find(only, name) != only.end();
  };
  std::vector<JudgedNetwork> networks;
  if (wanted("digits")) networks.push_back({"digits", lower_digits()});
  for (const SharedNetwork& shared : shared_networks()) {
    if (!wanted(shared.name)) continue;
    const fs::path file = data_folder() / "models" / "qonnx" / (shared.name + ".onnx");
    if (fs::exists(file)) {
      networks.push_back({shared.name, lower_shared(shared, file)});
    } else {
      std::cerr << "skipped " << shared.name << ": no " << file.string()
                << " (TANDEM_DATA names the folder of shared data)\n";
    }
  }
  return networks;
}

void print_comparison(const std::string& network, const std::string& device,
                      const std::string& plan, const std::string& quantity, double predicted,
                      double measured) {
  const nlohmann::ordered_json line = {{"network", network},     {"device", device},
                                       {"plan", plan},           {"quantity", quantity},
                                       {"predicted", predicted}, {"measured", measured}};
  std::cout << line.dump() << '\n' << std::flush;
}

}  // namespace tandem
