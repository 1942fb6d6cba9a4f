#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "tandem/graph/module.h"

namespace tandem::fuzz {

// What the reader makes of an input: a network, or what is left of a refused one.
struct TfliteInput {
  bool is_flatbuffer = false, is_accepted = false;
  std::optional<Module> network;
};

// Keeps what is accepted for mutate_tflite_input().
TfliteInput read_tflite_input(const std::uint8_t* data, std::size_t size);

// Whether no value has more than 4096 elements: more take long, and reach nothing new.
bool is_small(const Module& network);

// A mutation for libFuzzer, in place; returns the new size. Nine in ten change a model and leave a
// sound flatbuffer; half of them change a model that was accepted before, and so do all where the
// input is no sound flatbuffer.
std::size_t mutate_tflite_input(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                unsigned seed);

}  // namespace tandem::fuzz
