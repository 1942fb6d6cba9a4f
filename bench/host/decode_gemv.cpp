// Products of one row with packed weights on this processor:
//
//   tandem_decode_gemv [--json] [--mib N] [--seconds S] [--threads T] [--only TEXT]
//   tandem_decode_gemv --tokens q4_0|q8_0|q6_k --layers N [--seconds S] [--threads T]
//
// For each kind of weights at least N MiB (256) of them are read from memory, in layers of
// 4096 x 8192. The roof is the lesser of two: the bandwidth with which T threads (2) read that much
// memory, and the rate at which they decode and multiply the same weights when these lie in the
// first caches. The ratio is the time of oneDNN's product with the same weights as f32 over ours.
// Fails where a share of the roof, or of the bandwidth, is below what the instruction set is
// expected to reach.
//
// --tokens reads N decoder layers of a language model (embedding 2048, inner 5632) once for each
// token, in the block structure of llama.cpp's formats, and prints tokens per second for each line
// of its input: tools/bench_decode.py lets both take turns.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <dnnl.hpp>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/base/threads.h"
#include "tandem/kernels/decode_product.h"
#include "tandem/kernels/instruction_set.h"
#include "tandem/kernels/processor_rates.h"

// Of libgomp, on which Debian's oneDNN runs; <omp.h> comes with GCC alone.
extern "C" void omp_set_num_threads(int threads);

namespace tandem {
namespace {

enum class Activations { kF32, kInt8 };

struct Case {
  const char* name;
  const char* format;
  std::int64_t group;  // 0: all of a row
  ScaleKind scales;
  Activations activations;
  // The least share that is expected of the roof, or of the bandwidth alone; 0 where none is set.
  double of_roof, of_bandwidth;
};

// The expected values of AVX2 and of AVX-512, whose kernels for this are those of AVX2: with f32
// the same instructions at the same width, with codes more bytes a cycle than memory delivers.
constexpr Case kCases[] = {
    {"fp6 (4+2), rows", "e3m2", 0, ScaleKind::kF32, Activations::kF32, 0.70, 0},
    {"nf4, groups of 64", "nf4", 64, ScaleKind::kF16, Activations::kF32, 0.70, 0},
    {"int4, groups of 32", "int4", 32, ScaleKind::kF16, Activations::kF32, 0.70, 0},
    {"ternary, rows", "ternary", 0, ScaleKind::kF32, Activations::kF32, 0.70, 0},
    {"int3, groups of 64", "int3", 64, ScaleKind::kF16, Activations::kF32, 0.70, 0},
    {"int2, groups of 64", "int2", 64, ScaleKind::kF16, Activations::kF32, 0.70, 0},
    {"fp4 e2m1, groups of 32", "e2m1", 32, ScaleKind::kBf16, Activations::kF32, 0.70, 0},
    {"fp8 e4m3, rows", "e4m3", 0, ScaleKind::kF32, Activations::kF32, 0.70, 0},
    {"int8, groups of 32", "int8", 32, ScaleKind::kF16, Activations::kF32, 0.70, 0},
    {"int4, groups of 32", "int4", 32, ScaleKind::kF16, Activations::kInt8, 0, 0.70},
    {"ternary, rows", "ternary", 0, ScaleKind::kF32, Activations::kInt8, 0, 0.60},
    {"int8, groups of 32", "int8", 32, ScaleKind::kF16, Activations::kInt8, 0, 0.70},
    {"int6, nested groups of 16", "int6", 16, ScaleKind::kNested, Activations::kInt8, 0, 0},
};

struct LayerShape {
  std::int64_t rows, depth;
};
constexpr LayerShape kLayer{4096, 8192};

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The shortest of several runs that take about `seconds` together.
template <typename Body>
double shortest(double seconds, const Body& body) {
  body();
  double best = std::numeric_limits<double>::infinity();
  for (const double end = now() + seconds; now() < end;) {
    const double start = now();
    body();
    best = std::min(best, now() - start);
  }
  return best;
}

// Packed as often as wanted from codes and scales that are drawn once.
class RandomWeights {
 public:
  RandomWeights(const Case& kind, const LayerShape& shape);
  std::unique_ptr<DecodeWeights> packed() const { return std::make_unique<DecodeWeights>(source_); }

