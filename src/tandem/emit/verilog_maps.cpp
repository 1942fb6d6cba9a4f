#include "tandem/emit/verilog_maps.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "tandem/base/error.h"
#include "tandem/emit/verilog_memory.h"
#include "tandem/numerics/overflow.h"

namespace tandem::verilog {
namespace {

// A constant of a map as a signed wire: a literal where all elements share it, else a part of c.
struct Field {
  const LaneConstants* constants;
  Bounds bounds;
  bool varies;
  int bits() const { return bounds.bits(); }
};

Field field_of(const LaneConstants& constants) {
  return {&constants, {constants.least(), constants.greatest()}, !constants.all_equal()};
}

std::vector<Field> fields_of(const MapOp& map) {
  switch (map.kind) {
    case MapKind::kClamp: return {};
    case MapKind::kRescale:
      return {field_of(map.operand), field_of(map.addend), field_of(map.shift)};
    case MapKind::kTable:
    case MapKind::kThreshold: return {field_of(map.row)};
    default: return {field_of(map.operand)};
  }
}

// Declares the wires of all fields, named as given in the order of fields_of().
std::string declare_fields(const MapOp& map, const std::vector<std::string>& names) {
  std::string text;
  std::int64_t at = 0;
  const auto fields = fields_of(map);
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const Field& field = fields[i];
    text += concat("  wire ", signed_of(field.bits()), names[i], " = ");
    if (field.varies) {
      text += concat("c[", at, " +: ", field.bits(), "];\n");
      at += field.bits();
    } else {
      text += concat(literal(field.bounds.low, field.bits()), ";\n");
    }
  }
  return text;
}

}  // namespace

std::int64_t constant_bits(const MapOp& map) {
  std::int64_t bits = 0;
  for (const Field& field : fields_of(map))
    if (field.varies) bits += field.bits();
  return bits;
}

std::vector<Word> constant_words(const MapOp& map, std::int64_t lanes) {
  std::int64_t period = 1;
  for (const Field& field : fields_of(map))
    if (field.varies) period = std::lcm(period, field.constants->period);
  std::vector<Word> words(static_cast<std::size_t>(period));
  for (std::int64_t beat = 0; beat < period; ++beat) {
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      for (const Field& field : fields_of(map)) {
        if (!field.varies) continue;
        const std::int64_t at = beat % field.constants->period * lanes + lane;
        words[static_cast<std::size_t>(beat)].append(
            field.constants->values[static_cast<std::size_t>(at)], field.bits());
      }
    }
  }
  return words;
}

std::string shifted_product(const std::string& left, const std::string& right, int bits,
                            int result_bits) {
  std::string text;
  for (int i = 0; i < bits; ++i) {
    const bool sign = i + 1 == bits;
    text += concat(i == 0 ? (sign ? "-" : "")
                   : sign ? " - "
                          : " + ",
                   "(({", result_bits, "{", right, "[", i, "]}} & ", left, ") << ", i, ")");
  }
  return text;
}

namespace {

// `x` times a constant as sums and differences of shifted copies (canonical signed digits).
std::string constant_product(const std::string& x, Int128 factor) {
  std::string text;
  for (int i = 0; factor != 0; ++i, factor >>= 1) {
    if ((factor & 1) == 0) continue;
    const int digit = (factor & 3) == 3 ? -1 : 1;
    factor -= digit;
    const std::string term = concat("(", x, " <<< ", i, ")");
    text += concat(text.empty() ? (digit < 0 ? "-" : "") : digit < 0 ? " - " : " + ", term);
  }
  return text.empty() ? "0" : text;
}

// An assignment in a context wide and signed enough for every term: operands are first extended.
std::string product_text(const std::string& result, int bits, const Field& factor,
                         const std::string& factor_name, Bounds x, bool dsp) {
  std::string text = concat("  wire ", signed_of(bits), result, "_x = x_value;\n  wire ",
                            signed_of(bits), result, " = ");
  if (!factor.varies) {
    const bool power = std::has_single_bit(
        static_cast<std::uint64_t>(factor.bounds.low < 0 ? -factor.bounds.low : factor.bounds.low));
    if (!dsp || power || factor.bounds.low == 0)
      return text + constant_product(result + "_x", factor.bounds.low) + ";\n";
  }
  if (dsp) return text + concat("x_value * ", factor_name, ";\n");
  if (x.bits() < factor.bits()) {
    return concat("  wire ", signed_of(bits), result, "_m = ", factor_name, ";\n  wire ",
                  signed_of(bits), result, " = ",
                  shifted_product(result + "_m", "x_value", x.bits(), bits), ";\n");
  }
  return text + shifted_product(result + "_x", factor_name, factor.bits(), bits) + ";\n";
}

}  // namespace

