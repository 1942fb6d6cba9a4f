#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tandem/graph/operator.h"
#include "tandem/ops/window.h"
#include "tandem/plan/element_program.h"
#include "tandem/plan/kernel.h"
#include "tandem/plan/kernel_packed.h"
#include "tandem/plan/kernel_planes.h"
#include "tandem/plan/movement_map.h"
#include "tandem/plan/scalar_code.h"

namespace tandem {

// Builds the program of one group; one member function for each kind of first node. Internal to
// build_kernel().
class KernelBuilder {
 public:
  KernelBuilder(const Module& module, const Graph& graph, const std::vector<ValueId>& base_of,
                const std::vector<NodeId>& nodes, const std::string& form);
  LoopProgram build();

 private:
  // One axis of a window, or of the channels: `extent` steps of `stride` elements of the source,
  // of `weight_stride` weights. A clipped axis runs over [low, high) only, computed per position.
  struct Axis {
    std::int64_t extent = 1, stride = 1, weight_stride = 1;
    bool clipped = false;
    Expr low, high;
    double mean = 0;  // of high - low over all positions where it is clipped
  };
  // How a window lies over the input: for each spatial axis the position's loop variable, and
  // which of its output positions are clipped.
  struct Placement {
    std::vector<Axis> axes;  // of the kernel
    Expr base;               // offset of the window's first element, without channels
    bool ever_clipped = false;
    double interior_share = 1;
  };
  using Body = std::function<void(Statements&, const Expr&)>;

  void build_matmul();
  void build_plain_matmul();
  void build_conv();
  void build_packed();
  void build_planes();
  void build_pool();
  void build_reduce();
  void build_argmax();
  void build_elements();
  void build_movement();
  void copy_box(const MovementBox& box, const Shape& to_shape, const std::string& to);
  void copy_by_table(const MovementMap& map, const std::string& to);

  // The dot products of one window with the columns that the sums stand for, at one position.
  void convolve(Statements& to, const std::vector<Expr>& sums, const Placement& place,
                const std::string& source, const Expr& channel, std::int64_t channels,
                const std::string& weights, const Expr& first_weight);
  // The window of one position, copied side by side into the scratch array "patch" from `start` on.
  void add_patch(const std::string& source, const Window& window, std::int64_t channels);
  void gather_patch(Statements& to, const Window& window, const Shape& input,
                    const Placement& place, const std::string& source,
                    const Expr& start = constant_expr(0));
  // Its part where nothing is clipped: whole runs of taps that are neighbours in the input.
  void gather_whole_patch(Statements& to, const Placement& place, std::int64_t channels,
                          const std::string& source, const Expr& start);
  std::vector<Axis> whole_runs(const Placement& place, std::int64_t channels) const;
  void copy_to_patch(Statements& to, const Expr& at, const std::string& source, const Expr& from,
                     std::int64_t count);
  void fill_patch(Statements& to, const Expr& at, Storage type, std::int64_t count);
  // Whether tap k of an axis meets the input, where `outer` says so of the axes outside it.
  Expr meets_input(Statements& to, const Axis& axis, const Expr& outer, const Expr& k,
                   bool innermost);
  Placement patch_placement(const Window& window, std::int64_t channels) const;
  // Neighbouring axes as one where source and weights walk on without a gap.
  static std::vector<Axis> merged(const std::vector<Axis>& axes);
  // Copies the input into the scratch array "padded", in which no window leaves it, and changes
  // the window and the input's shape to that array's. Returns its name.
  std::string add_padded(Window& window, Shape& input, const std::string& source,
                         std::int64_t pad_value);

  // Tiles of products (kernel_packed.cpp, kernel_packed_patch.cpp).
  void add_packed_weights(const std::vector<std::int64_t>& by_column);
  void packed_tiles_of_rows(const std::string& source);
  void packed_tiles_of_windows(const std::string& source, const Window& window);
  void packed_tile(Statements& to, std::int64_t positions, const std::string& source,
                   const Expr& start, const Expr& first_position);
  void packed_block(Statements& to, const PackedBlock& block);
  void multiply_bytes(Statements& to, const PackedBlock& block, const std::vector<Expr>& sums,
                      const std::string& xs, const std::string& ws, std::int64_t step);
  void multiply_pairs(Statements& to, const PackedBlock& block, const std::vector<Expr>& sums,
                      const std::string& xs, const std::string& ws, std::int64_t step,
                      std::vector<Expr>& packed);
  // Returns how many words of taps it has multiplied.
  std::int64_t multiply_vectors(Statements& to, const PackedBlock& block,
                                const std::vector<Expr>& sums, const std::string& xs,
                                const std::string& ws);
  // What a sum of narrow weights is, which are stored times a power of two.
  Expr unscaled(Expr sum) const;
  Expr named(Statements& to, const std::string& stem, Expr value);
  void add_packed_patch(Storage source);
  // How many neighbouring bytes of the input every window copies at once.
  std::int64_t run_of_windows(const Window& window, const Shape& input, const Shape& output);
  void gather_window(Statements& to, const Window& window, const Shape& input,
                     const Placement& place, const std::string& source, const Expr& start);
  void fill_packed(Statements& to, const Expr& at, std::int64_t pad, std::int64_t count);
  // Depthwise convolution, a channel at a time (kernel_planes.cpp).
  void add_plane(const PlaneLayout& plane, Storage type, std::int64_t pad);
  void copy_plane(Statements& to, const PlaneLayout& plane, const std::string& source,
                  const Expr& first, bool by_quads);
  PlaneWeights load_plane_weights(Statements& to, const PlaneLayout& plane, const Expr& channel,
                                  bool in_pairs);
  Expr plane_sum(Statements& to, const PlaneWeights& weights, const Expr& start);
  // Four results at a time (kernel_quads.cpp).
  void build_plane_quads();
  Expr plane_quad(Statements& to, const PlaneLayout& plane, const std::vector<Expr>& weights,
                  Storage type, const Expr& start);
  std::vector<Expr> load_weights(Statements& to, const PlaneLayout& plane, const Expr& channel);
  void build_channel_quads();
  // Calls back for every fourth index of an extent of at least four; the last quad may overlap
  // the one before.
  void over_quads(Statements& to, std::int64_t extent, const Body& body);
  void finish_quad(Statements& to, const Expr& sum, const std::vector<Expr>& position,
                   std::size_t axis);