 private:
  DecodeSource source_;
  std::vector<std::uint8_t> codes_;
  std::vector<float> scales_, supers_;
};

RandomWeights::RandomWeights(const Case& kind, const LayerShape& shape) {
  std::minstd_rand engine(1);
  DecodeSource& source = source_;
  source.decoder = *decoder_of(Format::parse(kind.format));
  source.rows = shape.rows;
  source.depth = shape.depth;
  source.group = kind.group == 0 ? shape.depth : kind.group;
  source.scale_kind = kind.scales;
  std::vector<std::uint8_t> numbers;
  for (std::size_t code = 0; code < 256; ++code)
    if (source.decoder.stands_for_number[code]) numbers.push_back(static_cast<std::uint8_t>(code));
  codes_.resize(static_cast<std::size_t>(shape.rows * shape.depth));
  for (std::uint8_t& code : codes_) code = numbers[(engine() >> 4) % numbers.size()];
  scales_.resize(static_cast<std::size_t>(shape.rows * shape.depth / source.group));
  const bool nested = kind.scales == ScaleKind::kNested;
  for (float& scale : scales_)
    scale = nested ? static_cast<float>(engine() % 255) - 127.0F : 0x1p-6F;
  if (nested)
    supers_.assign(static_cast<std::size_t>(shape.rows * shape.depth / DecodeWeights::kSuperGroup),
                   0x1p-12F);
  source.codes = codes_;
  source.scales = scales_;
  source.super_scales = supers_;
}

std::vector<float> normal(std::int64_t count) {
  std::minstd_rand engine(7);
  std::normal_distribution<float> distribution;
  std::vector<float> x(static_cast<std::size_t>(count));
  for (float& element : x) element = distribution(engine);
  return x;
}

// One row times weights, activations coded anew each time where they are.
class Product {
 public:
  explicit Product(Activations activations) : activations_(activations) {}
  void run(const DecodeWeights& w, const float* x) {
    y_.resize(static_cast<std::size_t>(w.rows()));
    if (activations_ == Activations::kF32)
      return decode_product(w, x, 1, w.depth(), y_.data(), w.rows());
    code_rows(w, x, 1, w.depth(), coded_);
    decode_product(w, coded_, y_.data(), w.rows());
  }

