#include "tandem/compress/advice.h"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include "tandem/data/dataset.h"

#include "tests/support/networks.h"

namespace tandem {
namespace {

using test::NetworkMaker;

const FormatAdvice& advice_for(const TensorAdvice& tensor, const char* format) {
  const auto found =
      std::ranges::find(tensor.formats, Format::parse(format), &FormatAdvice::format);
  EXPECT_NE(found, tensor.formats.end()) << format;
  return *found;
}

TEST(Advice, WeighsErrorsAgainstBytes) {
  NetworkMaker maker;
  const ValueId x = maker.conv("first", maker.input("x", {4, 6, 6}), 8, 3);
  const Module network = maker.finish(maker.conv("second", maker.unary("Relu", "relu", x), 2, 1));
  const Recoder recoder(network);
  const auto all = advise(recoder, {}, default_advice_rules());
  ASSERT_EQ(all.size(), 4U);  // two weights, the input, the values between
  const TensorAdvice& first = all[0];
  EXPECT_EQ(first.layer, "first");
  EXPECT_EQ(first.products, 8 * 36 * 4 * 9);
  EXPECT_NEAR(first.kurtosis, 1.8, 0.2) << "uniform numbers";
  EXPECT_GT(advice_for(first, "int8").sqnr_db, advice_for(first, "int4").sqnr_db + 15);
  EXPECT_GT(advice_for(first, "int8").sqnr_db, advice_for(first, "e4m3").sqnr_db);
  // 288 weights and 8 scales of f32.
  EXPECT_EQ(advice_for(first, "int4").bytes, 288 / 2 + 32);
  const FormatAdvice& chosen = first.formats[first.recommended];
  EXPECT_GE(chosen.sqnr_db, 30);
  for (const FormatAdvice& other : first.formats)
    EXPECT_TRUE(other.sqnr_db < 30 || other.bytes >= chosen.bytes) << other.format.name();
}

TEST(Advice, SaysWhereNothingIsGoodEnough) {
  NetworkMaker maker;
  const Module network = maker.finish(maker.gemm("head", maker.input("x", {8}), 3));
  AdviceRules rules = default_advice_rules();
  rules.wanted_db = 90;
  for (const TensorAdvice& tensor : advise(Recoder(network), {}, rules)) {
    EXPECT_NE(tensor.reason.find("none reaches 90 dB"), std::string::npos);
    for (const FormatAdvice& other : tensor.formats)
      EXPECT_LE(other.sqnr_db, tensor.formats[tensor.recommended].sqnr_db);
  }
}

}  // namespace
}  // namespace tandem
