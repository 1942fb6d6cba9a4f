#pragma once

#include <array>
#include <string_view>

#include "tandem/plan/loop_program.h"

namespace tandem {

// What a processor without vector instructions has to do in a loop program. The cost of a program
// is the sum over these of how often each occurs times what one costs.
enum class LoopFeature {
  kSteps,       // a function that is called
  kLoops,       // loops of a known number of iterations that are entered
  kIterations,  // their iterations
  kOpenLoops,   // loops whose bounds are computed
  kOpenIterations,
  kBranches,  // ifs
  kLoads,     // of up to 32 bits
  kStores,
  kAddresses,     // addresses that change from one execution of their block to the next
  kPointers,      // local pointers that are set
  kAdvances,      // local pointers that move
  kMoves,         // locals that start with a constant
  kMultiplyAdds,  // a * b + c in 32 bits
  kMultiplies,
  kAdds,              // sums and differences of 32 bits
  kLogic,             // and, xor, shifts of 32 bits
  kCompares,          // to a truth value, but for those with the sign
  kSelects,           // a choice between two values of 32 bits, with its comparison
  kSaturations,       // to so many bits without a sign
  kDivides,           // of 32 bits
  kWideMultiplies,    // 32 x 32 bits to 64
  kWideMultiplyAdds,  // plus 64
  kLongMultiplies,    // of which an operand has 64 bits
  kLongAdds,          // sums and differences of 64 bits
  kLongLogic,
  kLongShifts,
  kVariableShifts,  // of 64 bits by a number that is not known
  kLongSelects,
  kLongCompares,
  kLongDivides,
  kExtensions,  // of 32 bits to 64
  kLongMemory,  // loads and stores of 64 bits
  kCopies,
  kCopiedBytes,  // calls of memcpy, and their bytes
  kFills,
  kFilledBytes,  // calls of memset, and their bytes
  kSmallMoves,   // copies and fills that compilers write out,
  kSmallWords,   // and their loads and stores of up to four bytes, in pairs
  kPairs,        // two bytes of a word widened to 16 bits
  kDots,         // two products added to a sum
  kVectorLoads,  // of 16 bytes
  kVectorStores,
  kVectorDots,      // 16 products added to a sum
  kQuadMemory,      // loads and stores of four neighbours,
  kQuadGathers,     // of four others
  kQuadOperations,  // on four words
  kQuadMoves,       // of a word into a quad
  kArguments,       // numbers that a call passes
  kArrays,          // arrays whose address is a constant of the code
  kLargeConstants,  // constants that no instruction holds
  kCount
};
inline constexpr std::size_t kLoopFeatures = static_cast<std::size_t>(LoopFeature::kCount);
std::string_view name(LoopFeature feature);

using FeatureVector = std::array<double, kLoopFeatures>;

// How often each feature is executed in one run of the program, and how often it is written in its
// code.
struct LoopFeatures {
  FeatureVector executed{}, written{};
};
LoopFeatures count_features(const LoopProgram& program);

}  // namespace tandem
