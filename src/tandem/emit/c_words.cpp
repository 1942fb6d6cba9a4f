#include "tandem/emit/c_words.h"

#include <cctype>
#include <set>
#include <string_view>

#include "tandem/base/text.h"
#include "tandem/emit/c_printer.h"

namespace tandem {
namespace {

constexpr std::string_view kVectorHeader =
    "#if defined(__ARM_FEATURE_MVE)\n#include <arm_mve.h>\n#endif\n\n";

constexpr std::string_view kByteOrder =
    R"(#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "this network was planned for a little-endian core"
#endif

)";

// The texts of functions; '@' stands for the prefix. A function calls only what stands above it in
// the same text.
constexpr std::string_view kStores =
    R"(static inline void @_store_word(void *to, int32_t word) {
  (void)memcpy(to, &word, sizeof word);
}
)";

// Loads and sums keep their order, because a compiler that loads early runs out of registers.
constexpr std::string_view kDspWords = R"(static inline int32_t @_word(const void *from) {
  struct bytes { uint8_t byte[4]; };
  int32_t word;
  __asm__ volatile("ldr %0, %1" : "=r"(word) : "m"(*(const struct bytes *)from));
  return word;
}
static inline int32_t @_signed_byte(int32_t x) {
  int32_t byte;
  __asm__("ssat %0, #8, %1" : "=r"(byte) : "r"(x));
  return byte;
}
static inline int32_t @_unsigned_byte(int32_t x) {
  int32_t byte;
  __asm__("usat %0, #8, %1" : "=r"(byte) : "r"(x));
  return byte;
}
static inline int32_t @_upper_word(int32_t a, int32_t b) {
  int32_t word;
  __asm__("smmulr %0, %1, %2" : "=r"(word) : "r"(a), "r"(b));
  return word;
}
static inline int32_t @_signed_pair_0(int32_t word) {
  int32_t pair;
  __asm__("sxtb16 %0, %1" : "=r"(pair) : "r"(word));
  return pair;
}
static inline int32_t @_signed_pair_1(int32_t word) {
  int32_t pair;
  __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
  return pair;
}
static inline int32_t @_unsigned_pair_0(int32_t word) {
  int32_t pair;
  __asm__("uxtb16 %0, %1" : "=r"(pair) : "r"(word));
  return pair;
}
static inline int32_t @_unsigned_pair_1(int32_t word) {
  int32_t pair;
  __asm__("uxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
  return pair;
}
static inline int32_t @_dot2(int32_t sum, int32_t a, int32_t b) {
  __asm__ volatile("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
  return sum;
}
)";

constexpr std::string_view kPortableWords = R"(static inline int32_t @_word(const void *from) {
  int32_t word;
  (void)memcpy(&word, from, sizeof word);
  return word;
}
static inline int32_t @_signed_byte(int32_t x) { return x < -128 ? -128 : x > 127 ? 127 : x; }
static inline int32_t @_unsigned_byte(int32_t x) { return x < 0 ? 0 : x > 255 ? 255 : x; }
static inline int32_t @_upper_word(int32_t a, int32_t b) {
  return (int32_t)(((int64_t)a * b + (INT64_C(1) << 31)) >> 32);
}
static inline int32_t @_signed_pair_0(int32_t word) {
  const uint32_t low = (uint32_t)(int8_t)word;
  const uint32_t high = (uint32_t)(int8_t)(word >> 16);
  return (int32_t)((low & 0xffffu) | (high << 16));
}
static inline int32_t @_signed_pair_1(int32_t word) { return @_signed_pair_0(word >> 8); }
static inline int32_t @_unsigned_pair_0(int32_t word) { return word & 0x00ff00ff; }
static inline int32_t @_unsigned_pair_1(int32_t word) { return (word >> 8) & 0x00ff00ff; }
static inline int32_t @_dot2(int32_t sum, int32_t a, int32_t b) {
  const int32_t low = (int32_t)(int16_t)a * (int16_t)b;
  const int32_t high = (a >> 16) * (b >> 16);
  return (int32_t)((uint32_t)sum + (uint32_t)low + (uint32_t)high);
}
)";

constexpr std::string_view kHeliumVectors = R"(typedef int8x16_t @_vector;
static inline @_vector @_load_vector(const int8_t *from) { return vldrbq_s8(from); }
static inline void @_store_vector(int8_t *to, @_vector vector) { vstrbq_s8(to, vector); }
static inline @_vector @_vector_bits(@_vector vector, int32_t shift, int8_t mask) {
  return vandq_s8(shift == 0 ? vector : vshlq_r_s8(vector, shift), vdupq_n_s8(mask));
}
)";

