#include "tandem/compress/weight_quantizer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/base/threads.h"

namespace tandem {
namespace {

// To the nearest integer, ties to even, for |x| < 2^51.
double rounded(double x) {
  constexpr double kMagic = 0x1.8p52;
  return (x + kMagic) - kMagic;
}

}  // namespace

std::int64_t divisor_up_to(std::int64_t count, std::int64_t most) {
  for (std::int64_t d = std::min(count, most); d > 1; --d)
    if (count % d == 0) return d;
  return 1;
}

std::string name(const Granularity& granularity) {
  switch (granularity.kind) {
    case Granularity::Kind::kTensor: return "tensor";
    case Granularity::Kind::kChannel: return "channel";
    case Granularity::Kind::kBlock: return concat("group:", granularity.block);
  }
  throw InternalError("unknown granularity");
}

Granularity parse_granularity(std::string_view text) {
  constexpr std::string_view kGroup = "group:";
  if (text == "tensor") return {Granularity::Kind::kTensor, 0};
  if (text == "channel") return {Granularity::Kind::kChannel, 0};
  if (text.starts_with(kGroup)) {
    const std::int64_t block = parse_integer(text.substr(kGroup.size()), "--granularity");
    if (block < 2 || block > 1 << 20)
      throw Error("--granularity ", text, ": a group has 2 to 2^20 weights");
    return {Granularity::Kind::kBlock, block};
  }
  throw Error("unknown granularity '", text, "'; it is tensor, channel or group:N");
}

std::string name(const ScaleRules& scales) {
  if (scales.block == 0) return scales.format.name();
  if (scales.block == ScaleRules::kWhole) return scales.format.name() + ":tensor";
  return concat(scales.format.name(), ":", scales.block);
}

ScaleRules parse_scale_rules(std::string_view text) {
  ScaleRules scales;
  const auto colon = text.rfind(':');
  scales.format = Format::parse(text.substr(0, colon));
  if (colon == std::string_view::npos) {
    check_scale_format(scales.format);
    return scales;
  }
  const std::string_view block = text.substr(colon + 1);
  scales.block = block == "tensor" ? ScaleRules::kWhole : parse_integer(block, "--scales");
  if (scales.block != ScaleRules::kWhole && (scales.block < 2 || scales.block > 1 << 20))
    throw Error("--scales ", text, ": 2 to 2^20 scales share a unit, or those of a tensor");
  if (scales.format.bits() > 8 || has_own_scale(scales.format) ||
      !(WeightCodec(scales.format).greatest() > 0))
    throw Error("--scales ", text,
                ": nested scales are codes of at most 8 bits, such as uint8:256 "
                "or e4m3:tensor");
  return scales;
}

// ---- Layout ------------------------------------------------------------------------------------

WeightRows::WeightRows(const Shape& shape, std::int64_t axis) {
  ensure(axis >= 0 && static_cast<std::size_t>(axis) < shape.size(), "weights have no such axis");
  rows_ = shape[static_cast<std::size_t>(axis)];
  for (std::size_t d = 0; d < shape.size(); ++d) {
    if (static_cast<std::int64_t>(d) != axis) columns_ *= shape[d];
    if (static_cast<std::int64_t>(d) > axis) inner_ *= shape[d];
  }
}

std::vector<double> WeightRows::from(const Tensor& weights) const {
  const auto reals = weights.to_reals();
  std::vector<double> result(reals.size());
  for (std::int64_t r = 0; r < rows_; ++r) {
    for (std::int64_t c = 0; c < columns_; ++c) {
      const double weight = reals[place(r, c)];
      if (!std::isfinite(weight)) throw Error("weight ", place(r, c), " is ", weight);
      result[static_cast<std::size_t>(r * columns_ + c)] = weight;
    }
  }
  return result;
}

// ---- Nearest numbers ---------------------------------------------------------------------------

WeightCodec::WeightCodec(const Format& format) : format_(format) {
  if (!format.is_uniform()) {
    grid_ = &CodeGrid::of(format);
    least_ = grid_->least();
    greatest_ = grid_->greatest();
    return;
  }
  const IntegerRange range = format.integer_range();
  step_ = std::ldexp(format == Format::parse("bipolar") ? 2.0 : 1.0, format.exponent());
  greatest_ = std::ldexp(static_cast<double>(range.max), format.exponent());
  least_ = std::ldexp(static_cast<double>(range.min), format.exponent());
  has_zero_ = is_affine(format) && !format.is_signed();
  if (is_affine(format) && format.is_signed()) least_ = -greatest_;
}

double WeightCodec::nearest(double real) const {
  if (grid_ != nullptr) return grid_->nearest(real);
  if (step_ > greatest_) return real >= 0 ? greatest_ : least_;  // bipolar
  if (real >= greatest_) return greatest_;
  if (real <= least_) return least_;
  return rounded(real / step_) * step_;
}

double WeightCodec::below(double real) const {
  if (real >= greatest_) return greatest_;
  if (real <= least_) return least_;
  if (grid_ == nullptr) return step_ > greatest_ ? least_ : std::floor(real / step_) * step_;
  const auto& values = grid_->values();
  return *(std::upper_bound(values.begin(), values.end(), real) - 1);
}

double WeightCodec::above(double real) const {
  if (real >= greatest_) return greatest_;
  if (real <= least_) return least_;
  if (grid_ == nullptr) return step_ > greatest_ ? greatest_ : std::ceil(real / step_) * step_;
  const auto& values = grid_->values();
  return *std::lower_bound(values.begin(), values.end(), real);
}

// ---- Scales ------------------------------------------------------------------------------------

void check_weight_rules(const WeightRules& rules) {
  check_code_format(rules.format);
  if (rules.scales.block == 0) check_scale_format(rules.scales.format);
  if (rules.scales.block != 0 && rules.granularity.kind == Granularity::Kind::kTensor)
    throw Error("--scales ", name(rules.scales),
                ": a tensor with one scale has none to nest; use --granularity channel or group:N");
  if (rules.method != RangeMethod::kMinMax && rules.method != RangeMethod::kMse &&
      rules.method != RangeMethod::kOutputError)
    throw Error("scales of weights are found by minmax, mse or output_error, not ",
                name(rules.method));
  if (!is_affine(rules.format) && WeightCodec(rules.format).least() >= 0) {
    throw Error("weights have both signs, but ", rules.format.name(),
                " has no negative codes; use a signed format or uint<bits>, which takes a zero "
                "point");
  }
}

namespace {

// The grid of one group of weights.
class GridSearch {
 public:
  GridSearch(const WeightCodec& codec, const WeightRules& rules, const double* weights,
             std::size_t count)
      : codec_(codec), rules_(rules), weights_(weights), count_(count) {
    for (std::size_t i = 0; i < count; ++i) {
      low_ = std::min(low_, at(i));
      high_ = std::max(high_, at(i));
    }
  }

