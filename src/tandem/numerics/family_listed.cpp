#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <utility>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/numerics/format_family.h"

namespace tandem {
namespace {

struct Listed {
  double value;
  std::uint64_t code;
};

// The two neighbours of a number among sorted values.
struct Between {
  Listed low, high;
};

bool is_nearest(Rounding rounding) {
  switch (rounding) {
    case Rounding::kFloor:
    case Rounding::kCeiling:
    case Rounding::kTowardZero:
    case Rounding::kAwayFromZero: return false;
    default: return true;
  }
}

// Which of two neighbours a directed rounding takes, or rounding to nearest on a tie.
Listed directed(const Between& between, Rounding rounding) {
  const auto& [low, high] = between;
  const bool low_is_smaller = std::abs(low.value) < std::abs(high.value);
  switch (rounding) {
    case Rounding::kFloor:
    case Rounding::kHalfDown: return low;
    case Rounding::kCeiling:
    case Rounding::kHalfUp: return high;
    case Rounding::kTowardZero:
    case Rounding::kHalfTowardZero: return low_is_smaller ? low : high;
    case Rounding::kAwayFromZero:
    case Rounding::kHalfAwayFromZero: return low_is_smaller ? high : low;
    case Rounding::kHalfEven: return low.code % 2 == 0 ? low : high;
  }
  throw InternalError("unknown rounding");
}

// Formats whose codes stand for listed numbers of at most 26 significant bits, so that the middle
// of two is a double. No infinities; NaN where nan_code() says so. A number beyond the ends goes to
// the nearer end, or to zero under kSaturateZero where zero has a code.
class ListedFamily : public FormatFamily {
 public:
  bool is_signed(const Parameters& p) const override { return table(p).sorted.front().value < 0; }
  Storage storage(const Parameters& p) const override {
    return bits(p) > 8 ? Storage::kU16 : Storage::kU8;
  }
  bool is_code(const Parameters& p, std::uint64_t code) const override {
    return code == nan_code() || !std::isnan(table(p).by_code[code]);
  }

  std::uint64_t encode(const Parameters& p, double value, Rounding rounding,
                       Overflow overflow) const override {
    if (std::isnan(value)) {
      if (const auto code = nan_code()) return *code;
      throw Error("NaN has no code in format ", name(p),
                  "; use a format that has one, or clean the values");
    }
    const std::vector<Listed>& all = table(p).sorted;
    if (value < all.front().value || value > all.back().value) {
      if (overflow == Overflow::kWrap)
        throw Error(shortest(value), " is outside format ", name(p),
                    ", and overflow 'wrap' has no meaning there; use a saturating overflow");
      if (overflow == Overflow::kSaturateZero) return code_of_zero(p, all);
      return (value < all.front().value ? all.front() : all.back()).code;
    }
    const auto above = std::lower_bound(all.begin(), all.end(), value,
                                        [](const Listed& a, double x) { return a.value < x; });
    if (above->value == value) return above->code;
    return round({*(above - 1), *above}, value, rounding).code;
  }

  ExactValue exact(const Parameters& p, std::uint64_t code) const override {
    ExactValue value;
    if (code == nan_code()) {
      value.kind = ExactValue::Kind::kNan;
      return value;
    }
    const double number = table(p).by_code[code];
    if (std::isnan(number)) throw Error("code ", code, " stands for no number of format ", name(p));
    int exponent = 0;
    const double fraction = std::frexp(number, &exponent);
    value.significand = static_cast<std::int64_t>(std::ldexp(fraction, 53));
    value.exponent = exponent - 53;
    return value;
  }

 protected:
  // By code; NaN where a code stands for no number.
  virtual std::vector<double> values(const Parameters& p) const = 0;
  virtual std::optional<std::uint64_t> nan_code() const { return std::nullopt; }
  virtual Listed round(const Between& between, double value, Rounding rounding) const {
    if (!is_nearest(rounding)) return directed(between, rounding);
    const double middle = (between.low.value + between.high.value) / 2;
    if (value == middle) return directed(between, rounding);
    return value < middle ? between.low : between.high;
  }

 private:
  struct Table {
    std::vector<double> by_code;
    std::vector<Listed> sorted;  // of two codes of one number the lower one first: it encodes it
  };