constexpr std::string_view kGccVectorSums =
    R"(/* In this order, because GCC 12 otherwise spends registers and sums on addresses. */
static inline @_vector @_next_vector(const int8_t **from) {
  struct bytes { int8_t byte[16]; };
  @_vector vector;
  __asm__ volatile("vldrb.8 %q0, [%1], #16"
                   : "=w"(vector), "+r"(*from)
                   : "m"(*(const struct bytes *)*from));
  return vector;
}
static inline int32_t @_dot16(int32_t sum, @_vector a, @_vector b) {
  __asm__ volatile("vmladava.s8 %0, %q1, %q2" : "+Te"(sum) : "w"(a), "w"(b));
  return sum;
}
)";

constexpr std::string_view kVectorSums =
    R"(static inline @_vector @_next_vector(const int8_t **from) {
  const @_vector vector = vldrbq_s8(*from);
  *from += 16;
  return vector;
}
static inline int32_t @_dot16(int32_t sum, @_vector a, @_vector b) {
  return vmladavaq_s8(sum, a, b);
}
)";

constexpr std::string_view kPortableVectors = R"(typedef struct { int8_t lane[16]; } @_vector;
static inline @_vector @_load_vector(const int8_t *from) {
  @_vector vector;
  (void)memcpy(vector.lane, from, sizeof vector.lane);
  return vector;
}
static inline @_vector @_next_vector(const int8_t **from) {
  const @_vector vector = @_load_vector(*from);
  *from += 16;
  return vector;
}
static inline void @_store_vector(int8_t *to, @_vector vector) {
  (void)memcpy(to, vector.lane, sizeof vector.lane);
}
static inline @_vector @_vector_bits(@_vector vector, int32_t shift, int8_t mask) {
  for (int32_t i = 0; i < 16; ++i) {
    vector.lane[i] =
        (int8_t)((uint8_t)((uint32_t)(uint8_t)vector.lane[i] << shift) & (uint8_t)mask);
  }
  return vector;
}
static inline int32_t @_dot16(int32_t sum, @_vector a, @_vector b) {
  int32_t products = 0; /* at most 16 * 2^14 */
  for (int32_t i = 0; i < 16; ++i) {
    products += a.lane[i] * b.lane[i];
  }
  return (int32_t)((uint32_t)sum + (uint32_t)products);
}
)";

constexpr std::string_view kHeliumQuads = R"(typedef int32x4_t @_quad_t;
static inline @_quad_t @_quad(int32_t x) { return vdupq_n_s32(x); }
static inline @_quad_t @_quad_of(int32_t a, int32_t b, int32_t c, int32_t d) {
  @_quad_t quad = vdupq_n_s32(a);
  quad = vsetq_lane_s32(b, quad, 1);
  quad = vsetq_lane_s32(c, quad, 2);
  return vsetq_lane_s32(d, quad, 3);
}
static inline @_quad_t @_add(@_quad_t a, @_quad_t b) { return vaddq_s32(a, b); }
static inline @_quad_t @_add_by(@_quad_t a, int32_t b) { return vaddq_n_s32(a, b); }
static inline @_quad_t @_subtract(@_quad_t a, @_quad_t b) { return vsubq_s32(a, b); }
static inline @_quad_t @_multiply(@_quad_t a, @_quad_t b) { return vmulq_s32(a, b); }
static inline @_quad_t @_multiply_by(@_quad_t a, int32_t b) { return vmulq_n_s32(a, b); }
static inline @_quad_t @_multiply_add(@_quad_t sum, @_quad_t a, int32_t b) {
  return vmlaq_n_s32(sum, a, b);
}
static inline @_quad_t @_shift_right(@_quad_t a, @_quad_t count) {
  return vshlq_s32(a, vnegq_s32(count));
}
static inline @_quad_t @_shift_right_by(@_quad_t a, int32_t count) {
  return vshlq_r_s32(a, -count);
}
static inline @_quad_t @_scale_by_power(@_quad_t a, @_quad_t power) {
  return vrshlq_s32(a, power);
}
static inline @_quad_t @_scale_by_power_by(@_quad_t a, int32_t power) {
  return vrshlq_n_s32(a, power);
}
static inline @_quad_t @_upper_words(@_quad_t a, @_quad_t b) { return vmulhq_s32(a, b); }
static inline @_quad_t @_upper_words_by(@_quad_t a, int32_t b) {
  return vmulhq_s32(a, vdupq_n_s32(b));
}
static inline @_quad_t @_rounded_upper_words(@_quad_t a, @_quad_t b) {
  return vrmulhq_s32(a, b);
}
static inline @_quad_t @_rounded_upper_words_by(@_quad_t a, int32_t b) {
  return vrmulhq_s32(a, vdupq_n_s32(b));
}
static inline @_quad_t @_doubled_upper_words(@_quad_t a, @_quad_t b) {
  return vqrdmulhq_s32(a, b);
}
static inline @_quad_t @_doubled_upper_words_by(@_quad_t a, int32_t b) {
  return vqrdmulhq_n_s32(a, b);
}
static inline @_quad_t @_minimum(@_quad_t a, @_quad_t b) { return vminq_s32(a, b); }
static inline @_quad_t @_maximum(@_quad_t a, @_quad_t b) { return vmaxq_s32(a, b); }
static inline uint32x4_t @_lanes(int32_t stride) {
  return vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)stride);
}
)";

