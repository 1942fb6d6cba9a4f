#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/file.h"
#include "tandem/files/numpy.h"

#include "tests/cli/cli_test.h"
#include "tests/support/paths.h"

namespace tandem::test {
namespace {

using ::testing::HasSubstr;

class RunVerb : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& content) {
    write_file_atomic(folder_ / name, content);
    return (folder_ / name).string();
  }
  std::string model() { return write("net.tandem", small_module_text()); }
  std::string arrays(const NamedTensors& tensors) {
    const auto bytes = write_npz(tensors);
    return write("in.npz", std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  TemporaryDir folder_;
};

Tensor codes(const std::vector<std::int64_t>& values) {
  return Tensor::from_integers(Format::integer(8, true),
                               {static_cast<std::int64_t>(values.size()) / 3, 3}, values);
}

// By hand, for x = [1,2,3]: sums [15,-3], (15*3+9)/16 = 3.4 and (-3*5+9)/16 = -0.4 round to [3,0],
// which stand for [1.5,0]; for x = [-1,0,2]: sums [-1,12], 6/16 and 69/16 round to [0,4].
TEST_F(RunVerb, RunsArraysOfCodesByName) {
  const std::string in = arrays({{"x", codes({1, 2, 3, -1, 0, 2})}});
  for (const std::string execution : {"reference", "cpu"}) {
    const CliRun run = run_cli(
        {"run", model(), "--input", in, "--output", path("out.npz"), "--execution", execution});
    ASSERT_EQ(run.exit_code, 0) << run.err;
    const NamedTensors out = read_npz(path("out.npz"));
    const Tensor& y = find_array(out, "y", "out.npz");
    EXPECT_EQ(y.shape(), (Shape{2, 2}));
    EXPECT_EQ(y.to_reals(), (std::vector<double>{1.5, 0, 0, 2}));
    EXPECT_EQ(find_array(out, "y.codes", "out.npz").to_integers(),
              (std::vector<std::int64_t>{3, 0, 0, 4}));
  }
}

TEST_F(RunVerb, CodesArraysOfRealsAsTheNetworkSays) {
  const Tensor reals =
      Tensor::from_reals(Format(), {1, 3}, std::vector<double>{0.5, 1.1, 1.4});  // 1, 2, 3
  const CliRun run = run_cli({"run", model(), "--input", arrays({{"x", reals}}), "--output",
                              path("out.npz"), "--execution", "reference"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(find_array(read_npz(path("out.npz")), "y", "").to_reals(),
            (std::vector<double>{1.5, 0}));
}

TEST_F(RunVerb, RunsTheGraphAsReadOnReals) {
  const std::string text =
      "tandem-module 1\nsymbol N in [1,64]\ngraph @main(%x : f32[N,2]) -> (%y) {\n"
      "  %y : f32[N,2] = Relu(%x) \"relu\"\n}\n";
  const Tensor reals =
      Tensor::from_reals(Format(), {3, 2}, std::vector<double>{1, -2, 3, -4, 5, -6});
  const CliRun run = run_cli({"run", write("relu.tandem", text), "--input", arrays({{"x", reals}}),
                              "--output", path("out.npz")});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Tensor y = find_array(read_npz(path("out.npz")), "y", "");
  EXPECT_EQ(y.format(), Format());
  EXPECT_EQ(y.to_reals(), (std::vector<double>{1, 0, 3, 0, 5, 0}));
}

// Symbols behind the batch are what the arrays have there.
TEST_F(RunVerb, TakesSizesFromTheArrays) {
  const std::string net =
      write("sizes.tandem",
            "tandem-module 1\nsymbol N in [1,8]\nsymbol L in [1,8]\n"
            "graph @main(%x : f32[N,L]) -> (%y) {\n  %y : f32[N,L] = Neg(%x)\n}\n");
  const Tensor x = Tensor::from_reals(Format(), {2, 3}, std::vector<double>{1, 2, 3, 4, 5, 6});
  for (const char* execution : {"float", "cpu"}) {
    const CliRun run = run_cli({"run", net, "--input", arrays({{"x", x}}), "--output",
                                path("out.npz"), "--execution", execution});
    ASSERT_EQ(run.exit_code, 0) << run.err;
    EXPECT_EQ(find_array(read_npz(path("out.npz")), "y", "out.npz").to_reals(),
              (std::vector<double>{-1, -2, -3, -4, -5, -6}));
  }
}

TEST_F(RunVerb, BindsArraysThatDecideShapes) {
  const auto net = source_dir() / "tests/fuzz/corpus/onnx/reshape.onnx";
  const Tensor x = Tensor::from_reals(Format(), {1, 3, 4},
                                      std::vector<double>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  const Tensor shape =
      Tensor::from_integers(Format::integer(64, true), {2}, std::vector<std::int64_t>{4, -1});
  const std::string in = arrays({{"x", x}, {"shape", shape}});
  const CliRun run = run_cli({"run", net.string(), "--input", in, "--output", path("out.npz")});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const NamedTensors out = read_npz(path("out.npz"));
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].second.shape(), (Shape{1, 4, 3}));
  EXPECT_EQ(out[0].second.to_reals(), x.to_reals());
}

TEST_F(RunVerb, CountsWhatIsRight) {
  // Scores by hand: rows give [1.5,0], [0,2], [1.5,0] with the labels 0, 1, 1.
  const std::string set = write("set.csv",
                                "a,b,c,label,split\n0.5,1,1.5,0,test\n-0.5,0,1,1,test\n"
                                "0.5,1,1.5,1,test\n0,0,0,0,train\n");
  for (const std::string execution : {"float", "reference", "cpu"}) {
    const CliRun run =
        run_cli({"run", model(), "--data", "csv:" + set, "--execution", execution, "--json"});
    ASSERT_EQ(run.exit_code, 0) << run.err;
    const auto json = run.json();
    EXPECT_EQ(json["schema"], "tandem-run/1");
    EXPECT_EQ(json["execution"], execution);
    EXPECT_EQ(json["samples"], 3);
    EXPECT_EQ(json["correct"], 2);
    EXPECT_DOUBLE_EQ(json["accuracy"].get<double>(), 2.0 / 3);
    EXPECT_GE(json["seconds"].get<double>(), 0);
    EXPECT_EQ(json["data"]["split"], "test");
  }
  EXPECT_EQ(
      run_cli({"run", model(), "--data", "csv:" + set, "--limit", "1", "--json"}).json()["samples"],
      1);
  EXPECT_EQ(run_cli({"run", model(), "--data", "csv:" + set, "--split", "train", "--json"})
                .json()["samples"],
            1);
}

TEST_F(RunVerb, RandomDataHaveNoAccuracy) {
  const auto json = run_cli({"run", model(), "--data", "random:20", "--execution", "cpu", "--seed",
                             "3", "--json"})
                        .json();
  EXPECT_EQ(json["samples"], 20);
  EXPECT_TRUE(json["accuracy"].is_null());
}

TEST_F(RunVerb, LowersAQuantizedNetworkOnTheFly) {
  const std::string text =
      "tandem-module 1\nsymbol N in [1,64]\nconstant @s : f32[] = [0.25]\n"
      "graph @main(%x : f32[N,3]) -> (%y) {\n  %s = constant @s\n"
      "  %q : int4[N,3] = Quantize(%x, %s) {format = int4} \"q\"\n"
      "  %d : f32[N,3] = Dequantize(%q, %s) \"d\"\n  %y : f32[N,3] = Relu(%d) \"relu\"\n}\n";
  const std::string net = write("quantized.tandem", text);
  const Tensor reals = Tensor::from_reals(Format(), {1, 3}, std::vector<double>{0.9, -3, 9});
  const std::string in = arrays({{"x", reals}});
  for (const std::string execution : {"float", "reference", "cpu"}) {
    const CliRun run =
        run_cli({"run", net, "--input", in, "--output", path("out.npz"), "--execution", execution});
    ASSERT_EQ(run.exit_code, 0) << run.err;
    EXPECT_EQ(find_array(read_npz(path("out.npz")), "y", "").to_reals(),
              (std::vector<double>{1, 0, 1.75}))
        << execution;
  }
}

TEST_F(RunVerb, NamesCompressWhereANetworkDoesNotLower) {
  const std::string text =
      "tandem-module 1\ngraph @main(%x : f32[1,2]) -> (%y) {\n  %y : f32[1,2] = Relu(%x)\n}\n";
  for (const std::string execution : {"reference", "c", "qemu"}) {
    const CliRun run = run_cli(
        {"run", write("real.tandem", text), "--data", "random:2", "--execution", execution});
    EXPECT_EQ(run.exit_code, 2) << execution;
    EXPECT_THAT(run.err, HasSubstr("'x'"));
    EXPECT_THAT(run.err, HasSubstr("tandem compress"));
  }
}

TEST_F(RunVerb, NamesTheDefaultDevice) {
  const auto json =
      run_cli({"run", model(), "--data", "random:2", "--execution", "c", "--json"}).json();
  EXPECT_EQ(json["device"], "mps2-an386");
}

TEST_F(RunVerb, TimesEveryNode) {
  const auto json = run_cli({"run", model(), "--data", "random:4", "--execution", "reference",
                             "--profile", "--json"})
                        .json();
  std::vector<std::string> nodes;
  for (const auto& node : json["profile"]) nodes.push_back(node["name"]);
  EXPECT_THAT(nodes, ::testing::UnorderedElementsAre("dense", "narrow"));
}

struct Refusal {
  std::vector<std::string> arguments;
  std::string message;
};

TEST_F(RunVerb, RefusesWhatMakesNoSense) {
  const std::string net = model(), in = arrays({{"x", codes({1, 2, 3})}});
  const std::string out = path("out.npz");
  const std::vector<Refusal> refusals = {
      {{"run", net}, "either --data SET or --input"},
      {{"run", net, "--data", "random:2", "--input", in}, "either --data SET or --input"},
      {{"run", net, "--input", in}, "--output"},
      {{"run", net, "--input", in, "--output", out, "--limit", "1"}, "without --data"},
      {{"run", net, "--data", "random:2", "--execution", "referenc"}, "did you mean 'reference'?"},
      {{"run", net, "--data", "random:2", "--execution", "reference", "--device", "stm32f746"},
       "no meaning for the execution reference"},
      {{"run", net, "--data", "random:2", "--execution", "c", "--device", "stm32f764"},
       "did you mean 'stm32f746'?"},
      {{"run", net, "--data", "random:2", "--execution", "c", "--profile"}, "--profile"},
      {{"run", net, "--data", "random:2", "--bench"}, "add --execution cpu"},
      {{"run", net, "--execution", "cpu"}, "--bench or --profile"},
      {{"run", net, "--execution", "cpu", "--bench", "--output", out}, "nothing to compute"},
      {{"run", net, "--execution", "cpu", "--bench", "--profile-trace", path("trace.json")},
       "--profile-trace"},
      {{"run", net, "--data", "random:2", "--runs", "3"}, "--runs"},
      {{"run", net, "--execution", "cpu", "--bench", "--runs", "0"}, "--runs 0"},
      {{"run", net, "--data", "random:2", "--threads", "0"}, "--threads 0"},
      {{"run", net, "--data", "random:x"}, "random"},
      {{"run", net, "--data", "mnst:dir"}, "did you mean 'mnist'?"},
      {{"run", net, "--data", "random:2", "--split", "tests"}, "did you mean 'test'?"},
      {{"run", net, "--data", "random:2", "--limit", "0"}, "limit"},
      {{"run", net, "--data", "random:2", "--limit", "many"}, "--limit"},
      {{"run", net, "--data", "random:2", "--seed", "-1"}, "--seed"},
      {{"run", net, "--data", "random:2", "--input-coding", "x"}, "--input-coding takes"},
      {{"run", net, "--data", "random:2", "--execution", "reference", "--input-coding",
        "x=uint8,1/255"},
       "of integers already"},
      {{"run", net, "--input", in, "--output", path("missing/out.npz")}, "missing"}};
  for (const Refusal& refusal : refusals) {
    const CliRun run = run_cli(refusal.arguments);
    EXPECT_EQ(run.exit_code, 2) << ::testing::PrintToString(refusal.arguments) << run.err;
    EXPECT_THAT(run.err, HasSubstr(refusal.message)) << ::testing::PrintToString(refusal.arguments);
    EXPECT_FALSE(std::filesystem::exists(out));
  }
}

// A convolution, its activation and a product.
std::string real_network() {
  return "tandem-module 1\nsymbol N in [1,64]\n"
         "constant @w : f32[1,1,2,2] = [1,-1,0.5,2]\nconstant @m : f32[4,1] = [1,2,3,4]\n"
         "graph @main(%x : f32[N,1,3,3]) -> (%y) {\n"
         "  %w = constant @w\n  %m = constant @m\n"
         "  %c : f32[N,1,2,2] = Conv(%x, %w) \"conv\"\n  %r : f32[N,1,2,2] = Relu(%c) \"relu\"\n"
         "  %f : f32[N,4] = Reshape(%r) {shape = [\"d0\", \"4\"]} \"flat\"\n"
         "  %y : f32[N,1] = MatMul(%f, %m) \"product\"\n}\n";
}

// By hand: x counts from 0; each window [a,b,c,d] gives a - b + c/2 + 2d = -1 + c/2 + 2d, that is
// 8.5, 11, 16, 18.5; 8.5 + 22 + 48 + 74 = 152.5.
TEST_F(RunVerb, RunsARealNetworkOnKernelsAsItIs) {
  const Tensor x =
      Tensor::from_reals(Format(), {1, 1, 3, 3}, std::vector<double>{0, 1, 2, 3, 4, 5, 6, 7, 8});
  const CliRun run =
      run_cli({"run", write("real.tandem", real_network()), "--input", arrays({{"x", x}}),
               "--output", path("out.npz"), "--execution", "cpu", "--threads", "2"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const NamedTensors out = read_npz(path("out.npz"));
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].second.shape(), (Shape{1, 1}));
  EXPECT_EQ(out[0].second.to_reals(), std::vector<double>{152.5});
}

TEST_F(RunVerb, TimesARealNetworkWithoutData) {
  const CliRun run = run_cli({"run", write("real.tandem", real_network()), "--execution", "cpu",
                              "--bench", "--profile", "--profile-trace", path("trace.json"),
                              "--runs", "7", "--threads", "1", "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto json = run.json();
  const auto& bench = json["bench"];
  EXPECT_EQ(bench["runs"], 7);
  EXPECT_EQ(bench["threads"], 1);
  // 4 positions of 4 multiplications, and 4 of the product.
  EXPECT_EQ(bench["operations"], 2 * (4 * 4 + 4));
  EXPECT_GT(bench["peak_operations_per_second"].get<double>(), 1e9);
  EXPECT_LE(bench["least_seconds"].get<double>(), bench["median_seconds"].get<double>());
  ASSERT_EQ(json["profile"].size(), 2U);
  EXPECT_GE(json["profile"][0]["seconds"].get<double>(),
            json["profile"][1]["seconds"].get<double>());
  const auto trace = nlohmann::json::parse(read_file(path("trace.json")));
  ASSERT_EQ(trace["traceEvents"].size(), 2U);
  EXPECT_EQ(trace["traceEvents"][0]["name"], "conv");
  EXPECT_EQ(trace["traceEvents"][0]["args"]["followers"][0], "Relu");
  EXPECT_GE(
      trace["traceEvents"][1]["ts"].get<double>(),
      trace["traceEvents"][0]["ts"].get<double>() + trace["traceEvents"][0]["dur"].get<double>());
}

TEST_F(RunVerb, RefusesArraysThatDoNotFit) {
  const std::string net = model();
  const auto refused = [&](const NamedTensors& tensors, const std::string& message) {
    const CliRun run = run_cli({"run", net, "--input", arrays(tensors), "--output", path("out.npz"),
                                "--execution", "reference"});
    EXPECT_EQ(run.exit_code, 2);
    EXPECT_THAT(run.err, HasSubstr(message));
    EXPECT_FALSE(std::filesystem::exists(path("out.npz")));
  };
  refused({{"z", codes({1, 2, 3})}}, "'x'");
  refused({{"x", codes({1, 2, 3})}, {"xx", codes({1, 2, 3})}}, "no input 'xx'");
  refused({{"x", Tensor(Format::integer(8, true), {2, 4})}}, "int8[1,3]");
}

// Fixed-point functions of TensorFlow Lite's kernels: the emitted C computes the definition.
TEST_F(RunVerb, FunctionsOfCodesAreThoseOfEmittedC) {
  for (const std::string name : {"lstm_int8_rows", "softmax_2_int16", "tanh_other_int16",
                                 "logistic_power_int16", "leaky_relu_int16", "softmax_12"}) {
    const auto model = source_dir() / "tests/fuzz/corpus/tflite" / (name + ".tflite");
    std::vector<NamedTensors> outputs;
    for (const std::string execution : {"reference", "c"}) {
      const CliRun run = run_cli({"run", model.string(), "--data", "random:8", "--output",
                                  path("out.npz"), "--execution", execution});
      ASSERT_EQ(run.exit_code, 0) << run.err;
      outputs.push_back(read_npz(path("out.npz")));
    }
    ASSERT_EQ(outputs[0].size(), outputs[1].size());
    for (std::size_t i = 0; i < outputs[0].size(); ++i)
      EXPECT_EQ(outputs[0][i].second, outputs[1][i].second) << name;
  }
}

}  // namespace
}  // namespace tandem::test