  // Rows of `columns` inputs; null where every error counts the same.
  void set_inputs(const double* mean, const double* variance, std::size_t columns) {
    mean_ = mean;
    variance_ = variance;
    columns_ = columns;
  }

  WeightGrid run() const {
    if (has_own_scale(rules_.format)) return own_grid();
    WeightGrid best = reaching(1);
    if (rules_.method == RangeMethod::kMinMax || (low_ == 0 && high_ == 0)) return best;
    double least = error(best, std::numeric_limits<double>::infinity());
    constexpr int kCoarse = 32, kFine = 8;
    double share = 1;
    const auto attempt = [&](double tried) {
      const WeightGrid grid = reaching(tried);
      if (grid.scale == best.scale && grid.zero == best.zero) return;
      const double found = error(grid, least);
      if (found >= least) return;
      least = found;
      best = grid;
      share = tried;
    };
    for (int i = kCoarse - 1; i > 0; --i) attempt(static_cast<double>(i) / kCoarse);
    const double middle = share;
    for (int i = -kFine + 1; i < kFine; ++i)
      attempt(middle + static_cast<double>(i) / (kCoarse * kFine));
    return best;
  }

 private:
  static constexpr std::size_t kLanes = 8;  // that may be computed side by side
  double at(std::size_t i) const { return weights_[i]; }

  WeightGrid own_grid() const {
    const double half = std::ldexp(0.5, rules_.format.exponent());
    if (low_ < codec_.least() - half || high_ > codec_.greatest() + half) {
      throw Error(rules_.format.name(), " holds ", codec_.least(), " to ", codec_.greatest(),
                  ", but the weights reach from ", low_, " to ", high_,
                  "; give it fewer fraction bits or more bits");
    }
    return {};
  }

