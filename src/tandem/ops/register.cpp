#include "tandem/ops/register.h"

#include "tandem/graph/registry.h"
#include "tandem/ops/integer.h"
#include "tandem/ops/operators.h"
#include "tandem/ops/quantize.h"

namespace tandem {

void register_operators() {
  if (!operators().all().empty()) return;
  register_activation_operators();
  register_arithmetic_operators();
  register_attention_operators();
  register_col2im_operators();
  register_comparison_operators();
  register_control_flow_operators();
  register_conversion_operators();
  register_convolution_operators();
  register_transposed_convolution_operators();
  register_deformable_convolution_operators();
  register_cumulative_operators();
  register_determinant_operators();
  register_einsum_operators();
  register_extent_operators();
  register_fourier_operators();
  register_function_operators();
  register_indexing_operators();
  register_linear_attention_operators();
  register_logic_operators();
  register_loss_operators();
  register_matrix_operators();
  register_movement_operators();
  register_normalization_operators();
  register_layer_normalization_operators();
  register_one_hot_operators();
  register_opaque_operators();
  register_padding_operators();
  register_pooling_operators();
  register_pooling_variant_operators();
  register_recurrent_operators();
  register_reduction_operators();
  register_reshape_operators();
  register_resize_operators();
  register_roi_align_operators();
  register_sampling_operators();
  register_scatter_operators();
  register_selection_operators();
  register_softmax_operators();
  register_tree_operators();
  register_trigonometric_operators();
  register_integer_operators();
  register_quantize_operators();
}

}  // namespace tandem
