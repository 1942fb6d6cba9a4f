#include "tandem/plan/overlap_distance.h"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <string>

#include "tandem/base/error.h"

namespace tandem {
namespace {

// The integers that an expression may be: every `step` from low to high, inclusive.
struct Span {
  std::int64_t low = 0, high = 0;
  std::int64_t step = 1;
  bool is_point() const { return low == high; }
  std::int64_t stride() const { return is_point() ? 0 : step; }
};
Span hull(Span a, Span b) {
  const std::int64_t step = std::gcd(std::gcd(a.stride(), b.stride()), a.low - b.low);
  return {std::min(a.low, b.low), std::max(a.high, b.high), step};
}
Span shifted(Span a, std::int64_t by) { return {a.low + by, a.high + by, a.step}; }

// An expression over numbered locals.
struct Term {
  ExprOp op = ExprOp::kConstant;
  Storage type = Storage::kI32;
  std::int64_t value = 0;
  std::size_t place = 0;  // of a local, or of a constant array
  std::vector<Term> args;
};

enum class ActionKind { kRead, kWrite, kSet, kLoop, kBranch };

// A statement, less what has nothing to do with addresses.
struct Action {
  ActionKind kind = ActionKind::kRead;
  std::size_t place = 0;   // the array that is accessed, the local that is set or counts
  std::int64_t count = 1;  // elements from `term` on; the step of a loop
  std::int64_t lanes = 1, stride = 1;  // so many such accesses, each so many elements behind
  Term term, end;                      // index, value, or first and last of a loop
  // Of loops: run one iteration after the other, or all at once?
  bool in_order = false;
  bool writes = false;
  std::vector<std::pair<std::size_t, std::int64_t>> advances;  // locals, by how much in one turn
  std::vector<Action> body, otherwise;
};
using Actions = std::vector<Action>;

using Names = std::set<std::string>;

bool is_store(StatementKind kind) {
  return kind == StatementKind::kStore || kind == StatementKind::kStoreWord ||
         kind == StatementKind::kStoreVector;
}

// Bytes that an expression itself reads from an array, in each lane; 0 where it reads none.
int bytes_read(const Expr& e) {
  switch (e.op) {
    case ExprOp::kLoad: return storage_bytes(e.type);
    case ExprOp::kLoadWord: return 4;
    case ExprOp::kLoadVector: return 16;
    default: return 0;
  }
}

void add_locals(const Expr& e, Names& names) {
  if (e.op == ExprOp::kVariable) names.insert(e.name);
  for (const Expr& arg : e.args) add_locals(arg, names);
}

// Translates statements into actions.
class Translator {
 public:
  explicit Translator(const LoopProgram& program) : program_(program) {
    for (std::size_t i = 0; i < program.arrays.size(); ++i) array_of_[program.arrays[i].name] = i;
    find_pointers(program.body);
    std::size_t known = 0;
    do {
      known = relevant_.size();
      find_relevant(program.body);
    } while (relevant_.size() != known);
  }

  Actions translate() { return translate(program_.body); }
  std::size_t locals() const { return places_.size(); }

 private:
  void find_pointers(const Statements& statements) {
    for (const Statement& s : statements) {
      if (s.kind == StatementKind::kPointer) array_of_[s.name] = array_of_.at(s.array);
      find_pointers(s.body);
      find_pointers(s.otherwise);
    }
  }

  bool is_tracked(const std::string& array) const {
    return !program_.arrays[array_of_.at(array)].is_constant();
  }

  void find_relevant_indices(const Expr& e) {
    if (bytes_read(e) > 0 && is_tracked(e.name)) add_locals(e.args[0], relevant_);
    for (const Expr& arg : e.args) find_relevant_indices(arg);
  }

  // Locals on which an address or a way through the program depends.
  void find_relevant(const Statements& statements) {
    for (const Statement& s : statements) {
      find_relevant_indices(s.value);
      switch (s.kind) {
        case StatementKind::kLet:
        case StatementKind::kVariable:
        case StatementKind::kAssign:
          if (relevant_.contains(s.name)) add_locals(s.value, relevant_);
          break;
        case StatementKind::kPointer:
          if (is_tracked(s.name)) add_locals(s.index, relevant_);
          break;
        case StatementKind::kStore:
        case StatementKind::kStoreWord:
        case StatementKind::kStoreVector:
        case StatementKind::kFill: add_locals(s.index, relevant_); break;
        case StatementKind::kCopy:
        case StatementKind::kMove:
        case StatementKind::kFor:
          add_locals(s.index, relevant_);
          add_locals(s.value, relevant_);
          break;
        case StatementKind::kIf: add_locals(s.value, relevant_); break;
        case StatementKind::kAdvance: break;
      }
      find_relevant(s.body);
      find_relevant(s.otherwise);
    }
  }