  // Stores the bytes of a word as four numbers of the patch, pair by pair.
  void widen(Statements& to, const Expr& at, const Expr& word);
  void copy_packed(Statements& to, const Expr& at, const std::string& source, const Expr& from,
                   std::int64_t count);
  void copy_vectors(Statements& to, const Expr& at, const std::string& source, const Expr& from,
                    std::int64_t count);

  std::string conv_weights(std::int64_t columns, std::int64_t taps);
  std::int64_t group_of_first() const;

  // A loop of `extent` iterations; short loops of few plain statements are written out.
  void loop(Statements& to, const std::string& stem, std::int64_t extent, const Body& body,
            std::int64_t step = 1);
  bool write_out(Statements& to, std::int64_t extent, std::int64_t step, const Body& body);
  // The loops over the output positions of a window, and where it lies at each of them.
  void for_each_position(
      Statements& to, const Window& window, const Shape& input, const Shape& output,
      const std::function<void(Statements&, std::vector<Expr> position, const Placement&)>& body);
  Placement place(Statements& to, const Window& window, const Shape& input,
                  const std::vector<Expr>& position, const Shape& output);

  // acc_r += sum over the axes of source[...] * weights[...], R sums at a time. Weights of R
  // columns are interleaved: column r of tap t is weights[t * R + r].
  void accumulate(Statements& to, const std::vector<Expr>& sums, std::vector<Axis> axes,
                  const std::string& source, Storage source_type, const std::string& weights,
                  Storage weight_type);
  void accumulate_taps(Statements& to, const std::vector<Expr>& sums, const std::vector<Axis>& axes,
                       const std::string& source, const Expr& start, Storage source_type,
                       const std::string& weights, Storage weight_type);
  void accumulate_segment(Statements& to, const std::vector<Expr>& sums, const Axis& axis,
                          const std::string& source, Storage source_type,
                          const std::string& weights, Storage weight_type);
  void multiply_add(Statements& to, const std::vector<Expr>& sums, const Expr& source,
                    const std::string& weights, Storage weight_type, const Expr& weight_index);
  std::vector<Expr> zero_sums(Statements& to, std::int64_t count);
  // Applies the element-wise nodes to a sum; the statement that stores the result.
  // With `quad_axis`, of a quad of sums along that axis of the nest, from the position on.
  Statement finished(Statements& to, const Expr& sum, const std::vector<Expr>& position,
                     std::size_t quad_axis = kNone);
  // The same, and stores it.
  void finish(Statements& to, const Expr& sum, const std::vector<Expr>& position);

  std::string read(ValueId value);  // the array of a computed value or of a constant as it is
  std::string add_constant(const std::string& stem, std::vector<std::int64_t> values);
  std::string add_table(const std::string& stem, std::vector<std::int64_t> values);
  Storage storage_of_array(const std::string& name) const;
  Shape shape(ValueId value) const { return graph_.values[value].type.static_shape(); }
  std::int64_t block() const;  // columns at a time, of the form's name
  Expr flat(const std::vector<Expr>& position) const;

  const Module& module_;
  const Graph& graph_;
  const std::vector<ValueId>& base_of_;
  const std::vector<NodeId>& nodes_;
  const std::string& form_;
  const Node& first_;
  NodeView view_;
  LoopProgram program_;
  LoopExtents nest_;
  ElementProgram elements_;
  IntegerRange sum_range_;  // of the first node's results and partial sums
  Storage sum_type_ = Storage::kI32;
  std::optional<PackedProduct> packed_;  // in the forms bytes_*, pairs_*, vector_*
};

// Weights [columns][taps] so that `block` columns at a time are interleaved: for each block of
// columns tap by tap; columns that fill no block follow one after the other.
std::vector<std::int64_t> interleave(const std::vector<std::int64_t>& weights, std::int64_t columns,
                                     std::int64_t taps, std::int64_t block);

}  // namespace tandem