  // Made once for each member.
  const Table& table(const Parameters& p) const {
    std::atomic<const Table*>& slot = tables_.at(static_cast<std::size_t>(16 * p[1] + p[0]));
    if (const Table* made = slot.load(std::memory_order_acquire)) return *made;
    const std::lock_guard lock(making_);
    if (const Table* made = slot.load(std::memory_order_acquire)) return *made;
    auto table = std::make_unique<Table>();
    table->by_code = values(p);
    table->by_code.resize(std::size_t{1} << bits(p), std::nan(""));
    for (std::size_t code = 0; code < table->by_code.size(); ++code)
      if (!std::isnan(table->by_code[code])) table->sorted.push_back({table->by_code[code], code});
    std::stable_sort(table->sorted.begin(), table->sorted.end(),
                     [](const Listed& a, const Listed& b) { return a.value < b.value; });
    slot.store(table.get(), std::memory_order_release);
    return *kept_.emplace_back(std::move(table));
  }
  std::uint64_t code_of_zero(const Parameters& p, const std::vector<Listed>& all) const {
    const auto zero =
        std::find_if(all.begin(), all.end(), [](const Listed& one) { return one.value == 0; });
    if (zero == all.end()) throw Error("format ", name(p), " has no zero; use overflow 'saturate'");
    return zero->code;
  }

  mutable std::array<std::atomic<const Table*>, 336> tables_{};
  mutable std::mutex making_;
  mutable std::vector<std::unique_ptr<Table>> kept_;
};

// "name<bits>" with bits between the two; nullopt where the text is another's.
std::optional<FormatFamily::Parameters> width_of(std::string_view text, std::string_view name,
                                                 int least, int most) {
  if (!text.starts_with(concat(name, "<")) || !text.ends_with(">")) return std::nullopt;
  text.remove_prefix(name.size() + 1);
  text.remove_suffix(1);
  const long long bits = parse_integer(trim(text), concat("the width of format ", name));
  if (bits < least || bits > most)
    throw Error("format ", name, "<", bits, ">: the family goes from ", name, "<", least, "> to ",
                name, "<", most, ">");
  return FormatFamily::Parameters{static_cast<std::int16_t>(bits)};
}

// "name<a,b>" with two integers; nullopt where the text is another's.
std::optional<std::pair<long long, long long>> pair_of(std::string_view text,
                                                       const std::string& name) {
  const std::size_t comma = text.find(',');
  if (!text.starts_with(name + "<") || !text.ends_with(">") || comma == std::string_view::npos)
    return std::nullopt;
  const std::size_t head = name.size() + 1;
  const std::string what = concat("a number of format ", name);
  return std::pair{parse_integer(trim(text.substr(head, comma - head)), what),
                   parse_integer(trim(text.substr(comma + 1, text.size() - comma - 2)), what)};
}

// A single list of numbers with a name of its own.
class NamedList final : public ListedFamily {
 public:
  NamedList(std::string name, int bits, std::vector<double> numbers)
      : name_(std::move(name)), bits_(bits), numbers_(std::move(numbers)) {}
  std::optional<Parameters> parse(std::string_view text) const override {
    if (text != name_) return std::nullopt;
    return Parameters{};
  }
  std::string name(const Parameters&) const override { return name_; }
  std::vector<std::string> examples() const override { return {name_}; }
  int bits(const Parameters&) const override { return bits_; }

 protected:
  std::vector<double> values(const Parameters&) const override { return numbers_; }

 private:
  std::string name_;
  int bits_;
  std::vector<double> numbers_;
};

// Sixteen quantiles of the normal distribution, of which one is 0 (Dettmers et al., QLoRA, 2023,
// appendix E; the numbers as f32, as bitsandbytes has them).
std::vector<double> nf4_numbers() {
  static constexpr std::array<float, 16> kQuantiles = {
      -1.0F,         -0.6961928F, -0.52507305F, -0.3949175F, -0.28444138F, -0.18477343F,
      -0.091050036F, 0.0F,        0.0795803F,   0.1609302F,  0.2461123F,   0.33791524F,
      0.44070983F,   0.5626170F,  0.72295684F,  1.0F};
  return {kQuantiles.begin(), kQuantiles.end()};
}

// The four-bit floats of bitsandbytes: a sign, and twelfths of 0, 1/16, 8, 12, 4, 6, 2, 3. Minus
// zero is read, never written.
std::vector<double> fp4_numbers() {
  std::vector<double> all;
  for (const double sign : {1.0, -1.0})
    for (const double twelfths : {0.0, 0.0625, 8.0, 12.0, 4.0, 6.0, 2.0, 3.0})
      all.push_back(sign * static_cast<double>(static_cast<float>(twelfths / 12)));
  return all;
}

// The signed dynamic map of bitsandbytes (Dettmers et al., "8-bit Optimizers via Block-wise
// Quantization", 2022): for i in 0..6 the middles of 2^i equal cells of [0.1, 1] times 10^(i-6), in
// both signs, 0 and 1; increasing.
std::vector<double> dynamic_numbers() {
  std::vector<double> all{0, 1};
  for (int i = 0; i < 7; ++i) {
    const int cells = 1 << i;
    double decade = 1;
    for (int k = i; k < 6; ++k) decade /= 10;
    for (int cell = 0; cell < cells; ++cell) {
      const double middle = (0.1 + 0.9 * (cell + 0.5) / cells) * decade;
      all.push_back(static_cast<double>(static_cast<float>(middle)));
      all.push_back(-all.back());
    }
  }
  std::sort(all.begin(), all.end());
  return all;
}

// Two uniform ranges whose steps differ by 2^m, chosen by the code's upper bit (Yuan et al.,
// "PTQ4ViT", 2022, section 3.3). "twin<b,m>", for what softmax gives: i 2^-(b-1), and i 2^-(b-1+m)
// below, i in 0..2^(b-1)-1. "split<b,m>", for what GELU gives: i, and -i 2^-m. Two codes of one
// number: the lower one is written.
class TwinFamily final : public ListedFamily {
 public:
  explicit TwinFamily(bool has_signs) : has_signs_(has_signs) {}
  std::optional<Parameters> parse(std::string_view text) const override {
    const auto numbers = pair_of(text, own_name());
    if (!numbers) return std::nullopt;
    const auto [b, m] = *numbers;
    if (b < 2 || b > 8 || m < 0 || m > 19)
      throw Error("format ", text, ": ", own_name(),
                  "<b,m> has 2 to 8 bits and ratios 2^0 to 2^19");
    return Parameters{static_cast<std::int16_t>(b), static_cast<std::int16_t>(m)};
  }
  std::string name(const Parameters& p) const override {
    return concat(own_name(), "<", p[0], ",", p[1], ">");
  }
  std::vector<std::string> examples() const override { return {concat(own_name(), "<4,3>")}; }
  int bits(const Parameters& p) const override { return p[0]; }

