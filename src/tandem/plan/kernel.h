#pragma once

#include <string>
#include <vector>

#include "tandem/plan/loop_program.h"
#include "tandem/plan/mcu_groups.h"

namespace tandem {

// The ways in which a group of nodes can be computed, the plainest first:
//   dot_1, dot_2, dot_4        matrix product; so many columns share each load of the input
//   plain                      matrix product of two computed matrices
//   window_1, _2, _4           convolution that reads the input where it lies
//   padded_1, _2, _4           convolution that first copies the input into one with its padding
//   patch_1, _2, _4            convolution that first gathers the window of each position
//   bytes_CxP                  either of bytes: C columns and P positions share loads
//   pairs_CxP                  the same by words of two 16-bit numbers (kernel_packed.h)
//   vector_CxP                 the same by vectors of 16 bytes
//   pairs4_, pairs2_, vector4_, vector2_CxP
//                              the same with weights of 4 or 2 bits that share bytes
//   plane_bytes                depthwise convolution of bytes, a channel at a time
//   plane                      the same by words of two 16-bit numbers
//   plane_quads, channel_quads the same by four neighbours, or four channels, at a time
//   pool, padded_pool          pooling that clips its windows, or copies the input as above
//   reduce, argmax, elements, move
std::vector<std::string> kernel_forms(const Module& module, const Graph& graph,
                                      const std::vector<ValueId>& base_of,
                                      const std::vector<NodeId>& nodes);

// What a form is written for. On a core without those instructions, or without registers for some
// twenty numbers, it computes the same, slower than the plain forms.
enum class FormNeeds { kNothing, kRegisters, kPackedProducts, kVectors };
FormNeeds needs_of(const std::string& form);

// The program of a group in one of its forms. The arrays named "x0", "x1", ... are what it reads,
// "y" ("y0", "y1", ... of a movement with several outputs) what it writes.
LoopProgram build_kernel(const Module& module, const Graph& graph,
                         const std::vector<ValueId>& base_of, const std::vector<NodeId>& nodes,
                         const std::string& form);

}  // namespace tandem
