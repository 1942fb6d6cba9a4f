#pragma once

namespace tandem {

// The parts of register_operators(), one per file of operators. Internal to the room.
void register_activation_operators();
void register_arithmetic_operators();
void register_col2im_operators();
void register_comparison_operators();
void register_control_flow_operators();
void register_conversion_operators();
void register_attention_operators();
void register_convolution_operators();
void register_deformable_convolution_operators();
void register_einsum_operators();
void register_layer_normalization_operators();
void register_linear_attention_operators();
void register_pooling_variant_operators();
void register_recurrent_operators();
void register_transposed_convolution_operators();
void register_tree_operators();
void register_cumulative_operators();
void register_determinant_operators();
void register_extent_operators();
void register_fourier_operators();
void register_function_operators();
void register_indexing_operators();
void register_logic_operators();
void register_loss_operators();
void register_matrix_operators();
void register_movement_operators();
void register_normalization_operators();
void register_one_hot_operators();
void register_opaque_operators();
void register_padding_operators();
void register_pooling_operators();
void register_reduction_operators();
void register_reshape_operators();
void register_resize_operators();
void register_roi_align_operators();
void register_sampling_operators();
void register_scatter_operators();
void register_selection_operators();
void register_softmax_operators();
void register_trigonometric_operators();

}  // namespace tandem