 protected:
  std::vector<double> values(const Parameters& p) const override {
    const int half = 1 << (p[0] - 1);
    std::vector<double> all;
    for (int code = 0; code < 2 * half; ++code) {
      const double i = code % half;
      const double upper = code < half ? 1 : std::ldexp(has_signs_ ? -1.0 : 1.0, -p[1]);
      all.push_back(i * upper * (has_signs_ ? 1 : std::ldexp(1.0, 1 - p[0])) + 0.0);
    }
    return all;
  }

 private:
  std::string own_name() const { return has_signs_ ? "split" : "twin"; }
  bool has_signs_;
};

// "pow2<b>": a sign and b - 1 bits of magnitude m: 0 for m = 0, else 2^(m - largest), so that the
// largest is 1 (Zhou et al., incremental network quantization, 2017). The code of minus zero is
// read, never written.
class PowerFamily final : public ListedFamily {
 public:
  std::optional<Parameters> parse(std::string_view text) const override {
    return width_of(text, "pow2", 2, 6);
  }
  std::string name(const Parameters& p) const override { return concat("pow2<", p[0], ">"); }
  std::vector<std::string> examples() const override { return {"pow2<4>"}; }
  int bits(const Parameters& p) const override { return p[0]; }

 protected:
  std::vector<double> values(const Parameters& p) const override {
    const int sign = 1 << (p[0] - 1);
    std::vector<double> all;
    for (int code = 0; code < 2 * sign; ++code) {
      const int magnitude = code % sign;
      const double value = magnitude == 0 ? 0 : std::ldexp(1.0, magnitude - (sign - 1));
      all.push_back(code >= sign ? -value : value);
    }
    return all;
  }
};

// "e8m0": 2^(code - 127), for shared scales; code 255 is NaN (OCP microscaling formats, version
// 1.0). Zero and what is smaller than the smallest becomes the smallest.
class ExponentFamily final : public ListedFamily {
 public:
  std::optional<Parameters> parse(std::string_view text) const override {
    if (text != "e8m0") return std::nullopt;
    return Parameters{};
  }
  std::string name(const Parameters&) const override { return "e8m0"; }
  std::vector<std::string> examples() const override { return {"e8m0"}; }
  int bits(const Parameters&) const override { return 8; }

 protected:
  std::vector<double> values(const Parameters&) const override {
    std::vector<double> all;
    for (int code = 0; code < 255; ++code) all.push_back(std::ldexp(1.0, code - 127));
    return all;
  }
  std::optional<std::uint64_t> nan_code() const override { return 255; }
};

// Shares in (0, 1] by their logarithm, for attention (Lin et al., FQ-ViT, 2022; Li et al.,
// RepQ-ViT, 2023): code c of "log2<b>" is 2^-c, of "logsqrt2<b>" 2^(-c/2), the odd ones rounded to
// f64. The nearest code is the one of the nearest logarithm. With ",zero" the last code stands for
// zero, to which shares go whose logarithm is nearer to its place (the published codes have 2^b
// magnitudes and zero besides, which b bits cannot hold).
class LogarithmFamily final : public ListedFamily {
 public:
  explicit LogarithmFamily(bool halves) : halves_(halves) {}
  std::optional<Parameters> parse(std::string_view text) const override {
    constexpr std::string_view kZero = ",zero>";
    if (!text.ends_with(kZero)) return width_of(text, own_name(), 2, 8);
    const std::string plain(text.substr(0, text.size() - kZero.size()));
    auto parameters = width_of(plain + ">", own_name(), 2, 8);
    if (parameters) (*parameters)[1] = 1;
    return parameters;
  }
  std::string name(const Parameters& p) const override {
    return concat(own_name(), "<", p[0], p[1] != 0 ? ",zero>" : ">");
  }
  std::vector<std::string> examples() const override {
    return {concat(own_name(), "<4>"), concat(own_name(), "<4,zero>")};
  }
  int bits(const Parameters& p) const override { return p[0]; }