std::string rounds_up(Rounding rounding, const std::string& half, const std::string& sticky,
                      const std::string& odd, const std::string& negative) {
  std::string rest = concat("(", half, " | ", sticky, ")");
  switch (rounding) {
    case Rounding::kFloor: return "1'b0";
    case Rounding::kTowardZero: return concat(negative, " & ", rest);
    case Rounding::kHalfUp: return half;
    case Rounding::kHalfTowardZero: return concat(half, " & (", sticky, " | ", negative, ")");
    case Rounding::kHalfDown: return concat(half, " & ", sticky);
    case Rounding::kHalfAwayFromZero: return concat(half, " & (", sticky, " | ~", negative, ")");
    case Rounding::kHalfEven: return concat(half, " & (", sticky, " | ", odd, ")");
    case Rounding::kCeiling: return rest;
    case Rounding::kAwayFromZero: return concat("~", negative, " & ", rest);
  }
  throw InternalError("unknown rounding");
}

std::string overflow_text(const std::string& result, const std::string& name, Bounds bounds,
                          Format format, Overflow overflow) {
  const int bits = format.bits(), wide = bounds.bits();
  const IntegerRange held = kept_range(format.integer_range(), overflow);
  // The least integer of the format is then out of range, which its upper bits do not show.
  const bool symmetric = held.min != format.integer_range().min;
  const std::string low_part =
      wide >= bits ? concat(name, "[", bits - 1, ":0]")
                   : concat("{{", bits - wide, "{", name, "[", wide - 1, "]}}, ", name, "}");
  const bool over = bounds.high > held.max, under = bounds.low < held.min;
  if (overflow == Overflow::kWrap || (!over && !under))
    return concat("  assign ", result, " = ", low_part, ";\n");
  const bool zero = overflow == Overflow::kSaturateZero;
  const std::string at_high = zero ? literal(0, bits) : literal(held.max, bits);
  const std::string at_low = zero ? literal(0, bits) : literal(held.min, bits);
  const std::string sign = concat(name, "[", wide - 1, "]");
  // Bits above the result's magnitude: all equal to the sign where the number fits.
  const int magnitude = format.is_signed() ? bits - 1 : bits;
  std::string text = concat("  assign ", result, " = ");
  if (over)
    text += concat("~", sign, " & |", name, "[", wide - 1, ":", magnitude, "] ? ", at_high, " : ");
  if (under) {
    std::string below =
        format.is_signed()
            ? (wide - 1 > magnitude ? concat("~&", name, "[", wide - 1, ":", magnitude, "]")
                                    : std::string("1'b0"))
            : std::string("1'b1");
    if (symmetric) {
      below = concat("(", below, " | ~|",
                     magnitude == 0 ? std::string("1'b0") : concat(name, "[", magnitude - 1, ":0]"),
                     ")");
    }
    text += concat(sign, " & ", below, " ? ", at_low, " : ");
  }
  return text + low_part + ";\n";
}