 private:
  Activations activations_;
  CodedRows coded_;
  std::vector<float> y_;
};

// Weights a second of oneDNN's product with at least `bytes` of f32.
double onednn_rate(std::int64_t bytes, int threads, double seconds) {
  omp_set_num_threads(threads);
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  using Description = dnnl::memory::desc;
  using Tag = dnnl::memory::format_tag;
  constexpr auto kFloat = dnnl::memory::data_type::f32;
  const Description x({1, kLayer.depth}, kFloat, Tag::ab), y({1, kLayer.rows}, kFloat, Tag::ab),
      w({kLayer.rows, kLayer.depth}, kFloat, Tag::any);
  const dnnl::inner_product_forward::primitive_desc made(
      dnnl::inner_product_forward::desc(dnnl::prop_kind::forward_inference, x, w, y), engine);
  const dnnl::inner_product_forward call(made);
  const std::int64_t of_one = kLayer.rows * kLayer.depth * 4;
  std::vector<dnnl::memory> layers;
  for (std::int64_t done = 0; done < bytes; done += of_one) {
    layers.emplace_back(made.weights_desc(), engine);
    auto* floats = static_cast<float*>(layers.back().get_data_handle());
    std::fill_n(floats, made.weights_desc().get_size() / 4, 0.5F);
  }
  dnnl::memory from(x, engine), to(y, engine);
  std::fill_n(static_cast<float*>(from.get_data_handle()), kLayer.depth, 1.0F);
  const double best = shortest(seconds, [&] {
    for (const dnnl::memory& layer : layers)
      call.execute(stream, {{DNNL_ARG_SRC, from}, {DNNL_ARG_WEIGHTS, layer}, {DNNL_ARG_DST, to}});
    stream.wait();
  });
  return static_cast<double>(layers.size()) * static_cast<double>(kLayer.rows * kLayer.depth) /
         best;
}

struct Measured {
  double bytes_of_weight, decode_rate, rate;  // weights a second
};

Measured measure(const Case& kind, std::int64_t bytes, int threads, double seconds) {
  // Codes of 256 KiB for each thread, which works alone.
  const auto decoder = *decoder_of(Format::parse(kind.format));
  constexpr std::int64_t kDepth = 1024;
  constexpr int kTimes = 20;
  const std::int64_t rows =
      std::int64_t{256 << 10} * 8 / decoder.bits / kDepth / kDecodePanel * kDecodePanel;
  const RandomWeights small(kind, {rows, kDepth});
  std::vector<std::unique_ptr<DecodeWeights>> resident;
  std::vector<Product> products(static_cast<std::size_t>(threads), Product(kind.activations));
  for (int thread = 0; thread < threads; ++thread) resident.push_back(small.packed());
  const auto x = normal(kLayer.depth);
  const double decoding = shortest(seconds, [&] {
    parallel_for(0, threads, 1, [&](std::int64_t from, std::int64_t to) {
      for (auto t = static_cast<std::size_t>(from); t < static_cast<std::size_t>(to); ++t)
        for (int i = 0; i < kTimes; ++i) products[t].run(*resident[t], x.data());
    });
  });
  Product& product = products[0];
  std::vector<std::unique_ptr<DecodeWeights>> layers;
  std::int64_t read = 0;
  for (const RandomWeights source(kind, kLayer); read < bytes;) {
    layers.push_back(source.packed());
    read += layers.back()->bytes();
  }
  const double best = shortest(seconds, [&] {
    for (const auto& layer : layers) product.run(*layer, x.data());
  });
  const double count =
      static_cast<double>(layers.size()) * static_cast<double>(kLayer.rows * kLayer.depth);
  return {static_cast<double>(read) / count,
          kTimes * static_cast<double>(threads * rows * kDepth) / decoding, count / best};
}

struct Options {
  bool json = false;
  std::int64_t mib = 256, layers = 0;
  double seconds = 1;
  int threads = 2;
  std::string only, tokens;
};

int table(const Options& options) {
  const std::int64_t bytes = options.mib << 20;
  const double bandwidth =
      read_bytes_per_second(static_cast<std::size_t>(bytes), options.threads, options.seconds);
  const double peak = operations_per_second(Products::kF32, options.threads);
  const double onednn = onednn_rate(bytes, options.threads, options.seconds);
  nlohmann::json report = {{"schema", "tandem-decode-gemv/1"},
                           {"instruction_set", std::string(name(instruction_set()))},
                           {"threads", options.threads},
                           {"mib", options.mib},
                           {"bandwidth_gb_per_s", bandwidth * 1e-9},
                           {"f32_gflop_per_s", peak * 1e-9},
                           {"onednn_f32_gweights_per_s", onednn * 1e-9}};
  if (!options.json) {
    std::printf("%s, %d threads: reads %.1f GB/s, %.0f f32 GFLOP/s; oneDNN f32 %.2f Gweights/s\n",
                std::string(name(instruction_set())).c_str(), options.threads, bandwidth * 1e-9,
                peak * 1e-9, onednn * 1e-9);
    std::printf("%-26s %5s %7s %9s %9s %7s %7s %7s\n", "weights", "x", "Gw/s", "GB/s", "decode",
                "roof", "memory", "oneDNN");
  }
  int missed = 0;
  for (const Case& kind : kCases) {
    const char* x = kind.activations == Activations::kF32 ? "f32" : "int8";
    if (std::string(kind.name).find(options.only) == std::string::npos) continue;
    const Measured m = measure(kind, bytes, options.threads, options.seconds);
    const double roof = std::min(bandwidth / m.bytes_of_weight, m.decode_rate);
    const double of_roof = m.rate / roof, of_bandwidth = m.rate * m.bytes_of_weight / bandwidth;
    const bool holds = of_roof >= kind.of_roof && of_bandwidth >= kind.of_bandwidth;
    missed += holds ? 0 : 1;
    report["cases"].push_back({{"weights", kind.name},
                               {"activations", x},
                               {"bytes_per_weight", m.bytes_of_weight},
                               {"gweights_per_s", m.rate * 1e-9},
                               {"decode_gweights_per_s", m.decode_rate * 1e-9},
                               {"of_roof", of_roof},
                               {"of_bandwidth", of_bandwidth},
                               {"over_onednn_f32", m.rate / onednn},
                               {"expected_of_roof", kind.of_roof},
                               {"expected_of_bandwidth", kind.of_bandwidth},
                               {"holds", holds}});
    if (!options.json)
      std::printf("%-26s %5s %7.2f %9.2f %9.2f %6.0f%% %6.0f%% %7.2f%s\n", kind.name, x,
                  m.rate * 1e-9, m.rate * m.bytes_of_weight * 1e-9, m.decode_rate * 1e-9,
                  100 * of_roof, 100 * of_bandwidth, m.rate / onednn,
                  holds ? "" : "  below what is expected");
    std::fflush(stdout);
  }
  if (options.json) std::printf("%s\n", report.dump(2).c_str());
  return missed == 0 ? 0 : 1;
}

// The products of one token, layer by layer.
int tokens(const Options& options) {
  struct Blocks {
    const char* name;
    Case kind;
  };
  static constexpr Blocks kBlocks[] = {
      {"q4_0", {"", "int4", 32, ScaleKind::kF16, Activations::kInt8, 0, 0}},
      {"q8_0", {"", "int8", 32, ScaleKind::kF16, Activations::kInt8, 0, 0}},
      {"q6_k", {"", "int6", 16, ScaleKind::kNested, Activations::kInt8, 0, 0}}};
  const auto* blocks = std::find_if(std::begin(kBlocks), std::end(kBlocks),
                                    [&](const Blocks& b) { return options.tokens == b.name; });
  if (blocks == std::end(kBlocks) || options.layers < 1)
    throw Error("--tokens '", options.tokens, "' with ", options.layers,
                " layers: give q4_0, q8_0 or q6_k and --layers from 1 on");
  constexpr std::int64_t kWidth = 2048, kInner = 5632;
  std::vector<std::unique_ptr<DecodeWeights>> all;
  std::int64_t bytes = 0;
  const RandomWeights square(blocks->kind, {kWidth, kWidth}), wide(blocks->kind, {kInner, kWidth}),
      narrow(blocks->kind, {kWidth, kInner});
  for (std::int64_t layer = 0; layer < options.layers; ++layer) {
    for (const RandomWeights* source :
         {&square, &square, &square, &square, &wide, &wide, &narrow}) {
      all.push_back(source->packed());
      bytes += all.back()->bytes();
    }
  }
  const auto x = normal(kInner);
  Product product(Activations::kInt8);
  // A turn for each line that is read.
  for (std::string line; std::getline(std::cin, line);) {
    const double best = shortest(options.seconds, [&] {
      for (const auto& w : all) product.run(*w, x.data());
    });
    const nlohmann::json report = {{"blocks", options.tokens},
                                   {"mib", static_cast<double>(bytes) / (1 << 20)},
                                   {"tokens_per_s", 1 / best},
                                   {"gb_per_s", static_cast<double>(bytes) / best * 1e-9}};
    std::printf("%s\n", report.dump().c_str());
    std::fflush(stdout);
  }
  return 0;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--json") {
      options.json = true;
      continue;
    }
    if (i + 1 == argc) throw Error("option '", option, "' wants a value; see the file's head");
    const std::string value = argv[++i];
    if (option == "--mib")
      options.mib = std::stoll(value);
    else if (option == "--layers")
      options.layers = std::stoll(value);
    else if (option == "--seconds")
      options.seconds = std::stod(value);
    else if (option == "--threads")
      options.threads = std::stoi(value);
    else if (option == "--only")
      options.only = value;
    else if (option == "--tokens")
      options.tokens = value;
    else
      throw Error("no option '", option,
                  "'; there are --json, --mib, --seconds, --threads, --only, ",
                  "--tokens, --layers");
  }
  return options;
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  try {
    const tandem::Options options = tandem::parse(argc, argv);
    tandem::set_thread_count(options.threads);
    return options.tokens.empty() ? tandem::table(options) : tandem::tokens(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tandem_decode_gemv: %s\n", error.what());
    return 2;
  }
}