  std::size_t place_of(const std::string& local) {
    return places_.try_emplace(local, places_.size()).first->second;
  }

  Term term(const Expr& e) {
    Term result{e.op, e.type, e.value, 0, {}};
    if (e.op == ExprOp::kVariable) result.place = place_of(e.name);
    if (e.op == ExprOp::kLoad) result.place = array_of_.at(e.name);
    for (const Expr& arg : e.args) result.args.push_back(term(arg));
    return result;
  }

  // An index, counted from the start of the array where a pointer is accessed.
  Term address(const std::string& array, const Expr& index) {
    Term result = term(index);
    if (!places_of_pointers_.contains(array)) return result;
    Term sum{ExprOp::kAdd, Storage::kI32, 0, 0, {}};
    sum.args.push_back(Term{ExprOp::kVariable, Storage::kI32, 0, place_of(array), {}});
    sum.args.push_back(std::move(result));
    return sum;
  }

  std::int64_t element_bytes(const std::string& array) const {
    return storage_bytes(program_.arrays[array_of_.at(array)].storage);
  }

  void add_access(Actions& to, ActionKind kind, const std::string& array, const Expr& index,
                  std::int64_t count = 1, std::int64_t lanes = 1, std::int64_t stride = 1) {
    if (!is_tracked(array)) return;
    Action action;
    action.kind = kind;
    action.place = array_of_.at(array);
    action.term = address(array, index);
    action.count = count;
    action.lanes = lanes;
    action.stride = stride;
    action.writes = kind == ActionKind::kWrite;
    to.push_back(std::move(action));
  }

  void add_reads(Actions& to, const Expr& e) {
    for (const Expr& arg : e.args) add_reads(to, arg);
    if (const int bytes = bytes_read(e); bytes > 0)
      add_access(to, ActionKind::kRead, e.name, e.args[0], bytes / element_bytes(e.name), e.lanes,
                 e.value);
  }

  void add_set(Actions& to, const std::string& local, Term value) {
    Action action;
    action.kind = ActionKind::kSet;
    action.place = place_of(local);
    action.term = std::move(value);
    to.push_back(std::move(action));
  }

  Actions translate(const Statements& statements) {
    Actions actions;
    for (const Statement& s : statements) translate(actions, s);
    return actions;
  }

  void translate(Actions& to, const Statement& s) {
    switch (s.kind) {
      case StatementKind::kLet:
      case StatementKind::kVariable:
      case StatementKind::kAssign:
        add_reads(to, s.value);
        if (relevant_.contains(s.name)) add_set(to, s.name, term(s.value));
        return;
      case StatementKind::kStore:
        add_reads(to, s.value);
        add_reads(to, s.index);
        return add_access(to, ActionKind::kWrite, s.name, s.index, 1, s.value.lanes, s.step);
      case StatementKind::kStoreWord:
      case StatementKind::kStoreVector: {
        add_reads(to, s.value);
        add_reads(to, s.index);
        const std::int64_t bytes = s.kind == StatementKind::kStoreWord ? 4 : 16;
        return add_access(to, ActionKind::kWrite, s.name, s.index, bytes / element_bytes(s.name));
      }
      case StatementKind::kFill: return add_access(to, ActionKind::kWrite, s.name, s.index, s.step);
      case StatementKind::kCopy:
        // As if all were written before it is read: then both cannot overlap.
        add_access(to, ActionKind::kWrite, s.name, s.index, s.step);
        return add_access(to, ActionKind::kRead, s.array, s.value, s.step);
      case StatementKind::kMove:
        add_access(to, ActionKind::kRead, s.array, s.value, s.step);
        return add_access(to, ActionKind::kWrite, s.name, s.index, s.step);
      case StatementKind::kPointer: {
        if (!is_tracked(s.name)) return;
        Term start = address(s.array, s.index);
        places_of_pointers_.insert(s.name);
        return add_set(to, s.name, std::move(start));
      }
      case StatementKind::kAdvance:
        if (!is_tracked(s.name)) return;
        return add_set(to, s.name, address(s.name, constant_expr(s.step)));
      case StatementKind::kIf: {
        add_reads(to, s.value);
        Action branch;
        branch.kind = ActionKind::kBranch;
        branch.term = term(s.value);
        branch.body = translate(s.body);
        branch.otherwise = translate(s.otherwise);
        to.push_back(std::move(branch));
        return;
      }
      case StatementKind::kFor: return add_loop(to, s);
    }
  }

