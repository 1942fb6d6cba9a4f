#include <algorithm>
#include <map>
#include <random>

#include <gtest/gtest.h>

#include "tandem/base/text.h"
#include "tandem/base/threads.h"
#include "tandem/graph/builder.h"
#include "tandem/graph/evaluate.h"
#include "tandem/graph/printer.h"
#include "tandem/kernels/instruction_set.h"
#include "tandem/ops/integer.h"
#include "tandem/ops/register.h"
#include "tandem/runtime/host_network.h"
#include "tandem/runtime/host_plan.h"
#include "tandem/runtime/program.h"

#include "tests/runtime/host_runs.h"

namespace tandem {
namespace {

// Chains of what lowered networks of 8-bit codes are made of, with extreme weights and codes.
class RandomCodes {
 public:
  explicit RandomCodes(std::uint64_t seed) : engine_(seed) {
    builder_ = std::make_unique<Builder>(module_, Builder::add_graph(module_, "main"));
  }

  Module run() {
    const bool image = any(0, 4) != 0;
    const Shape shape = image ? Shape{any(1, 2), any(3, 12), any(3, 12), any(1, 70)}
                              : Shape{any(1, 40), any(1, 150)};
    ValueId x = builder_->input("x", {{shape.begin(), shape.end()}, code_format()});
    const std::int64_t nodes = any(1, 6);
    for (std::int64_t i = 0; i < nodes; ++i) x = next(x);
    builder_->output(x);
    return std::move(module_);
  }

 private:
  std::int64_t any(std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(engine_);
  }
  Format code_format() {
    return Format::integer(static_cast<int>(any(0, 5) == 0 ? 4 : 8), any(0, 1) == 0);
  }

  ValueId next(ValueId x) {
    const bool image = builder_->shape(x).size() == 4;
    switch (any(0, image ? 6 : 2)) {
      case 0: return image ? convolution(x) : product(x);
      case 1: return pair(x);
      case 2: return table(x);
      case 3: return pool(x);
      case 4: return gate(x);
      case 5: return codes(x, true);
      default: return convolution(x);
    }
  }

  ValueId constant(const Shape& shape, const Format& format, std::int64_t low, std::int64_t high) {
    std::vector<std::int64_t> integers(static_cast<std::size_t>(element_count(shape)));
    const std::int64_t kind = any(0, 4);
    for (auto& integer : integers) {
      integer = kind == 0   ? low
                : kind == 1 ? high
                : kind == 2 ? (any(0, 1) == 0 ? low : high)
                            : any(low, high);
    }
    return builder_->constant(Tensor::from_integers(format, shape, integers));
  }

  // Codes of sums, in several of the ways in which lowering writes them.
  ValueId codes(ValueId sum, bool by_channel) {
    const Shape shape = builder_->shape(sum);
    Shape lines(shape.size(), 1);
    if (by_channel) lines.back() = shape.back();
    const IntegerRange range = builder_->type(sum).format.integer_range();
    const std::int64_t reach = std::max(range.max, -range.min);
    const int shift = static_cast<int>(any(20, 40));
    const double factor =
        300.0 / static_cast<double>(reach) * static_cast<double>(std::int64_t{1} << shift);
    const auto most = static_cast<std::int64_t>(std::clamp(factor, 1.0, 0x1p30));
    const ValueId multiplier =
        constant(lines, Format::integer(31, false), std::max<std::int64_t>(most / 2, 1), most);
    const std::int64_t offset = std::int64_t{1} << std::min(shift + 5, 45);
    const ValueId addend = constant(lines, Format::integer(48, true), -offset, offset);
    const ValueId shifts =
        constant(Shape(shape.size(), 1), Format::integer(6, false), shift, shift);
    const bool wide = any(0, 2) == 0;
    const Format format = wide ? Format::integer(9, true) : code_format();
    ValueId result =
        builder_->add("Rescale", {sum, multiplier, addend, shifts},
                      {{"format", format},
                       {"rounding", std::string(any(0, 3) == 0 ? "floor" : "half_even")},
                       {"overflow", std::string("saturate")}});
    if (!wide) return result;
    const std::int64_t zero = any(0, 255);
    result =
        builder_->add("Clamp", {result}, {{"format", format}, {"min", -zero}, {"max", 255 - zero}});
    result = add_exact(
        *builder_, "IntAdd",
        {result, constant(Shape(shape.size(), 1), Format::integer(8, false), zero, zero)});
    return builder_->add("Clamp", {result},
                         {{"format", Format::integer(8, false)},
                          {"min", std::int64_t{0}},
                          {"max", std::int64_t{255}}});
  }

  ValueId convolution(ValueId x) {
    const Shape shape = builder_->shape(x);
    const std::int64_t channels = shape.back();
    const bool depthwise = channels > 1 && any(0, 2) == 0;
    const std::int64_t kernel = any(1, std::min<std::int64_t>(3, std::min(shape[1], shape[2])));
    const std::int64_t dilation =
        kernel > 1 && any(0, 5) == 0 && std::min(shape[1], shape[2]) > 4 ? 2 : 1;
    const std::int64_t pad = any(0, kernel - 1), stride = any(1, 2);
    const std::int64_t groups = depthwise ? channels : channels % 2 == 0 && any(0, 4) == 0 ? 2 : 1;
    const std::int64_t outputs = depthwise ? channels : groups * any(1, 40);
    const ValueId weights =
        constant({outputs, kernel, kernel, channels / groups}, Format::integer(8, true), -128, 127);
    const IntegerRange range = builder_->type(x).format.integer_range();
    const ValueId sum = add_exact(*builder_, "IntConv", {x, weights},
                                  {{"group", groups},
                                   {"strides", std::vector{stride, stride}},
                                   {"dilations", std::vector{dilation, dilation}},
                                   {"pads", std::vector{pad, pad, any(0, pad), pad}},
                                   {"pad_value", any(range.min, range.max)}});
    return codes(sum, any(0, 1) == 0);
  }