  // Scales become codes when all are known.
  Format own_format() const { return rules_.scales.block == 0 ? rules_.scales.format : Format(); }

  // The grid whose ends are a share of the weights' own.
  WeightGrid reaching(double share) const {
    if (codec_.has_zero()) {
      const double codes = codec_.greatest() - codec_.least();
      const double scale = as_scale((high_ - low_) * share / codes, own_format());
      return {scale, std::clamp(rounded(-low_ * share / scale), 0.0, codes)};
    }
    const double reach = std::max(low_ / codec_.least(), high_ / codec_.greatest());
    return {as_scale(reach * share, own_format()), 0};
  }

  // The sum of squared errors, or some sum above `enough`.
  double error(const WeightGrid& grid, double enough) const {
    if (mean_ != nullptr) return output_error(grid, enough);
    double sum = 0;
    const double inverse = 1 / grid.scale;
    std::size_t i = 0;
    if (const double step = codec_.step(); step > 0) {
      const double per_step = 1 / step;  // a power of two
      while (i + kLanes <= count_) {
        std::array<double, kLanes> away;
        for (std::size_t k = 0; k < kLanes; ++k) {
          const double real = at(i + k) * inverse + grid.zero;
          const double held = std::min(std::max(real, codec_.least()), codec_.greatest());
          away[k] = (real - rounded(held * per_step) * step) * grid.scale;
        }
        for (std::size_t k = 0; k < kLanes; ++k) sum += away[k] * away[k];
        i += kLanes;
        if (i % 64 == 0 && sum > enough) return sum;
      }
    }
    for (; i < count_; ++i) {
      const double real = at(i) * inverse + grid.zero;
      const double away = (real - codec_.nearest(real)) * grid.scale;
      sum += away * away;
      if (i % 64 == 63 && sum > enough) break;
    }
    return sum;
  }

  double output_error(const WeightGrid& grid, double enough) const {
    double sum = 0;
    for (std::size_t row = 0; row < count_ && sum <= enough; row += columns_) {
      double middle = 0;
      for (std::size_t c = 0; c < columns_; ++c) {
        const double real = at(row + c) / grid.scale + grid.zero;
        const double away = (codec_.nearest(real) - real) * grid.scale;
        sum += away * away * variance_[c];
        middle += away * mean_[c];
      }
      sum += middle * middle;
    }
    return sum;
  }