  void add_loop(Actions& to, const Statement& s) {
    Action loop;
    loop.kind = ActionKind::kLoop;
    loop.place = place_of(s.name);
    loop.term = term(s.value);
    loop.end = term(s.index);
    loop.count = s.step;
    loop.body = translate(s.body);
    if (loop.body.empty()) return;
    loop.in_order = needs_order(s.body);
    loop.writes = std::ranges::any_of(loop.body, [](const Action& a) { return a.writes; });
    std::map<std::string, std::int64_t> advances;
    Names inside;
    if (!loop.in_order && !find_advances(s.body, 1, inside, advances)) loop.in_order = true;
    for (const auto& [pointer, by] : advances) loop.advances.emplace_back(place_of(pointer), by);
    to.push_back(std::move(loop));
  }

  // Whether the iterations of a loop must be told apart: they write a result or whole rows, or what
  // they access hangs on more than the loop's variable.
  bool needs_order(const Statements& body) const {
    return std::ranges::any_of(body, [&](const Statement& s) {
      if (s.kind == StatementKind::kIf) return true;
      if (s.kind == StatementKind::kAssign && relevant_.contains(s.name)) return true;
      if (s.kind == StatementKind::kCopy || s.kind == StatementKind::kMove ||
          s.kind == StatementKind::kFill)
        return true;
      if (is_store(s.kind) && program_.arrays[array_of_.at(s.name)].role == ArrayRole::kOutput)
        return true;
      return needs_order(s.body);
    });
  }

  // By how much pointers from outside move in one turn; false where that is not known.
  bool find_advances(const Statements& body, std::int64_t times, Names& inside,
                     std::map<std::string, std::int64_t>& advances) const {
    for (const Statement& s : body) {
      if (s.kind == StatementKind::kPointer) inside.insert(s.name);
      if (s.kind == StatementKind::kAdvance && is_tracked(s.name) && !inside.contains(s.name))
        advances[s.name] += times * s.step;
      if (s.kind != StatementKind::kFor) continue;
      std::map<std::string, std::int64_t> inner;
      if (!find_advances(s.body, 1, inside, inner)) return false;
      if (inner.empty()) continue;
      if (s.value.op != ExprOp::kConstant || s.index.op != ExprOp::kConstant) return false;
      const std::int64_t turns =
          std::max<std::int64_t>((s.index.value - s.value.value + s.step - 1) / s.step, 0);
      for (const auto& [pointer, by] : inner) advances[pointer] += times * turns * by;
    }
    return true;
  }

  const LoopProgram& program_;
  std::map<std::string, std::size_t> array_of_;  // also of pointers
  Names relevant_, places_of_pointers_;
  std::map<std::string, std::size_t> places_;
};

// Runs actions over ranges of addresses and notes the distances.
class Walker {
 public:
  Walker(const LoopProgram& program, std::size_t locals)
      : program_(program),
        locals_(locals),
        written_(program.arrays.size(), 0),
        written_channels_(program.arrays.size()),
        distances_(program.arrays.size() * program.arrays.size(), kAnywhere),
        meet_(program.arrays.size() * program.arrays.size(), false) {
    for (std::size_t i = 0; i < program.arrays.size(); ++i)
      written_channels_[i].assign(static_cast<std::size_t>(program.arrays[i].channels), false);
  }

  static constexpr std::int64_t kAnywhere = std::numeric_limits<std::int64_t>::min();

  void run(const Actions& actions) {
    for (const Action& action : actions) run(action);
  }
  std::int64_t distance(std::size_t read, std::size_t written) const {
    return distances_[read * program_.arrays.size() + written];
  }
  // Whether some channel is accessed after it was written; of arrays of equally many.
  bool channels_meet(std::size_t read, std::size_t written) const {
    return meet_[read * program_.arrays.size() + written];
  }

 private:
  void run(const Action& action) {
    switch (action.kind) {
      case ActionKind::kRead:
      case ActionKind::kWrite: return access(action);
      case ActionKind::kSet: locals_[action.place] = value(action.term); return;
      case ActionKind::kBranch: {
        const Span condition = value(action.term);
        if (condition.low != 0 || condition.high != 0) run(action.body);
        if (condition.low <= 0 && condition.high >= 0) run(action.otherwise);
        return;
      }
      case ActionKind::kLoop:
        if (action.in_order)
          run_in_order(action);
        else
          run_at_once(action);
    }
  }

