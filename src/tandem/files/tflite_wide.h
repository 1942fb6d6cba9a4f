#pragma once

#include "tandem/files/tflite_import.h"

namespace tandem {

// Internal to the room: functions of codes of 16 bits as TensorFlow Lite Micro computes them, in
// primitives: tables of some hundred entries between which it interpolates.

// How codes reach the unit of the table of sigmoids, 1/12288: (code * multiplier + half) >> shift.
struct WideArgument {
  std::int64_t multiplier = 3;
  int shift = 0;
};

// 1 / (1 + e^-x) and tanh(x) of codes with the unit 2^`power`, as LSTM cells take them.
WideArgument lstm_argument(int power);

// Codes with the unit 2^-15.
ValueId wide_logistic(TfliteNode& node, ValueId codes, const WideArgument& argument);
ValueId wide_tanh(TfliteNode& node, ValueId codes, const WideArgument& argument);

// The operators LOGISTIC, TANH, SOFTMAX and LEAKY_RELU of int16 codes; refuse other formats.
void set_wide_logistic(TfliteNode& node);
void set_wide_tanh(TfliteNode& node);
void set_wide_softmax(TfliteNode& node, double beta);
void set_wide_leaky_relu(TfliteNode& node, double above, double below);

// round(integer * ratio), rounded twice, plus a zero point, saturated to the format.
ValueId rescaled_twice(TfliteNode& node, ValueId integer, double ratio, const Format& format,
                       std::int64_t zero = 0);
// The sum of codes, saturated to the format.
ValueId saturated_sum(TfliteNode& node, ValueId a, ValueId b, const Format& format);

}  // namespace tandem