  const WeightCodec& codec_;
  const WeightRules& rules_;
  const double* weights_;
  std::size_t count_;
  const double *mean_ = nullptr, *variance_ = nullptr;
  std::size_t columns_ = 0;
  double low_ = 0, high_ = 0;
};

// Makes the scales of `block` grids each multiples of a unit by the numbers of a format; the zero
// points follow.
void nest_scales(WeightGrids& grids, const ScaleRules& scales, const WeightCodec& codec) {
  const auto count = static_cast<std::int64_t>(grids.grids.size());
  const WeightCodec of_scales(scales.format);
  const std::int64_t along = grids.blocks > 1 ? grids.blocks : count;
  grids.unit_block =
      scales.block == ScaleRules::kWhole ? count : divisor_up_to(along, scales.block);
  const double least = of_scales.above(std::numeric_limits<double>::min());
  for (std::int64_t first = 0; first < count; first += grids.unit_block) {
    const std::span group(grids.grids.data() + first, static_cast<std::size_t>(grids.unit_block));
    const double most = std::ranges::max_element(group, {}, &WeightGrid::scale)->scale;
    const double unit = as_scale(most / of_scales.greatest(), Format());
    grids.units.push_back(unit);
    for (WeightGrid& grid : group) {
      const double code = std::max(least, of_scales.nearest(grid.scale / unit));
      const double nested = static_cast<float>(code * unit);
      if (codec.has_zero())
        grid.zero =
            std::clamp(rounded(grid.zero * grid.scale / nested), codec.least(), codec.greatest());
      grid.scale = nested;
    }
  }
}

}  // namespace

WeightGrids choose_grids(const std::vector<double>& rows, std::int64_t columns,
                         const WeightRules& rules, const ColumnInputs& inputs) {
  check_weight_rules(rules);
  const WeightCodec codec(rules.format);
  WeightGrids result;
  result.columns = columns;
  const auto width = static_cast<std::size_t>(columns);
  const bool by_output = rules.method == RangeMethod::kOutputError && !rows.empty();
  ensure(!by_output || inputs.mean.size() == static_cast<std::size_t>(inputs.groups) * width,
         "output_error without the inputs of the layer");
  if (rules.granularity.kind == Granularity::Kind::kTensor || rows.empty()) {
    result.per_tensor = true;
    GridSearch search(codec, rules, rows.data(), rows.size());
    if (by_output && inputs.groups > 1)
      throw Error(
          "output_error finds no scale that the groups of a convolution share; give each "
          "channel one (--granularity channel)");
    if (by_output) search.set_inputs(inputs.mean.data(), inputs.variance.data(), width);
    result.grids.push_back(search.run());
    return result;
  }
  std::int64_t block = columns;
  if (rules.granularity.kind == Granularity::Kind::kBlock)
    block = divisor_up_to(columns, rules.granularity.block);
  result.blocks = columns / block;
  const auto length = static_cast<std::size_t>(block);
  result.grids.resize(rows.size() / length);
  constexpr std::int64_t kWeights = 1 << 14;  // of a part
  parallel_for(
      0, static_cast<std::int64_t>(result.grids.size()),
      std::max<std::int64_t>(1, kWeights / block), [&](std::int64_t from, std::int64_t to) {
        for (auto g = static_cast<std::size_t>(from); g < static_cast<std::size_t>(to); ++g) {
          try {
            const double* first = rows.data() + g * length;
            GridSearch search(codec, rules, first, length);
            if (by_output) {
              const std::size_t rows_of_group =
                  rows.size() / width / static_cast<std::size_t>(inputs.groups);
              const std::size_t column = g * length % width, row = g * length / width;
              const std::size_t from_input = row / rows_of_group * width + column;
              search.set_inputs(inputs.mean.data() + from_input,
                                inputs.variance.data() + from_input, length);
            }
            result.grids[g] = search.run();
          } catch (const Error& error) {
            const std::size_t channel = g / static_cast<std::size_t>(result.blocks);
            throw error.at(concat("output channel ", channel));
          }
        }
      });
  if (rules.scales.block != 0 && !has_own_scale(rules.format))
    nest_scales(result, rules.scales, codec);
  return result;
}

// ---- Codes -------------------------------------------------------------------------------------

std::int64_t coded_bits(std::int64_t rows, std::int64_t columns, const WeightRules& rules) {
  std::int64_t grids = 1;
  if (rules.granularity.kind != Granularity::Kind::kTensor) grids = rows;
  if (rules.granularity.kind == Granularity::Kind::kBlock && columns > 0)
    grids *= columns / divisor_up_to(columns, rules.granularity.block);
  const bool has_zero = is_affine(rules.format) && !rules.format.is_signed();
  const int scale_bits = has_own_scale(rules.format) ? 0 : rules.scales.format.bits();
  std::int64_t units = 0;
  if (rules.scales.block == ScaleRules::kWhole)
    units = 1;
  else if (rules.scales.block != 0)
    units = grids / divisor_up_to(grids > rows ? grids / rows : rows, rules.scales.block);
  return rows * columns * rules.format.bits() +
         grids * (scale_bits + (has_zero ? rules.format.bits() : 0)) + units * Format().bits();
}

namespace {

// Shape of codes and of their scales.
struct BlockShapes {
  Shape codes, scales;
};

BlockShapes block_shapes(const WeightRows& layout, const Shape& shape, std::int64_t axis,
                         const WeightGrids& grids) {
  if (grids.per_tensor) return {shape, {}};
  if (grids.blocks == 1) {
    Shape scales(shape.size(), 1);
    scales[static_cast<std::size_t>(axis)] = layout.rows();
    return {shape, scales};
  }
  const std::int64_t block = layout.columns() / grids.blocks;
  if (axis == 0) return {{layout.rows(), grids.blocks, block}, {layout.rows(), grids.blocks, 1}};
  if (static_cast<std::size_t>(axis) + 1 == shape.size())
    return {{grids.blocks, block, layout.rows()}, {grids.blocks, 1, layout.rows()}};
  throw Error(
      "groups of weights need the output channels first or last; use --granularity channel");
}

// The codes and units of nested scales, in the order of the scales.
void nest(CodedWeights& coded, const Format& format, const WeightGrids& grids, bool rows_last) {
  const std::int64_t each = grids.unit_block;
  const auto units = static_cast<std::int64_t>(grids.units.size()),
             rows = static_cast<std::int64_t>(grids.grids.size()) / grids.blocks;
  Shape codes{units, each}, of_units{units, 1};
  std::vector<double> in_order = grids.units;
  if (units == 1) {
    codes = {each};
    of_units = {};
    if (rows_last) codes = {grids.blocks, rows};
  } else if (rows_last) {  // grids lie in rows, scales in columns
    const std::int64_t along = grids.blocks / each;
    codes = {along, each, rows};
    of_units = {along, 1, rows};
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t b = 0; b < along; ++b)
        in_order[static_cast<std::size_t>(b * rows + r)] =
            grids.units[static_cast<std::size_t>(r * along + b)];
  }
  coded.scale_units = Tensor::from_reals(Format(), of_units, in_order);
  const std::vector<double> scales = coded.scales.to_reals();
  std::vector<double> multiples(scales.size());
  const auto unit_of = [&](std::size_t i) {  // of a scale, by its place
    if (units == 1) return in_order.front();
    const auto place = static_cast<std::int64_t>(i);
    if (!rows_last) return in_order[static_cast<std::size_t>(place / each)];
    return in_order[static_cast<std::size_t>(place / rows / each * rows + place % rows)];
  };
  for (std::size_t i = 0; i < scales.size(); ++i) multiples[i] = scales[i] / unit_of(i);
  coded.scale_codes = Tensor::from_reals(format, codes, multiples, Rounding::kHalfEven,
                                         Overflow::kSaturateSymmetric);
}

}  // namespace