  ValueId product(ValueId x) {
    const ValueId weights =
        constant({builder_->shape(x).back(), any(1, 90)}, Format::integer(8, true), -128, 127);
    return codes(add_exact(*builder_, "IntMatMul", {x, weights}), any(0, 1) == 0);
  }

  ValueId scaled(ValueId x) {
    const Shape one(builder_->shape(x).size(), 1);
    return add_exact(*builder_, "IntMul",
                     {x, constant(one, Format::integer(13, true), -3000, 3000)});
  }
  ValueId centred(ValueId x) {
    const Shape one(builder_->shape(x).size(), 1);
    return add_exact(*builder_, "IntAdd", {x, constant(one, Format::integer(9, true), -255, 0)});
  }
  ValueId pair(ValueId x) {
    const ValueId other = table(x);
    if (any(0, 1) == 0)
      return codes(add_exact(*builder_, "IntMul", {centred(x), centred(other)}), false);
    return codes(
        add_exact(*builder_, any(0, 1) == 0 ? "IntAdd" : "IntSub", {scaled(x), scaled(other)}),
        false);
  }

  ValueId table(ValueId x) {
    const Format from = builder_->type(x).format, to = code_format();
    Shape rows(builder_->shape(x).size(), 1);
    rows.push_back(std::int64_t{1} << from.bits());
    const IntegerRange range = to.integer_range();
    std::vector<std::int64_t> entries(static_cast<std::size_t>(rows.back()));
    for (auto& entry : entries) entry = any(range.min, range.max);
    return builder_->add("Table", {x, builder_->constant(Tensor::from_integers(to, rows, entries))},
                         {{"format", to}});
  }

  ValueId pool(ValueId x) {
    return builder_->add("IntMaxPool", {x},
                         {{"format", builder_->type(x).format},
                          {"kernel", std::vector<std::int64_t>{2, 2}},
                          {"pads", std::vector<std::int64_t>{any(0, 1), any(0, 1), 1, 1}}});
  }

  // The mean of each channel as a factor for all its pixels.
  ValueId gate(ValueId x) {
    const ValueId sum =
        add_exact(*builder_, "IntSum", {x}, {{"axes", std::vector<std::int64_t>{1, 2}}});
    const ValueId mean = codes(sum, any(0, 1) == 0);
    return builder_->shape(x)[0] == 1
               ? codes(add_exact(*builder_, "IntMul", {centred(x), centred(mean)}), false)
               : mean;
  }

  std::mt19937_64 engine_;
  Module module_;
  std::unique_ptr<Builder> builder_;
};

std::vector<std::int64_t> run_codes(const HostNetwork& host, const Plan& plan, const Tensor& x) {
  const Program program(host.module, plan);
  Program::Workspace workspace = program.workspace();
  const TensorType& type = host.module.main().values[host.module.main().outputs[0]].type;
  Tensor result(type.format, type.static_shape());
  const std::byte* from = x.bytes().data();
  std::byte* to = result.mutable_bytes().data();
  for (int run = 0; run < 2; ++run) program.run(std::span(&from, 1), std::span(&to, 1), workspace);
  return result.to_integers();
}

class CodeSteps : public OnAnyProcessor {};

TEST_F(CodeSteps, EqualTheReferenceWithEveryInstructionSetAndThreadCount) {
  std::map<std::string, int> forms;
  for (std::uint64_t seed = 0; seed < 250; ++seed) {
    const Module module = RandomCodes(seed).run();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const TensorType& type = module.main().values[module.main().inputs[0]].type;
    std::mt19937_64 engine(seed);
    const IntegerRange range = type.format.integer_range();
    std::vector<std::int64_t> codes(static_cast<std::size_t>(element_count(type.static_shape())));
    for (auto& code : codes)
      code = seed % 4 == 0
                 ? range.max
                 : std::uniform_int_distribution<std::int64_t>(range.min, range.max)(engine);
    const Tensor x = Tensor::from_integers(type.format, type.static_shape(), codes);
    const auto expected = evaluate(module, module.main(), std::span(&x, 1))[0].to_integers();
    for (const InstructionSet set : kInstructionSets) {
      if (!processor_has(set)) continue;
      set_instruction_set(set);
      const HostNetwork host = prepare_for_host(module);
      const Plan plan = plan_host(host.module, {.layouts = host.layouts});
      for (const Step& step : plan.steps) ++forms[step.form];
      for (const int threads : {1, 2, 3, 4}) {
        set_thread_count(threads);
        ASSERT_EQ(run_codes(host, plan, x), expected)
            << name(set) << ", " << threads << " threads\n"
            << print_module(module, true);
      }
    }
  }
  for (const char* form : {"code_convolution", "code_product", "code_depthwise", "code_pair",
                           "code_mean", "code_pool", "code_rescale", "code_table"})
    EXPECT_GT(forms[form], 30) << form;
}

}  // namespace
}  // namespace tandem