constexpr std::string_view kPortableQuads = R"(typedef struct { int32_t lane[4]; } @_quad_t;
static inline @_quad_t @_quad_of(int32_t a, int32_t b, int32_t c, int32_t d) {
  @_quad_t quad;
  quad.lane[0] = a;
  quad.lane[1] = b;
  quad.lane[2] = c;
  quad.lane[3] = d;
  return quad;
}
static inline @_quad_t @_quad(int32_t x) { return @_quad_of(x, x, x, x); }
static inline @_quad_t @_add(@_quad_t a, @_quad_t b) {
  for (int32_t i = 0; i < 4; ++i) {
    a.lane[i] += b.lane[i];
  }
  return a;
}
static inline @_quad_t @_add_by(@_quad_t a, int32_t b) { return @_add(a, @_quad(b)); }
static inline @_quad_t @_subtract(@_quad_t a, @_quad_t b) {
  for (int32_t i = 0; i < 4; ++i) {
    a.lane[i] -= b.lane[i];
  }
  return a;
}
static inline @_quad_t @_multiply(@_quad_t a, @_quad_t b) {
  for (int32_t i = 0; i < 4; ++i) {
    a.lane[i] *= b.lane[i];
  }
  return a;
}
static inline @_quad_t @_multiply_by(@_quad_t a, int32_t b) { return @_multiply(a, @_quad(b)); }
static inline @_quad_t @_multiply_add(@_quad_t sum, @_quad_t a, int32_t b) {
  return @_add(sum, @_multiply_by(a, b));
}
static inline @_quad_t @_shift_right(@_quad_t a, @_quad_t count) {
  for (int32_t i = 0; i < 4; ++i) {
    a.lane[i] >>= count.lane[i];
  }
  return a;
}
static inline @_quad_t @_shift_right_by(@_quad_t a, int32_t count) {
  return @_shift_right(a, @_quad(count));
}
static inline @_quad_t @_upper_words(@_quad_t a, @_quad_t b) {
  for (int32_t i = 0; i < 4; ++i) {
    a.lane[i] = (int32_t)((int64_t)a.lane[i] * b.lane[i] >> 32);
  }
  return a;
}
static inline @_quad_t @_upper_words_by(@_quad_t a, int32_t b) {
  return @_upper_words(a, @_quad(b));
}
static inline @_quad_t @_scale_by_power(@_quad_t a, @_quad_t power) {
  for (int32_t i = 0; i < 4; ++i) {
    const int32_t up = power.lane[i];
    if (up < 0) {
      a.lane[i] = (int32_t)(((int64_t)a.lane[i] + (INT64_C(1) << (-up - 1))) >> -up);
    } else {
      a.lane[i] = (int32_t)((uint32_t)a.lane[i] << up);
    }
  }
  return a;
}
static inline @_quad_t @_scale_by_power_by(@_quad_t a, int32_t power) {
  return @_scale_by_power(a, @_quad(power));
}
static inline @_quad_t @_doubled_upper_words(@_quad_t a, @_quad_t b) {
  for (int32_t i = 0; i < 4; ++i) {
    a.lane[i] = (int32_t)(((int64_t)a.lane[i] * b.lane[i] + (INT64_C(1) << 30)) >> 31);
  }
  return a;
}
static inline @_quad_t @_doubled_upper_words_by(@_quad_t a, int32_t b) {
  return @_doubled_upper_words(a, @_quad(b));
}
static inline @_quad_t @_rounded_upper_words(@_quad_t a, @_quad_t b) {
  for (int32_t i = 0; i < 4; ++i) {
    a.lane[i] = (int32_t)(((int64_t)a.lane[i] * b.lane[i] + (INT64_C(1) << 31)) >> 32);
  }
  return a;
}
static inline @_quad_t @_rounded_upper_words_by(@_quad_t a, int32_t b) {
  return @_rounded_upper_words(a, @_quad(b));
}
static inline @_quad_t @_minimum(@_quad_t a, @_quad_t b) {
  for (int32_t i = 0; i < 4; ++i) {
    a.lane[i] = a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i];
  }
  return a;
}
static inline @_quad_t @_maximum(@_quad_t a, @_quad_t b) {
  for (int32_t i = 0; i < 4; ++i) {
    a.lane[i] = a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i];
  }
  return a;
}
)";