CodedWeights coded_weights(const WeightRows& layout, const Shape& shape, std::int64_t axis,
                           const std::vector<double>& rounded_rows, const WeightGrids& grids,
                           const WeightRules& rules) {
  const BlockShapes shapes = block_shapes(layout, shape, axis, grids);
  CodedWeights result;
  result.shape = shape;
  result.codes = Tensor::from_reals(rules.format, shapes.codes, layout.back(rounded_rows),
                                    Rounding::kHalfEven, Overflow::kSaturateSymmetric);
  // Grids are listed row by row; where the rows come last their blocks come first.
  const bool rows_last = grids.blocks > 1 && axis != 0;
  std::vector<double> scales(grids.grids.size()), zeros(grids.grids.size());
  for (std::size_t i = 0; i < grids.grids.size(); ++i) {
    const auto blocks = static_cast<std::size_t>(grids.blocks);
    const std::size_t place =
        rows_last ? i % blocks * static_cast<std::size_t>(layout.rows()) + i / blocks : i;
    scales[place] = grids.grids[i].scale;
    zeros[place] = grids.grids[i].zero;
  }
  const bool is_stored = rules.scales.block == 0 && rules.scales.format.is_float();
  result.scales =
      Tensor::from_reals(is_stored ? rules.scales.format : Format(), shapes.scales, scales);
  if (!grids.units.empty()) nest(result, rules.scales.format, grids, rows_last);
  if (std::any_of(zeros.begin(), zeros.end(), [](double z) { return z != 0; }))
    result.zeros = Tensor::from_reals(Format(), shapes.scales, zeros);
  return result;
}

CodedWeights quantize_weights(const Tensor& weights, std::int64_t axis, const WeightRules& rules) {
  const WeightRows layout(weights.shape(), axis);
  std::vector<double> rows = layout.from(weights);
  const WeightGrids grids = choose_grids(rows, layout.columns(), rules);
  const WeightCodec codec(rules.format);
  for (std::int64_t r = 0; r < layout.rows(); ++r) {
    for (std::int64_t c = 0; c < layout.columns(); ++c) {
      double& weight = rows[static_cast<std::size_t>(r * layout.columns() + c)];
      const WeightGrid& grid = grids.at(r, c);
      weight = codec.nearest(weight / grid.scale + grid.zero);
    }
  }
  return coded_weights(layout, weights.shape(), axis, rows, grids, rules);
}

}  // namespace tandem