 protected:
  std::vector<double> values(const Parameters& p) const override {
    std::vector<double> all;
    for (int code = 0; code < 1 << p[0]; ++code) {
      const int whole = halves_ ? (code + 1) / 2 : code;
      const double odd = halves_ && code % 2 == 1 ? std::sqrt(2.0) : 1.0;
      all.push_back(std::ldexp(odd, -whole));
    }
    if (p[1] != 0) all.back() = 0;
    return all;
  }
  // x is above the geometric mean of a and b exactly where x^2 > a b. No double is equal to it: for
  // log2 it is irrational, and for halves it is a fourth root.
  Listed round(const Between& between, double value, Rounding rounding) const override {
    if (!is_nearest(rounding)) return directed(between, rounding);
    if (between.low.value == 0) {
      // Zero takes the place of the next power.
      const double next = between.high.value / (halves_ ? std::sqrt(2.0) : 2.0);
      return square(value) > next * between.high.value ? between.high : between.low;
    }
    const double error = std::fma(value, value, -square(value));
    const double product = between.low.value * between.high.value;
    const double excess = (square(value) - product) +
                          (error - std::fma(between.low.value, between.high.value, -product));
    return excess > 0 ? between.high : between.low;
  }

 private:
  static double square(double x) { return x * x; }
  std::string own_name() const { return halves_ ? "logsqrt2" : "log2"; }
  bool halves_;
};

// "khot<w,k>": the integers of w bits in two's complement whose magnitude has at most k ones, so
// that a product is k shifts (QFX: trainable fixed point, 2024). With rounding half_away_from_zero
// the nearest one is found as there.
class KHotFamily final : public ListedFamily {
 public:
  std::optional<Parameters> parse(std::string_view text) const override {
    const auto numbers = pair_of(text, "khot");
    if (!numbers) return std::nullopt;
    const auto [w, k] = *numbers;
    if (w < 2 || w > 12 || k < 1 || k > 4)
      throw Error("format ", text, ": khot<w,k> has 2 to 12 bits and 1 to 4 ones");
    return Parameters{static_cast<std::int16_t>(w), static_cast<std::int16_t>(k)};
  }
  std::string name(const Parameters& p) const override {
    return concat("khot<", p[0], ",", p[1], ">");
  }
  std::vector<std::string> examples() const override { return {"khot<8,2>"}; }
  int bits(const Parameters& p) const override { return p[0]; }

 protected:
  std::vector<double> values(const Parameters& p) const override {
    const int half = 1 << (p[0] - 1);
    std::vector<double> all;
    for (int code = 0; code < 2 * half; ++code) {
      const int value = code < half ? code : code - 2 * half;
      const bool few = std::popcount(static_cast<unsigned>(std::abs(value))) <= p[1];
      // As in symmetric integers there is no -2^(w-1).
      all.push_back(few && value != -half ? value : std::nan(""));
    }
    return all;
  }
};

}  // namespace

const FormatFamily& nf4_family() {
  static const NamedList kFamily("nf4", 4, nf4_numbers());
  return kFamily;
}
const FormatFamily& bnb_fp4_family() {
  static const NamedList kFamily("bnb_fp4", 4, fp4_numbers());
  return kFamily;
}
const FormatFamily& bnb_dynamic_family() {
  static const NamedList kFamily("bnb_dynamic8", 8, dynamic_numbers());
  return kFamily;
}
const FormatFamily& twin_family() {
  static const TwinFamily kFamily(false);
  return kFamily;
}
const FormatFamily& split_family() {
  static const TwinFamily kFamily(true);
  return kFamily;
}
const FormatFamily& power_family() {
  static const PowerFamily kFamily;
  return kFamily;
}
const FormatFamily& exponent_family() {
  static const ExponentFamily kFamily;
  return kFamily;
}
const FormatFamily& logarithm_family() {
  static const LogarithmFamily kFamily(false);
  return kFamily;
}
const FormatFamily& half_logarithm_family() {
  static const LogarithmFamily kFamily(true);
  return kFamily;
}

const FormatFamily& k_hot_family() {
  static const KHotFamily kFamily;
  return kFamily;
}

}  // namespace tandem
