#include "tests/support/loop_interpreter.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include "tandem/base/error.h"

namespace tandem::test {
namespace {

class Interpreter {
 public:
  Interpreter(const LoopProgram& program, const std::vector<std::size_t>& offsets,
              std::vector<std::uint8_t>& memory)
      : offsets_(offsets), memory_(memory), program_(program) {
    for (std::size_t i = 0; i < program.arrays.size(); ++i)
      places_[program.arrays[i].name] = {i, 0};
  }

  void set(const std::string& local, std::int64_t value) { locals_[local] = value; }

  void run(const Statements& statements) {
    for (const Statement& s : statements) run(s);
  }

 private:
  struct Place {
    std::size_t array = 0;
    std::int64_t index = 0;
  };
  using Vector = std::array<std::int64_t, 16>;
  using Quad = std::array<std::int64_t, kQuadLanes>;

  void run(const Statement& s) {
    switch (s.kind) {
      case StatementKind::kLet:
      case StatementKind::kVariable:
      case StatementKind::kAssign:
        if (s.value.op == ExprOp::kLoadVector)
          vectors_[s.name] = vector(s.value);
        else if (s.value.lanes > 1)
          quads_[s.name] = quad(s.value);
        else
          locals_[s.name] = wrapped(value(s.value), s.type);
        return;
      case StatementKind::kStore: {
        if (s.value.lanes > 1) {
          const Quad lanes = quad(s.value);
          const std::int64_t index = value(s.index);
          for (int i = 0; i < kQuadLanes; ++i)
            store(s.name, index + i * s.step, lanes[static_cast<std::size_t>(i)]);
          return;
        }
        const std::int64_t stored = value(s.value);
        store(s.name, value(s.index), stored);
        return;
      }
      case StatementKind::kStoreVector: {
        const Vector lanes = vector(s.value);
        const std::int64_t index = value(s.index);
        for (std::size_t i = 0; i < lanes.size(); ++i)
          store(s.name, index + static_cast<std::int64_t>(i), lanes[i]);
        return;
      }
      case StatementKind::kStoreWord: {
        const std::int64_t stored = value(s.value), index = value(s.index);
        const int bytes = bytes_of(s.name);
        for (int i = 0; i < 4; i += bytes) store(s.name, index + i / bytes, stored >> (8 * i));
        return;
      }
      case StatementKind::kFor: {
        const std::int64_t end = value(s.index);
        for (std::int64_t i = value(s.value); i < end; i += s.step) {
          locals_[s.name] = i;
          run(s.body);
        }
        return;
      }
      case StatementKind::kPointer: {
        const Place from = places_.at(s.array);
        places_[s.name] = {from.array, from.index + value(s.index)};
        return;
      }
      case StatementKind::kAdvance: places_.at(s.name).index += s.step; return;
      case StatementKind::kCopy: {
        const std::int64_t to = value(s.index), from = value(s.value);
        for (std::int64_t i = 0; i < s.step; ++i) store(s.name, to + i, load(s.array, from + i));
        return;
      }
      case StatementKind::kMove: {
        const std::int64_t to = value(s.index), from = value(s.value);
        std::vector<std::int64_t> moved;
        for (std::int64_t i = 0; i < s.step; ++i) moved.push_back(load(s.array, from + i));
        for (std::int64_t i = 0; i < s.step; ++i)
          store(s.name, to + i, moved[static_cast<std::size_t>(i)]);
        return;
      }
      case StatementKind::kFill: {
        const std::int64_t to = value(s.index), fill = value(s.value);
        for (std::int64_t i = 0; i < s.step; ++i) store(s.name, to + i, fill);
        return;
      }
      case StatementKind::kIf: run(value(s.value) != 0 ? s.body : s.otherwise); return;
    }
  }

  static std::int64_t wrapped(std::int64_t value, Storage type) {
    const int unused = 64 - 8 * storage_bytes(type);
    const auto bits = static_cast<std::uint64_t>(value) << unused;
    return is_signed(type) ? static_cast<std::int64_t>(bits) >> unused
                           : static_cast<std::int64_t>(bits >> unused);
  }

