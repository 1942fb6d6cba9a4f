#include "tandem/emit/c_words.h"

#include <string_view>

#include "tandem/base/text.h"

namespace tandem {
namespace {

// '@' stands for the prefix.
constexpr std::string_view kFunctions = R"(#if defined(__ARM_FEATURE_MVE)
#include <arm_mve.h>
#endif

/* Words of four bytes, the first one lowest. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "this network was planned for a little-endian core"
#endif
static inline void @_store_word(void *to, int32_t word) { memcpy(to, &word, sizeof word); }

/* Numbers limited to a byte; the rounded upper word of a product; bytes 0 and 2, or 1 and 3, of a word as two numbers of 16 bits; the
   sum of two products of such numbers. Loads and sums keep their order, because a compiler that
   loads early runs out of registers. */
#if defined(__ARM_FEATURE_SIMD32) && defined(__GNUC__)
static inline int32_t @_word(const void *from) {
  int32_t word;
  __asm__ volatile("ldr %0, %1" : "=r"(word) : "m"(*(const uint8_t(*)[4])from));
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
#else
static inline int32_t @_word(const void *from) {
  int32_t word;
  memcpy(&word, from, sizeof word);
  return word;
}
static inline int32_t @_signed_byte(int32_t x) { return x < -128 ? -128 : x > 127 ? 127 : x; }
static inline int32_t @_unsigned_byte(int32_t x) { return x < 0 ? 0 : x > 255 ? 255 : x; }
static inline int32_t @_upper_word(int32_t a, int32_t b) {
  return (int32_t)(((int64_t)a * b + (INT64_C(1) << 31)) >> 32);
}
static inline int32_t @_signed_pair_0(int32_t word) {
  const uint32_t low = (uint32_t)(int8_t)word, high = (uint32_t)(int8_t)(word >> 16);
  return (int32_t)((low & 0xffffu) | (high << 16));
}
static inline int32_t @_signed_pair_1(int32_t word) { return @_signed_pair_0(word >> 8); }
static inline int32_t @_unsigned_pair_0(int32_t word) { return word & 0x00ff00ff; }
static inline int32_t @_unsigned_pair_1(int32_t word) { return (word >> 8) & 0x00ff00ff; }
static inline int32_t @_dot2(int32_t sum, int32_t a, int32_t b) {
  const int32_t low = (int32_t)(int16_t)a * (int16_t)b, high = (a >> 16) * (b >> 16);
  return (int32_t)((uint32_t)sum + (uint32_t)low + (uint32_t)high);
}
#endif

/* Vectors of 16 bytes, and the sum of all products of two of them. */
#if defined(__ARM_FEATURE_MVE)
typedef int8x16_t @_vector;
static inline @_vector @_load_vector(const int8_t *from) { return vldrbq_s8(from); }
static inline int32_t @_dot16(int32_t sum, @_vector a, @_vector b) {
  return vmladavaq_s8(sum, a, b);
}
#else
typedef struct { int8_t lane[16]; } @_vector;
static inline @_vector @_load_vector(const int8_t *from) {
  @_vector vector;
  memcpy(vector.lane, from, sizeof vector.lane);
  return vector;
}
static inline int32_t @_dot16(int32_t sum, @_vector a, @_vector b) {
  int32_t products = 0; /* at most 16 * 2^14 */
  for (int32_t i = 0; i < 16; ++i) products += a.lane[i] * b.lane[i];
  return (int32_t)((uint32_t)sum + (uint32_t)products);
}
#endif

)";

}  // namespace

std::string c_word_functions(const std::string& prefix) {
  return join(split(kFunctions, '@'), prefix);
}

}  // namespace tandem