// Loads and stores of four elements of one type ('#': i8, '%': int8_t): neighbours, or every
// stride-th.
constexpr std::string_view kPortableMemory =
    R"(static inline @_quad_t @_gather_quad_#(const % *from, int32_t stride) {
  return @_quad_of(from[0], from[stride], from[2 * stride], from[3 * stride]);
}
static inline @_quad_t @_load_quad_#(const % *from) {
  return @_gather_quad_#(from, 1);
}
static inline void @_scatter_quad_#(% *to, int32_t stride, @_quad_t quad) {
  for (int32_t i = 0; i < 4; ++i) {
    to[i * stride] = (%)quad.lane[i];
  }
}
static inline void @_store_quad_#(% *to, @_quad_t quad) {
  @_scatter_quad_#(to, 1, quad);
}
)";

// '&': b, h or w; '$': s32 or u32; '!': _offset or _shifted_offset.
constexpr std::string_view kHeliumMemory =
    R"(static inline @_quad_t @_load_quad_#(const % *from) {
  return vreinterpretq_s32_$(vldr&q_$(from));
}
static inline @_quad_t @_gather_quad_#(const % *from, int32_t stride) {
  return vreinterpretq_s32_$(vldr&q_gather!_$(from, @_lanes(stride)));
}
static inline void @_store_quad_#(% *to, @_quad_t quad) {
  vstr&q_$(to, vreinterpretq_$_s32(quad));
}
static inline void @_scatter_quad_#(% *to, int32_t stride, @_quad_t quad) {
  vstr&q_scatter!_$(to, @_lanes(stride), vreinterpretq_$_s32(quad));
}
)";

constexpr Storage kQuadStorages[] = {Storage::kI8, Storage::kU8, Storage::kI16, Storage::kU16,
                                     Storage::kI32};

std::string replaced(std::string text, std::string_view mark, std::string_view by) {
  for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at))
    text.replace(at, mark.size(), by);
  return text;
}

std::string memory_functions(std::string_view pattern, Storage storage) {
  const int bytes = storage_bytes(storage);
  const bool negative = is_signed(storage);
  std::string text = replaced(std::string(pattern), "#", concat(negative ? "i" : "u", 8 * bytes));
  text = replaced(text, "%", c_type(storage));
  text = replaced(text, "&", bytes == 1 ? "b" : bytes == 2 ? "h" : "w");
  text = replaced(text, "!", bytes == 1 ? "_offset" : "_shifted_offset");
  // Words with a sign need no other view of their bits.
  text = replaced(text, "vreinterpretq_s32_$", negative ? "" : "vreinterpretq_s32_u32");
  text = replaced(text, "vreinterpretq_$_s32", negative ? "" : "vreinterpretq_u32_s32");
  return replaced(text, "$", negative ? "s32" : "u32");
}

std::string with_memory(std::string_view functions, std::string_view memory_pattern) {
  std::string text(functions);
  for (const Storage storage : kQuadStorages) text += memory_functions(memory_pattern, storage);
  return text;
}

// One way to compute the functions of a group: under a condition of the preprocessor, or
// (empty) otherwise.
struct Variant {
  std::string_view condition;
  std::string text;
};

struct Group {
  std::string_view comment;
  std::vector<Variant> variants;  // all define the same functions
  bool has_vectors = false;
};