  void run_in_order(const Action& loop) {
    const std::int64_t begin = value(loop.term).low, end = value(loop.end).high;
    for (std::int64_t i = begin; i < end; i += loop.count) {
      locals_[loop.place] = {i, i};
      run(loop.body);
    }
  }

  void run_at_once(const Action& loop) {
    const Span begin = value(loop.term), end = value(loop.end);
    const auto turns = [&](std::int64_t from, std::int64_t to) {
      return std::max<std::int64_t>((to - from + loop.count - 1) / loop.count, 0);
    };
    const std::int64_t most = turns(begin.low, end.high), least = turns(begin.high, end.low);
    if (most == 0) return;
    std::vector<Span> before;
    for (const auto& [place, by] : loop.advances) before.push_back(locals_[place]);
    // Where it writes, a second time, so that its first accesses meet its last writes as well.
    for (int pass = 0; pass < (loop.writes ? 2 : 1); ++pass) {
      for (std::size_t k = 0; k < before.size(); ++k) {
        const std::int64_t last = loop.advances[k].second * (most - 1);
        Span passed = hull(before[k], shifted(before[k], last));
        passed.step = std::gcd(before[k].stride(), loop.advances[k].second);
        locals_[loop.advances[k].first] = passed;
      }
      locals_[loop.place] = {begin.low, begin.low + (most - 1) * loop.count,
                             begin.is_point() ? loop.count : 1};
      run(loop.body);
    }
    for (std::size_t k = 0; k < before.size(); ++k) {
      const auto& [place, by] = loop.advances[k];
      locals_[place] = hull(shifted(before[k], by * least), shifted(before[k], by * most));
    }
  }

  void access(const Action& action) {
    const Array& array = program_.arrays[action.place];
    const std::int64_t bytes = storage_bytes(array.storage);
    Span index = value(action.term);
    if (action.lanes > 1)
      index = {index.low, index.high + (action.lanes - 1) * action.stride,
               std::gcd(index.stride(), action.stride)};
    const std::int64_t low = std::clamp<std::int64_t>(index.low, 0, array.size) * bytes;
    const std::int64_t end =
        std::clamp<std::int64_t>(index.high + action.count, 0, array.size) * bytes;
    const std::size_t arrays = program_.arrays.size();
    for (std::size_t k = 0; k < arrays; ++k) {
      if (k == action.place || written_[k] == 0) continue;
      std::int64_t& distance = distances_[action.place * arrays + k];
      distance = std::max(distance, written_[k] - low);
      if (array.channels == program_.arrays[k].channels &&
          has_channel(written_channels_[k], index, action.count))
        meet_[action.place * arrays + k] = true;
    }
    if (action.kind != ActionKind::kWrite) return;
    written_[action.place] = std::max(written_[action.place], end);
    for_channels(array.channels, index, action.count, [&](std::size_t channel) {
      written_channels_[action.place][channel] = true;
      return true;
    });
  }

  // Calls back for the channels of `count` elements from each index on, as long as it says so.
  template <typename Body>
  static void for_channels(std::int64_t channels, Span index, std::int64_t count,
                           const Body& body) {
    const bool one = index.stride() % channels == 0 && count < channels;
    const std::int64_t first = one ? (index.low % channels + channels) % channels : 0;
    for (std::int64_t i = 0; i < (one ? count : channels); ++i)
      if (!body(static_cast<std::size_t>((first + i) % channels))) return;
  }

  static bool has_channel(const std::vector<bool>& channels, Span index, std::int64_t count) {
    bool found = false;
    for_channels(static_cast<std::int64_t>(channels.size()), index, count,
                 [&](std::size_t channel) {
                   found = channels[channel];
                   return !found;
                 });
    return found;
  }

  // Addresses fit 32 bits, so what is wider makes none.
  static Span everything(Storage type) {
    const IntegerRange range = range_of(type), held = range_of(Storage::kI32);
    return {std::max(range.min, held.min), std::min(range.max, held.max)};
  }

  Span load(const Term& term) const {
    const Array& array = program_.arrays[term.place];
    const Span index = value(term.args[0]);
    const bool known = array.is_constant() && index.is_point() && index.low >= 0 &&
                       index.low < static_cast<std::int64_t>(array.values.size());
    if (!known) return everything(array.storage);
    const std::int64_t content = array.values[static_cast<std::size_t>(index.low)];
    return {content, content};
  }

