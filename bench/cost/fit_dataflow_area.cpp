// Fits the costs of the parts of dataflow circuits to what Yosys makes of them.
//
//   tandem_fit_dataflow_area measure ROWS.csv [COUNT [SEED]]   generate, synthesise, append rows
//   tandem_fit_dataflow_area fit ROWS.csv COSTS.toml           least squares without negative costs
//   tandem_fit_dataflow_area show ROWS.csv                     rows with their features
//
// A row is one module of one pipeline of the sweep (bench/cost/dataflow_sweep.h): the seed, the
// module's name, its look-up tables and flip-flops. Fitting makes the pipelines again and takes
// their features from cost/dataflow_area.h, so that other features need no new synthesis.

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iostream>

#include "tandem/base/error.h"
#include "tandem/base/file.h"
#include "tandem/base/text.h"
#include "tandem/cost/dataflow_area.h"
#include "tandem/emit/verilog.h"
#include "tandem/ops/register.h"
#include "tandem/verify/yosys.h"

#include "bench/cost/dataflow_sweep.h"

namespace tandem {
namespace {

struct Measured {
  std::string module;
  double luts = 0, flip_flops = 0;
};

Measured measured(const std::string& module, const std::map<std::string, std::int64_t>& cells) {
  Measured result{module, 0, 0};
  for (const auto& [cell, count] : cells) {
    result.luts += static_cast<double>(count * luts_of_cell(cell));
    if (cell.starts_with("FD")) result.flip_flops += static_cast<double>(count);
  }
  return result;
}

// Modules with parameters (FIFOs) bear the name that the text gives them inside the one that Yosys
// makes of it.
bool is_shared(const AreaPart& part) {
  return part.form.starts_with("fifo") || part.form == "narrow";
}

// The modules of one pipeline, whose names carry the prefix. Shared ones count only where the
// pipeline has one of the kind.
std::vector<Measured> measured_modules(const Pipeline& pipeline, const std::string& prefix,
                                       const Synthesis& synthesis) {
  std::vector<Measured> rows;
  const auto parts = area_parts(pipeline);
  for (const AreaPart& part : parts) {
    const std::string name = part.module.empty() ? prefix : prefix + "_" + part.module;
    if (!is_shared(part)) {
      const auto found = synthesis.modules.find(name);
      if (found != synthesis.modules.end()) rows.push_back(measured(part.module, found->second));
      continue;
    }
    if (std::count_if(parts.begin(), parts.end(),
                      [&](const AreaPart& other) { return other.form == part.form; }) != 1)
      continue;
    for (const auto& [module, cells] : synthesis.modules) {
      const std::size_t at = module.find("\\" + name);
      if (at == std::string::npos) continue;
      const std::string after = module.substr(at + 1 + name.size());
      if (after.empty() || after[0] == '\\') rows.push_back(measured(part.module, cells));
    }
  }
  return rows;
}

// Several pipelines in one run of Yosys, which takes seconds to start; as lines of the table.
std::string measure_batch(std::uint64_t seed, int count) {
  std::vector<Pipeline> pipelines;
  std::string text, top = "module sweep (input wire aclk, input wire aresetn);\n";
  for (int i = 0; i < count; ++i) {
    pipelines.push_back(dataflow_sweep(seed + static_cast<std::uint64_t>(i)));
    const std::string name = concat("n", i);
    text += verilog_of(pipelines.back(), name);
    top += concat("  (* keep *) ", name, " u", i, " (.aclk(aclk), .aresetn(aresetn));\n");
  }
  const Synthesis synthesis = synthesize(text + top + "endmodule\n", "sweep");
  std::string lines;
  for (int i = 0; i < count; ++i) {
    for (const Measured& row :
         measured_modules(pipelines[static_cast<std::size_t>(i)], concat("n", i), synthesis))
      lines += concat(seed + static_cast<std::uint64_t>(i), ",", row.module, ",", row.luts, ",",
                      row.flip_flops, "\n");
  }
  return lines;
}

void measure(const std::string& path, int count, std::uint64_t seed) {
  constexpr int kBatch = 10;
  std::ofstream out(path, std::ios::app);
  for (int i = 0; i < count; i += kBatch) {
    const std::uint64_t here = seed + static_cast<std::uint64_t>(i);
    try {
      out << measure_batch(here, std::min(kBatch, count - i));
      out.flush();
    } catch (const Error& error) {
      std::cerr << "samples from " << here << ": " << error.what() << "\n";
    }
  }
}

struct Row {
  std::map<std::string, double> features;
  double registers = 0, luts = 0, flip_flops = 0;
};

// The rows of a table by form, with the features that their modules have today.
std::map<std::string, std::vector<Row>> rows_by_form(const std::string& table) {
  std::map<std::string, std::vector<Row>> by_form;
  std::uint64_t made = ~std::uint64_t{0};
  std::vector<AreaPart> parts;
  for (const std::string& line : split(table, '\n')) {
    if (trim(line).empty()) continue;
    const auto fields = split(line, ',');
    if (fields.size() != 4) throw Error("a row has ", fields.size(), " fields, not 4: ", line);
    const std::uint64_t seed = std::stoull(fields[0]);
    if (seed != made) parts = area_parts(dataflow_sweep(made = seed));
    const auto part = std::find_if(parts.begin(), parts.end(), [&](const AreaPart& candidate) {
      return candidate.module == fields[1];
    });
    if (part == parts.end())
      throw Error("the pipeline of seed ", seed, " has no module '", fields[1],
                  "' any more; measure the sweep again");
    by_form[part->form].push_back({part->features, part->registers,
                                   parse_real(fields[2], "look-up tables"),
                                   parse_real(fields[3], "flip-flops")});
  }
  return by_form;
}

// min sum of (A c - y)^2 / (y + 16) with c >= 0, by coordinate descent. A part of twice the size
// may be off by 1.4 times as much, as if it were made of independent halves; so sums of parts come
// out without a bias.
std::vector<double> fit(const std::vector<std::vector<double>>& rows,
                        const std::vector<double>& y) {
  const std::size_t count = rows.front().size();
  std::vector<double> weights, c(count, 0), residual = y;
  for (const double value : y) weights.push_back(1 / (value + 16));
  for (int round = 0; round < 4000; ++round) {
    for (std::size_t j = 0; j < count; ++j) {
      double gradient = 0, curvature = 1e-12;
      for (std::size_t i = 0; i < rows.size(); ++i) {
        gradient += weights[i] * rows[i][j] * residual[i];
        curvature += weights[i] * rows[i][j] * rows[i][j];
      }
      const double next = std::max(0.0, c[j] + gradient / curvature);
      for (std::size_t i = 0; i < rows.size(); ++i) residual[i] -= (next - c[j]) * rows[i][j];
      c[j] = next;
    }
  }
  return c;
}

double rounded(double value) { return std::round(value * 1000) / 1000; }

std::string fit_form(const std::string& form, const std::vector<Row>& rows) {
  std::map<std::string, std::size_t> names;
  for (const Row& row : rows)
    for (const auto& [feature, amount] : row.features) names.emplace(feature, 0);
  std::size_t next = 0;
  for (auto& [feature, index] : names) index = next++;
  std::vector<std::vector<double>> matrix;
  std::vector<double> luts;
  double registers = 0, flip_flops = 0;
  for (const Row& row : rows) {
    std::vector<double> line(names.size(), 0);
    for (const auto& [feature, amount] : row.features) line[names[feature]] = amount;
    matrix.push_back(line);
    luts.push_back(row.luts);
    registers += row.registers;
    flip_flops += row.flip_flops;
  }
  const auto c = fit(matrix, luts);
  double total = 0, difference = 0, signed_difference = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    double predicted = 0;
    for (std::size_t j = 0; j < c.size(); ++j) predicted += c[j] * matrix[i][j];
    total += luts[i];
    difference += std::abs(predicted - luts[i]);
    signed_difference += predicted - luts[i];
  }
  std::cerr << form << ": " << rows.size() << " rows, mean "
            << total / static_cast<double>(rows.size()) << " LUTs, mean absolute error "
            << 100 * difference / std::max(1.0, total) << " %, bias "
            << 100 * signed_difference / std::max(1.0, total) << " %; flip-flops per register "
            << (registers > 0 ? flip_flops / registers : 1) << "\n";
  std::string text =
      concat("\n# ", rows.size(), " modules, mean absolute error ",
             std::round(1000 * difference / std::max(1.0, total)) / 10, " % of LUTs\n");
  for (const auto& [feature, index] : names)
    text += concat("[[cost]]\nform = \"", form, "\"\nfeature = \"", feature,
                   "\"\nluts = ", shortest(rounded(c[index])), "\n");
  return text + concat("[[cost]]\nform = \"", form, "\"\nfeature = \"registers\"\nflip_flops = ",
                       shortest(registers > 0 ? rounded(flip_flops / registers) : 1), "\n");
}

void fit_all(const std::string& path, const std::string& costs) {
  const auto by_form = rows_by_form(read_file(path));
  std::size_t count = 0;
  for (const auto& [form, rows] : by_form) count += rows.size();
  std::string text = concat(
      "# Look-up tables and flip-flops of the parts of dataflow circuits, by what they are made "
      "of.\n"
      "# Made by bench/cost/fit_dataflow_area.cpp from ",
      count,
      " modules of generated networks.\n"
      "schema = \"tandem-costs/1\"\n"
      "source = \"learned: least squares over Yosys 0.23 synth_xilinx of generated modules\"\n");
  for (const auto& [form, rows] : by_form) text += fit_form(form, rows);
  write_file_atomic(costs, text);
}

int run(const std::vector<std::string>& arguments) {
  if (arguments.size() >= 2 && arguments[0] == "measure") {
    measure(arguments[1], arguments.size() > 2 ? std::stoi(arguments[2]) : 400,
            arguments.size() > 3 ? std::stoull(arguments[3]) : 1);
    return 0;
  }
  if (arguments.size() == 3 && arguments[0] == "fit") {
    fit_all(arguments[1], arguments[2]);
    return 0;
  }
  if (arguments.size() == 2 && arguments[0] == "show") {
    for (const auto& [form, rows] : rows_by_form(read_file(arguments[1]))) {
      for (const Row& row : rows) {
        std::cout << form << " luts " << row.luts << " flip_flops " << row.flip_flops
                  << " registers " << row.registers;
        for (const auto& [feature, amount] : row.features)
          std::cout << " " << feature << " " << amount;
        std::cout << "\n";
      }
    }
    return 0;
  }
  std::cerr << "usage: tandem_fit_dataflow_area measure ROWS.csv [COUNT [SEED]]\n"
               "       tandem_fit_dataflow_area fit ROWS.csv COSTS.toml\n"
               "       tandem_fit_dataflow_area show ROWS.csv\n";
  return 2;
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  try {
    tandem::register_operators();
    return tandem::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
