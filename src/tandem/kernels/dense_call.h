#pragma once

#include <cstddef>
#include <cstdint>
#include <dnnl.hpp>
#include <memory>
#include <optional>
#include <vector>

#include "tandem/kernels/dense.h"
#include "tandem/kernels/packed_constants.h"
#include "tandem/kernels/panel_product.h"
#include "tandem/kernels/real_lanes.h"
#include "tandem/kernels/tile_product.h"
#include "tandem/kernels/vector_product.h"

namespace tandem {

// Internal to the room: what a dense call is made of.

inline constexpr auto kDnnlFloat = dnnl::memory::data_type::f32;

// The lanes that follow a primitive, where they are faster than its epilogue.
std::optional<RealCall> own_activation_of(const Epilogue& epilogue);
// The rest of an epilogue, for a primitive.
dnnl::primitive_attr dense_attributes(const Epilogue& epilogue);

struct DenseArguments::Kept {
  struct Operands {
    dnnl::memory x, right, y, scratch;
  };
  std::vector<Operands> tiles;
};

struct DenseCall::Parts {
  // One primitive, and the memory that it works on.
  struct Variant {
    dnnl::primitive primitive;
    dnnl::memory::desc x, right, y, scratch;
  };

  // A part of a call: a primitive, and where its operands begin.
  struct Tile {
    std::size_t variant = 0;
    std::int64_t x = 0, right = 0, y = 0;
    std::size_t weights = 0, bias = 0;  // indices of constants; unused where there are none
    std::int64_t y_rows = 0, y_columns = 0, y_stride = 0;  // the elements that it writes
    // The primitive writes them side by side: they are computed apart and copied to their place.
    bool apart = false;
  };

  // Instead of all that follows, where the processor has tiles.
  std::optional<TileProduct> tile_product;
  const float* tile_right = nullptr;  // constant

  std::optional<VectorProduct> vector_product;  // likewise, of one row
  std::optional<PanelProduct> panel_product;    // likewise, on panels of filters

  std::vector<Variant> variants;
  std::vector<Tile> tiles;
  std::vector<dnnl::memory> constants;
  bool has_weights = false, has_bias = false, adds = false;
  std::optional<RealCall> own_activation;  // behind the primitive

  std::size_t constant(PackedConstants& packed, const dnnl::memory::desc& plain,
                       const dnnl::memory::desc& wanted, const float* data) {
    constants.push_back(packed.kept->in_order(plain, wanted, data));
    return constants.size() - 1;
  }

  void run_tile(const Tile& tile, DenseArguments::Kept::Operands& kept, const float* x,
                const float* right, const float* addend, float* y) const;
};

// A convolution by oneDNN's primitives. Weights of one group may lie in any order.
std::unique_ptr<DenseCall::Parts> convolution_by_primitives(const Convolution& c, const float* w,
                                                            const WeightOrder& order,
                                                            const float* bias,
                                                            const Epilogue& epilogue,
                                                            PackedConstants& packed_constants);

}  // namespace tandem