namespace {

std::string module_head(const std::string& name, const MapOp& map) {
  const std::int64_t constants = constant_bits(map);
  std::string text = concat("module ", name, " (\n  input  logic clk,\n  input  logic enable,\n",
                            "  input  logic ", vector_of(map.in.bits()), "x,\n");
  if (constants > 0) text += concat("  input  logic ", vector_of(constants), "c,\n");
  return text + concat("  output logic ", vector_of(map.out.bits()), "y\n);\n  wire ",
                       signed_of(value_bits(map.in)), "x_value = ", value_of(map.in, "x"), ";\n");
}

std::string registered(const std::string& target, const std::string& value) {
  return concat("  always_ff @(posedge clk) if (enable) ", target, " <= ", value, ";\n");
}

// What is added before a plain floor where that is the same as the rounding.
Int128 rounding_addend(Rounding rounding, std::int64_t shift) {
  const Int128 half = shift == 0 ? 0 : Int128{1} << (shift - 1);
  if (shift == 0) return 0;
  if (rounding == Rounding::kHalfUp) return half;
  if (rounding == Rounding::kHalfDown) return half - 1;
  if (rounding == Rounding::kCeiling) return 2 * half - 1;
  return 0;
}

bool rounds_by_addend(Rounding rounding) {
  return rounding == Rounding::kFloor || rounding == Rounding::kHalfUp ||
         rounding == Rounding::kHalfDown || rounding == Rounding::kCeiling;
}

// Rounds `sum` / 2^shift for one shift that all elements share, to the wire `rounded`.
std::string fixed_rounding(const MapOp& map, Bounds sum, std::int64_t shift, Bounds* rounded) {
  const int wide = sum.bits();
  *rounded = {sum.low >> shift, sum.high >> shift};
  const int floor_bits = rounded->bits();
  std::string floor_text = shift < wide ? concat("sum >>> ", shift) : concat("sum >>> ", wide - 1);
  if (rounds_by_addend(map.rounding) || shift == 0)
    return concat("  wire ", signed_of(floor_bits), "rounded = ", floor_text, ";\n");
  const auto bit = [&](std::int64_t at) {
    return concat("sum[", std::min<std::int64_t>(at, wide - 1), "]");
  };
  std::string sticky = "1'b0";
  if (shift > 1) sticky = concat("|sum[", std::min<std::int64_t>(shift - 2, wide - 1), ":0]");
  rounded->high += 1;
  const int bits = rounded->bits();
  return concat(
      "  wire ", signed_of(bits), "floor = ", floor_text, ";\n  wire half = ", bit(shift - 1),
      ";\n  wire sticky = ", sticky, ";\n  wire negative = sum[", wide - 1,
      "];\n  wire up = ", rounds_up(map.rounding, "half", "sticky", "floor[0]", "negative"),
      ";\n  wire ", signed_of(bits), "rounded = floor + $signed({1'b0, up});\n");
}

// The same for a shift that differs between elements: wire `places` is its unsigned value.
std::string variable_rounding(const MapOp& map, Bounds sum, Bounds* rounded) {
  const std::int64_t least = map.shift.least(), greatest = map.shift.greatest();
  *rounded = {sum.low >> least, (sum.high >> least) + 1};
  const int wide = static_cast<int>(std::max<std::int64_t>(sum.bits(), greatest + 1)) + 1;
  const int bits = rounded->bits();
  return concat("  wire ", signed_of(wide), "number = sum;\n  wire ", signed_of(wide),
                "shifted = number >>> places;\n  wire ", vector_of(wide), "ones = (",
                literal(1, wide), " << places) - ", literal(1, wide), ";\n  wire ", vector_of(wide),
                "rest = number & ones;\n  wire half = |(rest & ~(ones >> 1));\n"
                "  wire sticky = |(rest & (ones >> 1));\n  wire negative = number[",
                wide - 1, "];\n  wire up = ",
                rounds_up(map.rounding, "half", "sticky", "shifted[0]", "negative"), ";\n  wire ",
                signed_of(bits), "rounded = shifted + $signed({1'b0, up});\n");
}

std::string rescale_body(const MapOp& map) {
  const auto fields = fields_of(map);
  const Field &multiplier = fields[0], &addend = fields[1], &shift = fields[2];
  const Bounds x = Bounds::of(map.input);
  Bounds product = x * multiplier.bounds;
  product = join(product, {0, 0});
  Bounds sum = product + addend.bounds;
  const std::int64_t places = map.shift.least();
  Int128 extra = 0;
  if (!shift.varies) extra = rounding_addend(map.rounding, places);
  sum = sum + Bounds{extra, extra};
  const int bits = std::max(sum.bits(), product.bits());
  sum = {std::min(sum.low, product.low), std::max(sum.high, product.high)};
  std::string text = declare_fields(map, {"multiplier", "addend", "shift"});
  text += product_text("product", bits, multiplier, "multiplier", x, map.dsp);
  text += concat("  wire ", signed_of(bits), "total = product + addend");
  if (extra != 0) text += concat(" + ", signed_literal(extra, Bounds{0, extra}.bits()));
  text += concat(";\n  logic ", signed_of(bits), "sum;\n");
  const bool two = map_depth(map) == 2;
  text += two ? registered("sum", "total") : "  assign sum = total;\n";
  if (shift.varies) {
    const int shift_bits = counter_bits(map.shift.greatest());
    text += concat("  logic ", vector_of(shift_bits), "places;\n");
    text += two ? registered("places", concat("shift[", shift_bits - 1, ":0]"))
                : concat("  assign places = shift[", shift_bits - 1, ":0];\n");
  }
  Bounds rounded;
  text += shift.varies ? variable_rounding(map, sum, &rounded)
                       : fixed_rounding(map, sum, places, &rounded);
  text += concat("  wire ", vector_of(map.out.bits()), "fitted;\n",
                 overflow_text("fitted", "rounded", rounded, map.out, map.overflow));
  return text + registered("y", "fitted");
}

// -----------------------------------------------------------

std::string clamp_body(const MapOp& map) {
  const int in_bits = value_bits(map.in), out_bits = value_bits(map.out);
  const int bits = std::max({in_bits, out_bits, Bounds{map.low, map.high}.bits()});
  std::string text = concat("  wire ", signed_of(bits), "wide = x_value;\n");
  std::string value = "wide";
  if (map.low > map.input.min)
    value = concat("wide < ", signed_literal(map.low, bits), " ? ", signed_literal(map.low, bits),
                   " : ", value);
  if (map.high < map.input.max)
    value = concat("wide > ", signed_literal(map.high, bits), " ? ", signed_literal(map.high, bits),
                   " : ", value);
  return text + concat("  wire ", signed_of(bits), "limited = ", value,
                       ";\n  assign y = ", code_of(map.out, "limited"), ";\n");
}

std::string constant_body(const MapOp& map) {
  const auto fields = fields_of(map);
  const Bounds x = Bounds::of(map.input), c = fields[0].bounds;
  std::string text = declare_fields(map, {"constant"});
  const int out_bits = value_bits(map.out);
  if (map.kind == MapKind::kMultiply) {
    const int bits = std::max(join(x * c, {0, 0}).bits(), out_bits);
    text += product_text("result", bits, fields[0], "constant", x, map.dsp);
    return text + registered("y", code_of(map.out, "result"));
  }
  const Bounds both = join(join(x, c), join(x + c, x + Bounds{-c.high, -c.low}));
  const int bits = std::max(join(both, {-both.high, -both.low}).bits(), out_bits);
  text += concat("  wire ", signed_of(bits), "left = x_value;\n  wire ", signed_of(bits),
                 "right = constant;\n  wire ", signed_of(bits), "result = ");
  switch (map.kind) {
    case MapKind::kAdd: text += "left + right"; break;
    case MapKind::kSubtract: text += "left - right"; break;
    case MapKind::kSubtractFrom: text += "right - left"; break;
    case MapKind::kMax: text += "left > right ? left : right"; break;
    case MapKind::kMin: text += "left < right ? left : right"; break;
    default: throw InternalError("no map with a constant operand");
  }
  return text + ";\n" + registered("y", code_of(map.out, "result"));
}

// Rows of a table are laid one after the other, each padded to a power of two of codes.
std::string table_body(const MapOp& map) {
  const int code_bits = map.in.bits();
  const std::int64_t codes = std::int64_t{1} << code_bits;
  std::vector<Word> words;
  for (const auto& row : map.rows) {
    for (std::int64_t code = 0; code < codes; ++code) {
      const std::int64_t entry =
          map.in.integer_of(static_cast<std::uint64_t>(code)) - map.in.integer_range().min;
      Word word;
      word.append(static_cast<Int128>(map.out.code_of(row[static_cast<std::size_t>(entry)])),
                  map.out.bits());
      words.push_back(word);
    }
  }
  std::string text = declare_fields(map, {"row"});
  std::string address = "x";
  if (map.rows.size() > 1) {
    const int row_bits = counter_bits(static_cast<std::int64_t>(map.rows.size()) - 1);
    address = concat("{row[", row_bits - 1, ":0], x}");
  }
  return text +
         concat("  (* rom_style = \"", table_in_block_ram(map) ? "block" : "logic",
                "\" *)\n  logic ", vector_of(map.out.bits()), "entries [0:", words.size() - 1,
                "];\n  initial begin\n", memory_lines("entries", words), "  end\n") +
         registered("y", concat("entries[", address, "]"));
}

// Binary search for the number of thresholds that x has reached: level by level one comparison
// with the middle of what is left.
std::string threshold_body(const MapOp& map) {
  const auto count = static_cast<std::int64_t>(map.rows.front().size());
  const int levels = map_depth(map), bits = value_bits(map.in) + 1;
  const auto rows = static_cast<std::int64_t>(map.rows.size());
  const int row_bits = counter_bits(rows - 1);
  // Thresholds outside of the operand's range are met always or never.
  const auto clipped = [&](std::int64_t row, std::int64_t index) -> Int128 {
    const Int128 never = Int128{map.input.max} + 1;
    if (index >= count) return never;
    const auto& list = map.rows[static_cast<std::size_t>(row)];
    return std::clamp<Int128>(list[static_cast<std::size_t>(index)], map.input.min, never);
  };
  std::string text = declare_fields(map, {"row"});
  text += concat("  logic ", signed_of(bits), "x_0;\n  assign x_0 = x_value;\n");
  if (rows > 1)
    text += concat("  logic ", vector_of(row_bits), "row_0;\n  assign row_0 = row[", row_bits - 1,
                   ":0];\n");
  for (int level = 0; level < levels; ++level) {
    const std::int64_t span = std::int64_t{1} << (levels - 1 - level);
    std::vector<Word> words;
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t prefix = 0; prefix < std::int64_t{1} << level; ++prefix) {
        Word word;
        word.append(clipped(row, prefix * 2 * span + span - 1), bits);
        words.push_back(word);
      }
    }
    std::string address;
    if (rows > 1) address = concat("row_", level);
    if (level > 0) address += concat(address.empty() ? "" : ", ", "found_", level);
    if (words.size() == 1) {
      text += concat("  wire ", signed_of(bits), "limit_", level, " = ", words[0].literal(), ";\n");
    } else {
      text += concat("  (* rom_style = \"logic\" *)\n  logic ", vector_of(bits), "limits_", level,
                     " [0:", words.size() - 1, "];\n  initial begin\n",
                     memory_lines(concat("limits_", level), words), "  end\n  wire ",
                     signed_of(bits), "limit_", level, " = limits_", level, "[{", address, "}];\n");
    }
    text += concat("  wire met_", level, " = x_", level, " >= limit_", level, ";\n  logic ",
                   vector_of(level + 1), "found_", level + 1, ";\n",
                   registered(concat("found_", level + 1),
                              level == 0 ? concat("met_", level)
                                         : concat("{found_", level, ", met_", level, "}")));
    if (level + 1 < levels) {
      text += concat("  logic ", signed_of(bits), "x_", level + 1, ";\n",
                     registered(concat("x_", level + 1), concat("x_", level)));
      if (rows > 1) {
        text += concat("  logic ", vector_of(row_bits), "row_", level + 1, ";\n",
                       registered(concat("row_", level + 1), concat("row_", level)));
      }
    }
  }
  const Bounds range = Bounds{map.base, map.base + map.step * count};
  const int result_bits = std::max({range.bits(), value_bits(map.out), levels + 12});
  text += concat("  wire ", signed_of(result_bits), "number = {{", result_bits - levels,
                 "{1'b0}}, found_", levels, "};\n  wire ", signed_of(result_bits),
                 "result = ", constant_product("number", map.step), " + ",
                 signed_literal(map.base, result_bits),
                 ";\n  assign y = ", code_of(map.out, "result"), ";\n");
  return text;
}

}  // namespace

std::string map_module(const std::string& name, const MapOp& map) {
  std::string text = module_head(name, map);
  switch (map.kind) {
    case MapKind::kRescale: text += rescale_body(map); break;
    case MapKind::kClamp: text += clamp_body(map); break;
    case MapKind::kTable: text += table_body(map); break;
    case MapKind::kThreshold: text += threshold_body(map); break;
    default: text += constant_body(map); break;
  }
  return text + "endmodule\n\n";
}

}  // namespace tandem::verilog