  std::uint8_t* byte_of(const Place& place, std::int64_t index) {
    const Array& array = program_.arrays[place.array];
    ensure(place.index + index >= 0 && place.index + index < array.size,
           concat("access outside ", array.name));
    return memory_.data() + offsets_[place.array] +
           static_cast<std::size_t>((place.index + index) * storage_bytes(array.storage));
  }

  void store(const std::string& name, std::int64_t index, std::int64_t value) {
    const Place& place = places_.at(name);
    std::memcpy(byte_of(place, index), &value,
                static_cast<std::size_t>(storage_bytes(program_.arrays[place.array].storage)));
  }

  std::int64_t load(const std::string& name, std::int64_t index) {
    const Place& place = places_.at(name);
    const Array& array = program_.arrays[place.array];
    if (array.is_constant()) return array.values.at(static_cast<std::size_t>(place.index + index));
    std::int64_t value = 0;
    std::memcpy(&value, byte_of(place, index),
                static_cast<std::size_t>(storage_bytes(array.storage)));
    return wrapped(value, array.storage);
  }

  int bytes_of(const std::string& name) const {
    return storage_bytes(program_.arrays[places_.at(name).array].storage);
  }

  // Of arrays whose elements have 1, 2 or 4 bytes.
  std::int64_t load_word(const std::string& name, std::int64_t index) {
    const int bytes = bytes_of(name);
    std::uint64_t word = 0;
    for (int i = 0; i < 4; i += bytes) {
      const auto element = static_cast<std::uint64_t>(load(name, index + i / bytes));
      word |= (element & ((std::uint64_t{1} << (8 * bytes)) - 1)) << (8 * i);
    }
    return wrapped(static_cast<std::int64_t>(word), Storage::kI32);
  }

  Vector vector(const Expr& e) {
    if (e.op == ExprOp::kVariable) return vectors_.at(e.name);
    if (e.op == ExprOp::kVectorBits) {
      Vector bits = vector(e.args[0]);
      for (std::int64_t& lane : bits)
        lane = wrapped((lane << (e.value / 16)) & -(1 << (8 - e.value % 16)), Storage::kI8);
      return bits;
    }
    Vector lanes;
    const std::int64_t index = value(e.args[0]);
    for (std::size_t i = 0; i < lanes.size(); ++i)
      lanes[i] = load(e.name, index + static_cast<std::int64_t>(i));
    return lanes;
  }

  Quad quad(const Expr& e) {
    Quad lanes;
    // All lanes of a load come before what follows.
    for (int i = 0; i < kQuadLanes; ++i) lanes[static_cast<std::size_t>(i)] = lane(e, i);
    return lanes;
  }

  std::int64_t lane(const Expr& e, int i) {
    if (e.lanes == 1) return value(e);
    switch (e.op) {
      case ExprOp::kVariable: return quads_.at(e.name)[static_cast<std::size_t>(i)];
      case ExprOp::kQuad: return value(e.args[static_cast<std::size_t>(i)]);
      case ExprOp::kLoad: return load(e.name, value(e.args[0]) + i * e.value);
      case ExprOp::kConvert: return wrapped(lane(e.args[0], i), e.type);
      case ExprOp::kUpperWord: return upper_word(e, lane(e.args[0], i), lane(e.args[1], i));
      case ExprOp::kScaleByPower: {
        const std::int64_t x = lane(e.args[0], i), power = lane(e.args[1], i);
        return power < 0 ? (x + (std::int64_t{1} << (-power - 1))) >> -power : x << power;
      }
      case ExprOp::kMinimum: return std::min(lane(e.args[0], i), lane(e.args[1], i));
      case ExprOp::kMaximum: return std::max(lane(e.args[0], i), lane(e.args[1], i));
      default: return wrapped(binary(e, lane(e.args[0], i), lane(e.args[1], i)), e.type);
    }
  }

  static std::int64_t upper_word(const Expr& e, std::int64_t a, std::int64_t b) {
    if (e.value == 2) return (a * b + (std::int64_t{1} << 30)) >> 31;
    return (a * b + (e.value != 0 ? std::int64_t{1} << 31 : 0)) >> 32;
  }

