#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "tandem/base/file.h"
#include "tandem/emit/c_target.h"
#include "tandem/graph/module.h"
#include "tandem/mapping/mcu_planner.h"

namespace tandem::test {

// Names that C and C++ keep for themselves, that differ in case only, and that the emitted code
// uses; a step that is computed in scratch; two layers of one name but for a dot.
inline constexpr std::string_view kAwkward = R"(tandem-module 1
constant @w : int4[6,3] = [1,-2,3,4,5,-6,7,-8,0,1,2,3,1,-2,3,4,5,-6]
constant @k : int4[2,3,3,2] = [1,2,3,4,5,6,7,-1,-2,-3,-4,-5,-6,-7,1,2,3,4,5,6,7,-1,-2,-3,-4,-5,-6,-7,1,2,3,4,5,6,7,-1]
graph @main(%0 : int8[1,4,4,2], %a : int8[1,6], %A : int8[1,6]) -> (%for, %_x) {
  %w = constant @w
  %k = constant @k
  %s : int9[1,6] = IntAdd(%a, %A) {format = int9} "run"
  %for : int17[1,3] = IntMatMul(%s, %w) {format = int17} "fc.1"
  %u : int17[1,3] = IntMatMul(%a, %w) {format = int17} "fc_1"
  %v : int18[1,3] = IntSub(%u, %for) {format = int18} "fc_1_weights"
  %_x : int20[1,4,4,2] = IntConv(%0, %k) {format = int20, pads = [1,1,1,1]} "memcpy"
}
)";

// A delay of two calls.
inline constexpr std::string_view kDelay = R"(tandem-module 1
constant @first : int8[1,3] = [5,-6,7]
constant @second : int8[1,3] = [9,9,9]
state @reset : int8[1,3] = @first stream
state @states : int8[1,3] = @second stream
graph @main(%x : int8[1,3]) -> (%y) updates(@reset = %x, @states = %a) {
  %a = state @reset
  %b = state @states
  %y : int9[1,3] = IntAdd(%b, %x) {format = int9} "reset"
}
)";

// Three inputs and one output: with a zero point; without; with a scale for each channel; ties that
// are exact.
inline constexpr std::string_view kCoded = R"(tandem-module 1
constant @s : f64[1,1] = [0.0078125]
constant @o : f64[1,1] = [0.0234375]
constant @t : f64[1,1] = [0.1]
constant @p : f64[1,1] = [-0.25]
constant @channels : f64[1,3] = [0.5,0.25,2]
constant @none : f64[1,1] = [0]
graph @main(%x : int8[1,3] coded(@s,@o), %u : uint4[1,3] coded(@t,@p), %c : int8[1,3] coded(@channels,@none)) -> (%y coded(@s,@o), %z coded(@t,@p)) {
  %y : int8[1,3] = Clamp(%x) {format = int8, min = -100, max = 100}
  %z : int9[1,3] = IntAdd(%u, %c) {format = int9}
}
)";

// A pointwise, a depthwise and a full convolution of int8, each with a rescaling: their forms use
// words on a Cortex-M4, vectors and quads on a Cortex-M55.
Module separable_layers();

Artifacts emitted(const Module& module, const std::string& name,
                  McuObjective objective = McuObjective::kLatency, IoPlace io = IoPlace::kArena,
                  const char* device = "mps2-an386");

// Lines that include headers of the folder.
std::string including(const std::vector<std::string>& headers);

// A folder for emitted C and what is made of it.
class EmittedC : public testing::Test {
 protected:
  static void SetUpTestSuite();

  std::string folder() const { return folder_.path().string(); }
  void write(const Artifacts& artifacts) const;
  // The output of a command, which must succeed.
  std::string run(const std::vector<std::string>& command) const;
  // Compiles sources one by one, with every warning that firmware is built with as an error.
  void compile(std::vector<std::string> command, const std::vector<std::string>& language,
               const std::vector<std::string>& sources) const;
  // The symbols of an object file of one of nm's kinds ("U", "T", "b", ...).
  std::set<std::string> symbols(const std::string& object, const std::string& kinds) const;

 private:
  TemporaryFolder folder_{"emitted_c"};
};

}  // namespace tandem::test