  Span value(const Term& term) const {
    switch (term.op) {
      case ExprOp::kConstant: return {term.value, term.value};
      case ExprOp::kVariable: return locals_[term.place];
      case ExprOp::kLoad: return load(term);
      case ExprOp::kConvert: {
        const Span from = value(term.args[0]), all = everything(term.type);
        return from.low >= all.low && from.high <= all.high ? from : all;
      }
      case ExprOp::kSelect: {
        const Span condition = value(term.args[0]);
        if (condition.is_point()) return value(term.args[condition.low != 0 ? 1 : 2]);
        return hull(value(term.args[1]), value(term.args[2]));
      }
      case ExprOp::kAdd:
      case ExprOp::kSubtract:
      case ExprOp::kMultiply:
      case ExprOp::kDivide:
      case ExprOp::kRemainder:
      case ExprOp::kLess:
      case ExprOp::kLessEqual:
      case ExprOp::kEqual:
      case ExprOp::kAnd: return binary(term, value(term.args[0]), value(term.args[1]));
      default: return everything(term.type);
    }
  }

  static Span binary(const Term& term, Span a, Span b) {
    switch (term.op) {
      case ExprOp::kAdd: return {a.low + b.low, a.high + b.high, std::gcd(a.stride(), b.stride())};
      case ExprOp::kSubtract:
        return {a.low - b.high, a.high - b.low, std::gcd(a.stride(), b.stride())};
      case ExprOp::kMultiply: {
        const auto [low, high] =
            std::minmax({a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high});
        if (b.is_point()) return {low, high, a.stride() * std::abs(b.low)};
        if (a.is_point()) return {low, high, b.stride() * std::abs(a.low)};
        return {low, high};
      }
      case ExprOp::kDivide:
        if (b.is_point() && b.low > 0) return {a.low / b.low, a.high / b.low};
        break;
      case ExprOp::kRemainder:
        if (!b.is_point() || b.low <= 0) break;
        if (a.low >= 0 && a.low / b.low == a.high / b.low) return {a.low % b.low, a.high % b.low};
        return {a.low < 0 ? 1 - b.low : 0, b.low - 1};
      case ExprOp::kLess: return truth(a.high < b.low, a.low >= b.high);
      case ExprOp::kLessEqual: return truth(a.high <= b.low, a.low > b.high);
      case ExprOp::kEqual:
        return truth(a.is_point() && b.is_point() && a.low == b.low,
                     a.high < b.low || b.high < a.low);
      case ExprOp::kAnd:
        if (a.is_point() && b.is_point()) return {a.low & b.low, a.low & b.low};
        if (a.low >= 0 && b.low >= 0) return {0, std::min(a.high, b.high)};
        break;
      default: break;
    }
    return everything(term.type);
  }

  static Span truth(bool always, bool never) { return {always ? 1 : 0, never ? 0 : 1}; }

  const LoopProgram& program_;
  std::vector<Span> locals_;
  std::vector<std::int64_t> written_;  // by array: the end of the bytes written so far
  std::vector<std::vector<bool>> written_channels_;  // by array and channel: written so far?
  std::vector<std::int64_t> distances_;  // by array that is accessed and array that is written
  std::vector<bool> meet_;               // likewise
};

bool may_alias(const Array& a, const Array& b) {
  const int left = storage_bytes(a.storage), right = storage_bytes(b.storage);
  return left == right || left == 1 || right == 1;
}

// Scratch arrays are not compared with each other: each would have to outlive the other.
bool may_succeed(const Array& read, const Array& written) {
  if (read.role == ArrayRole::kInput)
    return written.role == ArrayRole::kOutput || written.role == ArrayRole::kScratch;
  return read.role == ArrayRole::kScratch && written.role == ArrayRole::kOutput;
}

}  // namespace

std::vector<OverlapDistance> overlap_distances(const LoopProgram& program) {
  Translator translator(program);
  const Actions actions = translator.translate();
  Walker walker(program, translator.locals());
  walker.run(actions);
  std::vector<OverlapDistance> result;
  for (std::size_t read = 0; read < program.arrays.size(); ++read) {
    for (std::size_t written = 0; written < program.arrays.size(); ++written) {
      const Array &from = program.arrays[read], &to = program.arrays[written];
      if (!may_succeed(from, to) || !may_alias(from, to)) continue;
      const std::int64_t bytes = std::max(walker.distance(read, written), -from.bytes());
      // Channel by channel: no channel is read once it is written.
      const bool apart = from.channels > 1 && from.channels == to.channels &&
                         storage_bytes(from.storage) == storage_bytes(to.storage) &&
                         !walker.channels_meet(read, written);
      if (bytes > 0 && apart)
        result.push_back({read, written, -from.bytes(), from.channels * storage_bytes(to.storage)});
      else if (bytes < to.bytes())
        result.push_back({read, written, bytes, 1});
    }
  }
  return result;
}

}  // namespace tandem