  static std::int64_t half(std::int64_t word, int which) {
    return wrapped(word >> (16 * which), Storage::kI16);
  }

  static std::int64_t pair(std::int64_t word, std::int64_t first, Storage byte) {
    const std::int64_t low = wrapped(word >> (8 * first), byte),
                       high = wrapped(word >> (8 * first + 16), byte);
    return wrapped((low & 0xffff) | high * 65536, Storage::kI32);
  }

  std::int64_t value(const Expr& e) {
    switch (e.op) {
      case ExprOp::kLoadWord: return load_word(e.name, value(e.args[0]));
      case ExprOp::kSignedPair: return pair(value(e.args[0]), e.value, Storage::kI8);
      case ExprOp::kUnsignedPair: return pair(value(e.args[0]), e.value, Storage::kU8);
      case ExprOp::kSaturate: {
        const IntegerRange range = range_of(e.value != 0 ? Storage::kI8 : Storage::kU8);
        return std::clamp(value(e.args[0]), range.min, range.max);
      }
      case ExprOp::kUpperWord: return upper_word(e, value(e.args[0]), value(e.args[1]));
      case ExprOp::kDot2: {
        const std::int64_t a = value(e.args[1]), b = value(e.args[2]);
        return wrapped(value(e.args[0]) + half(a, 0) * half(b, 0) + half(a, 1) * half(b, 1),
                       Storage::kI32);
      }
      case ExprOp::kDot16: {
        const Vector a = vector(e.args[1]), b = vector(e.args[2]);
        std::int64_t sum = value(e.args[0]);
        for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
        return wrapped(sum, Storage::kI32);
      }
      case ExprOp::kConstant: return e.value;
      case ExprOp::kVariable: return locals_.at(e.name);
      case ExprOp::kLoad: return load(e.name, value(e.args[0]));
      case ExprOp::kConvert: return wrapped(value(e.args[0]), e.type);
      case ExprOp::kSelect: return value(e.args[value(e.args[0]) != 0 ? 1 : 2]);
      default: return wrapped(binary(e, value(e.args[0]), value(e.args[1])), e.type);
    }
  }

  static std::int64_t binary(const Expr& e, std::int64_t a, std::int64_t b) {
    const bool wide = e.args[0].type == Storage::kU64;
    const auto x = static_cast<std::uint64_t>(a), y = static_cast<std::uint64_t>(b);
    switch (e.op) {
      case ExprOp::kAdd: return static_cast<std::int64_t>(x + y);
      case ExprOp::kSubtract: return static_cast<std::int64_t>(x - y);
      case ExprOp::kMultiply: return static_cast<std::int64_t>(x * y);
      case ExprOp::kAnd: return a & b;
      case ExprOp::kXor: return a ^ b;
      case ExprOp::kDivide: return wide ? static_cast<std::int64_t>(x / y) : a / b;
      case ExprOp::kRemainder: return wide ? static_cast<std::int64_t>(x % y) : a % b;
      case ExprOp::kShiftLeft: return static_cast<std::int64_t>(x << y);
      case ExprOp::kShiftRight: return wide ? static_cast<std::int64_t>(x >> y) : a >> b;
      case ExprOp::kLess: return wide ? x < y : a < b;
      case ExprOp::kLessEqual: return wide ? x <= y : a <= b;
      case ExprOp::kEqual: return a == b;
      default: throw InternalError("no operator");
    }
  }

  const std::vector<std::size_t>& offsets_;
  std::vector<std::uint8_t>& memory_;
  const LoopProgram& program_;
  std::map<std::string, Place> places_;  // of arrays and pointers
  std::map<std::string, std::int64_t> locals_;
  std::map<std::string, Vector> vectors_;
  std::map<std::string, Quad> quads_;
};

}  // namespace

void interpret(const LoopProgram& program, const std::vector<std::size_t>& offsets,
               std::vector<std::uint8_t>& memory, const std::vector<std::int64_t>& arguments) {
  Interpreter interpreter(program, offsets, memory);
  for (std::size_t i = 0; i < program.parameters.size(); ++i)
    interpreter.set(program.parameters[i], arguments.at(i));
  interpreter.run(program.body);
}

}  // namespace tandem::test