std::vector<Group> groups() {
  const std::string helium(kHeliumVectors);
  return {
      {"/* Words of four bytes, the first one lowest. */\n", {{"", std::string(kStores)}}},
      {"/* Numbers limited to a byte; the rounded upper word of a product; bytes 0 and 2, or 1 and "
       "3, of a\n   word as two numbers of 16 bits; the sum of two products of such numbers. */\n",
       {{"defined(__ARM_FEATURE_SIMD32) && defined(__GNUC__)", std::string(kDspWords)},
        {"", std::string(kPortableWords)}}},
      {"/* Vectors of 16 bytes, and the sum of all products of two of them. */\n",
       {{"defined(__ARM_FEATURE_MVE) && defined(__GNUC__) && !defined(__clang__)",
         helium + std::string(kGccVectorSums)},
        {"defined(__ARM_FEATURE_MVE)", helium + std::string(kVectorSums)},
        {"", std::string(kPortableVectors)}},
       true},
      {"/* Quads: four numbers at a time. */\n",
       {{"defined(__ARM_FEATURE_MVE)", with_memory(kHeliumQuads, kHeliumMemory)},
        {"", with_memory(kPortableQuads, kPortableMemory)}},
       true}};
}

// A function with the comment above it, or (without a name) a type.
struct Piece {
  std::string name, text;
};

std::vector<Piece> pieces(const std::string& text) {
  std::vector<Piece> result(1);
  for (const std::string& line : split(text, '\n')) {
    if (line.empty()) continue;
    Piece& piece = result.back();
    piece.text += line + "\n";
    if (line.starts_with("static inline")) {
      const std::size_t open = line.find('('), at = line.rfind('@', open);
      piece.name = line.substr(at + 2, open - at - 2);
    }
    const bool ends = line.starts_with("typedef") || line == "}" ||
                      (line.starts_with("static inline") && line.ends_with("}"));
    if (ends) result.emplace_back();
  }
  result.pop_back();
  return result;
}

// The names with '@' in front that a text mentions.
std::set<std::string> mentioned(const std::string& text) {
  std::set<std::string> names;
  for (std::size_t at = text.find("@_"); at != std::string::npos; at = text.find("@_", at + 2)) {
    const std::size_t end = text.find_first_of(" (),;*", at);
    names.insert(text.substr(at + 2, end - at - 2));
  }
  return names;
}

// The definitions of `needed`, and of what these need.
std::string definitions(const std::string& text, std::set<std::string> needed) {
  const std::vector<Piece> all = pieces(text);
  std::string result, types;
  for (auto piece = all.rbegin(); piece != all.rend(); ++piece) {
    if (piece->name.empty()) types = piece->text + types;
    if (!needed.contains(piece->name)) continue;
    needed.merge(mentioned(piece->text));
    result = piece->text + result;
  }
  return result.empty() ? "" : types + result;
}

std::string definitions(const Group& group, const std::set<std::string>& needed) {
  std::string text;
  for (const Variant& variant : group.variants) {
    const std::string part = definitions(variant.text, needed);
    if (part.empty()) return "";
    if (group.variants.size() == 1) return concat(group.comment, part, "\n");
    text += variant.condition.empty()
                ? "#else\n"
                : concat(text.empty() ? "#if " : "#elif ", variant.condition, "\n");
    text += part;
  }
  return concat(group.comment, text, "#endif\n\n");
}

bool calls(const std::string& code, const std::string& function) {
  const std::string call = function + "(";
  for (std::size_t at = code.find(call); at != std::string::npos; at = code.find(call, at + 1)) {
    const char before = at == 0 ? ' ' : code[at - 1];
    if (std::isalnum(static_cast<unsigned char>(before)) == 0 && before != '_') return true;
  }
  return false;
}

}  // namespace

std::vector<std::string> c_word_names() {
  std::set<std::string> names;
  for (const Group& group : groups())
    for (const Variant& variant : group.variants) names.merge(mentioned(variant.text));
  return {names.begin(), names.end()};
}

std::string c_word_functions(const std::string& prefix, const std::string& code) {
  std::set<std::string> needed;
  for (const std::string& name : c_word_names())
    if (calls(code, concat(prefix, "_", name))) needed.insert(name);
  if (needed.empty()) return "";
  std::string text;
  bool has_vectors = false;
  for (const Group& group : groups()) {
    const std::string part = definitions(group, needed);
    has_vectors = has_vectors || (group.has_vectors && !part.empty());
    text += part;
  }
  return concat(has_vectors ? kVectorHeader : "", kByteOrder, wrapped(replaced(text, "@", prefix)));
}

}  // namespace tandem
