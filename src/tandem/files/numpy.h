#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tandem/files/bytes.h"
#include "tandem/tensor/tensor.h"

namespace tandem {

// NumPy's .npy (versions 1 to 3) and .npz files. Types: f2 f4 f8, i1 to i8, u1 to u8, b1, of either
// byte order, in C or Fortran order. u8 becomes uint63; larger elements are refused.

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

// Throw Error naming `source` and what is wrong in it.
Tensor read_npy(ByteSpan bytes, std::string_view source);
Tensor read_npy(const std::filesystem::path& path);

// The arrays in the order of the archive, without the suffix ".npy".
NamedTensors read_npz(ByteSpan bytes, std::string_view source);
NamedTensors read_npz(const std::filesystem::path& path);

// The bytes of a .npy file (version 1). Integer formats are written in the NumPy type of their
// storage, formats without one (bf16, fixed-point) as the real numbers they stand for (f4 or f8,
// whichever holds them exactly).
std::string write_npy(const Tensor& tensor);

// The bytes of an uncompressed .npz archive, equal for equal arrays. Throws Error when two arrays
// have one name.
std::string write_npz(const NamedTensors& arrays);

// The array of that name; throws Error naming `source` and the names there are.
const Tensor& find_array(const NamedTensors& arrays, std::string_view name,
                         std::string_view source);

}  // namespace tandem
